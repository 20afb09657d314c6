# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny runs of a benchmark with their models, for analyses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from media_corpora import media_rows, write_media, write_media_corpus
from training_runs import training_options

from modeling_univa import cli
from modeling_univa.benchmark.trained_run import TrainedRun
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import run_training


__all__ = ["MDI", "MULT", "heard_corpus", "trained_run"]

# Settings of other systems, in place of those of UniVA.
_NO_LAYERS = {"audio_num_hidden_layers": None, "vision_num_hidden_layers": None}
MDI = {"system": "mdi", "batching": "whole_dialogues", "num_hidden_layers": 1, "num_attention_heads": 4, **_NO_LAYERS}
MULT = {"system": "mult", "intermediate_size": None, **_NO_LAYERS}


def trained_run(
    inputs: Path, folder: Path, media_root: Path | None = None, **extra: object
) -> Callable[[], TrainedRun]:
    """Train a model on the corpus of `inputs`; the function loads it."""
    options = training_options(inputs, folder / "model", per_device_eval_batch_size=4, **extra)
    run_training(*parse_arguments(options))

    def load() -> TrainedRun:
        arguments: Any = parse_arguments(options)
        arguments[2].output_dir = str(folder / "scratch")
        return TrainedRun(folder / "model", *arguments, media_root=media_root)

    return load


def heard_corpus(folder: Path) -> tuple[Path, Path]:
    """A folder with `corpus`, whose audio features `univa extract` made of sound files; and their folder."""
    media = write_media(folder / "media")
    splits = {name: media_rows([3, 2, 2], prefix=name) for name in ("train", "validation", "test")}
    write_media_corpus(folder / "silent", splits)
    command = ["extract", str(folder / "silent"), "--media-root", str(media), "--audio-extractor", "log-mel"]
    assert cli.main([*command, "--output", str(folder / "corpus")]) == 0
    return folder, media
