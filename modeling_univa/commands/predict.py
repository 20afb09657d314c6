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

from ..prediction.clips import collect_clips, predict_clips
from ..prediction.plot import check_plotting, plot_files, plot_prediction
from ..prediction.predict import Prediction, prediction_screen
from ..prediction.table import check_table_file, face_facts, write_table


__all__ = ["run"]


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
        print(prediction_screen(done, model.config, sys.stdout))
    for place in plots.values():
        if place.exists():
            print(f"wrote {place}", file=sys.stderr)
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
