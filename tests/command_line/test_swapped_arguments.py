# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A corpus where a model is expected, and a model where a corpus is."""

from pathlib import Path

import pytest
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus

from modeling_univa import cli
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.modeling_univa import UnivaModel
from modeling_univa.scores.predictions import PREDICTIONS_FILE


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, str]:
    """A corpus, and a model with the table of what it has predicted."""
    folder = tmp_path_factory.mktemp("places")
    corpus = write_corpus(folder / "corpus", {"test": random_rows([2])})
    model = tiny_model(tiny_config())
    model.save_pretrained(folder / "model")
    tiny_processor(model.config).save_pretrained(folder / "model")
    (folder / "model" / PREDICTIONS_FILE).write_bytes(next(corpus.glob("data/*.parquet")).read_bytes())
    return {"CORPUS": str(corpus), "MODEL": str(folder / "model"), "OUT": str(folder / "out")}


@pytest.mark.parametrize(
    "command",
    [
        "predict CORPUS MODEL",
        "evaluate CORPUS MODEL",
        "export CORPUS --output OUT",
        "complete CORPUS --output OUT",
    ],
)
def test_a_corpus_is_not_taken_for_a_model(command, places, capsys):
    assert cli.main([places.get(word, word) for word in command.split()]) == 2
    assert f"{places['CORPUS']} is a corpus, and a model is expected in its place." in capsys.readouterr().err
    assert not Path(places["OUT"]).exists()


@pytest.mark.parametrize(
    "command",
    [
        "evaluate MODEL MODEL",
        "extract MODEL --output OUT",
        "score-affect MODEL --output OUT",
        "zero-shot MODEL --model x --output OUT",
        "compare MODEL --systems prior --output OUT",
    ],
)
def test_a_model_is_not_taken_for_a_corpus(command, places, capsys):
    assert cli.main([places.get(word, word) for word in command.split()]) == 2
    assert f"{places['MODEL']} is a model, and a corpus is expected in its place" in capsys.readouterr().err
    assert not Path(places["OUT"]).exists()


def test_calls_say_so_too(places):
    with pytest.raises(ValueError, match="is a corpus, and a model is expected in its place"):
        UnivaModel.from_pretrained(places["CORPUS"])
    with pytest.raises(CorpusError, match="is a model, and a corpus is expected in its place"):
        load_corpus(places["MODEL"])
