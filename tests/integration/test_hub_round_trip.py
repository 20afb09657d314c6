# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`benchmarks/hub_round_trip.py` with this environment as the other one, in which the package cannot be imported."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing_utils import (
    REPOSITORY,
    random_rows,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
)

from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.sharing.card import ModelFacts, write_model_card


pytestmark = pytest.mark.slow

SPEECH, FACES = LogMelExtractor(frame_rate=4.0), HogExtractor(image_size=32, cell_size=16)


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    yield importlib.import_module("hub_round_trip")
    sys.path.remove(str(REPOSITORY / "benchmarks"))


@pytest.fixture(scope="module")
def pushed(tmp_path_factory) -> tuple[Path, Path]:
    """A model that takes raw clips, and a corpus."""
    folder = tmp_path_factory.mktemp("round_trip")
    config = tiny_config(audio_feature_size=SPEECH.feature_size, vision_feature_size=FACES.feature_size)
    faces = FaceReader(detector="whole-frame", frame_rate=4)
    extractors = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict(), "faces": faces.to_dict()}
    tiny_model(config).save_pretrained(folder / "model")
    tiny_processor(config, extractors=extractors).save_pretrained(folder / "model")
    write_model_card(folder / "model", ModelFacts(config, extractors))
    corpus = write_corpus(folder / "corpus", {"train": random_rows([2, 1]), "test": random_rows([1])})
    (corpus / "README.md").write_text("---\nlicense: mit\n---\n\n# Tiny\n\nSource: https://example.org/tiny\n")
    return folder / "model", corpus


@pytest.fixture(scope="module")
def report(pushed, tmp_path_factory) -> dict[str, Any]:
    folder, (model, corpus) = tmp_path_factory.mktemp("run"), pushed
    options = {"model": model, "corpus": corpus, "python": sys.executable, "output": folder / "report.json"}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, REPOSITORY / "benchmarks" / "hub_round_trip.py", *given]
    result = run_command(command, subprocess_environment(folder / "cache"), folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-5000:]
    assert "WRONG" not in result.stdout
    return json.loads((folder / "report.json").read_text())


def test_both_sides_agree(report):
    here, there = report["here"], report["there"]
    found = (
        *(there["logits"][kind] for kind in ("AutoModel", "AutoModelForSequenceClassification")),
        there["clip_logits"],
    )
    for logits in found:
        np.testing.assert_allclose(logits, here["logits"], rtol=1e-5, atol=1e-5)
    assert [one["label"] for one in here["pipeline"]] == [one["label"] for one in there["pipeline"]]
    # The clip has sound and pictures, and both reach the model.
    assert here["inputs"]["audio_features"][1] > 1
    assert here["inputs"]["vision_features"][1] > 1


def test_corpus_and_metric_arrive(report):
    assert report["there"]["rows"] == {"train": 3, "test": 1}
    assert report["there"]["metric"] == {"accuracy": 75.0, "num_rows": 2}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("logits", {"AutoModel": [[0.0] * 6]}, "AutoModel: logits within"),
        ("clip_logits", [[0.0] * 6], "logits from the clip itself"),
        ("rows", {"train": 3}, "load_dataset"),
        ("package", True, "nothing of ours"),
        ("modules", {"model": "modeling_univa.models.modeling_univa"}, "code of model"),
        ("metric", {"accuracy": 0.0, "num_rows": 2}, "evaluate.load"),
    ],
)
def test_what_differs_is_an_error(name, value, message, report, pushed, script):
    script.check(report["here"], report["there"], pushed[1])
    with pytest.raises(script.RoundTripError, match=message):
        script.check(report["here"], {**report["there"], name: value}, pushed[1])


def test_packages_are_those_of_the_card(pushed, script):
    from hub_visitor import named_packages

    card = (pushed[0] / "README.md").read_text()
    expected = ["torch", "transformers>=5.20,<6", "av", "scipy", "soundfile", "opencv-python-headless<5"]
    assert named_packages(card) == expected
    assert named_packages("# A card that names nothing") == []
