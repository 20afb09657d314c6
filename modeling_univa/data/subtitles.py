# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Who says what when in a recording: subtitles (SRT, WebVTT) and Praat's TextGrids."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .schema import CorpusError
from .sheets import read_encoded_text
from .tables import read_seconds


__all__ = ["SUBTITLE_SUFFIXES", "Cue", "read_cues"]

SUBTITLE_SUFFIXES = (".srt", ".vtt", ".textgrid")


@dataclass(frozen=True)
class Cue:
    """A piece of a recording.

    Args:
        start, end: In seconds.
        text: the transcript.
        speaker: Who says it, where the file tells it.
    """

    start: float
    end: float
    text: str
    speaker: str | None = None


def read_cues(path: Path, encoding: str | None = None, tiers: Sequence[str] = ()) -> list[Cue]:
    """
    The pieces of a recording in which something is said, in the order of their start.

    Args:
        path: A .srt, .vtt or .TextGrid file.
        encoding: By default that of its byte order mark, UTF-8, UTF-16, or else cp1252.
        tiers: Which tiers of a TextGrid have the text; several are speakers of these names. By default its only tier
            of intervals.

    Raises:
        CorpusError: It cannot be read, has no text, or several tiers of which none is chosen.
    """
    kind = path.suffix.lower()
    text, _ = read_encoded_text(path, encoding)
    try:
        if kind == ".srt":
            cues = list(_from_srt(text))
        elif kind == ".vtt":
            cues = list(_from_vtt(text))
        else:
            cues = list(_from_textgrid(path, text, tiers))
    except CorpusError:
        raise
    except ImportError:
        raise ImportError(f"{path}: subtitles need `pip install 'univa[subtitles]'`") from None
    except Exception as error:  # what a parser makes of a damaged file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CorpusError(f"{path}: cannot be read as {kind[1:]} ({reason[0][:200]}); save it again") from None
    if not cues:
        raise CorpusError(f"{path}: no text with times was found in it; is it a {kind[1:]} file?")
    return sorted(cues, key=lambda cue: (cue.start, cue.end))


def _from_srt(text: str) -> Iterator[Cue]:
    from pysubs2 import SSAFile

    for event in SSAFile.from_string(text, format_="srt"):
        yield from _cue(event.start / 1000, event.end / 1000, event.plaintext)


def _from_vtt(text: str) -> Iterator[Cue]:
    from webvtt import WebVTT

    for caption in WebVTT.from_string(text).captions:
        yield from _cue(read_seconds(caption.start), read_seconds(caption.end), caption.text, caption.voice)


def _from_textgrid(path: Path, text: str, tiers: Sequence[str]) -> Iterator[Cue]:
    from praatio.utilities.textgrid_io import parseTextgridStr

    found = [tier for tier in parseTextgridStr(text)["tiers"] if tier["class"] == "IntervalTier"]
    names = [tier["name"] for tier in found]
    missing = next((name for name in tiers if name not in names), None)
    if missing is not None or not (tiers or len(names) == 1):
        what = "several tiers of intervals" if missing is None else f"no tier {missing!r}"
        raise CorpusError(f"{path} has {what}; pass as `tiers` those with the text, of {', '.join(names) or 'none'}")
    for tier in found:
        if not tiers or tier["name"] in tiers:
            speaker = tier["name"] if len(tiers) > 1 else None
            for start, end, label in tier["entries"]:
                yield from _cue(float(start), float(end), label, speaker)


def _cue(start: Any, end: Any, text: str, speaker: str | None = None) -> Collection[Cue]:
    plain = " ".join(text.split())
    return [Cue(start, end, plain, speaker or None)] if plain else []
