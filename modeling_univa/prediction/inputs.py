# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a user names on the command line of `univa predict`, as utterances."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..corpora.sheet_rows import SheetRow, name_and_order, read_rows
from ..data.media_files import IMAGE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, MediaFolder
from ..data.metadata import EMOTION_COLUMNS, UTTERANCE_COLUMNS, VA_CELLS, metadata_columns, metadata_rows
from ..data.schema import FEATURE_COLUMNS, TIME_COLUMNS, CorpusError, RowError, RowOrder, check_text, check_times
from ..data.sheet_columns import CUE, FILE, SPLIT, ColumnMapping, map_columns
from ..data.sheets import SHEET_SUFFIXES, read_sheet
from ..data.tables import csv_header, files_of, read_text
from ..models.configuration_emotion import MODALITIES
from ..models.trusted_paths_univa import OutsideError, inside


__all__ = [
    "SheetForm",
    "Utterance",
    "collect_utterances",
    "is_sheet",
    "read_sheet_utterances",
    "read_utterances",
    "utterances_of_rows",
]

# Not .txt, which is the transcript of a clip.
_SHEETS = frozenset(SHEET_SUFFIXES) - {".txt"}
# What people have beside these, and a decoder of sound and video would only call unreadable.
_OTHER_SHEETS = frozenset({".xls", ".ods"})
# Columns of a corpus that nothing is predicted from.
_OF_TRAINING = frozenset({"emotions", *VA_CELLS, *EMOTION_COLUMNS, SPLIT, CUE})


logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class SheetForm:
    """
    How a sheet is read, where it is not as its bytes and its column names say.

    Args:
        columns: which column is what, `text=Transcript,video=File`; by default usual names are recognised.
        encoding, separator: of a text file.
        worksheet: of a workbook, by default the first that is not empty.
    """

    columns: str | None = None
    encoding: str | None = None
    separator: str | None = None
    worksheet: str | None = None


@dataclass(frozen=True)
class Utterance:
    """
    One utterance to predict.

    Args:
        utterance_id, dialogue_id: its name, and that of the dialogue that gives it context.
        text: the transcript; `None` where there is none.
        audio: sound file, `None` without sound or where it is that of `video`.
        faces: image files of its faces, in order; none where they are those of `video`.
        video: video file.
        start, end: where the utterance begins and ends in `audio` and `video`, in seconds; by default with the file.
        problem: why it cannot be predicted, where that is known before its media are read.
        speaker: who speaks, `None` where it is not known.
        features: by modality, the file of its precomputed features, which go before its media; `None` where it has no
            such modality.
    """

    utterance_id: str
    dialogue_id: str
    text: str | None = None
    audio: Path | None = None
    faces: tuple[Path, ...] = ()
    video: Path | None = None
    start: float | None = None
    end: float | None = None
    problem: str | None = None
    speaker: str | None = None
    features: Mapping[str, Path | None] = field(default_factory=dict, hash=False)


def collect_utterances(
    inputs: Iterable[str | Path],
    media_root: Path | None = None,
    texts_beside: bool = True,
    form: SheetForm | None = None,
    tell: Callable[[str], None] = logger.info,
) -> list[Utterance]:
    """
    Utterances of clips, folders of clips, and sheets (csv, tsv or xlsx).

    A clip is a dialogue of its own; its transcript is read from the text file of its name beside it, where there
    is one (clip.mp4, clip.txt). Folders are searched with their sub-folders, for files with the suffix of a sound or
    video file; clips that are named themselves may have any name. What is wrong with a single clip is its `problem`.

    Args:
        inputs: paths of them.
        media_root: as of `read_utterances`.
        texts_beside: whether text files beside clips are read.
        form: of sheets. Without it a csv with the columns utterance_id, dialogue_id and text is one of a corpus.
        tell: takes sentences on how a sheet is read.

    Raises:
        CorpusError: a sheet that cannot be read, an image, a folder without clips, or a clip that is named twice.
    """
    utterances: list[Utterance] = []
    order, texts = RowOrder("files"), lru_cache(maxsize=16)(_texts_in if texts_beside else lambda _: {})
    for given in map(Path, inputs):
        suffix = given.suffix.lower()
        if suffix == ".csv" and form in (None, SheetForm()) and _is_of_a_corpus(given):
            utterances += read_utterances(given, media_root, order)
        elif is_sheet(given):
            utterances += read_sheet_utterances(given, media_root, order, form, tell)
        elif suffix in _OTHER_SHEETS:
            raise CorpusError(f"{given} is a sheet of another form; save it as one of {', '.join(sorted(_SHEETS))}")
        elif given.is_dir():
            utterances += [_clip(path, texts) for path in _clips_in(given)]
        else:
            utterances.append(_clip(given, texts))
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.utterance_id in seen:
            raise CorpusError(f"the utterance {utterance.utterance_id!r} is named twice; name it once")
        seen.add(utterance.utterance_id)
    return utterances


def read_utterances(metadata: Path, media_root: Path | None = None, order: RowOrder | None = None) -> list[Utterance]:
    """
    Utterances of a metadata csv, as `UtteranceFolder` reads it; emotions, positions and VA need not be there.

    Media paths are relative to the csv's folder, or to the folder above where the csv lies in one called `metadata`.
    So are the files that columns of features name. A time that cannot be read, a text beyond all bounds, or a path
    that leads out of the folder of the media is the `problem` of its utterance, which then has no media.

    Args:
        metadata: the csv file.
        media_root: folder that media paths are relative to instead.
        order: what checks the ids and the order of the rows, over several files.

    Raises:
        CorpusError: the file cannot be read, a column is missing or unknown, rows are not in order, or an id was there
            before.
    """
    own = metadata.parent.parent if metadata.parent.name == "metadata" else metadata.parent
    root = own if media_root is None else media_root
    order = RowOrder("files") if order is None else order
    metadata_columns(metadata, UTTERANCE_COLUMNS, FEATURE_COLUMNS)
    utterances = []
    for where, _, row in metadata_rows(metadata, UTTERANCE_COLUMNS):
        order.check(row, str(metadata), where)
        utterances.append(_utterance(row, root, where))
    return utterances


def read_sheet_utterances(
    sheet: Path,
    media_root: Path | None = None,
    order: RowOrder | None = None,
    form: SheetForm | None = None,
    tell: Callable[[str], None] = logger.info,
) -> list[Utterance]:
    """
    Utterances of anyone's sheet, read as `univa build sheet` reads it; emotions need not be there.

    Media are looked for in the folder of the sheet. What is wrong with a single row is the `problem` of its utterance.

    Args:
        sheet: a csv, tsv or xlsx file, with a header and a row an utterance.
        media_root: folder with the media instead.
        order: as of `read_utterances`.
        form: how it is read.
        tell: takes sentences on how it is read.

    Raises:
        CorpusError: it cannot be read, has no column of text, media or features, or an id was there before.
        ImportError: a workbook needs openpyxl, which is not installed.
    """
    form = form or SheetForm()
    found = read_sheet(sheet, form.encoding, form.separator, form.worksheet)
    mapping = _columns_of(found.header, form.columns)
    needed = ("text", FILE, "audio", "video", "faces", *FEATURE_COLUMNS)
    if not any(name in mapping.columns for name in needed):
        raise CorpusError(
            f"{sheet}: no column of text or media was recognised among {', '.join(found.header)}; pass `columns` "
            "text=NAME, or another of " + ", ".join(needed[1:])
        )
    for line in (*found.notes, *mapping.notes()):
        tell(line)
    if "dialogue_id" not in mapping.columns:
        tell("A dialogue is what one recording has, or a row by itself; `columns` dialogue_id=NAME says otherwise.")
    root = sheet.parent if media_root is None else media_root
    rows = name_and_order(read_rows(found.records, mapping, None, MediaFolder(root)), sheet.stem)
    order = RowOrder("files") if order is None else order
    for one in rows:
        names = {name: one.row[name] for name in ("utterance_id", "dialogue_id")}
        order.check(names, str(sheet), one.where)
    return [_utterance_of_sheet(one, root) for one in rows]


def is_sheet(path: str | Path) -> bool:
    """Whether a file is read as a sheet, by its name."""
    return Path(path).suffix.lower() in _SHEETS


def _columns_of(header: Sequence[str], given: str | None) -> ColumnMapping:
    """What is predicted from, and which columns."""
    mapped = map_columns(header, given, None).columns
    columns = {name: column for name, column in mapped.items() if name not in _OF_TRAINING}
    return ColumnMapping(columns, [], [name for name in header if name not in columns.values()])


def _is_of_a_corpus(file: Path) -> bool:
    """Whether a csv has the columns that a corpus needs, and so the other columns of one, in its order."""
    try:
        csv_header(file, UTTERANCE_COLUMNS)
    except CorpusError:
        return False
    return True


def _utterance_of_sheet(found: SheetRow, root: Path) -> Utterance:
    made = _utterance({**found.row, "text": found.row["text"] or ""}, root, found.where)
    return made if found.problem is None else replace(made, problem=f"{found.where}: {found.problem}")


def utterances_of_rows(rows: Iterable[Mapping[str, Any]], media_root: Path | None = None) -> list[Utterance]:
    """
    Utterances of rows, such as those of a frame: what `read_utterances` makes of a csv file.

    Args:
        rows: each with any of `text`, the media `audio`, `video` and `faces` (several files), `start` and `end` in
            seconds, `speaker`, `dialogue_id` and `utterance_id`, which by default is the number of the row. A row
            without a dialogue is one of its own. `None` and NaN are as if nothing was there; emotions and
            positions of a corpus are left aside.
        media_root: folder that media paths are relative to, and do not lead out of; by default the working directory,
            and any path.

    Raises:
        CorpusError: an unknown column, an id that is not text or was there before, or rows that are not in order.
    """
    order, utterances = RowOrder("files"), []
    for number, given in enumerate(rows):
        row = {name: _cell(name, value) for name, value in given.items() if not _is_missing(value)}
        where = f"row {number}"
        _check_row(row, where)
        row = {"utterance_id": str(number), "text": "", "speaker": None, **row}
        row.setdefault("dialogue_id", row["utterance_id"])
        order.check({name: row[name] for name in ("utterance_id", "dialogue_id")}, "rows", where)
        utterances.append(_utterance(row, media_root, where))
    return utterances


_NAMES = ("utterance_id", "dialogue_id", "speaker")
_KINDS = {"audio": "a path", "video": "a path", "faces": "a list of paths"}


def _is_missing(value: Any) -> bool:
    """Whether a cell of a frame is empty."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _cell(name: str, value: Any) -> Any:
    """Names may be numbers, as in a sheet; beside empty cells, pandas has whole numbers as floats."""
    if name not in _NAMES or not isinstance(value, int | float):
        return value
    return str(int(value)) if value == int(value) else str(value)


def _check_row(row: Mapping[str, Any], where: str) -> None:
    """Refuse, with a `CorpusError`, what is not a column or not of its type; times are checked with the clip."""
    kinds: dict[str, Any] = dict.fromkeys((*_NAMES, "text"), str)
    kinds |= {"audio": str | PathLike, "video": str | PathLike, "faces": list | tuple}
    for name, value in row.items():
        if name not in (*kinds, *TIME_COLUMNS, "emotions", "position"):
            raise CorpusError(f"{where} has no use for {name!r}: its columns are {', '.join((*kinds, *TIME_COLUMNS))}")
        files = value if name == "faces" and isinstance(value, list | tuple) else ()
        wrong = name in kinds and not isinstance(value, kinds[name])
        if wrong or not all(isinstance(file, str | PathLike) for file in files):
            found = f"found {type(value).__name__}"
            raise CorpusError(f"{where}: {name} must be {_KINDS.get(name, 'text')}, {found}")


def _utterance(row: Mapping[str, Any], root: Path | None, where: str) -> Utterance:
    times: dict[str, Any] = {name: row.get(name) for name in TIME_COLUMNS}
    text, problem = row["text"], None
    try:
        media = _media(row, root, where)
    except RowError as error:
        media, problem = {}, str(error)
    try:
        check_text(text, where)
    except RowError as error:
        text, problem = "", str(error)
    try:
        check_times(row, where)
    except RowError as error:
        times, problem = {}, str(error)
    spoken = text if text.strip() else None
    names = {name: row[name] for name in ("utterance_id", "dialogue_id", "speaker")}
    return Utterance(**names, text=spoken, **media, **times, problem=problem)


def _media(row: Mapping[str, Any], root: Path | None, where: str) -> dict[str, Any]:
    """The files of a row in the folder of the media, if one is named. Raises `RowError` where one leads out of it."""
    place: Any = Path if root is None else partial(inside, root)
    try:
        media: dict[str, Any] = {name: place(row[name]) for name in ("audio", "video") if row.get(name)}
        media["faces"] = tuple(place(path) for path in row.get("faces") or ())
        features = {name: row[f"{name}_features"] for name in MODALITIES if f"{name}_features" in row}
        media["features"] = {name: path and place(path) for name, path in features.items()}
    except OutsideError as error:
        raise RowError(f"{where}: {error} Or name the folder with `media_root`.") from None
    return media


def _clips_in(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if _is_clip(path, path.relative_to(folder))]
    if not found:
        raise CorpusError(f"{folder} has no clip (such as .mp4, .mov, .mkv, .webm, .wav); name a folder of clips")
    return found


def _is_clip(path: Path, place: Path) -> bool:
    # Hidden files are what macOS leaves beside the real ones, as is __MACOSX.
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in place.parts)
    return path.suffix.lower() in SOUND_SUFFIXES + VIDEO_SUFFIXES and not is_hidden


def _clip(path: Path, texts: Callable[[Path], dict[str, Path]]) -> Utterance:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise CorpusError(f"{path} is an image; pass the images of a face as `faces`")
    beside = texts(path.parent).get(path.stem)
    text, problem = "", None
    if beside is not None and beside != path:
        try:
            _check_beside(beside)
            text = read_text(beside).strip()
            check_text(text, str(beside))
        except CorpusError as error:
            text, problem = "", str(error)
    is_sound = path.suffix.lower() in SOUND_SUFFIXES
    return Utterance(
        str(path), str(path), text or None, path if is_sound else None, video=None if is_sound else path,
        problem=problem,
    )  # fmt: skip


def _texts_in(folder: Path) -> dict[str, Path]:
    """Text files of a folder by their names without suffix; of `a.txt` and `a.TXT` the first."""
    found = files_of(folder, ".txt") if folder.is_dir() else []
    return {path.stem: path for path in found}


def _check_beside(file: Path) -> None:
    """Refuse a text that is a link to one elsewhere, of which the user may not know."""
    try:
        inside(file.parent, file.name)
    except OutsideError:
        raise CorpusError(f"{file} is a link to another folder: copy the text there, or remove the link") from None
