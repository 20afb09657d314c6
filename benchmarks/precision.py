# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Time of a training step and of an evaluation pass in each precision, at the size of the paper, as ratios to float32.

    python benchmarks/precision.py [--systems NAME …] [--steps N] [--rounds N] [--threads N] [--output FILE.json]
        [--NAME VALUE … fields of the configurations, as JSON]

Models of random weights with RoBERTa-base (section 4.1) read twelve utterances of two dialogues, on the accelerator
where there is one. The precisions take turns on one model, and their probabilities are compared.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from memory import machine, machine_line
from transformers import RobertaConfig

from modeling_univa.models.systems import SYSTEMS, system_named


#: Utterances of each dialogue, tokens of a dialogue, and frames of the shortest and longest clip.
DIALOGUES, UTTERANCES, TOKENS = 2, 6, 512
FRAMES = {"audio": (30, 157), "vision": (20, 100)}
FEATURE_SIZES = {"audio": 1024, "vision": 512}

PRECISIONS = {"float32": None, "tf32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    parser = argparse.ArgumentParser(description="Time of a step in each precision.", allow_abbrev=False)
    parser.add_argument("--systems", nargs="+", default=["univa"], choices=sorted(SYSTEMS))
    parser.add_argument("--steps", type=int, default=10, help="of each precision in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of torch; by default one for each core")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options, fields = parser.parse_known_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        names = [field.removeprefix("--") for field in fields[::2]]
        overrides = dict(zip(names, map(json.loads, fields[1::2]), strict=True))
        found = {name: measure(name, device, options.steps, options.rounds, overrides) for name in options.systems}
    except (ValueError, TypeError) as error:
        print(f"precision.py: {error}", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    report = {"machine": machine(), "device": name, "steps": options.steps, "rounds": options.rounds, "systems": found}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(
    system: str, device: torch.device, steps: int, rounds: int, overrides: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """
    For each precision that the device has: median seconds of a training step and of an evaluation pass, the most
    memory that was allocated on the accelerator in a step in MB (model and optimizer too), and the largest difference
    of a probability to float32.
    """
    torch.manual_seed(0)
    class_ = system_named(system)
    text = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    sizes = {f"{name}_feature_size": size for name, size in FEATURE_SIZES.items()}
    config = class_.config_class(**{"text_config": text, "max_text_length": TOKENS, **sizes, **overrides})
    model = class_(config).to(device)
    batch = {name: value.to(device) for name, value in make_batch(config).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def train(scaler: torch.amp.GradScaler) -> None:
        scaler.scale(model(**batch).loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    inputs = {name: value for name, value in batch.items() if name != "labels" and not name.endswith("_va")}

    @torch.no_grad()
    def evaluate() -> torch.Tensor:
        return config.probabilities(model(**inputs).logits.float())

    # TF32 and scaled gradients are CUDA's.
    names = [name for name in PRECISIONS if device.type == "cuda" or name in ("float32", "bfloat16")]
    scalers = {name: torch.amp.GradScaler(device.type, enabled=name == "float16") for name in names}
    seconds: dict[str, dict[str, list[float]]] = {name: {"training": [], "evaluation": []} for name in names}
    memory, probabilities = dict.fromkeys(names, 0.0), {}
    model.eval()
    for name in names:
        with precision(name, device):
            probabilities[name] = evaluate()
    for turn in range(-1, rounds):
        for name in names:
            for phase, call in (("training", partial(train, scalers[name])), ("evaluation", evaluate)):
                model.train(phase == "training")
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                with precision(name, device):
                    elapsed = _time(call, steps if turn >= 0 else 3, device)
                if turn >= 0:
                    seconds[name][phase].append(elapsed)
                if device.type == "cuda" and phase == "training":
                    memory[name] = torch.cuda.max_memory_allocated(device) / 1e6
    return {
        name: {
            **{phase: statistics.median(values) for phase, values in seconds[name].items()},
            "memory_mb": memory[name],
            "difference": float((probabilities[name] - probabilities["float32"]).abs().max()),
        }
        for name in names
    }


def make_batch(config: Any) -> dict[str, torch.Tensor]:
    """Random inputs of `forward`, with labels, and valence and arousal."""
    generator = torch.Generator().manual_seed(0)
    rows, own = DIALOGUES * UTTERANCES, TOKENS // UTTERANCES
    starts = torch.arange(UTTERANCES).repeat(DIALOGUES) * own
    batch = {
        "input_ids": torch.randint(10, config.text_config.vocab_size, (DIALOGUES, TOKENS), generator=generator),
        "attention_mask": torch.ones(DIALOGUES, TOKENS, dtype=torch.long),
        "dialogue_index": torch.arange(DIALOGUES).repeat_interleave(UTTERANCES),
        "utterance_span": torch.stack([starts, starts + own], dim=1),
        "position": torch.arange(UTTERANCES).repeat(DIALOGUES),
        "speaker_index": torch.arange(rows) % 2,
        "labels": (torch.rand(rows, config.num_labels, generator=generator) < 0.3).float(),
    }
    for name, (shortest, longest) in FRAMES.items():
        lengths = torch.linspace(shortest, longest, rows).round()
        batch[f"{name}_features"] = torch.randn(rows, longest, FEATURE_SIZES[name], generator=generator)
        batch[f"{name}_attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
        batch[f"{name}_features"] *= batch[f"{name}_attention_mask"][..., None]
    for name in config.modalities:
        batch[f"{name}_va"] = torch.rand(rows, 2, generator=generator) * 2 - 1
    return batch


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """What is computed inside is computed in this precision; `tf32` is that of products and convolutions."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    dtype = PRECISIONS[name]
    try:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _time(call: Callable[[], Any], steps: int, device: torch.device) -> float:
    """Seconds of one call, the mean of some in a row."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        call()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return (time.perf_counter() - start) / steps


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"On {report['device']}: {DIALOGUES * UTTERANCES} utterances of {DIALOGUES} dialogues of {TOKENS} tokens; "
        f"median of {report['rounds']} rounds of {report['steps']} steps.",
        "",
        "| system | precision | training, ms | ratio | evaluation, ms | ratio | most MB | probability off by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system, precisions in report["systems"].items():
        anchor = precisions["float32"]
        for name, found in precisions.items():
            cells = [
                system, name,
                f"{1000 * found['training']:.1f}", f"{anchor['training'] / found['training']:.2f}",
                f"{1000 * found['evaluation']:.1f}", f"{anchor['evaluation'] / found['evaluation']:.2f}",
                f"{found['memory_mb']:.0f}" if found["memory_mb"] else "", f"{found['difference']:.0e}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
