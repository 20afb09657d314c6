# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Time of training on the states of a frozen text encoder, as a ratio against the frozen encoder itself.

    python benchmarks/text_states.py --recipe recipes/mosaic.yaml [--dataset DIR] [--batches N] [--threads N]
        [--output FILE.json] [--NAME VALUE … as for train_hf.py]

Both see the same rows in the same run, in turns. Before anything is timed their logits are compared.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from memory import machine, machine_line
from speed import Loop, be_quiet, epoch_of, evaluation_batches, representative
from transformers import set_seed

from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import build_model, build_trainer, prepare_corpus


# States are kept as float16.
LOGITS_TOLERANCE = 1e-2


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    options, overrides = _make_parser().parse_known_args(arguments)
    be_quiet()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = [options.recipe, "--use_cpu", "true", *overrides]
    recipe += ["--dataset", options.dataset] if options.dataset else []
    try:
        report = measure(recipe, options.batches)
    except ValueError as error:
        print(f"text_states.py: {error}", file=sys.stderr)
        return 2
    report = {"recipe": options.recipe, "overrides": overrides, "machine": machine(), **report}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time against a frozen text encoder.", allow_abbrev=False)
    parser.add_argument("--recipe", required=True, help="whose corpus, model and batches are measured")
    parser.add_argument("--dataset", help="folder of the corpus, where it is not the recipe's")
    parser.add_argument("--batches", type=int, default=20, help="training steps, and evaluation batches")
    parser.add_argument("--threads", type=int, help="of torch; by default one for each core")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure(recipe: list[str], num_batches: int) -> dict[str, Any]:
    """Seconds of encoding the training and validation rows, and of an epoch and an evaluation with either loop."""
    with tempfile.TemporaryDirectory(prefix="univa-states-") as cache:
        loops, seconds = _build_loops(recipe, Path(cache))
        args = loops["tokens"].trainer.args
        train, validation = (getattr(loops["tokens"].trainer, name) for name in ("train_dataset", "eval_dataset"))
        training = representative(train, epoch_of(loops["tokens"].trainer, args.batching), num_batches)
        evaluation = evaluation_batches(loops["tokens"].trainer, num_batches)
        difference = _largest_difference(loops, evaluation)
        found = {"training": _time(loops, training, Loop.training_step, len(train)),
                 "evaluation": _time(loops, evaluation, Loop.evaluation_step, len(validation))}  # fmt: skip
        size = sum(file.stat().st_size for file in Path(cache).rglob("*.arrow"))
    return {
        "batching": args.batching,
        "rows": {"train": len(train), "validation": len(validation)},
        "largest_logit_difference": difference,
        "encoding_seconds": seconds,
        "states_mb": size / 1e6,
        **found,
    }


def _build_loops(recipe: list[str], cache: Path) -> tuple[dict[str, Loop], float]:
    """Both loops with the same weights, and the seconds that making the states took."""
    model_args, data_args, training_args = parse_arguments([*recipe, "--text_states", "true"])
    set_seed(training_args.seed)
    corpus = prepare_corpus(data_args, training_args)
    model, processor = build_model(model_args, corpus)
    loops, seconds = {}, {}
    kept = datasets.config.HF_DATASETS_CACHE
    for name in ("tokens", "states"):
        model_args.text_states = name == "states"
        datasets.config.HF_DATASETS_CACHE = cache
        started = time.perf_counter()
        trainer = build_trainer(copy.deepcopy(model), processor, corpus, data_args, training_args, model_args)
        seconds[name] = time.perf_counter() - started
        trainer.create_optimizer()
        collators = UtteranceCollator(trainer.train_dataset, with_va=True), UtteranceCollator(trainer.eval_dataset)
        loops[name] = Loop(trainer, *collators)
    datasets.config.HF_DATASETS_CACHE = kept
    return loops, seconds["states"] - seconds["tokens"]


def _largest_difference(loops: dict[str, Loop], batches: list[list[int]]) -> float:
    differences = [
        (loops["tokens"].evaluation_step(rows) - loops["states"].evaluation_step(rows)).abs().max().item()
        for rows in batches
    ]
    # Written so that NaN fails too.
    if not max(differences) <= LOGITS_TOLERANCE:
        raise RuntimeError(f"The logits differ by {max(differences):.2e}, more than {LOGITS_TOLERANCE:.0e}.")
    return max(differences)


def _time(loops: dict[str, Loop], batches: list[list[int]], step: Any, rows: int) -> dict[str, Any]:
    seconds: dict[str, float] = dict.fromkeys(loops, 0.0)
    for loop in loops.values():
        step(loop, batches[-1])
    for batch in batches:
        for name, loop in loops.items():
            started = time.perf_counter()
            step(loop, batch)
            seconds[name] += time.perf_counter() - started
    measured = sum(map(len, batches))
    return {
        "rows_timed": measured,
        **{f"{name}_seconds": value / measured * rows for name, value in seconds.items()},
        "ratio": seconds["tokens"] / seconds["states"],
    }


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"{' '.join([report['recipe'], *report['overrides']])}: batching {report['batching']}, "
        f"{report['rows']['train']} training rows, {report['rows']['validation']} validation rows",
        f"Logits equal to {report['largest_logit_difference']:.1e}. The states took "
        f"{report['encoding_seconds']:.1f} s once, and are {report['states_mb']:.0f} MB.",
        "",
        f"{'':<12}{'rows timed':>11}{'frozen encoder, s':>19}{'its states, s':>15}{'ratio':>8}",
    ]
    for phase in ("training", "evaluation"):
        found = report[phase]
        lines.append(
            f"{phase:<12}{found['rows_timed']:>11}{found['tokens_seconds']:>19.1f}{found['states_seconds']:>15.1f}"
            f"{found['ratio']:>7.1f}x"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
