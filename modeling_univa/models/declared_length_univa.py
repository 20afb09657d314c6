# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What containers declare of their length, where the libraries that read them do not tell, or believe it at once.

libsndfile and FFmpeg cut the declared length to what the file holds, so that a file that is cut off looks like a
shorter one. What libsndfile saw is in its log; AVI, CAF, MP3 and Ogg need a look at their own bytes. A stream of
unknown length (a size of 0, or of about 2 GB and more where the field has 32 bits) declares nothing, nor does an mp3
file without a Xing, Info or VBRI header.
"""

import io
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


__all__ = [
    "avi_is_cut",
    "caf_is_cut",
    "declared_frames",
    "declares_frames",
    "ends_within_page",
    "indexed_samples",
    "has_no_length",
    "is_cut_off",
]

MediaSource = str | os.PathLike[str] | bytes

# Programs that do not know the length write 0x7FFFF000, 0x80000000, 0xFFFFFFFF and the like.
_UNKNOWN_SIZE = 0x7FFF_0000
# As libsndfile 1.2 logs them: chunks with samples, whose size is larger than what is left of the file …
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND|BODY|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_CUT_WORDS = re.compile(r"^Data length (\d+) should be (\d+)|truncated\. (\d+) <--> (\d+)", re.MULTILINE)
# … and numbers of samples.
_FRAMES = re.compile(r"^\s*(?:Frames\s*:|sample_count -i) (\d+)\s*$", re.MULTILINE)
_COUNTS_FRAMES = {"AIFF", "AVR", "FLAC", "MPC2K", "NIST", "RF64", "SDS"}

_LARGEST_PAGE = 27 + 255 + 255 * 255
_MOST_CHUNKS = 10_000

# What an mp4 or QuickTime file may begin with, and its boxes that hold boxes, as FFmpeg opens them.
_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx", b"uuid"}
_PARENT_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"dinf", b"udta"}
_MOST_BOXES = 1_000_000
# Duration, size, flags and offset of each sample of a fragment.
_FIELDS_OF_A_SAMPLE = 0xF00


def declared_frames(file: Any, source: MediaSource) -> int:
    """Samples of each channel that the header of an open `soundfile.SoundFile` declares; 0 where it does not."""
    log, held = file.extra_info, file.frames
    if file.format == "NIST":  # whose header is a text of 1024 bytes
        log = _head(source, 1024).decode("latin-1")
    for pattern, order in ((_CUT_CHUNK, (1, 2)), (_CUT_WORDS, (1, 2)), (_CUT_WORDS, (4, 3))):
        if (found := pattern.search(log)) and found[order[0]] is not None:
            size, left = int(found[order[0]]), int(found[order[1]])
            return held * size // left if 0 < left < size < _UNKNOWN_SIZE else 0
    found = _FRAMES.search(log) if file.format in _COUNTS_FRAMES else None
    frames = int(found[1]) if found else 0
    return frames if frames < _UNKNOWN_SIZE else 0


def has_no_length(file: Any, source: MediaSource) -> bool:
    """Whether an open `soundfile.SoundFile` is a stream of unknown length, which libsndfile does not read."""
    if file.frames >= 2**62:  # FLAC with a total of 0 samples
        return True
    return not file.frames and file.format in ("WAV", "WAVEX") and _has_unsized_data(source)


def _has_unsized_data(source: MediaSource) -> bool:
    head = _head(source, 4096)
    place = head.find(b"data\0\0\0\0")
    return place > 0 and len(head) > place + 8


def is_cut_off(file: Any, source: MediaSource) -> bool:
    """Whether an open `soundfile.SoundFile` ends early, where its header does not tell by how much."""
    return ends_within_page(source) if file.format == "OGG" else "truncated file" in file.extra_info


def ends_within_page(source: MediaSource) -> bool:
    """Whether an Ogg file ends before its last page does."""
    with _opened(source) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _LARGEST_PAGE))
        tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if not page.startswith(b"OggS"):
        return False
    return len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def caf_is_cut(source: MediaSource) -> bool:
    """Whether a CAF file ends before the chunk of its samples does."""
    with _opened(source) as stream:
        size, place = stream.seek(0, os.SEEK_END), 8
        for _ in range(_MOST_CHUNKS):
            stream.seek(place)
            header = stream.read(12)
            if len(header) < 12:
                return False
            kind, length = struct.unpack(">4sq", header)
            if kind == b"data" or length < 0:
                return place + 12 + length > size
            place = min(place + 12 + length, size)
    return False


def avi_is_cut(source: MediaSource) -> bool:
    """Whether an AVI file ends before its first RIFF chunk does; one of unknown length, a stream, is not cut off."""
    with _opened(source) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(4)
        header = stream.read(4)
    length = int.from_bytes(header, "little")
    # A byte of padding may be left out.
    return size + 1 < length + 8 < _UNKNOWN_SIZE


def indexed_samples(source: MediaSource) -> tuple[int, int]:
    """Samples that the index of an mp4 or QuickTime file lists without a byte for each, and the size of the file.

    FFmpeg allocates its own index from these numbers before it looks at the first packet.
    """
    with _opened(source) as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(4)
        if stream.read(4) not in _FIRST_BOXES:
            return 0, size
        return sum(_unlisted_samples(stream, kind, body) for kind, body in _boxes(stream, size)), size


def _boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and place of the body of each box, those that hold others included."""
    ends, place = [size], 0
    for _ in range(_MOST_BOXES):
        while ends and place + 8 > ends[-1]:
            place = ends.pop()
        if not ends:
            return
        stream.seek(place)
        header = stream.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        body = place + 8
        if length == 1 and len(header) == 16:
            length, body = struct.unpack(">Q", header[8:])[0], place + 16
        end = min(place + length if length >= 8 else ends[-1], ends[-1])
        yield kind, body
        if kind in _PARENT_BOXES:
            ends.append(end)
            place = body
        else:
            place = end


def _unlisted_samples(stream: BinaryIO, kind: bytes, body: int) -> int:
    if kind not in (b"stsz", b"trun"):
        return 0
    stream.seek(body)
    head = stream.read(12)
    if len(head) < 12:
        return 0
    flags, first, second = struct.unpack(">III", head)
    if kind == b"stsz":  # one size of all samples, and their number
        return second if first else 0
    return first if not flags & _FIELDS_OF_A_SAMPLE else 0


def declares_frames(source: MediaSource) -> bool:
    """Whether an mp3 file has a header that counts its frames; the length of others is guessed by their bit rate."""
    with _opened(source) as stream:
        tag = stream.read(10)
        # The size of an ID3 tag has seven bits a byte.
        length = sum(byte << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=False))
        stream.seek(10 + length if tag.startswith(b"ID3") else 0)
        head = stream.read(4096)
    found = re.search(rb"(?:Xing|Info)(?s:....)|VBRI", head)
    return found is not None and (found[0] == b"VBRI" or bool(found[0][7] & 1))


def _head(source: MediaSource, size: int) -> bytes:
    with _opened(source) as stream:
        return stream.read(size)


def _opened(source: MediaSource) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")
