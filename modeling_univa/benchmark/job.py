# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
The process of one run of a benchmark, by the same door as `univa train`.

    python -m modeling_univa.benchmark.job train STORE RUN
    python -m modeling_univa.benchmark.job analyse STORE RUN
    python -m modeling_univa.benchmark.job prepare RECIPE.yaml

What it needs lies in the store, so that it may run on any machine that sees it.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from ..corpora.build import media_folder
from ..data.corpus import Corpus
from ..data.loading import make_split
from ..features.shards import library_versions
from ..models.files_univa import explanation, whole_file
from ..models.trusted_paths_univa import without_places
from ..scores.predictions import PREDICTIONS_FILES
from ..training.arguments import DataArguments, parse_arguments
from ..training.frozen_text import frozen_encoder
from ..training.run import (
    build_model,
    choose_splits,
    make_test_split,
    prepare_corpus,
    prepare_test_corpus,
    run_training,
)
from ..training.same_run import ARGUMENTS_FILE
from .analyses import make_analyses
from .baselines import BASELINES, fit_baseline
from .store import RunStore


__all__ = ["FAILED", "INTERRUPTED", "analyse_command", "main", "prepare_command", "train_command"]

FAILED, INTERRUPTED = 1, 130
_MODULE = "modeling_univa.benchmark.job"


def train_command(store: RunStore, run: str, keep_model: bool) -> list[str]:
    """The command line of a run that the store holds the recipe of."""
    keep = ["--keep-model"] if keep_model else []
    return [sys.executable, "-m", _MODULE, "train", str(store.folder.resolve()), run, *keep]


def analyse_command(store: RunStore, run: str, keep_model: bool) -> list[str]:
    """The command line of the analyses, that the store has noted, of a run that is complete."""
    keep = ["--keep-model"] if keep_model else []
    return [sys.executable, "-m", _MODULE, "analyse", str(store.folder.resolve()), run, *keep]


def prepare_command(recipe: Path) -> list[str]:
    """The command line that makes what several runs share: the corpus, and the states of a frozen text encoder."""
    return [sys.executable, "-m", _MODULE, "prepare", str(recipe)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 0, `FAILED` with the reason told, or `INTERRUPTED`."""
    parser = argparse.ArgumentParser(prog=_MODULE)
    parser.add_argument("task", choices=("train", "analyse", "prepare"))
    parser.add_argument("place")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--keep-model", action="store_true")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if options.task == "prepare":
        return _guarded(lambda: _prepare(options.place))
    store = RunStore(options.place)
    if options.task == "analyse":
        return _guarded(lambda: _analyse(store, options.run, options.keep_model))
    return _guarded(
        lambda: _train(store, options.run, options.keep_model),
        lambda reason: _fail(store, options.run, reason),
    )


def _end_with_parent() -> None:
    """However the parent ends, the system closes the other end of our standard input."""
    while os.read(0, 1024):
        pass
    os._exit(INTERRUPTED)


def _guarded(work: Callable[[], None], on_failure: Callable[[str], None] = lambda reason: None) -> int:
    try:
        work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        reason = explanation(error)
        print(reason, file=sys.stderr, flush=True)
        on_failure(reason)
        return FAILED
    return 0


def _fail(store: RunStore, run: str, reason: str) -> None:
    stored = store.read(run)
    if stored is not None and stored.status == "complete":  # an analysis broke, not the run
        return
    store.fail(run, reason, FAILED)
    store.tidy(run, keep_model=False)


def _train(store: RunStore, run: str, keep_model: bool) -> None:
    started = time.perf_counter()
    output = ["--output_dir", str(store.model_folder(run)), "--disable_tqdm", "true"]
    arguments = parse_arguments([str(store.recipe_file(run)), *output])
    stored = store.read(run)
    system = stored.content["system"] if stored else ""
    if system in BASELINES:
        facts = _baseline_facts(fit_baseline(system, *arguments, store.run_folder(run)))
        store.complete(run, {"seconds": round(time.perf_counter() - started, 1), **facts, **_facts("cpu")})
        store.tidy(run, keep_model)
        return
    measured = _Measured()
    run_training(*arguments, callbacks=[measured])
    model = store.model_folder(run)
    files = [model / name for name in PREDICTIONS_FILES if (model / name).is_file()]
    if not files:
        raise ValueError("Nothing was evaluated: the corpus has neither a split to validate nor one to test on.")
    for file in files:
        with whole_file(store.run_folder(run) / file.name) as scratch:
            scratch.write_bytes(file.read_bytes())
    seconds = measured.earlier_seconds + time.perf_counter() - started
    device = arguments[2].device.type
    store.complete(run, {"seconds": round(seconds, 1), **measured.sizes, **_facts(device), **_corpus_facts(model)})
    if store.requested_analyses(run) is not None:
        _analyse(store, run, keep_model)
    else:
        store.tidy(run, keep_model)


def _analyse(store: RunStore, run: str, keep_model: bool) -> None:
    """Make what is noted; the model stays where it was kept on purpose, or where an analysis of it failed."""
    request = store.requested_analyses(run)
    if request is None:
        return
    recipe = {**request["recipe"], "output_dir": str(store.model_folder(run)), "disable_tqdm": True}
    arguments = parse_arguments([], recipe)
    found = request["media_root"] or _media_root(arguments[1])
    media_root = Path(found) if found else None
    folders = store.run_folder(run), store.model_folder(run)
    failed = make_analyses(request["analyses"], *folders, arguments, media_root)
    store.end_analyses(run)
    if not failed and store.recipe_file(run).exists():
        store.tidy(run, keep_model)


def _media_root(data_args: DataArguments) -> str | None:
    """The folder that a corpus was built from, as far as the recipe says it."""
    source, script = data_args.corpus_source, data_args.corpus_script
    if source is not None and script is not None and Path(source).is_file():
        return media_folder(script, str(data_args.dataset), source, data_args.corpus_options or [])
    if source is not None or script is None:
        return source
    beside = f"{str(data_args.dataset).rstrip(os.sep)}-media"
    return beside if Path(beside).is_dir() else None


def _baseline_facts(corpus: Corpus) -> dict[str, Any]:
    return {
        "corpus_rows": {split: len(rows) for split, rows in corpus.splits.items()},
        "corpus_labels": corpus.label_names,
        "corpus_extractors": {name: without_places(made_by) for name, made_by in corpus.extractors.items()},
    }


class _Measured(TrainerCallback):
    """The size of a model, and how long it was trained before this process."""

    def __init__(self) -> None:
        self.earlier_seconds = 0.0
        self.sizes = {"parameters": 0, "trained_parameters": 0}

    def on_train_begin(self, args, state: TrainerState, control, model=None, **kwargs: Any) -> None:
        self.earlier_seconds = _training_seconds(state.log_history)
        sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
        self.sizes["parameters"] = sum(size for size, _ in sizes)
        self.sizes["trained_parameters"] = sum(size for size, trained in sizes if trained)


def _training_seconds(log: Sequence[dict[str, Any]]) -> float:
    return max((entry.get("training_seconds", 0.0) for entry in log), default=0.0)


def _facts(device: str) -> dict[str, Any]:
    """Of the process: memory, machine and code."""
    facts = {
        "peak_memory_bytes": _peak_memory(),
        "peak_accelerator_memory_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": {"univa": _own_version(), "python": platform.python_version(), **library_versions()},
        "commit": _commit(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _corpus_facts(model: Path) -> dict[str, Any]:
    """Rows, labels and extractors of the corpus, as the run has noted them."""
    noted = json.loads((model / ARGUMENTS_FILE).read_text(encoding="utf-8"))
    extractors = {name: without_places(made_by) for name, made_by in noted["corpus_extractors"].items()}
    training = json.loads((model / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    return {
        "training_seconds": _training_seconds(training["log_history"]),
        "corpus_rows": noted["corpus_rows"],
        "corpus_labels": noted["corpus_labels"],
        "corpus_extractors": extractors,
    }


def _peak_memory() -> int | None:
    """Largest resident memory of this process in bytes, where the system tells it (Linux)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 if found else None


def _own_version() -> str | None:
    try:
        return metadata.version("univa")
    except metadata.PackageNotFoundError:  # a source tree that was not installed
        return None


def _commit() -> str | None:
    """Of the repository that this code is run from, with -dirty where it was changed; `None` where it is installed."""
    repository = Path(__file__).resolve().parents[2]
    if not (repository / ".git").exists():
        return None
    command = ["git", "-C", str(repository), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _prepare(recipe: str) -> None:
    model_args, data_args, training_args = parse_arguments([recipe])
    corpus = prepare_corpus(data_args, training_args)
    if not model_args.text_states:
        return
    model, processor = build_model(model_args, corpus)
    model.to(training_args.device)
    encoder, test_corpus = frozen_encoder(model, model_args), prepare_test_corpus(data_args, corpus)
    eval_split, test_split = choose_splits(corpus, data_args, training_args, test_corpus)
    for split in {data_args.train_split, eval_split} - {None}:
        make_split(corpus, str(split), processor, model.config, text_encoder=encoder)
    make_test_split(test_corpus, test_split, data_args, processor, model.config, encoder)


if __name__ == "__main__":
    sys.exit(main())
