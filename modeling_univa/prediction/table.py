# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Predictions as a table, a row a clip: a csv, JSON lines or Parquet file, or a frame of pandas."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..models.faces_univa import FaceTrack
from ..models.files_univa import whole_file
from .clips import collect_clips, predict_clips
from .inputs import utterances_of_rows
from .predict import Prediction


if TYPE_CHECKING:
    import pandas as pd


__all__ = ["check_table_file", "face_facts", "predict", "prediction_records", "write_table"]

# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

# Options that are about files, and not about rows.
_OF_FILES = ("text", "audio", "faces", "columns", "encoding", "separator", "worksheet")

Records = list[dict[str, Any]]


def predict(
    model: str | PathLike[str],
    inputs: Any = (),
    *,
    media_root: str | PathLike[str] | None = None,
    **options: Any,
) -> "pd.DataFrame":
    """
    What a model says of clips, as `univa predict` does it.

    Args:
        model: folder or Hub id. It is loaded by each call: pass all clips at once.
        inputs: a clip (video or sound), a folder of clips, a sheet, or a list of them; or rows, each with any
            of `text`, `audio`, `video`, `faces` (image files), `start`, `end` (seconds), `speaker`, `dialogue_id` and
            `utterance_id`, as a list of dicts or a frame. Rows of a dialogue stand together and in order; one
            without a `dialogue_id` is a dialogue of its own.
        media_root: folder of the media of sheets and rows, out of which no path may lead; by default the sheet's own,
            and for rows the working directory, with any path.
        options: other options of `univa predict` under their names: `text`, `audio` and `faces` of one clip,
            `columns`, `encoding`, `separator` and `worksheet` of sheets,
            `utterance`, `text_scorer`, `audio_scorer`, `vision_scorer`, `transcribe`, `face_detector`, `batch_size`,
            `device`, `runtime`, `workers` (0 by default).

    Returns:
        A row a clip, in order, with the columns of [`prediction_records`].

    Raises:
        ValueError, OSError, ImportError: what cannot be loaded or does not fit. A clip that cannot be predicted does
            not raise; its reason is in the column `error`.
    """
    import pandas as pd

    alone = {name: options.pop(name) for name in _OF_FILES if name in options}
    root = None if media_root is None else Path(media_root)
    rows = _rows(inputs)
    if rows is None:
        paths: list[Any] = [inputs] if isinstance(inputs, str | PathLike) else list(inputs)
        clips = collect_clips(paths, media_root=root, **alone)
    elif alone:
        raise ValueError(f"Rows have their own `{next(iter(alone))}`: leave the argument out.")
    else:
        clips = utterances_of_rows(rows, root)
    loaded, predictions = predict_clips(str(model), clips, **options)
    found, names = list(predictions), loaded.config.label_names
    types = _types(names, _scored(found))
    frame = pd.DataFrame(prediction_records(found, names), columns=list(types))
    return frame.astype({name: float for name, kind in types.items() if kind == pa.float64()})


def _rows(inputs: Any) -> list[Mapping[str, Any]] | None:
    """Rows as dicts; `None` where the inputs are names of files."""
    if hasattr(inputs, "notna"):
        return inputs.astype(object).where(inputs.notna(), None).to_dict("records")
    if isinstance(inputs, Mapping):
        return [inputs]
    found = [] if isinstance(inputs, str | PathLike) else list(inputs)
    return found if found and all(isinstance(one, Mapping) for one in found) else None


def prediction_records(predictions: Iterable[Prediction], label_names: Sequence[str]) -> Records:
    """
    Predictions as flat rows.

    Args:
        predictions: of one model.
        label_names: its emotions, in order.

    Returns:
        Of each `utterance_id`, `dialogue_id`, `speaker`, `text`, `emotions` (those above the threshold, likeliest
        first), `score_LABEL` of every emotion, `MODALITY_valence` and `MODALITY_arousal` in [-1, 1] where a scorer was
        given, `face` (whose was followed in a video, and when), `notes` (what the clip lacks) and `error` (why it was
        not predicted). What is not known is `None`.
    """
    predictions = list(predictions)
    modalities = _scored(predictions)
    return [_storable(_record(one, label_names, modalities)) for one in predictions]


def face_facts(face: FaceTrack) -> dict[str, Any]:
    """
    Whose face was followed, for JSON.

    Returns:
        `whose` in words, `people` as the least and the largest number of people that were seen, `start` and `end` of
        the face in `seconds` of the clip.
    """
    times = {name: round(getattr(face, name), 3) for name in ("start", "end", "seconds")}
    return {"whose": face.whose, "people": list(face.people), **times}


def check_table_file(file: str | PathLike[str]) -> None:
    """
    Refuse to begin where no table could be written at the end.

    Raises:
        ValueError: the suffix is not that of a known form, or the file could not be written there.
    """
    file = Path(file)
    if file.suffix.lower() not in _WRITERS:
        raise ValueError(f"`output` {file}: the suffix must be one of {', '.join(_WRITERS)}.")
    if file.is_dir():
        raise ValueError(f"`output` {file} is a folder: name a file in it.")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"`output` {file}: nothing may be written to {file.parent}.")


def write_table(file: str | PathLike[str], predictions: Iterable[Prediction], label_names: Sequence[str]) -> None:
    """
    Write predictions to a file, whole or not at all, with the columns of [`prediction_records`].

    A `.csv` is for spreadsheets: UTF-8 with the mark by which they know it, lists joined by ";", and an apostrophe
    before a text that they would take for a formula (transcripts may be of strangers). `.jsonl` (an object a line) and
    `.parquet` hold texts as they are, and lists as lists.

    Args:
        file: its suffix says in which form.
        predictions: of one model.
        label_names: its emotions, in order.

    Raises:
        ValueError: see [`check_table_file`].
        OSError: the file cannot be written.
    """
    check_table_file(file)
    predictions = list(predictions)
    table = pa.Table.from_pylist(
        prediction_records(predictions, label_names), pa.schema(_types(label_names, _scored(predictions)))
    )
    with whole_file(Path(file)) as scratch:
        _WRITERS[Path(file).suffix.lower()](table, scratch)


def _scored(predictions: Iterable[Prediction]) -> list[str]:
    """Modalities that a scorer of valence and arousal was given for."""
    return list(dict.fromkeys(name for one in predictions for name in one.valence_arousal))


def _types(label_names: Sequence[str], modalities: Sequence[str]) -> dict[str, pa.DataType]:
    """The columns of a table, in order."""
    texts = dict.fromkeys(("utterance_id", "dialogue_id", "speaker", "text"), pa.string())
    numbers = [f"score_{name}" for name in label_names]
    numbers += [f"{name}_{axis}" for name in modalities for axis in ("valence", "arousal")]
    several = pa.list_(pa.string())
    columns = {**texts, "emotions": several, **dict.fromkeys(numbers, pa.float64())}
    return {**columns, "face": pa.string(), "notes": several, "error": pa.string()}


def _record(one: Prediction, label_names: Sequence[str], modalities: Sequence[str]) -> dict[str, Any]:
    said = one.utterance
    record: dict[str, Any] = {
        "utterance_id": said.utterance_id,
        "dialogue_id": said.dialogue_id,
        "speaker": said.speaker,
        "text": said.text,
        "emotions": list(one.emotions),
    }
    record |= {f"score_{name}": one.scores.get(name) for name in label_names}
    for name in modalities:
        record[f"{name}_valence"], record[f"{name}_arousal"] = one.valence_arousal.get(name) or (None, None)
    return {**record, "face": one.face and one.face.whose, "notes": list(one.notes), "error": one.error}


def _storable(value: Any) -> Any:
    """The same without half characters (surrogates), as names of files may have them, which no file of UTF-8 holds."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {name: _storable(one) for name, one in value.items()}
    return value


def _write_csv(table: pa.Table, file: Path) -> None:
    with open(file, "w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table.column_names)
        writer.writerows([_cell(value) for value in row.values()] for row in table.to_pylist())


def _cell(value: Any) -> Any:
    text = ";".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _write_json_lines(table: pa.Table, file: Path) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())


_WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": pq.write_table,
}
