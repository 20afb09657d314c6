# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa evaluate`: what it prints, and what it leaves for the Hub."""

import json
import logging
import re
import shutil
from pathlib import Path

import datasets
import evaluate
import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from sklearn.metrics import f1_score
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus

from modeling_univa import cli
from modeling_univa.data.label_map import read_label_map
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.media_univa import read_image
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.scores.calibration import calibration_table, fit_temperature
from modeling_univa.scores.metrics import metric_path
from modeling_univa.scores.predictions import Predictions, read_predictions, write_predictions
from modeling_univa.scores.results import Evaluation, merged, model_index_results, with_section, write_eval_results
from modeling_univa.scores.thresholds import choose_threshold, threshold_text
from modeling_univa.sharing.adapters import load_model
from modeling_univa.sharing.folder import shared_files
from modeling_univa.training.evaluation import OnValidation, evaluate_model, evaluate_predictions, record_evaluation
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


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


def test_predictions_lie_beside_the_results_and_leave_those_of_training(corpus, tmp_path, capsys):
    folder = save(tmp_path / "model")
    (folder / "predictions.parquet").write_bytes(b"of training")
    for split in ("test", "validation"):
        assert run(folder, corpus, "--split", split) == 0
        assert f"wrote {folder / 'predictions' / f'talks-{split}.parquet'}" in capsys.readouterr().out
    assert (folder / "predictions.parquet").read_bytes() == b"of training"
    assert sorted(file.name for file in (folder / "predictions").iterdir()) == [
        "talks-test.parquet",
        "talks-validation.parquet",
    ]
    splits, names, threshold = read_predictions(folder / "predictions" / "talks-test.parquet")
    assert (list(splits), names, threshold) == (["test"], list(MOSEI_EMOTIONS), 0.17)
    assert len(splits["test"].utterance_ids) == 9
    # They can be scored again, and do not go to the Hub.
    assert run(folder / "predictions" / "talks-test.parquet") == 0
    assert not any("parquet" in name for name in shared_files(folder))


def test_named_predictions_go_there_alone(saved, corpus, tmp_path):
    assert run(saved, corpus, "--output", tmp_path / "out", "--predictions", tmp_path / "named.parquet") == 0
    assert (tmp_path / "named.parquet").is_file() and not (tmp_path / "out" / "predictions").exists()
    assert run(saved, corpus, "--output", tmp_path / "out", "--dataset-id", "lab/talks") == 0
    assert [one.name for one in (tmp_path / "out" / "predictions").iterdir()] == ["lab--talks-test.parquet"]
    assert not (saved / "predictions").exists()


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


# Choices on validation


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """A corpus whose validation rows have labels enough to choose by."""
    splits = {
        "train": random_rows([2]),
        "validation": random_rows([6, 5, 7], seed=2),
        "test": random_rows([6, 5], seed=1),
    }
    return write_corpus(tmp_path_factory.mktemp("data") / "talks", splits)


def macro_f1(found: Predictions, threshold: float | list[float]) -> float:
    predicted = found.scores.astype(float) > threshold
    return 100 * f1_score(found.labels, predicted, average="macro", zero_division=0)


@pytest.mark.parametrize("how", ["auto", "per-label"])
def test_threshold_is_chosen_on_validation_and_scored_on_test(how, saved, labelled, tmp_path, capsys):
    file, before = tmp_path / "found.parquet", (saved / "config.json").read_bytes()
    arguments = ("--tune-threshold", how, "--predictions", file, "--output", tmp_path / "scores")
    assert run(saved, labelled, *arguments) == 0
    splits, names, threshold = read_predictions(file)
    assert list(splits) == ["validation", "test"] and len(splits["validation"].scores) == 18
    assert threshold == choose_threshold(splits["validation"].scores, splits["validation"].labels, how)
    assert isinstance(threshold, list) is (how == "per-label")
    table, row, chosen, *_ = capsys.readouterr().out.splitlines()
    assert row.split()[4] == f"{macro_f1(splits['test'], threshold):.2f}"
    assert chosen.endswith(f'in the model\'s config.json: "decision_threshold": {json.dumps(threshold)}')
    (found,) = entries(tmp_path / "scores").values()
    assert (
        f"threshold {threshold_text(threshold, names)} chosen on validation, not that of the model" in found[0].notes
    )
    card = (tmp_path / "scores" / "README.md").read_text()
    assert f"At the threshold {threshold_text(threshold, names)}, chosen on the split validation." in card
    results = ModelCard(card).data.eval_results
    assert [item.metric_args["threshold"] for item in results] == [threshold] * 4
    # The model and its own card stay as they are.
    assert (saved / "config.json").read_bytes() == before
    assert run(saved, labelled, "--tune-threshold", how) == 0
    assert "no results were written: the model has another threshold" in capsys.readouterr().out
    assert not (saved / ".eval_results").exists() and not (saved / "predictions").exists()


def test_thresholds_of_labels_do_no_worse_than_one_where_they_are_chosen(saved, labelled):
    choices = [OnValidation(how) for how in (None, "auto", "per-label")]
    found = [evaluate_model(str(saved), str(labelled), "validation", device="cpu", choices=one) for one in choices]
    assert found[1].scores["micro_f1"] >= found[0].scores["micro_f1"]
    assert found[2].scores["macro_f1"] > found[1].scores["macro_f1"]
    assert [list(one.predictions) for one in found] == [["validation"]] * 3
    assert [one.threshold_split for one in found] == [None, "validation", "validation"]


def test_model_with_thresholds_of_its_labels_is_scored_at_them(labelled, tmp_path, capsys):
    each = [0.16, 0.17, 0.165, 0.16, 0.17, 0.165]
    folder = save(tmp_path / "model", decision_threshold=each)
    assert run(folder, labelled, "--predictions", tmp_path / "found.parquet") == 0
    splits, names, threshold = read_predictions(tmp_path / "found.parquet")
    assert (list(splits), threshold) == (["test"], each)
    assert capsys.readouterr().out.splitlines()[1].split()[4] == f"{macro_f1(splits['test'], each):.2f}"
    assert f"greater than its threshold: {threshold_text(each, names)}." in (folder / "README.md").read_text()


def test_temperature_is_fitted_on_validation_and_told_for_test(saved, labelled, tmp_path, capsys):
    file = tmp_path / "found.parquet"
    assert run(saved, labelled, "--calibrate", "--predictions", file, "--output", tmp_path) == 0
    splits, names, _ = read_predictions(file)
    temperature = fit_temperature(splits["validation"].scores, splits["validation"].labels, "softmax")
    test = splits["test"]
    expected = calibration_table(test.scores, test.labels, names, "softmax", temperature)
    assert expected in capsys.readouterr().out and f"T={temperature:.3g}" in expected
    # The scores themselves are at the model's threshold, and without the temperature.
    assert entries(tmp_path)["talks-test.yaml"][0].notes.startswith("data set not on the Hub; threshold 0.17; 11 rows")


def test_predictions_of_a_run_are_scored_without_the_model(saved, labelled, tmp_path, capsys):
    file, choices = tmp_path / "found.parquet", ("--tune-threshold", "per-label", "--calibrate")
    assert run(saved, labelled, *choices, "--predictions", file, "--output", tmp_path / "scores") == 0
    told = capsys.readouterr().out.splitlines()
    assert run(file, *choices, "--plot", tmp_path / "scores.png") == 0
    again = capsys.readouterr().out.splitlines()
    assert again[:-1] == [line for line in told if not line.startswith("wrote")]
    assert read_image(tmp_path / "scores.png").shape[0] > 500
    by_hand = evaluate_predictions(file, "validation")
    assert by_hand.threshold == read_predictions(file)[2] and by_hand.scores["num_rows"] == 18


def test_picture_of_a_model(saved, labelled, tmp_path):
    assert run(saved, labelled, "--plot", tmp_path / "deep" / "scores.svg", "--output", tmp_path) == 0
    assert "<svg" in (tmp_path / "deep" / "scores.svg").read_text(encoding="utf-8")


def test_rows_without_labels_choose_nothing(saved, tmp_path, capsys):
    rows = random_rows([3], seed=2).map(lambda row: {"emotions": []})
    folder = write_corpus(tmp_path / "talks", {"validation": rows, "test": random_rows([3])})
    for option, message in (
        ("--tune-threshold", "no validation row has any"),
        ("--calibrate", "needs rows to be fitted"),
    ):
        given = (option, "per-label") if option == "--tune-threshold" else (option,)
        assert run(saved, folder, *given, "--output", tmp_path / "out") == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "A model is scored on a corpus: pass `dataset`"),
        (["FILE", "CORPUS"], "is a predictions file, which has no use for"),
        (["FILE", "--output", "out"], "which has no use for --output: leave it out"),
        (["FILE", "--split", "dev"], "has no split 'dev'; it has test"),
        (
            ["FILE", "--calibrate"],
            "to choose on: pass --validation-split, one of test.",
        ),
        (
            ["MODEL", "CORPUS", "--calibrate", "--validation-split", "dev"],
            "must be one of train, validation, test, got 'dev'",
        ),
        (["MODEL", "CORPUS", "--validation-split", "validation"], "--validation-split chooses nothing: leave it"),
        (["FILE", "--validation-split", "test"], "--validation-split chooses nothing: leave it"),
        (["FILE", "--predictions", "FILE"], "is the file that is read, and would keep the split test alone"),
        (["MODEL", "CORPUS", "--plot", "scores.docx"], "the suffix must be one of"),
        (["TEXT"], "is not a predictions file of univa"),
    ],
)
def test_choices_that_cannot_be_made_end_in_one_sentence(arguments, message, saved, corpus, tmp_path, capsys):
    places = {"MODEL": saved, "CORPUS": corpus, "FILE": tmp_path / "found.parquet", "TEXT": tmp_path / "text.parquet"}
    one = Predictions(["u"], ["d"], np.array([[0.5, 0.5]], np.float32), np.array([[0, 1]], np.int8))
    write_predictions(places["FILE"], {"test": one}, ["happy", "sad"], 0.4)
    places["TEXT"].write_text("scores")
    assert run(*(places.get(word, word) for word in arguments)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("univa: ")]
    assert len(lines) == 1 and message in lines[0]


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


# A corpus with other labels


OTHER_LABELS = ("joy", "excited", "anger", "contempt", "sad")
LABEL_MAP = "joy=happy,excited=happy,contempt="


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> Path:
    """Its first rows have contempt alone, nothing, contempt and joy, joy and excited."""
    rows = random_rows([4, 3, 5], seed=5, label_names=OTHER_LABELS)
    first = [[3], [], [0, 3], [0, 1]]
    columns = {**rows[:], "emotions": [*first, *rows["emotions"][4:]]}
    rows = datasets.Dataset.from_dict(columns, features=rows.features)
    return write_corpus(tmp_path_factory.mktemp("foreign") / "other", {"test": rows})


def test_scores_on_another_corpus_are_those_of_the_labels_in_common(saved, foreign, tmp_path, capsys):
    assert run(saved, foreign, "--label-map", LABEL_MAP, "--output", tmp_path, "--dataset-id", "lab/other") == 0
    printed = capsys.readouterr().out
    model, processor = load_model(str(saved)).eval(), UnivaProcessor.from_pretrained(saved)
    rows, names = load_dataset(str(foreign))["test"].to_list(), list(MOSEI_EMOTIONS)
    shared = [name for name in names if name in ("happy", "anger", "sad")]
    to_model = {0: "happy", 1: "happy", 2: "anger", 4: "sad"}
    predicted, expected, excluded = [], [], 0
    for row in rows:
        held = {to_model[label] for label in row["emotions"] if label in to_model}
        if row["emotions"] and not held:
            excluded += 1
            continue
        # The dialogue also has the utterances that are not scored.
        dialogue = [other["text"] for other in rows if other["dialogue_id"] == row["dialogue_id"]]
        features = {
            name: [None if row[name] is None else np.array(row[name], np.float32)]
            for name in ("audio_features", "vision_features")
        }
        with torch.inference_mode():
            scores = model(**processor([dialogue], [(0, row["position"])], **features)).logits.softmax(-1)[0]
        predicted.append([int(scores[names.index(name)] > 0.17) for name in shared])
        expected.append([int(name in held) for name in shared])
    assert excluded >= 1
    metric = evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)
    wanted = metric.compute(predictions=predicted, references=expected, label_names=shared)
    (found,) = entries(tmp_path).values()
    assert {entry.task_id: entry.value for entry in found} == {
        f"test_shared_labels_{name}": pytest.approx(wanted[name], abs=1e-3)
        for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1")
    }
    head, line, note = printed.splitlines()[:3]
    assert head.split()[-1] == "excluded"
    assert line.split()[-4:] == [str(wanted["num_rows"]), str(wanted["num_rows_without_label"]),
                                 str(wanted["num_rows_without_prediction"]), str(excluded)]  # fmt: skip
    assert "joy as happy, excited as happy" in note and "no such label: contempt" in note
    text = (tmp_path / "README.md").read_text()
    assert note in text and f"all of their labels are left out | {excluded} |" in text
    assert f"{excluded} rows more that are not scored" in found[0].notes
    assert re.findall(r"^\| (\w+) \| [\d.]+ \| \d+ \|$", text, flags=re.MULTILINE) == shared
    assert ModelCard(text).data.eval_results[0].metric_args["labels"] == shared


def test_trainer_predicts_what_it_evaluates(saved, foreign, tmp_path):
    model, processor = load_model(str(saved)), UnivaProcessor.from_pretrained(saved)
    rows = make_split(load_corpus(str(foreign)), "test", processor, model.config, label_map=read_label_map(LABEL_MAP))
    args = UnivaTrainingArguments(tmp_path, use_cpu=True, eval_strategy="no")
    trainer = UnivaTrainer(model, args, processing_class=processor)
    predicted = trainer.predict(rows).metrics
    assert predicted["test_num_rows_excluded"] == rows.shared_labels.num_excluded > 0
    assert "test_f1_happy" in predicted and not {"test_f1_fear", "test_loss"} & set(predicted)
    evaluated = trainer.evaluate(rows, metric_key_prefix="test")
    scores = [name for name in evaluated if name.startswith(("test_f1", "test_micro", "test_macro", "test_num"))]
    assert len(scores) > 6 and [predicted[name] for name in scores] == [evaluated[name] for name in scores]


def test_same_labels_in_another_order_are_scored_as_without_a_table(saved, corpus, tmp_path):
    rows = load_dataset(str(corpus))["test"]
    names = list(reversed(MOSEI_EMOTIONS))
    kinds = {**rows.features, "emotions": datasets.List(datasets.ClassLabel(names=names))}
    columns = {**rows[:], "emotions": [[5 - label for label in row] for row in rows["emotions"]]}
    turned = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    other = write_corpus(tmp_path / "talks", {"test": turned})
    plain, mapped = (evaluate_model(str(saved), str(place), label_map=given).scores
                     for place, given in ((corpus, None), (other, "happy=happy")))  # fmt: skip
    for name, value in plain.items():
        # How long it took, and the loss, which is one over all labels.
        if not name.endswith(("_second", "runtime", "loss", "_time")) or name == "hamming_loss":
            assert mapped[name] == pytest.approx(value), name
    assert mapped["num_rows_excluded"] == 0 and "loss" in plain and "loss" not in mapped


def test_what_is_shared_is_written_and_drawn_alone(foreign, tmp_path, capsys):
    folder = save(tmp_path / "model", decision_threshold=[0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    file = tmp_path / "scores.parquet"
    given = ["--label-map", LABEL_MAP, "--predictions", file, "--plot", tmp_path / "scores.png"]
    assert run(folder, foreign, *given) == 0, capsys.readouterr().err
    names = [name for name in MOSEI_EMOTIONS if name in ("happy", "anger", "sad")]
    splits, found, threshold = read_predictions(file)
    assert found == names and splits["test"].scores.shape[1] == 3
    assert threshold == [[0.1, 0.15, 0.2, 0.25, 0.3, 0.35][MOSEI_EMOTIONS.index(name)] for name in names]
    line = capsys.readouterr().out.splitlines()[1].split()
    again = evaluate_predictions(file).scores
    assert line[3] == f"{again['micro_f1']:.2f}" and line[5] == str(again["num_rows"])


@pytest.mark.parametrize("choice", [["--tune-threshold", "auto"], ["--calibrate"]])
def test_another_corpus_chooses_nothing(choice, saved, foreign, capsys):
    assert run(saved, foreign, "--label-map", LABEL_MAP, "--validation-split", "test", *choice) == 2
    assert "--label-map is for scores at the threshold of the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (None, "an evaluation with --label-map scores those that they share"),
        ("joy=happy", "has the label 'excited', which the model does not have"),
        ("joy=hapy", "--label-map maps 'joy' to 'hapy', which the model does not have, the nearest is 'happy'"),
        ("joi=happy", "--label-map names the label 'joi', which"),
        ("joy", "--label-map must be pairs such as joy=happy,contempt="),
    ],
)
def test_labels_that_are_not_mapped_are_refused(label_map, message, saved, foreign, capsys, tmp_path):
    given = [] if label_map is None else ["--label-map", label_map]
    assert run(saved, foreign, *given, "--output", tmp_path / "out") == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_features_of_another_extractor_are_refused_there_too(saved, foreign, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "model")
    extractors = {"audio": {"extractor_type": "precomputed", "name": "another", "feature_size": 5}}
    tiny_processor(tiny_config(), extractors=extractors).save_pretrained(folder)
    assert run(folder, foreign, "--label-map", LABEL_MAP) == 2
    assert "were made by" in capsys.readouterr().err


def test_rows_that_all_vanish_are_refused(saved, tmp_path, capsys):
    rows = random_rows([3], label_names=OTHER_LABELS)
    columns = {**rows[:], "emotions": [[3], [3], [3]]}
    corpus = write_corpus(tmp_path / "c", {"test": datasets.Dataset.from_dict(columns, features=rows.features)})
    assert run(saved, corpus, "--label-map", LABEL_MAP, "--output", tmp_path / "out") == 2
    assert "so that none can be scored; map more of them" in capsys.readouterr().err


# A model of a fold


def test_a_model_of_a_fold_is_not_scored_on_the_splits_of_its_corpus(saved, corpus, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "model")
    settings = {"dataset": str(corpus), "num_folds": 5, "fold": 2}
    (folder / "run_arguments.json").write_text(json.dumps(settings))
    assert run(folder, corpus) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "was trained on rows of all splits of" in message and "as fold 2 of `num_folds` 5" in message
    (folder / "run_arguments.json").write_text(json.dumps({**settings, "dataset": "elsewhere"}))
    assert run(folder, corpus) == 0
    (folder / "run_arguments.json").write_text(json.dumps({**settings, "num_folds": None}))
    assert run(folder, corpus) == 0
