# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user names on the command line of `univa predict`, as utterances."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from .data.schema import CorpusError
from .data.tables import csv_rows, read_text
from .prediction_media import Utterance
from .trusted_paths_univa import OutsideError, inside


__all__ = ["SOUND_SUFFIXES", "VIDEO_SUFFIXES", "collect_utterances", "read_utterances"]

SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".amr")
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp", ".ts", ".mts",
)  # fmt: skip
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def collect_utterances(inputs: Iterable[str | Path], media_root: Path | None = None) -> list[Utterance]:
    """
    Utterances of clips, folders of clips, and metadata csv files.

    A clip is a dialogue of its own; what is said in it is read from the text file of its name beside it, where there
    is one (clip.mp4, clip.txt). Folders are searched with their sub-folders, for files with the suffix of a sound or
    video file; clips that are named themselves may have any name.

    Args:
        inputs: paths of them.
        media_root: as of `read_utterances`.

    Raises:
        CorpusError: a csv file that cannot be read, an image, a folder without clips, or a clip that is named twice.
    """
    utterances: list[Utterance] = []
    for given in map(Path, inputs):
        if given.suffix.lower() == ".csv":
            utterances += read_utterances(given, media_root)
        elif given.is_dir():
            utterances += [_clip(path) for path in _clips_in(given)]
        else:
            utterances.append(_clip(given))
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.utterance_id in seen:
            raise CorpusError(f"the utterance {utterance.utterance_id!r} is named twice; name it once")
        seen.add(utterance.utterance_id)
    return utterances


def read_utterances(metadata: Path, media_root: Path | None = None) -> list[Utterance]:
    """
    Utterances of a metadata csv (columns utterance_id, dialogue_id, text and, where the clips have them, audio, faces,
    video, start and end).

    Media paths are relative to the csv's folder, or to the folder above where the csv lies in one called `metadata`.

    Args:
        metadata: the csv file.
        media_root: folder that media paths are relative to instead; none may lead out of it.

    Raises:
        CorpusError: the file cannot be read, a column is missing, a time is no number of seconds, or a path leads out
            of the folder of the media.
    """
    own = metadata.parent.parent if metadata.parent.name == "metadata" else metadata.parent
    root = own if media_root is None else media_root
    utterances = []
    for where, cells in csv_rows(metadata, ("utterance_id", "dialogue_id", "text")):
        utterance = Utterance(
            cells["utterance_id"],
            cells["dialogue_id"],
            cells["text"] if cells["text"].strip() else None,
            audio=_media(root, cells["audio"], where) if cells.get("audio") else None,
            faces=tuple(
                _media(root, path.strip(), where) for path in cells.get("faces", "").split(";") if path.strip()
            ),
            video=_media(root, cells["video"], where) if cells.get("video") else None,
            start=_seconds(cells, "start", where),
            end=_seconds(cells, "end", where),
        )
        utterances.append(utterance)
    return utterances


def _media(root: Path, path: str, where: str) -> Path:
    try:
        return inside(root, path)
    except OutsideError as error:
        raise CorpusError(f"{where}: {error} Or name the folder with --media-root.") from None


def _clips_in(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SOUND_SUFFIXES + VIDEO_SUFFIXES]
    if not found:
        raise CorpusError(f"{folder} has no clip (such as .mp4, .mov, .mkv, .webm, .wav); name a folder of clips")
    return found


def _clip(path: Path) -> Utterance:
    if path.suffix.lower() in _IMAGE_SUFFIXES:
        raise CorpusError(f"{path} is an image; give the images of a face with --faces")
    beside = path.with_suffix(".txt")
    text = read_text(beside).strip() if beside != path and beside.is_file() and _is_beside(beside) else ""
    is_sound = path.suffix.lower() in SOUND_SUFFIXES
    return Utterance(
        str(path), str(path), text or None, audio=path if is_sound else None, video=None if is_sound else path
    )


def _is_beside(file: Path) -> bool:
    """Whether a text is that of the clip, and not a link to one elsewhere, of which the user may not know."""
    try:
        inside(file.parent, file.name)
    except OutsideError:
        raise CorpusError(f"{file} is a link to another folder: copy the text there, or remove the link") from None
    return True


def _seconds(cells: Mapping[str, str], column: str, where: str) -> float | None:
    cell = cells.get(column, "").strip()
    try:
        value = float(cell) if cell else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise CorpusError(f"{where}: {column} {cell!r}, expected seconds from the beginning of the file, or nothing")
    return value
