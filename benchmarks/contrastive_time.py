# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
CPU time of UniVA's contrastive loss of one modality, against the matrix products that are in it.

    python benchmarks/contrastive_time.py [--batch N] [--widths N …] [--repeats N] [--threads N] [--output FILE.json]

Products of the embeddings with each other, the loss, and the loss with its gradient take turns. The bound is the
arithmetic of the products (2 B² H operations forward, 6 with the gradient) at the speed of a large one in this run.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from memory import machine, machine_line
from step import peak

from modeling_univa.models.losses_univa import modality_contrastive_loss, va_positives


def main(arguments: list[str] | None = None) -> int:
    """Run."""
    parser = argparse.ArgumentParser(description="CPU time of the contrastive loss.", allow_abbrev=False)
    parser.add_argument("--batch", type=int, default=1024, help="utterances")
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 768], help="sizes of an embedding")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of torch; CPU time says most for one")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    found = [measure(options.batch, width, options.repeats) for width in options.widths]
    report = {"machine": machine(), "threads": options.threads, "repeats": options.repeats, "widths": found}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(batch: int, width: int, repeats: int) -> dict[str, Any]:
    """Median CPU milliseconds of the products, the loss, and the loss with its gradient; and the bound of each."""
    generator = torch.Generator().manual_seed(0)
    embeds = (torch.randn(batch, width, generator=generator) / width**0.5).requires_grad_()
    va = torch.rand(batch, 2, generator=generator) * 2 - 1

    def loss() -> torch.Tensor:
        return modality_contrastive_loss(embeds, va_positives(va, 0.1), 0.7, "released")

    def with_gradient() -> None:
        embeds.grad = None
        loss().backward()

    rows = embeds.detach()
    jobs: dict[str, Callable[[], Any]] = {
        "product": lambda: rows @ rows.T,
        "loss": torch.no_grad()(loss),
        "loss and gradient": with_gradient,
    }
    times: dict[str, list[float]] = {name: [] for name in (*jobs, "peak")}
    for turn in range(-1, repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if turn >= 0:
                times[name].append(1e3 * (time.process_time() - start))
        if turn % 5 == 0:
            times["peak"].append(peak())
    found = {name: statistics.median(values) for name, values in times.items()}
    bound = 2 * batch**2 * width / found["peak"] / 1e6
    return {"batch": batch, "width": width, "ms": found, "bound_ms": {"loss": bound, "loss and gradient": 3 * bound}}


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"Medians of {report['repeats']} in turns, {report['threads']} threads, CPU time.",
        "",
        "| B | H | part | ms | bound, ms | bound / ms |",
        "|---|---|---|---|---|---|",
    ]
    for found in report["widths"]:
        for part, bound in found["bound_ms"].items():
            spent = found["ms"][part]
            cells = [found["batch"], found["width"], part, f"{spent:.1f}", f"{bound:.1f}", f"{bound / spent:.0%}"]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
