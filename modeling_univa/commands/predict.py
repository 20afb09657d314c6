# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The job of `univa predict`: clips in, a table or lines of JSON out, and pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any

from ..features.arguments import face_reader_from_argument
from ..models.affect_scorers_univa import load_scorer
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


__all__ = ["add_options", "collect_clips", "predict_clips", "run"]


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
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of a clip; of several, FILE-CLIP each")
    parser.add_argument("--strict", action="store_true", help="stop at the first clip that cannot be predicted")


def collect_clips(
    inputs: Sequence[str | Path] = (),
    *,
    text: str | None = None,
    audio: str | Path | None = None,
    faces: Sequence[str | Path] = (),
    media_root: str | Path | None = None,
) -> list[Utterance]:
    """
    The utterances of clips, of folders of clips or of csv files; or the one that `text`, `audio` and `faces` are.

    Args:
        inputs: clips (video or sound), folders of clips, or metadata csv files.
        text: transcript of the one clip; by default `CLIP.txt` beside it, if there is one.
        audio, faces: instead of `inputs`, a sound file and image files of the face.
        media_root: folder of the media of csv files; by default the csv's own.

    Raises:
        ValueError: nothing to predict, or arguments that exclude each other.
    """
    alone = audio is not None or bool(faces)
    if not inputs:
        if text is None and not alone:
            raise ValueError("Pass clips, a folder of clips, a metadata csv, or `text`, `audio` or `faces`.")
        return [Utterance("clip", "clip", text, Path(audio) if audio else None, tuple(map(Path, faces)))]
    if alone:
        raise ValueError("`audio` and `faces` describe one clip by themselves: leave INPUT out, or them.")
    root = None if media_root is None else Path(media_root)
    utterances = collect_utterances([str(path) for path in inputs], root, texts_beside=text is None)
    if text is None:
        return utterances
    if len(utterances) != 1:
        raise ValueError(f"`text` is the transcript of one clip, and there are {len(utterances)}: use files CLIP.txt.")
    return [replace(utterances[0], text=text)]


def predict_clips(
    model: str,
    clips: Sequence[Utterance],
    *,
    utterance: Sequence[str] | None = None,
    text_scorer: str | None = None,
    audio_scorer: str | None = None,
    vision_scorer: str | None = None,
    transcribe: str | None = None,
    face_detector: str | None = None,
    batch_size: int = 16,
    device: str | None = None,
    runtime: str = "torch",
) -> tuple[EmotionModel | UnivaOnnxModel, Iterator[Prediction]]:
    """
    Load a model and predict clips with it.

    Args:
        model: its folder or Hub id.
        clips: as `collect_clips` makes them.
        utterance: ids of those to predict, the others being their context; by default all.
        text_scorer, audio_scorer, vision_scorer: scorers of valence and arousal (`ID@REVISION` for a revision).
        transcribe: speech recognition model for clips without text.
        face_detector: what finds faces in videos, if the model names nothing.
        batch_size: utterances of a batch.
        device: where to run; by default a GPU where there is one.
        runtime: "torch", or "onnx" for what `univa export` wrote.

    Returns:
        The model, whose configuration has labels and threshold, and the predictions one by one.

    Raises:
        ValueError, OSError, ImportError: what cannot be loaded or does not fit.
    """
    import torch

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = _load(model, runtime, place)
    processor = UnivaProcessor.from_pretrained(model)
    given = {"text": text_scorer, "audio": audio_scorer, "vision": vision_scorer}
    predictions = predict(
        loaded,
        processor,
        clips,
        utterance,
        batch_size,
        transcriber=Transcriber(*with_revision(transcribe), device=place) if transcribe else None,
        scorers={
            modality: load_scorer(modality, *with_revision(name), device=place)
            for modality, name in given.items()
            if name
        },
        face_reader=face_reader_from_argument(face_detector) if face_detector else None,
    )
    return loaded, predictions


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
    model, predictions = predict_clips(clips=clips, **_chosen(options, predict_clips))
    done = []
    for prediction in predictions:
        _report(prediction, options)
        if plots and prediction.error is None:
            plot_prediction(prediction, model.config, plots[prediction.utterance.utterance_id])
        done.append(prediction)
    if not options.json:
        print(prediction_table(done, model.config.decision_threshold))
    return int(any(prediction.error is not None for prediction in done))


def _chosen(options: argparse.Namespace, call: Callable[..., Any]) -> dict[str, Any]:
    """The options that a call takes."""
    return {name: getattr(options, name) for name in signature(call).parameters if hasattr(options, name)}


def _load(name: str, runtime: str, device: Any) -> EmotionModel | UnivaOnnxModel:
    if runtime == "onnx":
        return UnivaOnnxModel.from_pretrained(name)
    if Path(name, ONNX_FILE).is_file() and not any(Path(name).glob("*.safetensors")):
        raise ValueError(f"{name} is a model that was exported to ONNX: pass `runtime` onnx")
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
