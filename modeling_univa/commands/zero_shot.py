# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa zero-shot`: emotions of a split of a corpus by a language model that sees pictures."""

import argparse
import os
from pathlib import Path
from typing import Literal

from ..data.loading import load_corpus
from ..features.arguments import with_revision
from ..prediction.chat import ChatModel, EndpointChat, PipelineChat
from ..prediction.zero_shot import PICTURES, ZeroShotJob, ZeroShotReport
from ..scores.results import results_table


__all__ = ["run", "zero_shot"]


def zero_shot(
    corpus: str,
    model: str,
    output: str | Path,
    *,
    split: str = "test",
    endpoint: str | None = None,
    key_variable: str | None = None,
    media_root: str | Path | None = None,
    outside_media_root: bool = False,
    stages: Literal["captioned", "direct"] = "captioned",
    pictures: int = PICTURES,
    max_tokens: int = 256,
    timeout: float = 120.0,
    workers: int = 1,
    limit: int | None = None,
    device: str | None = None,
    strict: bool = False,
) -> ZeroShotReport:
    """
    Ask a language model about the clips of a split; called again it asks about those without an answer.

    Args:
        corpus: folder of a built corpus, or its Hub id.
        model: folder or Hub id of an image-text-to-text model (`ID@REVISION` for a revision); with `endpoint`, what
            the server calls it.
        output: folder for answers, predictions and report.
        split: which rows.
        endpoint: URL of a server of OpenAI's chat protocol.
        key_variable: environment variable that holds the server's key.
        media_root: folder that the corpus was built from.
        outside_media_root: whether files elsewhere that the corpus or links name are read too.
        stages: "captioned" or "direct".
        pictures: of a clip, from the middles of equal parts.
        max_tokens: longest answer.
        timeout: for an answer of the endpoint, in seconds.
        workers: clips to ask the endpoint about at a time.
        limit: number of rows to take, from the first.
        device: where a model of transformers runs.
        strict: whether the first clip without an answer ends the job.

    Raises:
        ValueError, OSError, ImportError: a mistake of the user; with `strict` also a clip without an answer.
    """
    for name, value in (("pictures", pictures), ("max_tokens", max_tokens), ("workers", workers), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if endpoint is None and (workers > 1 or key_variable):
        raise ValueError("`workers` and `key_variable` are of an `endpoint`, and there is none.")
    chat: ChatModel
    if endpoint is None:
        chat = PipelineChat(*with_revision(model), device=device, max_tokens=max_tokens)
    else:
        chat = EndpointChat(endpoint, model, _key(key_variable), timeout, max_tokens)
    job = ZeroShotJob(
        load_corpus(corpus), split, chat, output, stages=stages, media_root=media_root, outside=outside_media_root,
        pictures=pictures, workers=workers, limit=limit, strict=strict,
    )  # fmt: skip
    return job.run()


def run(options: argparse.Namespace) -> int:
    """
    Run `univa zero-shot`.

    Returns:
        0; 1 where there is no answer for some clips.
    """
    report = zero_shot(**{name: value for name, value in vars(options).items() if name != "run"})
    rows = sum(report.answers.values())
    print(results_table({report.split: report.metrics}))
    counts = ", ".join(f"{kind} {count} ({100 * count / rows:.1f} %)" for kind, count in report.answers.items())
    print(f"answers: {counts}; {report.seconds_per_clip:.1f} s a clip; prompts {report.prompts_sha256[:12]}")
    print(f"wrote {options.output}")
    return int(report.answers["failed"] > 0)


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ValueError(f"`key_variable` names {variable}, which is not set.")
    return os.environ[variable]
