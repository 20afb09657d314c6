# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa predict`: clips in, a table or lines of JSON out, files and pictures."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

from ..options import OptionParser
from ..prediction.clips import collect_clips, predict_clips
from ..prediction.plot import check_plotting, plot_files, plot_prediction
from ..prediction.predict import Prediction, prediction_table
from ..prediction.table import check_table_file, face_facts, write_table


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="clips (video or sound), folders of clips, or metadata csv files"
    )
    parser.add_argument("--media-root", type=Path, help="folder of the media of csv files (default: the csv's own)")
    parser.add_argument("--utterance", action="append", metavar="ID", help="only this one; may be repeated")
    parser.add_argument("--text", help="transcript of the one clip (default: CLIP.txt beside it, if there is one)")
    parser.add_argument("--transcribe", metavar="MODEL", help="speech recognition model for clips without text")
    parser.add_argument("--audio", type=Path, help="instead of INPUT: sound file")
    parser.add_argument("--faces", type=Path, nargs="+", default=[], help="instead of INPUT: image files of the face")
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos, if the model names none: haar, …")
    parser.rename_option("--face-reader", "--face-detector")
    for modality in ("text", "audio", "vision"):
        parser.add_argument(f"--{modality}-scorer", metavar="MODEL", help=f"scorer of the {modality}'s VA")
        parser.rename_option(f"--affect-{modality}", f"--{modality}-scorer")
    parser.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    parser.add_argument("--device", help="where to run (default: a GPU where there is one)")
    parser.add_argument(
        "--runtime", choices=("torch", "onnx"), default="torch", help="onnx: what `univa export` wrote, on the CPU"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument(
        "--output", metavar="FILE", help="also write a table: .csv (for spreadsheets), .jsonl or .parquet"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of a clip; of several, FILE-CLIP each")
    parser.add_argument("--strict", action="store_true", help="stop at the first clip that cannot be predicted")


def run(options: argparse.Namespace) -> int:
    """
    Run `univa predict`.

    Returns:
        0; 1 where some clips could not be predicted, each with its reason in the output and on standard error.

    Raises:
        ValueError, OSError, ImportError: a mistake of the user; with `--strict` also a clip that cannot be predicted.
    """
    clips = collect_clips(**_chosen(options, collect_clips))
    plots: dict[str, Path] = {}
    if options.plot is not None:
        check_plotting(options.plot)
        plots = plot_files(options.plot, options.utterance or [one.utterance_id for one in clips])
    if options.output is not None:
        check_table_file(options.output)
    model, predictions = predict_clips(clips=clips, **_chosen(options, predict_clips))
    done = []
    for prediction in predictions:
        _report(prediction, options)
        if plots and prediction.error is None:
            plot_prediction(prediction, model.config, plots[prediction.utterance.utterance_id])
        done.append(prediction)
    if not options.json:
        print(prediction_table(done, model.config.decision_threshold))
    if options.output is not None:
        write_table(options.output, done, model.config.label_names)
        print(f"wrote {options.output}", file=sys.stderr)
    return int(any(prediction.error is not None for prediction in done))


def _chosen(options: argparse.Namespace, call: Callable[..., Any]) -> dict[str, Any]:
    """The options that a call takes."""
    return {name: getattr(options, name) for name in signature(call).parameters if hasattr(options, name)}


def _report(prediction: Prediction, options: argparse.Namespace) -> None:
    """Lines on standard error and the line of JSON of one clip, as soon as it is predicted."""
    name = prediction.utterance.utterance_id
    for note in prediction.notes:
        print(f"note: {name}: {note}", file=sys.stderr)
    if prediction.error is not None:
        if options.strict:
            raise ValueError(f"{name}: {prediction.error}")
        print(f"not predicted: {name}: {prediction.error}", file=sys.stderr)
    if options.json:
        print(_json_line(prediction), flush=True)


def _json_line(prediction: Prediction) -> str:
    content = asdict(replace(prediction, face=None))
    # It is in `error`.
    del content["utterance"]["problem"]
    content["face"] = prediction.face and face_facts(prediction.face)
    line = json.dumps(content, default=str, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, default=str)
    return line
