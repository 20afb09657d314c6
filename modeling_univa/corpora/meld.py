# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MELD: conversations of several people from a comedy series in seven emotions (Poria et al., ACL 2019)."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from ..data.media_files import SOUND_SUFFIXES, VIDEO_SUFFIXES
from ..data.schema import CorpusError
from ..data.sheets import Record, read_sheet
from ..models.faces_univa import FaceReader
from ..options import counted, verb
from .published import PublishedCorpus, find_media


__all__ = ["Meld"]

_EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
# Of each published split our name, its folder of clips, the archive that has it, and its number of utterances.
_SPLITS = {
    "train": ("train", "train_splits", "train.tar.gz", 9989),
    "dev": ("validation", "dev_splits_complete", "dev.tar.gz", 1109),
    "test": ("test", "output_repeated_splits_test", "test.tar.gz", 2610),
}
_CLIP = re.compile(r"(final_videos_test)?dia\d+_utt\d+")
# Clips that replace those of the same number without this prefix.
_CORRECTED = "final_videos_test"
# Characters of cp1252 that were taken for Latin-1, apostrophes most of all; five bytes are none.
_CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


class _Clips(NamedTuple):
    """The clips of a split: the folder, and the path of each by kind and name, all relative to the source."""

    folder: str
    paths: dict[tuple[str, str], str]


class Meld(PublishedCorpus):
    """Build MELD from MELD.Raw, its archives unpacked anywhere below the folder, with the tables of annotations.

    Published: emotion, speaker, text, conversation and split of every utterance. Our choice: a conversation is a
    dialogue, its name begins with that of its split, since the numbers begin again in each; dev is called validation;
    where the test split has a clip a second time as final_videos_testdia0_utt0.mp4, that one is taken, which corrects
    the other; apostrophes that the tables have as control characters of cp1252 are set right. The sound and the faces
    are those of the clip; several people are in the picture, and the face that moves with the sound is read.
    """

    PRETTY_NAME = "MELD"
    LICENSE = "gpl-3.0"
    SOURCE_URL = "https://affective-meld.github.io"
    CITATION = (
        "Soujanya Poria, Devamanyu Hazarika, Navonil Majumder, Gautam Naik, Erik Cambria and Rada Mihalcea. 2019. "
        "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations. In ACL 2019, pages 527-536. "
        "https://doi.org/10.18653/v1/P19-1050"
    )
    PROVENANCE = "Made of the clips and tables of MELD.Raw; labels and splits are the published ones."
    MEDIA = ("video", "audio", "none")
    LISTING = "the tables of annotations"
    FACE_READER = FaceReader(track="speaking")

    def label_names(self) -> list[str]:
        """The seven emotions."""
        return list(_EMOTIONS)

    def listing(self, split: str) -> str:
        """The table of a split."""
        return next(_table_name(name) for name, (ours, *_) in _SPLITS.items() if ours == split)

    def read_splits(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each table, conversation by conversation in the order of their utterances."""
        root = Path(self.config.source)
        tables = {name: path for name in _SPLITS if (path := _nearest(root, _table_name(name))) is not None}
        if not tables:
            raise CorpusError(
                f"{root} has no {_table_name('train')}; pass the folder MELD.Raw with its archives unpacked"
            )
        absent = [_table_name(name) for name in _SPLITS if name not in tables]
        if absent:
            self.notes.append(f"{' and '.join(absent)} not found: there are no such splits.")
        clips = {name: self._clips(name) for name in tables}
        media = self.take_media(["video", "audio"] if any(found is not None for found in clips.values()) else [])
        splits = {}
        for name, path in tables.items():
            ours, folder, archive, published = _SPLITS[name]
            found = clips[name]
            if media != "none" and found is None:
                raise CorpusError(
                    f"{path}: its clips are in a folder {folder}, and {root} has none; unpack {archive} there, move "
                    "the table away, or pass `media` none"
                )
            self.files.append(path)
            rows = [_row(name, record) for record in read_sheet(path).records]
            if len(rows) != published:
                utterances = counted(len(rows), "utterance")
                self.notes.append(f"{ours}: {path.name} has {utterances}, {published} were published.")
            if media != "none" and found is not None:
                self._note_unlisted(ours, path.name, rows, found)
            splits[ours] = [{**row, **_media_of(row, media, found)} for row in _in_order(rows)]
        return splits

    def _note_unlisted(self, split: str, table: str, rows: list[dict[str, Any]], clips: _Clips) -> None:
        """Count the clips that no row of the table is about."""
        listed = {f"{prefix}{_stem(row)}" for row in rows for prefix in (_CORRECTED, "")}
        others = sorted({stem for _, stem in clips.paths} - listed)
        if others:
            found, are = counted(len(others), "clip"), verb(len(others), "is", "are")
            self.notes.append(
                f"{split}: {found} in {clips.folder} {are} not listed in {table} and {are} left out, the first "
                f"{others[0]}."
            )

    def _clips(self, name: str) -> _Clips | None:
        """The clips of a split; `None` where it has no folder."""
        root = Path(self.config.source)
        folder = _nearest(root, _SPLITS[name][1])
        if folder is None:
            return None
        below, paths = folder.relative_to(root), {}
        for kind, suffixes in (("video", VIDEO_SUFFIXES), ("audio", SOUND_SUFFIXES)):
            media = find_media(folder, _CLIP, suffixes)
            paths.update({(kind, stem): (below / path).as_posix() for stem, path in media.paths.items()})
            for path in media.others:
                self.leave_out((below / path).as_posix(), "the name is not one of MELD, such as dia0_utt0.mp4")
        return _Clips(below.as_posix(), paths)


def _table_name(split: str) -> str:
    return f"{split}_sent_emo.csv"


def _nearest(root: Path, name: str) -> Path | None:
    """What has this name below a folder, as high as there is one; without what archives of macOS bring along."""
    found = [path for path in root.rglob(name) if not any(part.startswith("__MACOSX") for part in path.parts)]
    return min(found, key=lambda path: (len(path.parts), path), default=None)


def _row(split: str, record: Record) -> dict[str, Any]:
    missing = [column for column in _COLUMNS if column not in record.cells]
    if missing:
        raise CorpusError(f"{record.where}: no column {missing[0]!r}; the table needs {', '.join(_COLUMNS)}")
    numbers = [record.cells[name] for name in ("Dialogue_ID", "Utterance_ID")]
    if not all(number.isdecimal() for number in numbers):
        raise CorpusError(f"{record.where}: expected numbers as Dialogue_ID and Utterance_ID, found {numbers}")
    dialogue, utterance = map(int, numbers)
    emotion = record.cells["Emotion"].lower()
    if emotion not in _EMOTIONS:
        raise CorpusError(f"{record.where}: unknown emotion {emotion!r}; MELD has {', '.join(_EMOTIONS)}")
    return {
        "utterance_id": f"{split}_dia{dialogue}_utt{utterance}",
        "dialogue_id": f"{split}_dia{dialogue}",
        "speaker": record.cells["Speaker"].translate(_CONTROLS) or None,
        "text": record.cells["Utterance"].translate(_CONTROLS),
        "emotions": [emotion],
    }


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a conversation together, in the order of their numbers."""
    return sorted(rows, key=lambda row: tuple(map(int, re.findall(r"\d+", row["utterance_id"]))))


def _stem(row: dict[str, Any]) -> str:
    """What its clip is called, without the suffix."""
    return row["utterance_id"].partition("_")[2]


def _media_of(row: dict[str, Any], media: str, clips: _Clips | None) -> dict[str, str]:
    """The clip of a row; where there is none, the place in which it should be."""
    if media == "none" or clips is None:
        return {}
    stem = _stem(row)
    kinds = ("video",) if media == "video" else ("audio", "video")
    names = [(kind, f"{prefix}{stem}") for kind in kinds for prefix in (_CORRECTED, "")]
    return {media: next((clips.paths[name] for name in names if name in clips.paths), f"{clips.folder}/{stem}.mp4")}


BUILDER = Meld
