# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Tiny video files: a tone and a moving pattern."""

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, seconds: float = 1.0, *, sound: bool = True, picture: bool = True, seed: int = 0) -> Path:
    """Write a video of 64 x 64 pixels, 10 pictures a second, with a rising tone at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        # Streams first: writing a packet fixes what is in the file.
        shown = container.add_stream("mpeg4", rate=10) if picture else None
        heard = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        if shown is not None:
            shown.width = shown.height = 64
            shown.pix_fmt = "yuv420p"
            for image in _pictures(seconds, seed):
                container.mux(shown.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(shown.encode())
        if heard is not None:
            times = np.arange(int(16000 * seconds)) / 16000
            samples = 0.4 * np.sin(2 * np.pi * (200 + 80 * seed + 150 * times) * times)
            frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(heard.encode(frame))
            container.mux(heard.encode())
    return path


def _pictures(seconds: float, seed: int) -> list[np.ndarray]:
    rows, columns = np.mgrid[:64, :64]
    return [
        np.stack([rows * 3, columns * 3, (rows + columns + 9 * index + 40 * seed) % 256], axis=-1).astype(np.uint8)
        for index in range(round(10 * seconds))
    ]
