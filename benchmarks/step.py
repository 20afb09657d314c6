# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
CPU time of UniVA's training step and evaluation pass at the size of the paper, without padding against with it.

    python benchmarks/step.py [--batches NAME …] [--steps N] [--threads N] [--output FILE.json]
        [--NAME VALUE … fields of the configuration, as JSON]

One model of random weights with RoBERTa-base (section 4.1) reads twelve utterances, of two dialogues or of as many as
there are utterances. It takes its steps in turns: on a CPU packed rows are the default, and padded ones are what any
other name of the same attention gives. Without dropout both have the same logits, which is checked first.
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
from precision import FEATURE_SIZES, FRAMES, TOKENS
from transformers import RobertaConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


ROWS = 12
#: Tokens of the dialogues of a batch: 28 % of the places are padding.
DIALOGUES = {"two-dialogues": (512, 226), "random": tuple(range(226, 513, 26))}
#: Names of the attention by which the model takes one way or the other.
WAYS = {"padded": "padded_sdpa", "packed": "sdpa"}
TOLERANCE = 1e-5
PEAK_SIZE = 2048

ALL_ATTENTION_FUNCTIONS.register(WAYS["padded"], sdpa_attention_forward)
ALL_MASK_ATTENTION_FUNCTIONS.register(WAYS["padded"], sdpa_mask)


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    parser = argparse.ArgumentParser(description="CPU time of a step at the paper's size.", allow_abbrev=False)
    parser.add_argument("--batches", nargs="+", default=list(DIALOGUES), choices=list(DIALOGUES))
    parser.add_argument("--steps", type=int, default=3, help="of each way, in turns, after one that is not counted")
    parser.add_argument("--threads", type=int, default=1, help="of torch; CPU time says most for one")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options, fields = parser.parse_known_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        names = [field.removeprefix("--") for field in fields[::2]]
        model = make_model(dict(zip(names, map(json.loads, fields[1::2]), strict=True)))
        found = {name: measure(model, name, options.steps) for name in options.batches}
    except (ValueError, TypeError) as error:
        print(f"step.py: {error}", file=sys.stderr)
        return 2
    report = {"machine": machine(), "threads": options.threads, "steps": options.steps, "batches": found}
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def make_model(overrides: dict[str, Any]) -> UnivaForEmotionClassification:
    """A model of random weights, with the published dropouts."""
    torch.manual_seed(0)
    text = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    sizes: dict[str, Any] = {f"{name}_feature_size": size for name, size in FEATURE_SIZES.items()}
    fields = {"text_config": text, "max_text_length": TOKENS, **sizes, **overrides}
    return UnivaForEmotionClassification(UnivaConfig(**fields))


def make_batch(config: UnivaConfig, tokens: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random inputs of `forward` for dialogues of that many tokens, with labels, and valence and arousal."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(tokens)
    dialogue = torch.arange(ROWS) // (ROWS // len(tokens))
    own = lengths[dialogue] // (ROWS // len(tokens))
    start = torch.arange(ROWS) % (ROWS // len(tokens)) * own
    batch = {
        "labels": (torch.rand(ROWS, config.num_labels, generator=generator) < 0.3).float(),
        "dialogue_index": dialogue,
        "utterance_span": torch.stack([start, start + own], dim=1),
        "attention_mask": (torch.arange(max(tokens)) < lengths[:, None]).long(),
        **{f"{name}_va": torch.rand(ROWS, 2, generator=generator) * 2 - 1 for name in config.modalities},
    }
    ids = torch.randint(10, config.text_config.vocab_size, batch["attention_mask"].shape, generator=generator)
    batch["input_ids"] = torch.where(batch["attention_mask"].bool(), ids, config.text_config.pad_token_id)
    for name, (shortest, longest) in FRAMES.items():
        mask = torch.arange(longest) < torch.linspace(shortest, longest, ROWS).round()[:, None]
        features = torch.randn(ROWS, longest, FEATURE_SIZES[name], generator=generator)
        batch |= {f"{name}_features": features * mask[..., None], f"{name}_attention_mask": mask.long()}
    return batch


def measure(model: UnivaForEmotionClassification, name: str, steps: int) -> dict[str, Any]:
    """
    Median CPU seconds of each part of a step, and of an evaluation pass, by the two ways; and what a step computes.

    Raises:
        RuntimeError: the ways do not compute the same.
    """
    batch = make_batch(model.config, DIALOGUES[name])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    seconds: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
    difference = _difference(model, batch)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"The ways differ: logits by {difference:.2e}, more than {TOLERANCE:.0e}.")
    peaks = []
    for turn in range(-1, steps):
        for way, attention in WAYS.items():
            model.set_attn_implementation(attention)
            found = _times(model, batch, optimizer)
            for part, value in found.items() if turn >= 0 else ():
                seconds[way].setdefault(part, []).append(value)
        peaks.append(peak())
    return {
        "logits_differ_by": difference,
        "seconds": {way: {part: statistics.median(values) for part, values in seconds[way].items()} for way in WAYS},
        "useful_gflop": useful_gflop(model.config, batch),
        "padding": padding(batch),
        "peak_gflop_per_second": statistics.median(peaks),
    }


@torch.no_grad()
def _difference(model: UnivaForEmotionClassification, batch: dict[str, torch.Tensor]) -> float:
    model.eval()
    logits = []
    for attention in WAYS.values():
        model.set_attn_implementation(attention)
        logits.append(model(**batch).logits)
    return float((logits[0] - logits[1]).abs().max())


def _times(
    model: UnivaForEmotionClassification, batch: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, float]:
    """CPU seconds of the parts of one training step, and of one evaluation pass."""
    marks = [time.process_time()]
    model.train()
    loss = model(**batch).loss
    marks.append(time.process_time())
    loss.backward()
    marks.append(time.process_time())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    marks.append(time.process_time())
    model.eval()
    with torch.no_grad():
        model(**batch)
    marks.append(time.process_time())
    forward, backward, update, evaluation = (after - before for before, after in zip(marks, marks[1:], strict=False))
    step = forward + backward + update
    return {"forward": forward, "backward": backward, "optimizer": update, "step": step, "evaluation": evaluation}


def useful_gflop(config: UnivaConfig, batch: dict[str, torch.Tensor]) -> float:
    """Of the products in all transformer layers, padding aside, of an evaluation pass; a step has three times that."""
    text = config.text_config
    stacks = [(text, text.num_hidden_layers, batch["attention_mask"])]
    for name in FRAMES:
        stacks.append((config, getattr(config, f"{name}_num_hidden_layers"), batch[f"{name}_attention_mask"]))
    total = 0.0
    for sizes, layers, mask in stacks:
        lengths, width = mask.sum(dim=1).double(), sizes.hidden_size
        weights = 4 * width**2 + 2 * width * sizes.intermediate_size
        total += layers * float((2 * weights * lengths + 4 * width * lengths**2).sum())
    return total / 1e9


def padding(batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Share of places that are padding, by modality."""
    masks = {"text": batch["attention_mask"], **{name: batch[f"{name}_attention_mask"] for name in FRAMES}}
    return {name: 1 - float(mask.float().mean()) for name, mask in masks.items()}


def peak() -> float:
    """GFLOP of large matrix products in a second of CPU time."""
    left, right = torch.randn(PEAK_SIZE, PEAK_SIZE), torch.randn(PEAK_SIZE, PEAK_SIZE)
    left @ right
    start = time.process_time()
    for _ in range(3):
        left @ right
    return 3 * 2 * PEAK_SIZE**3 / (time.process_time() - start) / 1e9


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"{ROWS} utterances; medians of {report['steps']} steps in turns, {report['threads']} threads, CPU time.",
        "",
        "| batch | padding of text, audio, vision | part | padded, s | packed, s | ratio | packed, of peak |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in report["batches"].items():
        shares = ", ".join(f"{share:.0%}" for share in found["padding"].values())
        for part, before in found["seconds"]["padded"].items():
            now = found["seconds"]["packed"][part]
            work = {"step": 3, "evaluation": 1}.get(part)
            speed = work and work * found["useful_gflop"] / now / found["peak_gflop_per_second"]
            cells = [
                name,
                shares,
                part,
                f"{before:.2f}",
                f"{now:.2f}",
                f"{before / now:.2f}",
                f"{speed:.0%}" if speed else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
