# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Makes the analyses of a run, which need its model."""

import tempfile
import time
import traceback
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from ..models.files_univa import explanation
from .analysis_files import NotApplicableError, write_analysis
from .embeddings import make_embeddings
from .robustness import make_robustness
from .similarity import make_similarity
from .trained_run import TrainedRun


__all__ = ["make_analyses"]

_MAKERS: dict[str, Callable[[TrainedRun, Path], dict[str, Any]]] = {
    "embeddings": make_embeddings,
    "similarity": make_similarity,
    "robustness": make_robustness,
}


def make_analyses(
    names: Collection[str],
    run_folder: Path,
    model_folder: Path,
    arguments: tuple[Any, Any, Any],
    media_root: Path | None = None,
) -> list[str]:
    """
    Make analyses; one that fails is noted as failed, with its reason, and the next one is made.

    Args:
        names: keys of `ANALYSES`.
        run_folder: where they are kept.
        model_folder: of the trained model.
        arguments: as `parse_arguments` returned them for the training.
        media_root: folder of the corpus' media, where it is known.

    Returns:
        Names of those that failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        arguments[2].output_dir = scratch
        load = partial(TrainedRun, model_folder, *arguments, media_root=media_root)
        run: TrainedRun | None = None
        failed = []
        for name in (name for name in _MAKERS if name in names):
            started = time.perf_counter()
            try:
                run = run or load()
                status, facts = "complete", _MAKERS[name](run, run_folder)
            except NotApplicableError as error:
                status, facts = "not applicable", {"reason": str(error)}
            except Exception as error:
                # The predictions of the run are there, whatever becomes of its analyses.
                traceback.print_exc()
                status, facts = "failed", {"reason": explanation(error)}
                failed.append(name)
            seconds = round(time.perf_counter() - started, 1)
            write_analysis(run_folder, name, status, {**facts, "seconds": seconds})
            print(f"analysis {name}: {status}, {seconds} s", flush=True)
    return failed
