# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa evaluate`: what it prints, and what it leaves for the Hub."""

import logging
import re
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus

from modeling_univa import cli
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.scores.metrics import metric_path
from modeling_univa.scores.results import Evaluation, merged, model_index_results, with_section, write_eval_results
from modeling_univa.training.evaluation import record_evaluation


COUNTS = {"num_rows": 10, "num_rows_without_label": 2, "num_rows_without_prediction": 3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    splits = {
        "train": random_rows([2]),
        "test": random_rows([4, 3, 2], seed=1),
        "validation": random_rows([3], seed=2),
    }
    return write_corpus(tmp_path_factory.mktemp("data") / "talks", splits)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "tiny")


def save(folder: Path, **settings: object) -> Path:
    config = tiny_config(**{"decision_threshold": 0.17, **settings})
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config).save_pretrained(folder)
    return folder


def run(*arguments: object) -> int:
    return cli.main(["evaluate", *map(str, arguments)])


def entries(folder: Path) -> dict[str, list]:
    return {
        file.name: parse_eval_result_entries(yaml.safe_load(file.read_text()))
        for file in sorted((folder / ".eval_results").iterdir())
    }


def expected_scores(folder: Path, corpus: Path, split: str) -> dict[str, float]:
    """The metric by hand, one row at a time in the context of its dialogue."""
    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
    from modeling_univa.models.processing_univa import UnivaProcessor

    model, processor = UnivaForEmotionClassification.from_pretrained(folder), UnivaProcessor.from_pretrained(folder)
    rows = load_dataset(str(corpus))[split].to_list()
    scores = []
    for row in rows:
        dialogue = [other["text"] for other in rows if other["dialogue_id"] == row["dialogue_id"]]
        features = {
            name: [None if row[name] is None else np.array(row[name], np.float32)]
            for name in ("audio_features", "vision_features")
        }
        with torch.inference_mode():
            logits = model(**processor([dialogue], [(0, row["position"])], **features)).logits
        scores.append(logits.softmax(-1)[0].tolist())
    labels = [[int(label in row["emotions"]) for label in range(6)] for row in rows]
    metric = evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)
    return metric.compute(predictions=scores, references=labels, threshold=0.17, label_names=list(MOSEI_EMOTIONS))


def test_scores_are_the_metric_of_the_rows(saved, corpus, tmp_path, capsys):
    assert run(saved, corpus, "--batch-size", 2, "--output", tmp_path) == 0
    expected = expected_scores(saved, corpus, "test")
    (found,) = entries(tmp_path).values()
    values = {entry.task_id: entry.value for entry in found}
    assert values == {
        f"test_{name}": pytest.approx(expected[name], abs=1e-3)
        for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1")
    }
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[0] == "test" and line[3] == f"{expected['micro_f1']:.2f}"
    counts = ("num_rows", "num_rows_without_label", "num_rows_without_prediction")
    assert line[5:] == [str(expected[name]) for name in counts]
    assert f"threshold 0.17; {expected['num_rows']} rows" in found[0].notes
    card = (tmp_path / "README.md").read_text()
    for label in MOSEI_EMOTIONS:
        assert f"| {label} | {expected['label_f1'][label]:.2f} | {expected['label_support'][label]} |" in card


def test_threshold_that_predicts_nothing_is_told(corpus, tmp_path, caplog):
    logging.getLogger("transformers").addHandler(caplog.handler)
    assert run(save(tmp_path / "model", decision_threshold=0.9), corpus) == 0
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "For 9 of 9 rows no label is predicted: `decision_threshold` is 0.9. With 6 labels" in caplog.text


def test_model_folder_gets_card_and_results_and_keeps_one_of_each_split(corpus, tmp_path):
    folder = save(tmp_path / "model")
    for split in ("test", "validation", "test"):
        assert run(folder, corpus, "--split", split) == 0
    assert list(entries(folder)) == ["talks-test.yaml", "talks-validation.yaml"]
    text = (folder / "README.md").read_text()
    assert re.findall(r"^### (.+)$", text, flags=re.MULTILINE) == ["talks, test", "talks, validation"]
    assert text.count("## Results") == 1 and text.index("## Results") < text.index("## Citation")
    results = ModelCard(text).data.eval_results
    assert [item.dataset_split for item in results] == ["validation"] * 4 + ["test"] * 4
    assert ModelCard(text).data.get("datasets") is None


def test_card_of_ones_own_stays_as_it_is(saved, corpus, tmp_path):
    own = "---\nlicense: mit\nmetrics:\n- wer\n---\n\n# Mine\n\nWords.\n\n## Results\n\nGood.\n\n## End\n\nBye.\n"
    (tmp_path / "README.md").write_text(own)
    assert run(saved, corpus, "--output", tmp_path, "--dataset-id", "lab/talks") == 0
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "mit" and card.data.datasets == ["lab/talks"]
    assert card.data.metrics == ["accuracy", "f1", "hamming_loss", "wer"]
    assert card.text.index("Good.") < card.text.index("### lab/talks, test") < card.text.index("## End")
    assert card.text.strip().endswith("Bye.")


def test_data_set_id_connects_a_folder_with_its_benchmark(saved, corpus, tmp_path, caplog):
    assert run(saved, corpus, "--output", tmp_path, "--dataset-id", "lab/talks") == 0
    ((name, found),) = entries(tmp_path).items()
    assert name == "lab--talks-test.yaml"
    assert {entry.dataset_id for entry in found} == {"lab/talks"}
    assert "not on the Hub" not in found[0].notes
    assert not any("by its id alone" in record.getMessage() for record in caplog.records)


def test_folder_without_an_id_is_told(saved, corpus, tmp_path, caplog):
    assert run(saved, corpus, "--output", tmp_path) == 0
    assert any("--dataset-id" in record.getMessage() for record in caplog.records)
    assert entries(tmp_path)["talks-test.yaml"][0].notes.startswith("data set not on the Hub")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "CORPUS", "--split", "dev"], "has no split 'dev'; it has train, validation, test"),
        (["MODEL", "nowhere"], "nowhere is neither a folder nor a data set id"),
        (["nowhere", "CORPUS"], "nowhere is neither a folder nor a model id"),
        (["MODEL", "CORPUS", "--batch-size", "0"], "the batch size must be at least 1, got 0"),
        (["OTHER", "CORPUS"], "the corpus has the labels"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, saved, corpus, tmp_path, capsys):
    places = {"MODEL": saved, "CORPUS": corpus, "OTHER": tmp_path / "other"}
    if "OTHER" in arguments:
        save(places["OTHER"], id2label={0: "happy", 1: "sad"})
    assert run(*(places.get(word, word) for word in arguments), "--output", tmp_path / "out") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("univa: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "out").exists()


# Forms


def test_results_of_other_data_sets_and_splits_stay():
    def result(dataset: str, split: str, value: float) -> EvalResult:
        return EvalResult("t", dataset, dataset, "f1", value, dataset_split=split)

    previous = [result("a", "test", 1), result("b", "test", 2), result("a", "dev", 3)]
    assert [item.metric_value for item in merged(previous, [result("a", "test", 9)])] == [2, 3, 9]


def test_only_metrics_that_are_there_are_written(tmp_path):
    evaluation = Evaluation("lab/talks", "test", {"micro_f1": 61.23456, **COUNTS}, 0.2, True, "abc", "2026-01-31")
    (entry,) = parse_eval_result_entries(yaml.safe_load(write_eval_results(tmp_path, evaluation).read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("lab/talks", "test_micro_f1", 61.2346)
    assert (entry.dataset_revision, entry.date) == ("abc", "2026-01-31")
    assert entry.notes.startswith("threshold 0.2; 10 rows; 2 of them without any label; 3 of them without any")
    (result,) = model_index_results(evaluation, "text-classification")
    assert result.metric_args == {"average": "micro", "threshold": 0.2}


def test_section_is_replaced_where_it_stands():
    text = "# A\n\n## R\n\n### one\n\n1\n\n### two\n\n2\n\n## Z\n\nend\n"
    changed = with_section(text, "one", "new", "R")
    assert changed == text.replace("\n1\n", "\nnew\n")
    assert with_section(changed, "one", "1", "R") == text
    added = with_section(text, "three", "3", "R")
    assert added.index("### two") < added.index("### three") < added.index("## Z")
    assert with_section("# A\n", "one", "1", "R") == "# A\n\n## R\n\n### one\n\n1\n"


def test_evaluation_of_an_earlier_threshold_is_replaced(tmp_path, saved):
    for value in (50.0, 60.0):
        record_evaluation(tmp_path, Evaluation("lab/talks", "test", {"micro_f1": value}, 0.2, True), str(saved))
    text = (tmp_path / "README.md").read_text()
    assert "| Micro F1, % | 60.00 |" in text and "50.00" not in text
    assert [item.metric_value for item in ModelCard(text).data.eval_results] == [60.0]
