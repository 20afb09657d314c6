# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract`: features of a whole corpus from its raw media."""

import argparse
from pathlib import Path

from ..data.loading import load_corpus
from ..data.schema import FACE_EMOTIONS
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..features.extraction import ExtractionJob, ExtractionOptions
from ..features.shards import own_device, run_job
from ..features.workers import default_workers
from .jobs import run_command


__all__ = ["extract", "run"]


def extract(
    corpus: str | Path,
    output: str | Path,
    *,
    audio_extractor: str | None = None,
    vision_extractor: str | None = None,
    text_extractor: str | None = None,
    face_emotions: str | None = None,
    face_detector: str | None = None,
    dtype: str | None = None,
    media_root: Path | None = None,
    outside_media_root: bool = False,
    batch_size: int = 16,
    shard_rows: int = 256,
    workers: int | None = None,
    device: str | None = None,
    strict: bool = False,
) -> Path:
    """
    Make a corpus with features of the raw media of another; called again it goes on where it was stopped.

    Args:
        corpus: folder of a built corpus, or its Hub id.
        output: corpus folder to make.
        audio_extractor, vision_extractor, text_extractor: name, settings as JSON or a JSON file, or the network or the
            file of word vectors; features of a modality without one stay as they are.
        face_emotions: likewise what tells the expressions of the faces; their probabilities are a column beside the
            features that `vision_extractor` makes.
        face_detector: what finds faces in videos: "yunet", "haar", …, or settings as JSON.
        dtype: precision of networks.
        media_root: folder that the corpus was built from; paths in the corpus are relative to it.
        outside_media_root: whether files elsewhere that the corpus or links name are read too.
        batch_size: clips that are worked on together.
        shard_rows: rows of an output file.
        workers: processes that read media and make light features; by default the cores.
        device: where networks run; by default the accelerator, or else the CPU.
        strict: whether the first bad clip ends the job instead of being listed in `rejected.jsonl`.

    Returns:
        The folder `output`.

    Raises:
        ValueError, OSError, ImportError: a mistake of the user; with `strict` also a bad clip.
    """
    given = {
        "audio": audio_extractor, "vision": vision_extractor, "text": text_extractor, FACE_EMOTIONS: face_emotions,
    }  # fmt: skip
    extractors = {
        modality: extractor_from_argument(modality, argument, own_device(device), dtype)
        for modality, argument in given.items()
        if argument
    }
    root = None if media_root is None else Path(media_root)
    face_reader = face_reader_from_argument(face_detector) if face_detector else None
    workers = default_workers() if workers is None else workers
    settings = ExtractionOptions(root, face_reader, batch_size, workers, outside_media_root)
    job = ExtractionJob(load_corpus(str(corpus)), extractors, settings)
    return run_job(job, str(output), shard_rows=shard_rows, strict=strict)


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    return run_command("extract", extract, options)
