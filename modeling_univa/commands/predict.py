# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The job of `univa predict`: clips in, a table or lines of JSON out, and pictures."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..features.arguments import face_reader_from_argument
from ..models.affect_scorers_univa import load_scorer
from ..models.configuration_emotion import MODALITIES
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..options import OptionParser
from ..prediction.inputs import Utterance, collect_utterances
from ..prediction.onnx_model import UnivaOnnxModel
from ..prediction.plot import check_plotting, plot_files, plot_prediction
from ..prediction.predict import Prediction, predict, prediction_table
from ..prediction.transcription import Transcriber
from ..sharing.adapters import load_model
from ..sharing.folder import ONNX_FILE
from .jobs import with_revision


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="clips (video or sound), folders of clips, or metadata csv files"
    )
    parser.add_argument("--media-root", type=Path, help="folder of the media of csv files (default: the csv's own)")
    parser.add_argument("--utterance", action="append", metavar="ID", help="only this one; may be repeated")
    parser.add_argument("--text", help="what is said in the one clip (default: CLIP.txt beside it, if there is one)")
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
    utterances = _utterances(options)
    plots: dict[str, Path] = {}
    if options.plot is not None:
        check_plotting(options.plot)
        plots = plot_files(options.plot, options.utterance or [one.utterance_id for one in utterances])
    model, predictions = _start(options, utterances)
    done = []
    for prediction in predictions:
        _report(prediction, options)
        if plots and prediction.error is None:
            plot_prediction(prediction, model.config, plots[prediction.utterance.utterance_id])
        done.append(prediction)
    if not options.json:
        print(prediction_table(done, model.config.decision_threshold))
    return int(any(prediction.error is not None for prediction in done))


def _utterances(options: argparse.Namespace) -> list[Utterance]:
    alone = options.audio is not None or bool(options.faces)
    if not options.inputs:
        if options.text is None and not alone:
            raise ValueError("give clips, a folder of clips, a metadata csv, or --text, --audio or --faces")
        return [Utterance("clip", "clip", options.text, options.audio, tuple(options.faces))]
    if alone:
        raise ValueError("--audio and --faces describe one clip by themselves: leave INPUT out, or them")
    utterances = collect_utterances(options.inputs, options.media_root, texts_beside=options.text is None)
    if options.text is None:
        return utterances
    if len(utterances) != 1:
        raise ValueError(f"--text is what is said in one clip, and there are {len(utterances)}: use files CLIP.txt")
    return [replace(utterances[0], text=options.text)]


def _start(
    options: argparse.Namespace, utterances: list[Utterance]
) -> tuple[EmotionModel | UnivaOnnxModel, Iterator[Prediction]]:
    import torch

    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = _load(options.model, options.runtime, device)
    processor = UnivaProcessor.from_pretrained(options.model)
    transcriber, scorers = None, {}
    if options.transcribe:
        transcriber = Transcriber(*with_revision(options.transcribe), device=device)
    for modality in MODALITIES:
        name = getattr(options, f"{modality}_scorer")
        if name:
            scorers[modality] = load_scorer(modality, *with_revision(name), device=device)
    face_reader = None
    if options.face_detector:
        face_reader = face_reader_from_argument(options.face_detector)
    predictions = predict(
        model,
        processor,
        utterances,
        options.utterance,
        options.batch_size,
        transcriber=transcriber,
        scorers=scorers,
        face_reader=face_reader,
    )
    return model, predictions


def _load(name: str, runtime: str, device: Any) -> EmotionModel | UnivaOnnxModel:
    if runtime == "onnx":
        return UnivaOnnxModel.from_pretrained(name)
    if Path(name, ONNX_FILE).is_file() and not any(Path(name).glob("*.safetensors")):
        raise ValueError(f"{name} is a model that was exported to ONNX: give --runtime onnx")
    return load_model(name).to(device)


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
    content = asdict(prediction)
    # It is in `error`.
    del content["utterance"]["problem"]
    line = json.dumps(content, default=str, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, default=str)
    return line
