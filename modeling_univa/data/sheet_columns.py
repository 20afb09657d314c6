# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which column of a user's sheet is which column of a corpus."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..options import nearest
from .label_map import read_pairs
from .metadata import KNOWN_COLUMNS
from .schema import FEATURE_COLUMNS, CorpusError


__all__ = ["CUE", "FILE", "SHEET_COLUMNS", "SPLIT", "ColumnMapping", "map_columns"]

# Columns that only a sheet has: a file that is sound or video by its suffix, the split, the number of a subtitle.
FILE, SPLIT, CUE = "file", "split", "cue"
SHEET_COLUMNS = (*KNOWN_COLUMNS, *FEATURE_COLUMNS, FILE, SPLIT, CUE)

# Usual names, in small letters without blanks and signs. The first that is there is taken.
_USUAL = {
    "utterance_id": "utteranceid uttid segmentid clipid id",
    "dialogue_id": "dialogueid dialogid dialogue dialog conversationid conversation sessionid session sceneid scene",
    "position": "position turn turnid turnnumber turnno utterancenumber utteranceno index",
    "text": "text transcript transcription utterance sentence content words",
    "speaker": "speaker speakerid speakername participant participantid subject subjectid actor actorid person",
    "emotions": "emotions emotion emotionlabels emotionlabel labels label annotation annotations",
    "audio": "audio audiofile audiopath sound soundfile wav wavfile speechfile",
    "video": "video videofile videopath movie moviefile",
    "faces": "faces face facefiles faceimages images",
    FILE: "file filename filepath path media mediafile clip clipfile recording recordingfile",
    "start": "start starttime startseconds begin begintime onset from",
    "end": "end endtime endseconds stop stoptime offset to",
    SPLIT: "split set subset partition",
    CUE: "cue cueindex cuenumber subtitle subtitleindex",
}


@dataclass(frozen=True)
class ColumnMapping:
    """What is read from which column.

    Args:
        columns: Column of the sheet by column of a corpus.
        labels: Columns of one emotion each.
        unused: Columns of the sheet that nothing is read from.
    """

    columns: dict[str, str]
    labels: list[str]
    unused: list[str]

    def notes(self) -> list[str]:
        """The mapping in sentences."""
        pairs = ", ".join(f"{name}={column}" for name, column in self.columns.items())
        lines = [f"Columns: {pairs or 'none'}."]
        if self.labels:
            lines.append(f"Columns of one emotion each: {', '.join(self.labels)}.")
        if self.unused:
            lines.append(f"Columns that are not used: {', '.join(self.unused)}; `columns` maps others.")
        return lines


def map_columns(header: Sequence[str], given: str | None, label_columns: str | None) -> ColumnMapping:
    """
    Map the columns of a sheet: as `given` says, and the others by their usual English names.

    Args:
        header: Names of the columns.
        given: `text=Transcript,video=File`, or a JSON object; `NAME=` for a column that shall not be used.
        label_columns: Columns of one emotion each, separated by commas.

    Raises:
        CorpusError: A name is unknown, or two columns could be the same.
    """
    chosen = _chosen(header, given)
    labels = [
        _find(header, name.strip(), "label_columns") for name in (label_columns or "").split(",") if name.strip()
    ]
    free = [name for name in header if name not in chosen.values() and name not in labels]
    columns = {name: column for name, column in chosen.items() if column}
    for name in SHEET_COLUMNS:
        # With a column for each emotion no other is guessed.
        if name not in chosen and not (name == "emotions" and labels):
            found = _usual(name, free)
            if found:
                columns[name] = found
    unused = [name for name in free if name not in columns.values()]
    return ColumnMapping({name: columns[name] for name in SHEET_COLUMNS if name in columns}, labels, unused)


def _chosen(header: Sequence[str], given: str | None) -> dict[str, str]:
    try:
        pairs: Mapping[str, str] = read_pairs(given or "", "columns", "column", "text=Transcript,video=File")
    except ValueError as error:
        raise CorpusError(str(error)) from None
    unknown = next((name for name in pairs if name not in SHEET_COLUMNS), None)
    if unknown is not None:
        raise CorpusError(
            f"`columns` maps {unknown!r}, which a corpus does not have{nearest(unknown, SHEET_COLUMNS)}; write "
            f"NAME=COLUMN OF THE SHEET, known names are {', '.join(SHEET_COLUMNS)}"
        )
    return {name: _find(header, column, "columns") if column else "" for name, column in pairs.items()}


def _find(header: Sequence[str], name: str, argument: str) -> str:
    """A column of the sheet by its name, or else by its name without regard to case and blanks."""
    if name in header:
        return name
    found = [column for column in header if _plain(column) == _plain(name)]
    if len(found) != 1:
        known = f"{nearest(name, header)}; it has {', '.join(header)}"
        raise CorpusError(f"`{argument}` names the column {name!r}, which the sheet does not have{known}")
    return found[0]


def _usual(name: str, free: Sequence[str]) -> str | None:
    for usual in (name.replace("_", ""), *_USUAL.get(name, "").split()):
        found = [column for column in free if _plain(column) == usual]
        if len(found) > 1:
            raise CorpusError(
                f"the columns {' and '.join(map(repr, found))} could both be {name}; pass `columns` {name}={found[0]}"
            )
        if found:
            return found[0]
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
