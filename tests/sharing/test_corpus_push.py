# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A built corpus on the Hub: what is refused, what arrives, and that it loads and is evaluated from there."""

import csv
import json
from pathlib import Path

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus

from modeling_univa import cli
from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.configuration_univa import M3ED_EMOTIONS
from modeling_univa.sharing.corpus_push import push_corpus
from modeling_univa.sharing.push import PushError


NAME = "lab/talks"
GIVEN = ["--license", "cc-by-4.0", "--source-url", "https://example.org/talks"]


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    (folder / "metadata").mkdir(parents=True)
    for split, sizes in {"train": (3, 2), "test": (2, 1)}.items():
        with open(folder / "metadata" / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["utterance_id", "dialogue_id", "position", "text", "emotions", "text_emotion"])
            for dialogue, size in enumerate(sizes):
                for position in range(size):
                    name = f"{split}_{dialogue}"
                    writer.writerow([f"{name}_{position}", name, position, "well", "happy;sad", "happy"])
    return folder


def build(source: Path, *arguments: str) -> int:
    options = ["--labels", ",".join(M3ED_EMOTIONS), "--va", "from-emotion"]
    folders = ["--source", str(source), "--output", str(source.parent / "corpus")]
    return corpus_main(UtteranceFolder, [*folders, *options, *arguments])


# Refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push_to_hub", NAME], "--push-to-hub needs --license and --source-url"),
        (["--push_to_hub", NAME, "--license", "mit"], "--push-to-hub needs --source-url: others"),
        (["--push_to_hub", NAME, *GIVEN[2:]], "--push-to-hub needs --license: others"),
        (["--private", *GIVEN], "--private needs --push-to-hub"),
    ],
)
def test_licence_and_source_must_be_given(arguments, message, source, capsys):
    assert build(source, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (source.parent / "corpus").exists()


def test_corpus_that_does_not_state_them_is_not_pushed(source, hub_client, tmp_path, capsys):
    assert build(source) == 0
    with pytest.raises(ValueError, match=r"README.md does not state the licence .* and the source"):
        push_corpus(tmp_path / "corpus", NAME)
    assert ("datasets", NAME) not in hub_client.repositories
    with pytest.raises(ValueError, match="holds no corpus"):
        push_corpus(source, NAME)


def test_who_may_not_write_is_told_before_the_corpus_is_built(source, hub_client, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert build(source, *GIVEN, "--push_to_hub", NAME) == 2
    assert "The corpus was not pushed to lab/talks" in capsys.readouterr().err
    assert not (source.parent / "corpus").exists()


# Pushed


def test_one_commit_with_card_features_splits_and_benchmark(source, hub_client, tmp_path):
    assert build(source, *GIVEN, "--push_to_hub", NAME, "--private", "--pretty-name", "Talks") == 0
    repository = hub_client.repository(NAME, "datasets")
    assert repository.private
    commit = repository.at("main")
    assert [item.title for item in commit.history()] == ["Upload corpus", "initial commit"]
    assert set(commit.files) - {".gitattributes"} == {
        "README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet", "eval.yaml",
        "checksums.json", "feature_extractors.json",
    }  # fmt: skip
    text = hub_client.content(NAME, "README.md", kind="datasets").decode()
    card = DatasetCard(text)
    assert (card.data.license, card.data.pretty_name) == ("cc-by-4.0", "Talks")
    info = card.data.to_dict()["dataset_info"]
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == {"train": 5, "test": 3}
    assert {"utterance_id", "emotions", "text_va"} <= {feature["name"] for feature in info["features"]}
    stated = ("Source: https://example.org/talks", "Licence: cc-by-4.0", "| happy | 5 | 3 |", "## Valence and arousal")
    for words in (*stated, f'load_dataset("{NAME}")', f"univa evaluate MODEL {NAME} --split test"):
        assert words in text
    tasks = yaml.safe_load(hub_client.content(NAME, "eval.yaml", kind="datasets"))["tasks"]
    assert tasks[0] == {"id": "test_accuracy", "config": "default", "split": "test"}
    assert [task["id"] for task in tasks] == ["test_accuracy", "test_micro_f1", "test_macro_f1"]


def test_cut_push_is_repeated_by_univa_push(source, hub_client, capsys):
    hub_client.cut(request=1, only="/commit/")
    assert build(source, *GIVEN, "--push_to_hub", NAME) == 2
    message = capsys.readouterr().err
    output = source.parent / "corpus"
    assert f"The corpus is whole; to push it again: univa push {output} {NAME}" in message
    hub_client.restore()
    assert cli.main(["push", str(output), NAME]) == 0
    assert "README.md" in hub_client.repository(NAME, "datasets").at("main").files


def test_corpus_of_fewer_shards_replaces_the_former(source, hub_client, tmp_path):
    assert build(source, *GIVEN, "--push_to_hub", NAME) == 0
    (tmp_path / "corpus" / "data" / "test-00000-of-00001.parquet").unlink()
    (tmp_path / "corpus" / "eval.yaml").unlink()
    push_corpus(tmp_path / "corpus", NAME)
    files = hub_client.repository(NAME, "datasets").at("main").files
    assert [name for name in files if name.startswith("data/")] == ["data/train-00000-of-00001.parquet"]
    assert "eval.yaml" not in files


@pytest.mark.slow
def test_loads_streams_and_is_evaluated_from_the_hub(hub_for_datasets, tmp_path, capsys):
    rows = {
        name: random_rows(sizes, seed=seed) for seed, (name, sizes) in enumerate({"train": [2], "test": [3]}.items())
    }
    folder = write_corpus(tmp_path / "built", rows)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Built\n\nSource: ours\n")
    push_corpus(folder, NAME)
    corpus = load_corpus(NAME)
    assert corpus.on_hub and corpus.extractors == json.loads((folder / "feature_extractors.json").read_text())
    assert corpus.split("test").features == rows["test"].features
    streamed = datasets.load_dataset(NAME, streaming=True, split="test")
    assert streamed.features == rows["test"].features
    assert [row["utterance_id"] for row in streamed] == rows["test"]["utterance_id"]
    config = tiny_config()
    model = tmp_path / "model"
    tiny_model(config).save_pretrained(model)
    tiny_processor(config).save_pretrained(model)
    assert cli.main(["evaluate", str(model), NAME]) == 0
    (file,) = (model / ".eval_results").iterdir()
    entry = yaml.safe_load(file.read_text())[0]
    head = hub_for_datasets.repository(NAME, "datasets").branches["main"]
    assert entry["dataset"] == {"id": NAME, "task_id": "test_accuracy", "revision": head}
    assert f"- {NAME}" in (model / "README.md").read_text()


def test_refusal_of_the_hub_is_one_sentence(source, hub_client):
    assert build(source, *GIVEN) == 0
    with pytest.raises(PushError, match="The corpus was not pushed to other/talks"):
        push_corpus(source.parent / "corpus", "other/talks")
