# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The model card: true to the run, silent about what is not known, and its snippets run."""

import ast
import contextlib
import io
import json
import re
import shlex
import shutil
import wave
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from testing_utils import REPOSITORY, tiny_config, tiny_model, tiny_processor
from training_runs import tiny_trainer, training_options, write_training_inputs
from transformers import AutoConfig, TrainerState

import train_hf
from modeling_univa import cli
from modeling_univa.data.corpus import SCORERS_FILE
from modeling_univa.data.licenses import license_of
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.scores.results import Evaluation, without_prefix
from modeling_univa.sharing.card import ModelFacts, TrainingTime, model_card, pipeline_tag, write_model_card
from modeling_univa.training.card_callback import ModelCardCallback


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


COUNTS = {"num_rows": 10, "num_rows_without_label": 2, "num_rows_without_prediction": 3}
SECTIONS = [
    "Data",
    "Training",
    "Results",
    "Features, valence and arousal",
    "Emotion correlation",
    "Environmental cost",
]


def sections(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, flags=re.MULTILINE)


def code(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def assert_clean(text: str) -> None:
    """Nothing that a template or a missing value leaves behind."""
    body = re.sub(r"```.*?```", "code", text, flags=re.DOTALL)
    for rubbish in ("None", "nan", "{{", "{%", "}}", "Undefined", "/tmp", "\n\n\n"):
        assert rubbish not in body, (rubbish, body[max(0, body.find(rubbish) - 80) :][:160])


def output_of(program: str) -> str:
    """What a program prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "card", "exec"), {})
    return printed.getvalue()


# Snippets


def write_media(folder: Path) -> None:
    from video_files import levels, tone, write_video

    write_video(folder / "clip.mp4", levels(20), sound=tone(16000, 0.8), sampling_rate=16000)
    with wave.open(str(folder / "clip.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((9000 * tone(16000, 0.5)).astype("<i2").tobytes())
    cv2.imwrite(str(folder / "face.png"), np.random.default_rng(0).integers(0, 255, (70, 70, 3), dtype=np.uint8))


LIGHT = {"audio": LogMelExtractor().to_dict(), "vision": HogExtractor().to_dict()}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "videos": ({}, {**LIGHT, "faces": FaceReader(detector="whole-frame").to_dict()}),
    "sounds and images": ({}, LIGHT),
    "speech alone": ({"modalities": ["audio"]}, {"audio": LIGHT["audio"]}),
    "text alone": ({"modalities": ["text"]}, {}),
    "precomputed features": ({"route": "words"}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_snippets_run(kind, tmp_path, monkeypatch, capsys):
    settings, extractors = KINDS[kind]
    sizes = {f"{name}_feature_size": made["feature_size"] for name, made in extractors.items() if name != "faces"}
    config = tiny_config(**settings, **sizes)
    folder = tmp_path / f"model_{list(KINDS).index(kind)}"
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config, extractors=extractors).save_pretrained(folder)
    text = write_model_card(folder, ModelFacts(config, extractors, model_id=str(folder))).read_text()
    write_media(tmp_path)
    monkeypatch.chdir(tmp_path)
    auto_classes, pipeline = code(text, "python")
    lines = [line.split() for line in output_of(auto_classes).splitlines()]
    scores = {name: float(value) for name, value in lines}
    assert list(scores) == list(MOSEI_EMOTIONS)
    assert sum(scores.values()) == pytest.approx(1, abs=0.01)
    found = {item["label"]: item["score"] for item in ast.literal_eval(output_of(pipeline))}
    assert found == {name: pytest.approx(score, abs=0.001) for name, score in scores.items()}
    commands = code(text, "bash")
    assert len(commands) == (kind != "precomputed features")
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "univa"
        assert cli.main(arguments) == 0
        assert "happy" in capsys.readouterr().out


def test_pipeline_snippet_is_there_where_the_model_has_one():
    config = tiny_config()
    config.custom_pipelines = {}
    assert "pipeline(" not in str(model_card(ModelFacts(config)))


# What is not known


def test_card_without_a_run_has_no_empty_sections():
    text = str(model_card(ModelFacts(tiny_config())))
    assert sections(text) == ["Intended use and limits", "How to use", "Citation"]
    assert_clean(text)
    data = ModelCard(text).data.to_dict()
    assert set(data) == {"library_name", "pipeline_tag", "tags"}


@pytest.mark.parametrize(
    ("threshold", "most"), [(0.18, 5), (0.1, None), (0.2, 4), (0.5, 1), ([0.5, 0.4, 0.3, 0.3, 0.3, 0.6], 3)]
)
def test_number_of_emotions_that_thresholds_leave_room_for(threshold, most):
    text = str(model_card(ModelFacts(tiny_config(decision_threshold=threshold), {})))
    assert ("gets at most" in text) is (most is not None)
    if most is not None:
        assert f"so that it gets at most {most} emotions" in text
    if isinstance(threshold, list):
        assert "greater than happy 0.5, sad 0.4, anger 0.3," in text


def test_metrics_that_are_missing_leave_no_trace():
    evaluation = Evaluation("lab/corpus", "test", {"micro_f1": 61.25, **COUNTS}, 0.18, on_hub=True)
    text = str(model_card(ModelFacts(tiny_config(), evaluations=[evaluation])))
    assert_clean(text)
    assert "| Micro F1, % | 61.25 |" in text
    assert "| of them without any prediction | 3 |" in text
    assert "Macro" not in text and "| emotion |" not in text
    data = ModelCard(text).data
    assert [(item.metric_name, item.metric_value) for item in data.eval_results] == [("Micro F1, %", 61.25)]
    assert data.datasets == ["lab/corpus"]


def test_license_language_and_base_model_come_only_from_what_is_given():
    facts = ModelFacts(tiny_config(), license="mit", language="en", starting_weights={"model": "lab/encoder"})
    data = ModelCard(str(model_card(facts))).data
    assert (data.license, data.language, data.base_model) == ("mit", "en", "lab/encoder")
    package = ModelFacts(tiny_config(), starting_weights={"model": "/opt/encoder"})
    text = str(model_card(package))
    assert "base_model" not in ModelCard(text).data.to_dict()
    assert "| starting weights | text | `encoder` | not stated |" in text


def test_task_follows_the_modalities():
    for modalities, task in {("text",): "text", ("text", "audio"): "audio", ("audio", "vision"): "video"}.items():
        config = tiny_config(modalities=list(modalities))
        assert pipeline_tag(config.modalities) in config.custom_pipelines
        assert ModelCard(str(model_card(ModelFacts(config)))).data.pipeline_tag == f"{task}-classification"


@pytest.mark.parametrize(("seconds", "shown"), [(7300.0, "2.0 h"), (90.0, "1.5 min"), (4.2, "4.2 s")])
def test_time_in_its_unit(seconds, shown):
    assert f"took {shown} of wall time" in str(TrainingTime(seconds, 2, "a CPU"))
    assert "2 processes on a CPU" in str(TrainingTime(seconds, 2, "a CPU"))


# Licences


def test_license_of_a_folder(tmp_path):
    assert license_of(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert license_of(str(tmp_path)) == "cc-by-nc-4.0"
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    assert license_of(str(tmp_path)) is None


def test_scorers_and_extractors_with_their_licences(inputs, tmp_path):
    scorer = tmp_path / "scorer"
    scorer.mkdir()
    (scorer / "README.md").write_text("---\nlicense: cc-by-sa-4.0\n---\n")
    corpus = load_corpus(str(inputs / "corpus"))
    corpus.affect_scorers = {
        "text": {"model": str(scorer), "sha256": "0", "splits": ["train"]},
        "audio": {"model": "lab/speech", "revision": "abc", "license": "mit"},
    }
    text = str(model_card(ModelFacts(tiny_config(), extractors=LIGHT, corpus=corpus)))
    for row in (
        "| features | audio | log-mel | no weights |",
        "| features | vision | hog | no weights |",
        "| valence and arousal | text | `scorer` | cc-by-sa-4.0 |",
        "| valence and arousal | audio | `lab/speech`, at abc | mit |",
    ):
        assert row in text
    without = str(model_card(ModelFacts(tiny_config(contrastive_loss="none"), corpus=corpus)))
    assert "| valence and arousal |" not in without


def test_corpus_reads_its_scorers(inputs, tmp_path):
    assert load_corpus(str(inputs / "corpus")).affect_scorers == {}
    folder = Path(shutil.copytree(inputs / "corpus", tmp_path / "corpus"))
    (folder / SCORERS_FILE).write_text(json.dumps({"text": {"model": "lab/text"}}))
    assert load_corpus(str(folder)).affect_scorers == {"text": {"model": "lab/text"}}


# Emotion correlation


def test_heat_map_is_a_picture_and_a_table(tmp_path):
    pytest.importorskip("matplotlib")
    similarity = torch.linspace(-1, 1, 36).reshape(6, 6)
    facts = ModelFacts(tiny_config(), label_similarity=similarity)
    text = write_model_card(tmp_path, facts).read_text()
    assert cv2.imread(str(tmp_path / "emotion_correlation.png")).shape[0] > 300
    assert "](emotion_correlation.png)" in text
    assert "| **happy** | -1.00 | -0.94 | -0.89 | -0.83 | -0.77 | -0.71 |" in text
    first = (tmp_path / "emotion_correlation.png").read_bytes()
    write_model_card(tmp_path, facts)
    assert (tmp_path / "emotion_correlation.png").read_bytes() == first
    assert "emotion_correlation" not in write_model_card(tmp_path, ModelFacts(tiny_config())).read_text()
    assert not (tmp_path / "emotion_correlation.png").exists()


def test_without_matplotlib_the_table_remains(tmp_path, monkeypatch):
    monkeypatch.setattr("modeling_univa.sharing.card.importlib.util.find_spec", lambda name: None)
    text = write_model_card(tmp_path, ModelFacts(tiny_config(), label_similarity=torch.eye(6))).read_text()
    assert "| **fear** | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 | 1.00 |" in text
    assert "![" not in text


# From a run


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "emotions"
    assert (
        train_hf.main(training_options(inputs, folder, num_train_epochs=2, card_license="mit", hub_token="hf_secret"))
        == 0
    )
    return folder


def test_card_of_a_run_is_complete_and_clean(run, inputs):
    text = (run / "README.md").read_text()
    assert sections(text) == ["Intended use and limits", "How to use", *SECTIONS, "Citation"]
    assert_clean(text)
    assert "hf_secret" not in text and str(inputs) not in text
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.model_name) == ("mit", "transformers", "emotions")
    assert data.get("datasets") is None and data.get("language") is None


def test_scores_are_those_of_the_run(run):
    text, found = (run / "README.md").read_text(), ModelCard.load(run / "README.md").data.eval_results
    for split, metrics in json.loads((run / "all_results.json").read_text()).items():
        values = {item.metric_name: item.metric_value for item in found if item.dataset_split == split}
        scores = without_prefix(metrics)
        assert values["Micro F1, %"] == pytest.approx(scores["micro_f1"], abs=1e-4)
        assert values["Hamming loss"] == pytest.approx(scores["hamming_loss"], abs=1e-4)
        section = text.partition(f"### corpus, {split}\n")[2].partition("\n##")[0]
        for label in MOSEI_EMOTIONS:
            score, support = scores[f"f1_{label}"], scores[f"support_{label}"]
            assert f"| {label} | {score:.2f} | {support} |" in section
        assert f"| rows | {scores['num_rows']} |" in section


def test_settings_are_those_that_differ(run):
    table = (run / "README.md").read_text().partition("## Training")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, flags=re.MULTILINE))
    assert rows["num_train_epochs"] == "2.0 | 3.0"
    assert rows["hidden_size"] == "16 | 768"
    assert rows["text_model"] == "encoder | –"
    assert not {"output_dir", "learning_rate", "use_cpu", "dataset", "hub_token", "report_to"} & set(rows)


def test_time_is_measured_and_summed_over_resumed_parts(run, tmp_path):
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    seconds = [entry["training_seconds"] for entry in history if "training_seconds" in entry]
    runtime = next(entry["train_runtime"] for entry in history if "train_runtime" in entry)
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(runtime, abs=1.5)
    callback, state = ModelCardCallback(), TrainerState(log_history=[{"training_seconds": 100.0}])
    callback.on_train_begin(None, state, None)
    state.log_history.append({"loss": 1.0})
    callback.on_log(None, state, None)
    assert 100 <= state.log_history[-1]["training_seconds"] < 101


def test_scores_after_training_are_those_of_the_checkpoint_that_was_kept(tmp_path):
    trainer = tiny_trainer(tmp_path, num_train_epochs=3, learning_rate=0.05)
    trainer.add_callback(ModelCardCallback(trainer.processor))
    trainer.train()
    best = next(
        entry
        for entry in trainer.state.log_history
        if entry["step"] == trainer.state.best_global_step and "eval_micro_f1" in entry
    )
    values = {item.metric_name: item.metric_value for item in ModelCard.load(tmp_path / "README.md").data.eval_results}
    assert values["Micro F1, %"] == pytest.approx(best["eval_micro_f1"], abs=1e-4)
    assert values["Hamming loss"] == pytest.approx(best["eval_hamming_loss"], abs=1e-4)


def test_card_on_request(tmp_path):
    trainer = tiny_trainer(tmp_path)
    trainer.create_model_card(license="apache-2.0", language="en", tags="mine", model_name="Ours")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.language, data.tags[-1]) == ("apache-2.0", "en", "mine")
    assert "# Ours\n" in (tmp_path / "README.md").read_text()
    with pytest.raises(ValueError, match="finetuned_from"):
        trainer.create_model_card(finetuned_from="roberta-base")


def test_adapter_says_so_and_its_snippet_runs(inputs, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    folder = tmp_path / "adapted"
    assert train_hf.main(training_options(inputs, folder, lora_rank=2)) == 0
    text = (folder / "README.md").read_text()
    assert_clean(text)
    data = ModelCard(text).data
    assert data.library_name == "peft" and "lora" in data.tags
    assert "| `lora_rank` | 2 | – |" in text
    printed = output_of(code(text, "python")[0].replace("ORG/NAME", str(folder)))
    assert [line.split()[0] for line in printed.splitlines()] == list(MOSEI_EMOTIONS)


# Pushed


def test_pushed_card_names_the_repository(run, hub_client):
    assert cli.main(["push", str(run), "lab/emotions"]) == 0
    pushed = hub_client.content("lab/emotions", "README.md").decode()
    assert "ORG/NAME" not in pushed
    assert 'from_pretrained("lab/emotions", trust_remote_code=True)' in pushed
    assert "ORG/NAME" in (run / "README.md").read_text()
    assert hub_client.content("lab/emotions", "emotion_correlation.png")[:4] == b"\x89PNG"


def test_install_line_has_the_versions_of_transformers_that_the_code_runs_with():
    bound = next(line for line in (REPOSITORY / "pyproject.toml").read_text().splitlines() if '"transformers>' in line)
    assert f"pip install torch {bound.strip().rstrip(',')}" in str(model_card(ModelFacts(tiny_config())))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"gather_across_devices": True}, ["utterances of all processes (`gather_across_devices`)"]),
        ({"contrastive_cosine": True}, ["by their cosine (`contrastive_cosine`)"]),
        ({"contrastive_memory": 512}, ["the last 512 utterances of past batches (`contrastive_memory`)"]),
        ({"contrastive_memory": 512, "gather_across_devices": True, "contrastive_loss": "none"}, []),
        # Loss and gradients are the same.
        ({"contrastive_chunk_size": 4}, []),
    ],
)
def test_card_tells_options_that_the_paper_has_not(options, told):
    lines = str(model_card(ModelFacts(tiny_config(**options)))).splitlines()
    names = ("gather_across_devices", "contrastive_memory", "contrastive_cosine")
    found = [line for line in lines if any(name in line for name in names)]
    assert len(found) == len(told) and all(part in line for part, line in zip(told, found, strict=True))


@pytest.mark.parametrize("name", SYSTEMS)
def test_card_of_any_system_has_its_paper_and_what_is_not_as_published(name):
    config = AutoConfig.for_model(name, id2label=dict(enumerate(MOSEI_EMOTIONS)))
    card = str(model_card(ModelFacts(config)))
    assert f"[{config.title}]({config.paper}) model: {config.idea}." in card
    assert all(f"\n- {sentence}\n" in card for sentence in config.deviations)
    assert (f"The official code: {config.official_code}." in card) == bool(config.official_code)
    assert config.citation.splitlines()[0] in card
