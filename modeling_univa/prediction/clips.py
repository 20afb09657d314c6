# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From the names of a model and of clips to predictions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from ..features.arguments import face_reader_from_argument, with_revision
from ..features.transcription import Transcriber
from ..models.affect_scorers_univa import load_scorer
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..sharing.adapters import load_model
from ..sharing.folder import ONNX_FILE
from .inputs import SheetForm, Utterance, collect_utterances, is_sheet
from .onnx_model import UnivaOnnxModel
from .predict import Prediction, predict


__all__ = ["collect_clips", "predict_clips"]

logger = logging.get_logger(__name__)


def collect_clips(
    inputs: Sequence[str | Path] = (),
    *,
    text: str | None = None,
    audio: str | Path | None = None,
    faces: Sequence[str | Path] = (),
    media_root: str | Path | None = None,
    columns: str | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    worksheet: str | None = None,
    tell: Callable[[str], None] = logger.info,
) -> list[Utterance]:
    """
    The utterances of clips, of folders of clips or of sheets; or the one that `text`, `audio` and `faces` are.

    Args:
        inputs: clips (video or sound), folders of clips, or sheets (csv, tsv or xlsx).
        text: transcript of the one clip; by default `CLIP.txt` beside it, if there is one.
        audio, faces: instead of `inputs`, a sound file and image files of the face.
        media_root: folder of the media of sheets; by default the sheet's own.
        columns, encoding, separator, worksheet: of sheets, as of [`SheetForm`].
        tell: takes sentences on how a sheet is read.

    Raises:
        ValueError: nothing to predict, or arguments that exclude each other.
    """
    alone, form = audio is not None or bool(faces), SheetForm(columns, encoding, separator, worksheet)
    if form != SheetForm() and not any(is_sheet(path) for path in inputs):
        raise ValueError(
            "`columns`, `encoding`, `separator` and `worksheet` are for sheets: pass one, or leave them out."
        )
    if not inputs:
        if text is None and not alone:
            raise ValueError("Pass clips, a folder of clips, a sheet, or `text`, `audio` or `faces`.")
        return [Utterance("clip", "clip", text, Path(audio) if audio else None, tuple(map(Path, faces)))]
    if alone:
        raise ValueError("`audio` and `faces` describe one clip by themselves: leave INPUT out, or them.")
    root = None if media_root is None else Path(media_root)
    utterances = collect_utterances([str(path) for path in inputs], root, text is None, form, tell)
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
    workers: int = 0,
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
        workers: processes that read several clips; by default they are read here, since a script that starts processes
            needs `if __name__ == "__main__":`.

    Returns:
        The model, whose configuration has labels and threshold, and the predictions one by one.

    Raises:
        ValueError, OSError, ImportError: what cannot be loaded or does not fit.
    """
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
        workers=workers,
    )
    return loaded, predictions


def _load(name: str, runtime: str, device: Any) -> EmotionModel | UnivaOnnxModel:
    if runtime == "onnx":
        return UnivaOnnxModel.from_pretrained(name)
    if Path(name, ONNX_FILE).is_file() and not any(Path(name).glob("*.safetensors")):
        raise ValueError(f"{name} is a model that was exported to ONNX: pass `runtime` onnx")
    return load_model(name).to(device)
