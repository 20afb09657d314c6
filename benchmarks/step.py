# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
CPU time of UniVA's training step and evaluation pass at the size of the paper: naive, padded, and without padding.

    python benchmarks/step.py [--batches NAME …] [--ways NAME …] [--steps N] [--threads N] [--output FILE.json]
        [--NAME VALUE … fields of the configuration, as JSON]

One model of random weights with RoBERTa-base (section 4.1) reads twelve utterances, of two dialogues or of as many as
there are utterances. It takes its steps in turns: on a CPU packed rows are the default; padded ones, with the dropout
of PyTorch, are what any other name of the same attention gives; and the naive way is that of naive.py, which encodes
the dialogue of each utterance, padded to the longest that the encoder takes. Without dropout all have the same logits,
which is checked first. The naive way is taken where `--ways` names it: a step takes minutes and 12 GB.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from memory import machine, machine_line
from naive import NaiveObjective
from precision import FEATURE_SIZES, FRAMES, TOKENS
from torch import nn
from transformers import RobertaConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.dropout_univa import ByteDropout, use_byte_dropout
from modeling_univa.models.losses_univa import UnivaObjective
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


ROWS = 12
#: Tokens of the dialogues of a batch: 28 % of the places are padding.
DIALOGUES = {"two-dialogues": (512, 226), "random": tuple(range(226, 513, 26))}
#: Names of the attention by which the model takes one way or the other.
WAYS = {"naive": "padded_sdpa", "padded": "padded_sdpa", "packed": "sdpa"}
TOLERANCE = 1e-5
PEAK_SIZE = 2048

ALL_ATTENTION_FUNCTIONS.register(WAYS["padded"], sdpa_attention_forward)
ALL_MASK_ATTENTION_FUNCTIONS.register(WAYS["padded"], sdpa_mask)


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    parser = argparse.ArgumentParser(description="CPU time of a step at the paper's size.", allow_abbrev=False)
    parser.add_argument("--batches", nargs="+", default=list(DIALOGUES), choices=list(DIALOGUES))
    parser.add_argument("--ways", nargs="+", default=["padded", "packed"], choices=list(WAYS))
    parser.add_argument("--steps", type=int, default=3, help="of each way, in turns, after one that is not counted")
    parser.add_argument("--threads", type=int, default=1, help="of torch; CPU time says most for one")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options, fields = parser.parse_known_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        names = [field.removeprefix("--") for field in fields[::2]]
        model = make_model(dict(zip(names, map(json.loads, fields[1::2]), strict=True)))
        found = {name: measure(model, name, options.steps, options.ways) for name in options.batches}
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


def naive_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch as naive.py makes it: for each utterance a row of its own with its dialogue, padded to `TOKENS`."""
    own = batch["dialogue_index"]
    missing = (0, TOKENS - batch["input_ids"].shape[1])
    return {
        **batch,
        "dialogue_index": torch.arange(len(own)),
        "input_ids": nn.functional.pad(batch["input_ids"][own], missing, value=RobertaConfig().pad_token_id),
        "attention_mask": nn.functional.pad(batch["attention_mask"][own], missing),
    }


def take(model: UnivaForEmotionClassification, way: str) -> None:
    """Let the model go one of the ways."""
    model.set_attn_implementation(WAYS[way])
    model.objective_class = NaiveObjective if way == "naive" else UnivaObjective
    use_byte_dropout(model)
    for part in model.modules() if way != "packed" else ():
        if isinstance(part, ByteDropout):
            part.__class__ = nn.Dropout


def measure(
    model: UnivaForEmotionClassification, name: str, steps: int, ways: Sequence[str] = ("padded", "packed")
) -> dict[str, Any]:
    """
    Median CPU seconds of each part of a step, and of an evaluation pass, by some ways; and what a step computes.

    Raises:
        RuntimeError: the ways do not compute the same.
    """
    batch = make_batch(model.config, DIALOGUES[name])
    batches = {way: naive_batch(batch) if way == "naive" else batch for way in ways}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    seconds: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    difference = _difference(model, batches)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"The ways differ: logits by {difference:.2e}, more than {TOLERANCE:.0e}.")
    peaks = []
    for turn in range(-1, steps):
        # The naive step is too long to be taken once more; the comparison of logits has warmed it up.
        for way in ways if turn >= 0 else [way for way in ways if way != "naive"]:
            take(model, way)
            found = _times(model, batches[way], optimizer)
            for part, value in found.items() if turn >= 0 else ():
                seconds[way].setdefault(part, []).append(value)
        peaks.append(peak())
    return {
        "logits_differ_by": difference,
        "seconds": {way: {part: statistics.median(values) for part, values in seconds[way].items()} for way in ways},
        "useful_gflop": useful_gflop(model.config, batch),
        "padding": padding(batch),
        "peak_gflop_per_second": statistics.median(peaks),
    }


@torch.no_grad()
def _difference(model: UnivaForEmotionClassification, batches: dict[str, dict[str, torch.Tensor]]) -> float:
    model.eval()
    logits = []
    for way, batch in batches.items():
        take(model, way)
        logits.append(model(**batch).logits)
    return max(float((one - logits[-1]).abs().max()) for one in logits)


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
    ways = list(next(iter(report["batches"].values()))["seconds"])
    head = ["batch", "padding of text, audio, vision", "part", *(f"{way}, s" for way in ways)]
    head += [f"{way} / {ways[-1]}" for way in ways[:-1]] + [f"{ways[-1]}, of peak"]
    lines = [
        machine_line(report["machine"]),
        f"{ROWS} utterances; medians of {report['steps']} steps in turns, {report['threads']} threads, CPU time.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for name, found in report["batches"].items():
        shares = ", ".join(f"{share:.0%}" for share in found["padding"].values())
        for part, last in found["seconds"][ways[-1]].items():
            times = [found["seconds"][way][part] for way in ways]
            work = {"step": 3, "evaluation": 1}.get(part)
            speed = work and work * found["useful_gflop"] / last / found["peak_gflop_per_second"]
            cells = [name, shares, part, *(f"{value:.2f}" for value in times)]
            cells += [f"{value / last:.2f}" for value in times[:-1]] + [f"{speed:.0%}" if speed else ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
