# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Seconds of a training step of every system, each by its own recipe, as ratios against UniVA's.

    python benchmarks/systems.py [--recipes recipes/mosaic] [--dataset DIR] [--batches N] [--threads N]
        [--output FILE.json]

All see the same rows in the same run, in turns.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from memory import machine, machine_line
from speed import Loop, be_quiet, epoch_of
from transformers import set_seed

from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import build_model, build_trainer, prepare_corpus


ANCHOR = "univa"


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    parser = argparse.ArgumentParser(description="Seconds of a training step of every system.", allow_abbrev=False)
    parser.add_argument("--recipes", default="recipes/mosaic", help="folder with a recipe NAME.yaml of each system")
    parser.add_argument("--dataset", help="folder of the corpus, where it is not the recipes'")
    parser.add_argument("--batches", type=int, default=20, help="training steps")
    parser.add_argument("--threads", type=int, help="of torch; by default one for each core")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options = parser.parse_args(arguments)
    be_quiet()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        report = measure(options.recipes, options.dataset, options.batches)
    except ValueError as error:
        print(f"systems.py: {error}", file=sys.stderr)
        return 2
    report = {"recipes": options.recipes, "machine": machine(), **report}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(recipes: str, dataset: str | None, num_batches: int) -> dict[str, Any]:
    """
    Median seconds of a step and trained parameters of each system.

    Raises:
        ValueError: there is no recipe of UniVA, or one cannot be followed.
    """
    paths = sorted(Path(recipes).glob("*.yaml"))
    if ANCHOR not in [path.stem for path in paths]:
        raise ValueError(f"{recipes} has no {ANCHOR}.yaml, which the others are compared with")
    loops = {path.stem: build_loop([str(path), *(["--dataset", dataset] if dataset else [])]) for path in paths}
    first = loops[ANCHOR].trainer
    epoch = epoch_of(first, first.args.batching)
    batches = epoch[:: max(1, len(epoch) // num_batches)][:num_batches]
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for batch in [batches[-1], *batches]:
        for name, loop in loops.items():
            started = time.perf_counter()
            loop.training_step(batch)
            seconds[name].append(time.perf_counter() - started)
    # The first step makes room for the optimiser's state.
    median = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    return {"rows": sum(map(len, batches)), "systems": {name: _facts(loops[name], median, name) for name in loops}}


def _facts(loop: Loop, median: dict[str, float], name: str) -> dict[str, float]:
    weights = [weight for weight in loop.trainer.model.parameters() if weight.requires_grad]
    parameters = sum(weight.numel() for weight in weights)
    return {"seconds": median[name], "ratio": median[name] / median[ANCHOR], "trained_parameters": parameters}


def build_loop(recipe: list[str]) -> Loop:
    """Training steps of a recipe, its path followed by options of `train_hf.py`; nothing is trained yet."""
    model_args, data_args, training_args = parse_arguments([*recipe, "--use_cpu", "true"])
    set_seed(training_args.seed)
    corpus = prepare_corpus(data_args, training_args)
    model, processor = build_model(model_args, corpus)
    trainer = build_trainer(model, processor, corpus, data_args, training_args, model_args)
    trainer.model.fit_statistics(trainer.train_dataset)
    trainer.create_optimizer()
    return Loop(
        trainer, UtteranceCollator(trainer.train_dataset, with_va=True), UtteranceCollator(trainer.train_dataset)
    )


def _table(report: dict[str, Any]) -> str:
    lines = [machine_line(report["machine"]), f"{report['recipes']}: {report['rows']} rows timed", ""]
    lines.append(f"{'system':<12}{'trained parameters':>20}{'s a step':>10}{'ratio':>8}")
    for name, found in sorted(report["systems"].items(), key=lambda item: item[1]["seconds"]):
        lines.append(f"{name:<12}{found['trained_parameters']:>20,}{found['seconds']:>10.3f}{found['ratio']:>7.1f}x")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
