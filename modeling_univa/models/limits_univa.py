# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The limits of what is read from files and configurations, in one table.

A header or a setting is a claim. What a claim would make us allocate or loop over is checked here before it is
believed, so that a bad file is refused in one sentence instead of taking the memory or the time of everything else.
The limits lie far beyond honest input.
"""

import math
from dataclasses import dataclass
from typing import Any


__all__ = ["LIMITS", "Limit", "check_claim", "check_limit"]


@dataclass(frozen=True)
class Limit:
    """
    The range of a number.

    Args:
        least, most: smallest and largest value, both allowed.
        what: what it is the number of, for the message.
        advice: what to do about a number outside of the range.
    """

    least: float
    most: float
    what: str
    advice: str


_CUT = "cut the file into shorter ones"
_DAMAGED = "the file is damaged or forged: save it again"
_SETTING = "use a setting in this range"

# deflate packs up to 1,032 bytes into one.
_LARGEST_RATIO, _SMALL = 1100, 2**20

LIMITS: dict[str, Limit] = {
    # Media
    "sampling_rate": Limit(1000, 768_000, "Hz", _DAMAGED),
    "channels": Limit(1, 64, "channels", _DAMAGED),
    # Read from a file as one clip, which is one channel; and decoded, of which a part may be kept.
    "samples": Limit(0, 2**28, "samples", _CUT),
    "decoded_samples": Limit(0, 2**31, "samples in all channels", _CUT),
    # The larger of the two rates divided by their greatest common divisor; the filter is 20 times as long.
    "resampling": Limit(1, 200_000, "steps of the filter", "resample the sound to a common rate first"),
    "pictures": Limit(0, 100_000, "pictures", _CUT),
    "frame_rate": Limit(0.01, 1000, "pictures a second", _SETTING),
    "faces": Limit(0, 2**19, "faces in all pictures", _CUT),
    "crops": Limit(1, 2**28, "pixels in all crops", _SETTING),
    "pixels": Limit(1, 2**26, "pixels", "scale the picture down"),
    "clip_pixels": Limit(0, 2**28, "pixels in all images", "scale the images down, or use fewer of them"),
    # A progressive JPEG goes over all of its pixels in each of its scans, which may be a few bytes long.
    "decoded_pixels": Limit(1, 2**31, "pixels in all scans", "save it as an ordinary JPEG"),
    # OpenCV counts the pixels of a row with 16 bits.
    "picture_side": Limit(1, 32_766, "pixels a side", "scale the picture down"),
    "file_size": Limit(1, 2**29, "bytes of an image file", "save it as JPEG or PNG"),
    "time": Limit(0, 7 * 86_400, "seconds", _DAMAGED),
    # Settings of extractors
    "mel_bins": Limit(20, 512, "mel bands", _SETTING),
    "window_length": Limit(64, 2**16, "samples in a window", _SETTING),
    "analysis_rate": Limit(1, 1000, "analysis frames a second", _SETTING),
    "window_seconds": Limit(1, 3600, "seconds in a window", _SETTING),
    "batch_seconds": Limit(0, 86_400, "seconds in a batch", _SETTING),
    "pooled": Limit(0, 2**16, "frames that are averaged", _SETTING),
    "image_side": Limit(1, 4096, "pixels a side", _SETTING),
    "image_grid": Limit(1, 64, "fields a side", _SETTING),
    "batch": Limit(1, 2**16, "items in a batch", _SETTING),
    # Configurations of models
    "layers": Limit(0, 256, "layers", _SETTING),
    "width": Limit(1, 2**16, "numbers in a row", _SETTING),
    "length": Limit(1, 2**17, "places in a sequence", _SETTING),
    "labels": Limit(1, 10_000, "labels", _SETTING),
    "vocabulary": Limit(1, 2**21, "tokens in a vocabulary", _SETTING),
    "parameters": Limit(1, 2**33, "parameters", _SETTING),
    # Files of arrays
    "array": Limit(0, 2**34, "bytes", _DAMAGED),
    # Text and tables
    "characters": Limit(0, 1_000_000, "characters in a text", "cut the text into utterances"),
    "lexicon": Limit(0, 2**26, "bytes of a lexicon", "keep the lines of the words that are needed"),
    "words": Limit(0, 2**24, "words", "keep the most frequent ones"),
    "utterances": Limit(1, 2**20, "utterances in a dialogue", "cut the dialogue into scenes"),
    "sheet_rows": Limit(0, 2**20, "rows", "split the sheet"),
    "sheet_size": Limit(0, 2**29, "bytes of a sheet", "split the sheet"),
}


def check_limit(kind: str, value: Any, name: str) -> None:
    """
    Refuse a number outside of the range of its kind.

    Args:
        kind: a key of `LIMITS`.
        value: the number that a file or a setting claims.
        name: what the message calls it, such as "`num_mel_bins`" or "its sampling rate".

    Raises:
        `ValueError`: with the range, the value and what to do.
    """
    limit = LIMITS[kind]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if is_number and limit.least <= value <= limit.most:
        return
    found = f"{value:,}" if is_number else repr(value)[:80]
    raise ValueError(
        f"{name} must lie between {limit.least:,} and {limit.most:,} ({limit.what}), got {found}: {limit.advice}."
    )


def check_claim(claimed: int, file_size: int, name: str) -> None:
    """
    Refuse arrays that are larger than their file can hold, even if it is compressed.

    Args:
        claimed: bytes in memory.
        file_size: bytes of the file.
        name: what the message calls what is claimed, such as "The size of features".

    Raises:
        `ValueError`: with both sizes.
    """
    check_limit("array", claimed, name)
    if claimed > _LARGEST_RATIO * file_size + _SMALL:
        raise ValueError(f"{name} is {claimed:,} bytes, claimed in a file of {file_size:,}: {_DAMAGED}.")
