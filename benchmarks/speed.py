# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Time and memory of a recipe's training step and evaluation pass, as ratios against the naive loop of naive.py.

    python benchmarks/speed.py --recipe recipes/mosaic.yaml [--dataset DIR] [--batches N] [--threads N]
        [--output FILE.json] [--NAME VALUE … as for train_hf.py]

Both loops see the same rows in the same run, in turns: ours, naive, ours, naive, …. Before anything is timed their
logits and losses are compared.
"""

import argparse
import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from memory import in_fresh_process, machine, machine_line, process_memory
from naive import NaiveCollator, NaiveObjective, longest_clips
from transformers import set_seed
from transformers.utils import logging

from modeling_univa.data.samplers import BATCHINGS, UtteranceBatchSampler
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import build_model, build_trainer, prepare_corpus
from modeling_univa.training.trainer import UnivaTrainer


LOGITS_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-4

Batches = list[list[int]]


@dataclass
class Loop:
    """One way to turn rows into training steps and scores."""

    trainer: UnivaTrainer
    train_collator: UtteranceCollator
    eval_collator: UtteranceCollator

    def training_step(self, rows: list[int]) -> None:
        """Collate, forward, objective, backward, optimiser step."""
        trainer = self.trainer
        trainer.model.train()
        batch = self.train_collator(trainer.train_dataset.__getitems__(rows))
        with trainer.compute_loss_context_manager():
            loss: Any = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        trainer.model.zero_grad()

    @torch.no_grad()
    def evaluation_step(self, rows: list[int]) -> torch.Tensor:
        """Logits `(rows, C)` of rows of the validation split."""
        trainer = self.trainer
        trainer.model.eval()
        batch = self.eval_collator(trainer.eval_dataset.__getitems__(rows))
        with trainer.compute_loss_context_manager():
            outputs: Any = trainer.compute_loss(trainer.model, batch, return_outputs=True)[1]
        return outputs.logits

    @torch.no_grad()
    def losses(self, rows: list[int]) -> tuple[torch.Tensor, dict[str, float]]:
        """Logits of training rows and every term of the objective, without dropout."""
        self.trainer.model.eval()
        batch = self.train_collator(self.trainer.train_dataset.__getitems__(rows))
        va = {name: batch.pop(name) for name in list(batch) if name.endswith("_va")}
        outputs = self.trainer.model(**batch)
        outputs = self.trainer.model.with_loss(outputs, batch["labels"], va)
        terms = {"loss": outputs.loss, **outputs.loss_terms}
        return outputs.logits, {name: value.item() for name, value in terms.items()}


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
        if not options.skip_memory:
            report["memory"] = measure_memory(recipe)
    except ValueError as error:
        print(f"speed.py: {error}", file=sys.stderr)
        return 2
    report = {"recipe": options.recipe, "overrides": overrides, "machine": machine(), **report}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def be_quiet() -> None:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time and memory against a naive loop.", allow_abbrev=False)
    parser.add_argument("--recipe", required=True, help="whose corpus, model and batches are measured")
    parser.add_argument("--dataset", help="folder of the corpus, where it is not the recipe's")
    parser.add_argument("--batches", type=int, default=10, help="training steps, and evaluation batches")
    parser.add_argument("--threads", type=int, help="of torch; by default one for each core")
    parser.add_argument("--skip-memory", action="store_true", help="time only")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def build_loops(recipe: list[str], names: tuple[str, ...] = ("ours", "naive")) -> dict[str, Loop]:
    """
    The loops, each with a model and an optimiser of its own and with the same weights.

    Raises:
        ValueError: the recipe has no text encoder, or cannot be run.
    """
    model_args, data_args, training_args = parse_arguments(recipe)
    set_seed(training_args.seed)
    corpus = prepare_corpus(data_args, training_args)
    model, processor = build_model(model_args, corpus)
    first = build_trainer(model, processor, corpus, data_args, training_args)
    if not first.train_dataset.has_tokens:
        raise ValueError("What the naive loop does worse is the dialogues; take a recipe with a `text_model`.")
    trainers = [first]
    for _ in names[1:]:
        splits = first.train_dataset, first.eval_dataset
        trainers.append(UnivaTrainer(copy.deepcopy(model), training_args, *splits, processing_class=processor))
    return {name: _loop(name, trainer) for name, trainer in zip(names, trainers, strict=True)}


def _loop(name: str, trainer: UnivaTrainer) -> Loop:
    train, validation = trainer.train_dataset, trainer.eval_dataset
    trainer.create_optimizer()
    if name == "ours":
        return Loop(trainer, UtteranceCollator(train, with_va=True), UtteranceCollator(validation))
    trainer.model.objective_class = NaiveObjective
    longest = longest_clips(train, validation)
    return Loop(trainer, NaiveCollator(train, longest, with_va=True), NaiveCollator(validation, longest))


def measure(recipe: list[str], num_batches: int) -> dict[str, Any]:
    """Everything but memory, in this process."""
    loops = build_loops(recipe)
    trainer = loops["ours"].trainer
    epochs = {batching: epoch_of(trainer, batching) for batching in BATCHINGS}
    # Dialogues that are not cut make more batches of fewer rows.
    count = min(num_batches, *map(len, epochs.values()))
    chosen = {name: representative(trainer.train_dataset, epoch, count) for name, epoch in epochs.items()}
    training = chosen[trainer.args.batching]
    # The order matters: only while no step was taken do both have the same weights.
    equality = check_equal(loops, [training[0], training[-1]])
    evaluation = evaluation_batches(trainer, num_batches)
    report = {
        "batching": trainer.args.batching,
        "splits": {"train": len(trainer.train_dataset), "validation": len(trainer.eval_dataset)},
        "evaluation": time_evaluation(loops, evaluation, equality),
        "training": time_training(loops, training),
        "equality": equality,
    }
    for name, batches in (("training", training), ("evaluation", evaluation)):
        dataset = trainer.train_dataset if name == "training" else trainer.eval_dataset
        report[name]["tokens"] = {
            "ours": encoded_tokens(dataset, batches),
            "naive": report[name]["rows"] * dataset.processor.max_text_length,
        }
    return {**report, "batchings": compare_batchings(loops["ours"], epochs, chosen)}


def epoch_of(trainer: UnivaTrainer, batching: str) -> Batches:
    dataset, args = trainer.train_dataset, trainer.args
    return list(
        UtteranceBatchSampler(dataset.lengths, dataset.dialogues, args.train_batch_size, batching, seed=args.seed)
    )


def representative(dataset: UtteranceDataset, epoch: Batches, num_batches: int) -> Batches:
    """Batches of an epoch, evenly spaced in the order of their tokens, so that few of them stand for all."""
    order = np.argsort([encoded_tokens(dataset, [batch]) for batch in epoch], kind="stable")
    places = (np.arange(min(num_batches, len(epoch))) + 0.5) / min(num_batches, len(epoch)) * len(epoch)
    return [epoch[order[int(place)]] for place in places]


def evaluation_batches(trainer: UnivaTrainer, num_batches: int | None = None) -> Batches:
    rows, size = len(trainer.eval_dataset), trainer.args.eval_batch_size
    starts = range(0, rows, size)[:num_batches]
    return [list(range(start, min(start + size, rows))) for start in starts]


def encoded_tokens(dataset: UtteranceDataset, batches: Batches) -> int:
    """Tokens that the text encoder is given for some batches, padding included."""
    lengths = np.array([len(row) for row in dataset.token_rows])
    used = [np.unique(dataset.row_of_utterance[batch]) for batch in batches]
    return int(sum(len(rows) * lengths[rows].max() for rows in used))


def check_equal(loops: dict[str, Loop], batches: Batches) -> dict[str, float]:
    """
    Compare logits and every term of the objective over some training batches, without dropout.

    Raises:
        RuntimeError: the loops do not compute the same.
    """
    equality = {"rows": 0, "largest_logit_difference": 0.0, "largest_relative_loss_difference": 0.0}
    for rows in batches:
        (logits, terms), (naive_logits, naive_terms) = (loop.losses(rows) for loop in loops.values())
        _note_logits(equality, logits, naive_logits)
        for name, value in terms.items():
            difference = abs(value - naive_terms[name]) / max(abs(value), 1e-12)
            _note(equality, "largest_relative_loss_difference", difference, LOSS_TOLERANCE, name)
    return equality


def _note_logits(equality: dict[str, float], ours: torch.Tensor, naive: torch.Tensor) -> None:
    equality["rows"] += len(ours)
    difference = (ours - naive).abs().max().item()
    _note(equality, "largest_logit_difference", difference, LOGITS_TOLERANCE, "logits")


def _note(equality: dict[str, float], key: str, difference: float, tolerance: float, what: str) -> None:
    # Written so that NaN fails too.
    if not difference <= tolerance:
        raise RuntimeError(f"The loops differ: {what} by {difference:.2e}, more than {tolerance:.0e}.")
    equality[key] = max(equality[key], difference)


def time_evaluation(loops: dict[str, Loop], batches: Batches, equality: dict[str, float]) -> dict[str, Any]:
    """Seconds of each evaluation batch in each loop; the logits are compared on the way."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for warm_up, rows in [(True, batches[0]), *((False, rows) for rows in batches)]:
        logits = {}
        for name, loop in loops.items():
            started = time.perf_counter()
            logits[name] = loop.evaluation_step(rows)
            if not warm_up:
                seconds[name].append(time.perf_counter() - started)
        if not warm_up:
            _note_logits(equality, logits["ours"], logits["naive"])
    return _comparison(seconds, batches)


def time_training(loops: dict[str, Loop], batches: Batches) -> dict[str, Any]:
    """Seconds of each training step in each loop."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop.training_step(batches[-1])
    for rows in batches:
        for name, loop in loops.items():
            started = time.perf_counter()
            loop.training_step(rows)
            seconds[name].append(time.perf_counter() - started)
    return _comparison(seconds, batches)


def _comparison(seconds: dict[str, list[float]], batches: Batches) -> dict[str, Any]:
    """Figures of both loops; the ratio is that of the sums, since batches differ in size."""
    single = np.array(seconds["naive"]) / np.array(seconds["ours"])
    return {
        "rows": sum(len(rows) for rows in batches),
        "batches": len(batches),
        **{name: _spread(values) for name, values in seconds.items()},
        "ratio": sum(seconds["naive"]) / sum(seconds["ours"]),
        "ratio_of_single_batches": [single.min(), single.max()],
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    quartiles = (1e3 * np.percentile(seconds, [25, 50, 75])).tolist()
    return {"seconds": sum(seconds), **dict(zip(("ms_25%", "ms_median", "ms_75%"), quartiles, strict=True))}


def compare_batchings(loop: Loop, epochs: dict[str, Batches], chosen: dict[str, Batches]) -> dict[str, Any]:
    """Tokens of an epoch, counted, and its seconds, estimated from the chosen batches, for each kind of batches."""
    seconds = dict.fromkeys(chosen, 0.0)
    for rows_of_each in zip(*chosen.values(), strict=True):
        for name, rows in zip(chosen, rows_of_each, strict=True):
            started = time.perf_counter()
            loop.training_step(rows)
            seconds[name] += time.perf_counter() - started
    dataset = loop.trainer.train_dataset
    report = {}
    for name, batches in chosen.items():
        rows = sum(len(batch) for batch in batches)
        report[name] = {
            "rows": rows,
            "seconds_per_epoch": seconds[name] / rows * len(dataset),
            "tokens_per_epoch": encoded_tokens(dataset, epochs[name]),
            "dialogues_per_batch": float(np.mean([len(set(dataset.dialogues[batch])) for batch in epochs[name]])),
        }
    return report


def measure_memory(recipe: list[str]) -> dict[str, Any]:
    """Largest resident memory of each loop and phase, each in a process of its own."""
    threads = torch.get_num_threads()
    found: dict[str, Any] = {}
    for phase in ("training", "evaluation"):
        ours, naive = (in_fresh_process(peak_memory, recipe, threads, name, phase) for name in ("ours", "naive"))
        found[phase] = {"ours": ours, "naive": naive, "ratio": naive["peak_mb"] / ours["peak_mb"]}
    return found


def peak_memory(recipe: list[str], threads: int, name: str, phase: str) -> dict[str, float]:
    """Resident MB of this process once a loop is built, and the most during the two largest batches of a phase."""
    torch.set_num_threads(threads)
    be_quiet()
    loop = build_loops(recipe, (name,))[name]
    trainer, training = loop.trainer, phase == "training"
    dataset = trainer.train_dataset if training else trainer.eval_dataset
    epoch = epoch_of(trainer, trainer.args.batching) if training else evaluation_batches(trainer)
    largest = sorted(epoch, key=lambda batch: encoded_tokens(dataset, [batch]))[-2:]
    start = process_memory("VmRSS")
    # From here on the kernel counts the high-water mark again. ru_maxrss would be the parent's where that is larger.
    Path("/proc/self/clear_refs").write_text("5")
    for rows in largest:
        if training:
            loop.training_step(rows)
        else:
            loop.evaluation_step(rows)
    return {"rows": sum(map(len, largest)), "start_mb": start / 1e6, "peak_mb": process_memory("VmHWM") / 1e6}


def _table(report: dict[str, Any]) -> str:
    equality, splits = report["equality"], report["splits"]
    lines = [
        machine_line(report["machine"]),
        f"{' '.join([report['recipe'], *report['overrides']])}: batching {report['batching']}, {splits['train']} "
        f"training rows, {splits['validation']} validation rows",
        f"Equal on {equality['rows']} rows: logits to {equality['largest_logit_difference']:.1e}, each term of the "
        f"loss to {equality['largest_relative_loss_difference']:.1e} of its size.",
        "",
        f"{'':<12}{'batches':>8}{'rows':>7}{'ours, ms (quartiles)':>25}{'naive, ms (quartiles)':>28}{'ratio':>8}"
        f"{'single batches':>17}{'tokens, ours':>14}{'naive':>10}",
    ]
    for phase in ("training", "evaluation"):
        found = report[phase]
        lowest, highest = found["ratio_of_single_batches"]
        lines.append(
            f"{phase:<12}{found['batches']:>8}{found['rows']:>7}{_quartiles(found['ours']):>25}"
            f"{_quartiles(found['naive']):>28}{found['ratio']:>7.1f}x{f'{lowest:.1f} - {highest:.1f}':>17}"
            f"{found['tokens']['ours']:>14}{found['tokens']['naive']:>10}"
        )
    return "\n".join([*lines, *_memory_lines(report.get("memory", {})), *_batching_lines(report["batchings"])])


def _quartiles(found: dict[str, float]) -> str:
    return f"{found['ms_median']:.0f} ({found['ms_25%']:.0f} - {found['ms_75%']:.0f})"


def _memory_lines(memory: dict[str, Any]) -> list[str]:
    lines = [""]
    for phase, found in memory.items():
        ours, naive = found["ours"], found["naive"]
        lines.append(
            f"Resident memory, {phase}, the {ours['rows']} and {naive['rows']} rows of the two largest batches, MB: "
            f"ours {ours['start_mb']:.0f} before, {ours['peak_mb']:.0f} at most; naive {naive['start_mb']:.0f} and "
            f"{naive['peak_mb']:.0f}: {found['ratio']:.1f}x."
        )
    return lines


def _batching_lines(batchings: dict[str, Any]) -> list[str]:
    header = f"{'batching':<12}{'rows timed':>11}{'s an epoch':>12}{'tokens an epoch':>17}{'dialogues a batch':>19}"
    return ["", header] + [
        f"{name:<12}{found['rows']:>11}{found['seconds_per_epoch']:>12.0f}{found['tokens_per_epoch']:>17}"
        f"{found['dialogues_per_batch']:>19.1f}"
        for name, found in batchings.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
