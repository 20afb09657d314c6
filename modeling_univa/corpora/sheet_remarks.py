# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a user should know of a sheet before a corpus is built from it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..data.media_files import IMAGE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, MediaFolder
from ..data.schema import MEDIA_COLUMNS
from ..options import counted, verb
from .sheet_rows import SheetRow


__all__ = ["remarks"]

_SHOWN = 5


def remarks(
    splits: Mapping[str, Sequence[SheetRow]],
    media: MediaFolder,
    *,
    rare_below: int,
    keeps_rows_without_text: bool,
    transcribes: bool,
) -> list[str]:
    """
    Sentences on labels, on what will be absent, and on files.

    Args:
        splits: The rows by split.
        media: The folder with the files.
        rare_below: Labels with fewer rows than this are rare.
        keeps_rows_without_text: Whether a row without text stays.
        transcribes: Whether text that is missing is filled in.
    """
    rows = [found for members in splits.values() for found in members]
    return [
        *_on_labels(rows),
        *_on_speakers(rows),
        *_on_frequency(splits, rows, rare_below),
        *_on_absence(rows, keeps_rows_without_text, transcribes),
        *_on_files(rows, media),
    ]


def _on_labels(rows: Iterable[SheetRow]) -> list[str]:
    lines = []
    # As they are after mapping: what was joined is not a remark any more.
    for listed, names in _spellings(name for found in rows for name in found.row["emotions"]):
        pairs = ",".join(f"{name}={names[0]}" for name in names[1:])
        lines.append(f"The labels {listed} differ by case or blanks alone; join them with `labels_map` {pairs}.")
    return lines


def _on_speakers(rows: Iterable[SheetRow]) -> list[str]:
    names = (found.row["speaker"] for found in rows if found.row["speaker"])
    return [
        f"The speakers {listed} differ by case or blanks alone, and count as different ones; write them in one way."
        for listed, _ in _spellings(names)
    ]


def _spellings(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Names that differ by case, blanks or signs alone: in words with their counts, and the most frequent first."""
    found: dict[str, Counter[str]] = {}
    for name in names:
        plain = "".join(character for character in name.casefold() if character.isalnum())
        found.setdefault(plain or name, Counter())[name] += 1
    for counts in found.values():
        if len(counts) > 1:
            ordered = counts.most_common()
            yield " and ".join(f"{name!r} ({count})" for name, count in ordered), [name for name, _ in ordered]


def _on_frequency(splits: Mapping[str, Sequence[SheetRow]], rows: Sequence[SheetRow], rare_below: int) -> list[str]:
    counts = Counter(name for found in rows for name in found.row["emotions"])
    rare = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < rare_below]
    lines = [f"Labels of fewer than {rare_below} rows: {', '.join(rare)}."] if rare else []
    for split, members in splits.items():
        there = {name for found in members for name in found.row["emotions"]}
        lacking = sorted(set(counts) - there)
        if lacking:
            lines.append(f"The split {split} lacks the labels {', '.join(lacking)}.")
    without = sum(not found.row["emotions"] for found in rows)
    if without:
        have, they = verb(without, "has", "have"), verb(without, "it counts as a row", "they count as rows")
        lines.append(
            f"{without} of {counted(len(rows), 'row')} {have} no emotion; {they} in which no label is active."
        )
    return lines


def _on_absence(rows: Sequence[SheetRow], keeps_rows_without_text: bool, transcribes: bool) -> list[str]:
    names = {
        "sound": ("audio", "video", "audio_features"),
        "face": ("faces", "video", "vision_features"),
        "text": ("text", "text_features"),
    }
    usable = [found for found in rows if found.problem is None]
    lines = []
    for what, columns in names.items():
        count = sum(not any(found.row.get(column) for column in columns) for found in usable)
        if count:
            fate = _fate(rows, count, keeps_rows_without_text, transcribes) if what == "text" else ""
            have = verb(count, "has", "have")
            lines.append(f"{count} of {counted(len(rows), 'row')} {have} no {what}{fate}.")
    return lines


def _fate(rows: Sequence[SheetRow], count: int, keeps_rows_without_text: bool, transcribes: bool) -> str:
    if transcribes:
        return f"; it is transcribed from {verb(count, 'its', 'their')} sound"
    if keeps_rows_without_text or not any(found.row["text"] for found in rows):
        return "; a model that reads text cannot be trained on this corpus, one of other modalities can"
    return (
        f" and {verb(count, 'is', 'are')} left out: fill it in, pass `transcribe` with a speech recognition model, or "
        "`keep_empty_text` for models without text"
    )


def _on_files(rows: Sequence[SheetRow], media: MediaFolder) -> list[str]:
    problems = [f"{found.where}: {found.problem}" for found in rows if found.problem]
    lines = []
    if problems:
        are = verb(len(problems), "is", "are")
        lines.append(f"{counted(len(problems), 'row')} {are} left out: {_some(problems)}.")
    named: set[str] = set()
    for found in rows:
        for column in MEDIA_COLUMNS:
            value = found.row.get(column)
            named.update([value] if isinstance(value, str) else value or [])
    suffixes: tuple[str, ...] = SOUND_SUFFIXES + VIDEO_SUFFIXES
    if any(found.row.get("faces") for found in rows):
        suffixes += IMAGE_SUFFIXES
    unnamed = media.unnamed(named, suffixes)
    if unnamed:
        files, are = counted(len(unnamed), "media file"), verb(len(unnamed), "is", "are")
        lines.append(f"{files} in {media.root} {are} named by no row: {_some(unnamed, ', ')}.")
    return lines


def _some(names: Sequence[str], between: str = "; ") -> str:
    more = f"{between}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more
