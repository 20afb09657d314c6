# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Memory and time of a training step by the size of its batch, with and without `contrastive_chunk_size`.

    python benchmarks/large_batches.py --batches 32 64 128 256 --chunk 16 [--frames N] [--hidden-size N] [--layers N]
        [--threads N] [--output FILE.json]

A UniVA model of random weights reads random speech features. Each size is measured in a process of its own. Before
that the gradients of the smallest batch without dropout are compared.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from memory import in_fresh_process, machine, machine_line, process_memory

from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


GRADIENT_TOLERANCE = 1e-5
_FEATURE_SIZE = 256
_NO_DROPOUT = dict.fromkeys(
    ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0
)


def main(arguments: list[str] | None = None) -> int:
    """Run; a difference of the gradients ends in one sentence and exit status 2."""
    options = _make_parser().parse_args(arguments)
    sizes = {"frames": options.frames, "hidden_size": options.hidden_size, "layers": options.layers}
    difference = in_fresh_process(gradient_difference, min(options.batches), options.chunk, options.threads, sizes)
    if difference > GRADIENT_TOLERANCE:
        print(f"large_batches.py: The gradients differ by {difference:.1e} of their size.", file=sys.stderr)
        return 2
    found = []
    for rows in options.batches:
        whole, chunked = (
            in_fresh_process(measure_step, rows, chunk, options.threads, sizes) for chunk in (0, options.chunk)
        )
        found.append({"rows": rows, "whole": whole, "chunked": chunked})
    report = {**sizes, "chunk": options.chunk, "gradient_difference": difference, "sizes": found, "machine": machine()}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A training step by the size of its batch.", allow_abbrev=False)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256], help="utterances of a batch")
    parser.add_argument("--chunk", type=int, default=16, help="contrastive_chunk_size")
    parser.add_argument("--frames", type=int, default=100, help="speech frames of an utterance")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def build(chunk: int, sizes: dict[str, int], **options: Any) -> UnivaForEmotionClassification:
    """A model in training mode, the same whatever the chunk."""
    torch.manual_seed(0)
    config = UnivaConfig(
        modalities=["audio"],
        audio_feature_size=_FEATURE_SIZE,
        max_audio_length=sizes["frames"],
        hidden_size=sizes["hidden_size"],
        num_attention_heads=4,
        intermediate_size=4 * sizes["hidden_size"],
        audio_num_hidden_layers=sizes["layers"],
        contrastive_chunk_size=chunk,
        **options,
    )
    return UnivaForEmotionClassification(config).train()


def random_batch(rows: int, frames: int) -> dict[str, torch.Tensor]:
    """Speech features, labels, and valence and arousal of some utterances."""
    generator = torch.Generator().manual_seed(rows)
    return {
        "labels": (torch.rand(rows, 6, generator=generator) < 0.3).float(),
        "audio_features": torch.randn(rows, frames, _FEATURE_SIZE, generator=generator),
        "audio_attention_mask": torch.ones(rows, frames, dtype=torch.long),
        "audio_va": torch.rand(rows, 2, generator=generator) * 2 - 1,
    }


def gradient_difference(rows: int, chunk: int, threads: int, sizes: dict[str, int]) -> float:
    """Of the gradients of a batch in chunks and as a whole, relative to the latter; without dropout."""
    torch.set_num_threads(threads)
    found = []
    for size in (0, chunk):
        model = build(size, sizes, **_NO_DROPOUT)
        model(**random_batch(rows, sizes["frames"])).loss.backward()
        gradients = [value.grad.flatten() for value in model.parameters() if value.grad is not None]
        found.append(torch.cat(gradients))
    return float(torch.linalg.vector_norm(found[1] - found[0]) / torch.linalg.vector_norm(found[0]))


def measure_step(rows: int, chunk: int, threads: int, sizes: dict[str, int]) -> dict[str, float]:
    """CPU seconds of a training step, and the most resident MB in it beyond those of model and batch."""
    torch.set_num_threads(threads)
    model, batch = build(chunk, sizes), random_batch(rows, sizes["frames"])
    # Gradients and what is made once belong to every step.
    model(**random_batch(2, sizes["frames"])).loss.backward()
    start = process_memory("VmRSS")
    # From here on the kernel counts the high-water mark again.
    Path("/proc/self/clear_refs").write_text("5")
    started = time.process_time()
    model(**batch).loss.backward()
    seconds = time.process_time() - started
    return {"seconds": seconds, "start_mb": start / 1e6, "step_mb": (process_memory("VmHWM") - start) / 1e6}


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"{report['layers']} layers of {report['hidden_size']}, {report['frames']} frames; chunks of "
        f"{report['chunk']} utterances; gradients without dropout differ by {report['gradient_difference']:.0e} of "
        "their size.",
        "MB of a step beyond model and batch, and its CPU seconds.",
        f"{'batch':>7}{'whole, MB':>12}{'chunks, MB':>12}{'whole, s':>10}{'chunks, s':>11}{'time ratio':>12}",
    ]
    for size in report["sizes"]:
        whole, chunked = size["whole"], size["chunked"]
        lines.append(
            f"{size['rows']:>7}{whole['step_mb']:>12.0f}{chunked['step_mb']:>12.0f}{whole['seconds']:>10.2f}"
            f"{chunked['seconds']:>11.2f}{chunked['seconds'] / whole['seconds']:>12.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
