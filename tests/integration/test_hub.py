# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the command line pushed, somebody who has only transformers, datasets and evaluate loads."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import Account, HubServer
from huggingface_hub import HfApi
from testing_utils import (
    Utterances,
    random_rows,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
)

from modeling_univa import cli


SCRIPT = Path(__file__).with_name("load_from_hub.py")
NAME = "lab/emotions"
# The code of the second revision is another one, too.
LINE, OTHER = "logits=self.dropout(", "logits=2 * self.dropout("


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("hub")
    with (
        HubServer(folder / "store", {"hf_me": Account("me", organizations=("lab",))}) as server,
        pytest.MonkeyPatch.context() as monkeypatch,
        server.connected(monkeypatch, folder / "cache", "hf_me"),
    ):
        yield server


def save(folder: Path, seed: int) -> dict[str, Any]:
    """Write a model with its processor; what to give to it, and the logits that come back."""
    config = tiny_config()
    model, utterances = tiny_model(config, seed), Utterances(config, absent=0.2)
    model.save_pretrained(folder)
    tiny_processor(config).save_pretrained(folder)
    with torch.no_grad():
        logits = model(**utterances.inputs()).logits
    features = {
        f"{modality}_features": [None if clip is None else np.asarray(clip).tolist() for clip in frames.values()]
        for modality, frames in utterances.features.items()
    }
    return {"inputs": {"dialogues": utterances.dialogues, "features": features}, "logits": logits.tolist()}


@pytest.fixture(scope="module")
def pushed(hub, tmp_path_factory) -> dict[str, Any]:
    """A private repository in which main has moved on from revision "first", a public corpus, and the metric."""
    folder = tmp_path_factory.mktemp("pushed")
    given = {"first": save(folder / "first", 0), "main": save(folder / "second", 1)}
    assert cli.main(["push", str(folder / "first"), NAME, "--private"]) == 0
    given["first"]["commit"] = hub.repository(NAME).branches["main"]
    code = folder / "second" / "modeling_univa.py"
    text = code.read_text()
    assert LINE in text
    code.write_text(text.replace(LINE, OTHER))
    assert cli.main(["push", str(folder / "second"), NAME]) == 0
    given["main"]["commit"] = hub.repository(NAME).branches["main"]
    write_corpus(folder / "corpus", {"train": random_rows([2, 1]), "test": random_rows([1])})
    HfApi().create_repo("lab/corpus", repo_type="dataset")
    HfApi().upload_folder(repo_id="lab/corpus", repo_type="dataset", folder_path=folder / "corpus")
    assert cli.main(["push-metric", "lab/emotion_score"]) == 0
    return given


def load(hub: HubServer, folder: Path, token: str | None, tasks: dict[str, Any]) -> dict[str, Any]:
    (folder / "tasks.json").write_text(json.dumps(tasks))
    environment = subprocess_environment(folder / "cache", with_package=False)
    environment |= hub.environment(folder / "cache", token)
    result = run_command([sys.executable, "-I", SCRIPT, folder / "tasks.json"], environment, folder)
    assert result.returncode == 0, result.stderr[-5000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(hub, pushed, tmp_path_factory) -> dict[str, Any]:
    """What somebody found who may read the private repository, `main` first, so that its code is cached first."""
    model = {"kind": "model", "name": NAME, "inputs": pushed["main"]["inputs"]}
    commit = pushed["first"]["commit"]
    tasks = {
        "main": model,
        "first": {**model, "revision": commit},
        "pipeline": {"kind": "pipeline", "name": NAME, "revision": commit, "inputs": pushed["first"]["inputs"]},
        "rows": {"kind": "rows", "name": "lab/corpus"},
        "metric": {"kind": "metric", "name": "lab/emotion_score"},
    }
    return load(hub, tmp_path_factory.mktemp("member"), "hf_me", tasks)


@pytest.mark.parametrize("auto_class", ["AutoModel", "AutoModelForSequenceClassification"])
def test_logits_are_the_same_without_the_package(auto_class, found, pushed):
    np.testing.assert_allclose(found["first"]["logits"][auto_class], pushed["first"]["logits"], rtol=1e-5, atol=1e-5)
    assert found["first"]["module"].startswith("transformers_modules.")


def test_the_code_of_the_revision_asked_for_is_what_runs(found, pushed):
    for name, factor in (("first", 1), ("main", 2)):
        expected = factor * np.array(pushed[name]["logits"])
        np.testing.assert_allclose(found[name]["logits"]["AutoModel"], expected, rtol=1e-5, atol=1e-5)
        assert pushed[name]["commit"] in found[name]["module"]


def test_pipeline_of_a_revision(found, pushed):
    logits = np.array(pushed["first"]["logits"][0])
    expected = np.exp(logits) / np.exp(logits).sum()
    assert sorted(found["pipeline"]["scores"].values()) == pytest.approx(sorted(expected), abs=1e-6)
    assert pushed["first"]["commit"] in found["pipeline"]["module"]


def test_rows_stream(found):
    expected = random_rows([2, 1])
    assert found["rows"]["ids"] == expected["utterance_id"][:]
    assert found["rows"]["labels"] == expected.features["emotions"].feature.names


def test_metric_is_loaded_from_its_space(found):
    assert (found["metric"]["accuracy"], found["metric"]["num_rows"]) == (75.0, 2)


def test_private_is_private(hub, pushed, tmp_path):
    found = load(hub, tmp_path, None, {"model": {"kind": "model", "name": NAME, "inputs": {}}})
    assert "is not a local folder and is not a valid model identifier" in found["model"]["error"]


def test_what_was_loaded_by_id_can_be_pushed_again(hub, pushed, tmp_path):
    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
    from modeling_univa.models.processing_univa import UnivaProcessor

    folder = tmp_path / "copy"
    model = UnivaForEmotionClassification.from_pretrained(NAME, revision=pushed["first"]["commit"])
    UnivaProcessor.from_pretrained(NAME, revision=pushed["first"]["commit"]).save_pretrained(folder)
    model.save_pretrained(folder)
    assert cli.main(["push", str(folder), "me/copy"]) == 0
    shutil.rmtree(folder)
    weights = hub.content(NAME, "model.safetensors", pushed["first"]["commit"])
    assert hub.content("me/copy", "model.safetensors") == weights
