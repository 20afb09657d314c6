# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa score-affect`: valence and arousal of a whole corpus by pretrained scorers."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.loading import load_corpus
from ..features.arguments import face_reader_from_argument, with_revision
from ..features.scoring import ScoringJob, ScoringOptions, describe_scorer
from ..features.shards import own_device, run_job
from ..features.workers import default_workers
from ..models.affect_scorers_univa import AffectScorer, load_scorer
from ..models.translation_univa import load_translator
from .jobs import run_command


__all__ = ["run", "score_affect"]


def score_affect(
    corpus: str | Path,
    output: str | Path,
    *,
    text_scorer: str | None = None,
    audio_scorer: str | None = None,
    vision_scorer: str | None = None,
    splits: Sequence[str] | None = None,
    face_detector: str | None = None,
    translate: str | None = None,
    source_language: str | None = None,
    target_language: str = "en",
    media_root: Path | None = None,
    outside_media_root: bool = False,
    batch_size: int = 16,
    shard_rows: int = 256,
    workers: int | None = None,
    device: str | None = None,
    strict: bool = False,
) -> Path:
    """
    Make a corpus with valence and arousal of another's rows; called again it goes on where it was stopped.

    Args:
        corpus: folder of a built corpus, or its Hub id.
        output: corpus folder to make.
        text_scorer, audio_scorer, vision_scorer: folder, or Hub id and perhaps a revision (`ID@REVISION`).
        splits: only these; by default all.
        face_detector: what finds faces in videos: "yunet", "haar", …, or settings as JSON.
        translate: seq2seq model, or "deepl", that translates text for its scorer.
        source_language, target_language: languages of the text and of the scorer, in the codes of `translate`.
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
    given = {"text": text_scorer, "audio": audio_scorer, "vision": vision_scorer}
    scorers, about = _load_scorers(given, own_device(device))
    languages = (source_language, target_language)
    translator = load_translator(translate, *languages, device=own_device(device)) if translate else None
    settings = ScoringOptions(
        splits=splits,
        translator=translator,
        media_root=Path(media_root) if media_root is not None else None,
        face_reader=face_reader_from_argument(face_detector) if face_detector else None,
        batch_size=batch_size,
        workers=default_workers() if workers is None else workers,
        outside_media_root=outside_media_root,
    )
    job = ScoringJob(load_corpus(str(corpus)), scorers, about, settings)
    return run_job(job, str(output), shard_rows=shard_rows, strict=strict)


def _load_scorers(
    given: Mapping[str, str | None], device: str | None
) -> tuple[dict[str, AffectScorer], dict[str, dict[str, Any]]]:
    """The scorers by modality, and which networks they are."""
    scorers, about = {}, {}
    for modality, name in given.items():
        if name:
            model, revision = with_revision(name)
            scorers[modality] = load_scorer(modality, model, revision, device)
            about[modality] = describe_scorer(scorers[modality], model)
    return scorers, about


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    return run_command("score-affect", score_affect, options)
