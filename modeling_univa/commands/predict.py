# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa predict`: clips in, a table or lines of JSON out, files and pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

from ..cores import default_workers
from ..models.configuration_emotion import EmotionConfig
from ..models.media_univa import MediaError
from ..prediction.clips import collect_clips, predict_clips
from ..prediction.draw import draw_prediction, drawing_files
from ..prediction.inputs import Utterance
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
    clips = collect_clips(**_chosen(options, collect_clips), tell=_note)
    plots, drawings = _pictures(options, clips)
    if options.output is not None:
        check_table_file(options.output)
    workers = default_workers() if options.workers is None else options.workers
    model, predictions = predict_clips(clips=clips, **{**_chosen(options, predict_clips), "workers": workers})
    done, failed = [], 0
    for prediction in predictions:
        _report(prediction, options)
        if prediction.error is None and plots:
            plot_prediction(prediction, model.config, plots[prediction.utterance.utterance_id])
        if prediction.error is None and options.draw is not None:
            failed += not _draw(prediction, model.config, drawings, options.strict)
        done.append(prediction)
    if not options.json:
        print(prediction_screen(done, model.config, sys.stdout))
    for place in plots.values():
        if place.exists():
            print(f"wrote {place}", file=sys.stderr)
    if options.output is not None:
        write_table(options.output, done, model.config.label_names)
        print(f"wrote {options.output}", file=sys.stderr)
    return int(failed > 0 or any(prediction.error is not None for prediction in done))


def _note(line: str) -> None:
    """Tell how a sheet is read; what can be chosen is called as the option."""
    print(line.replace("`columns`", "--columns").replace("`worksheet`", "--worksheet"), file=sys.stderr)


def _pictures(options: argparse.Namespace, clips: Sequence[Utterance]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Where plots and drawings of clips go, by their ids; refused before anything is loaded."""
    ids = options.utterance or [one.utterance_id for one in clips]
    plots: dict[str, Path] = {}
    drawings: dict[str, Path] = {}
    if options.plot is not None:
        check_plotting(options.plot)
        plots = plot_files(options.plot, ids)
    if options.draw is not None:
        wanted = set(ids)
        drawings = drawing_files(options.draw, [one for one in clips if one.utterance_id in wanted])
    return plots, drawings


def _draw(prediction: Prediction, config: EmotionConfig, files: Mapping[str, Path], strict: bool) -> bool:
    """Draw over a clip, or say why not; whether nothing went wrong, such as a video that cannot be read again."""
    name = prediction.utterance.utterance_id
    if name not in files:
        print(f"note: {name}: there is no video to draw on", file=sys.stderr)
        return True
    try:
        draw_prediction(prediction, config, files[name])
    except MediaError as error:
        if strict:
            raise
        print(f"not drawn: {error}", file=sys.stderr)
        return False
    print(f"wrote {files[name]}", file=sys.stderr)
    return True


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
