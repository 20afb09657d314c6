# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
How well the stages of `univa extract` overlap, what each of them costs, and whether memory grows with the corpus.

    python benchmarks/extraction.py --media DIR [--clips 64] [--rounds 3] [--corpora 20 80 320] [--output FILE.json]

DIR holds videos and sound files; clips are parts of them. Every stage runs alone, and then the whole job, in turns,
with the worker processes that the job takes. Speech encoders are wav2vec 2.0 with random weights: time does not depend
on them. Prints Markdown tables.
"""

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from extraction_processes import ProcessTree
from memory import in_fresh_process, machine, machine_line
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from modeling_univa.cores import default_workers
from modeling_univa.data.corpus import EXTRACTORS_FILE
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.row_types import row_features
from modeling_univa.features.engine import FeatureEngine
from modeling_univa.features.extraction import ExtractionJob, ExtractionOptions
from modeling_univa.features.media import Item, MediaReader, Missing, features_of, items_of
from modeling_univa.features.shards import Shard, ShardJob, ShardResult, plan_shards, run_job
from modeling_univa.features.workers import Workers, one_thread
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor
from modeling_univa.models.media_univa import MediaError, NoSoundError, iter_frames, media_duration, read_audio
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor


# Rows of a shard, and clips of a batch: four windows a shard, as with the defaults of the command (256 and 16).
_SHARD_ROWS, _BATCH = 32, 2
_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".wav", ".flac", ".ogg", ".mp3", ".m4a"}
ENCODERS: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 1536,
        "conv_dim": (128,) * 7, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    },
    "base": {},
}  # fmt: skip
DETECTORS = ("whole-frame", "haar", "mtcnn", "yunet")
# Seconds of reading with all processes, of the network, and of writing, in the jobs that only wait.
WAITS = {"reading": (16.0, 8.0, 2.0), "the network": (8.0, 16.0, 2.0), "both alike": (16.0, 16.0, 2.0)}
_WAITING_ROWS = 512


@dataclass(frozen=True)
class Setting:
    """What is extracted, and how."""

    media: str
    detector: str
    yunet: str | None
    encoder: str | None
    seconds: float
    workers: int

    def reader(self, detector: str | None = None) -> FaceReader:
        """The reader of faces, of another detector if one is named."""
        detector = detector or self.detector
        return FaceReader(detector=detector, detector_model=self.yunet if detector == "yunet" else None)

    def extractors(self) -> dict[str, Any]:
        """By modality."""
        found: dict[str, Any] = {"vision": HogExtractor()}
        return {"audio": SpeechEncoderExtractor(self.encoder), **found} if self.encoder else found


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    options = _make_parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="univa-extraction-") as folder:
            report = _report(options, Path(folder))
    except (ValueError, OSError) as error:
        print(f"extraction.py: {error}", file=sys.stderr)
        return 2
    print(_tables(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How well the stages of extraction overlap.", allow_abbrev=False)
    parser.add_argument("--media", required=True, help="folder of videos and sound files")
    parser.add_argument("--clips", type=int, default=64, help="clips of the job")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a clip")
    parser.add_argument("--rounds", type=int, default=3, help="turns of which the median is taken")
    parser.add_argument("--workers", type=int, default=default_workers(), help="worker processes")
    parser.add_argument("--detector", default="haar", choices=DETECTORS, help="of the job")
    parser.add_argument("--yunet", help="the onnx file of YuNet")
    parser.add_argument("--encoder", default="base", choices=list(ENCODERS), help="speech encoder of the job")
    parser.add_argument("--corpora", type=int, nargs="*", default=[20, 80, 320], help="clips of the memory table")
    parser.add_argument("--skip-waits", action="store_true", help="leave out the jobs whose stages only wait")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def _report(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    datasets.disable_progress_bars()
    Workers.patience = 0.0
    encoders = {name: write_encoder(folder / name, name) for name in ENCODERS}
    setting = Setting(
        options.media, options.detector, options.yunet, encoders[options.encoder], options.seconds, options.workers
    )
    corpus = write_clips(folder / "corpus", setting, options.clips)
    rounds = [measure_job(setting, corpus, folder / f"round-{number}") for number in range(options.rounds)]
    waits = (
        {} if options.skip_waits else {name: measure_waits(folder, options.workers, *WAITS[name]) for name in WAITS}
    )
    return {
        "clips": options.clips, "rounds": options.rounds, "encoder": options.encoder,
        "setting": asdict(setting) | {"encoder": options.encoder},
        **_median(rounds),
        "waits": waits,
        "detectors": {name: detector_seconds(setting, corpus, name) for name in DETECTORS},
        "encoders": {name: encoder_seconds(setting, corpus, path) for name, path in encoders.items()},
        "memory": [measure_memory(setting, encoders["tiny"], folder / f"memory-{clips}", clips)
                   for clips in options.corpora],
        "machine": machine(),
    }  # fmt: skip


# What is extracted


def write_encoder(folder: Path, name: str) -> str:
    """A wav2vec 2.0 with random weights in a folder."""
    Wav2Vec2Model(Wav2Vec2Config(**ENCODERS[name])).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return str(folder)


def write_clips(folder: Path, setting: Setting, clips: int) -> Path:
    """A corpus of parts of the media, no two of which are the same; dialogues of eight."""
    files = sorted(file for file in Path(setting.media).rglob("*") if file.suffix.lower() in _SUFFIXES)
    kinds = [_kind(file) for file in files]
    if "video" not in kinds:
        raise ValueError(f"no video in {setting.media}: pass a folder of videos as --media")
    lengths = [media_duration(file) for file in files]
    features = row_features(["neutral"], media=("audio", "video"), times=("start", "end"))
    rows = []
    for number in range(clips):
        place = number % len(files)
        # A part begins 0.37 s after the one before, and anew at the end of the file, a millisecond later.
        turn, room = number // len(files), max(0.0, lengths[place] - setting.seconds)
        start = min(room, (0.37 * turn) % max(room, 0.1)) + 0.001 * turn
        name = files[place].relative_to(setting.media).as_posix()
        rows.append({
            "utterance_id": f"u{number}", "dialogue_id": f"d{number // 8}", "position": number % 8, "emotions": [],
            kinds[place]: name, "start": start, "end": start + setting.seconds,
        })  # fmt: skip
    (folder / "data").mkdir(parents=True)
    unknown = {f"{modality}_va": [np.nan] * 2 for modality in ("text", "audio", "vision")}
    columns = {name: [{**unknown, **row}.get(name) for row in rows] for name in features}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    (folder / EXTRACTORS_FILE).write_text(json.dumps(dict.fromkeys(("text", "audio", "vision"))))
    (folder / "README.md").write_text("# Parts of files\n\n## How it was built\n\nBy a benchmark.\n")
    return folder


def _kind(file: Path) -> str:
    try:
        next(iter_frames(file))
        return "video"
    except MediaError:
        return "audio"


def _shards(corpus: Path) -> list[tuple[Shard, pa.Table]]:
    rows = load_corpus(str(corpus)).splits["train"]
    return [(shard, rows.with_format("arrow")[shard.first : shard.last])
            for shard in plan_shards(rows, "train", _SHARD_ROWS)]  # fmt: skip


def _items(corpus: Path, modalities: Iterable[str]) -> list[tuple[int, dict[str, list[Item]]]]:
    rows = [row for _, table in _shards(corpus) for row in table.to_pylist()]
    return [(number, items_of(row, modalities)) for number, row in enumerate(rows)]


# Stages and the whole


class ReadyJob(ExtractionJob):
    """The job with results that are there, so that nothing but writing is left."""

    ready: Sequence[tuple[Shard, ShardResult]] = ()

    def process(
        self, shards: Iterable[tuple[Shard, pa.Table]], advance: Callable[[int], Any]
    ) -> Iterator[tuple[Shard, ShardResult]]:
        """Those results."""
        for (shard, rows), (_, result) in zip(shards, self.ready, strict=True):
            advance(len(rows))
            yield shard, result


def _job(setting: Setting, corpus: Path, kind: type[ExtractionJob] = ExtractionJob) -> ExtractionJob:
    options = ExtractionOptions(Path(setting.media), setting.reader(), _BATCH, setting.workers)
    return kind(load_corpus(str(corpus)), setting.extractors(), options)


def measure_job(setting: Setting, corpus: Path, folder: Path) -> dict[str, Any]:
    """Clock and CPU seconds of each stage alone and of the whole, in one turn."""
    folder.mkdir()
    shards, extractors = _shards(corpus), setting.extractors()
    stages = measure_clip_stages(setting, corpus)
    reader = MediaReader(Path(setting.media), 16000, setting.reader(), False, {"vision": extractors["vision"]})
    engine = FeatureEngine(reader, {}, batch_size=_BATCH, workers=setting.workers)
    try:
        # Processes are started, and have imported what they need, before anything is timed.
        list(engine.rows(_items(corpus, extractors)[: 4 * setting.workers]))
        stages["reading"], read = _timed(lambda: list(engine.rows(_items(corpus, extractors))))
    finally:
        engine.close()
    if "audio" in extractors:
        waveforms = {Item("sound", str(number)): made["audio"] for number, made, _ in read}
        features_of(extractors["audio"], dict(itertools.islice(waveforms.items(), _BATCH)), _BATCH)
        stages["network"], _ = _timed(lambda: features_of(extractors["audio"], waveforms, _BATCH))
    job = _job(setting, corpus)
    ready = list(job.process(iter(shards), lambda count: None))
    writing = _job(setting, corpus, ReadyJob)
    writing.ready = ready  # type: ignore[attr-defined]
    stages["writing"], _ = _timed(lambda: run_job(writing, folder / "written", shard_rows=_SHARD_ROWS))
    whole, _ = _timed(lambda: run_job(job, folder / "whole", shard_rows=_SHARD_ROWS))
    return {"stages": stages, "whole": whole, **efficiency(stages, whole)}


def efficiency(stages: Mapping[str, Mapping[str, float]], whole: Mapping[str, float]) -> dict[str, float]:
    """
    How near the whole comes to what it could be.

    Args:
        stages: Clock and CPU seconds of "reading", "network" and "writing" alone; others are parts of reading.
        whole: The same of the job.

    Returns:
        `of_slowest`, the slowest stage alone over the whole; `of_bound`, the same with the CPU seconds of all stages
        over the cores where that is more; `cpu_overhead`, the CPU seconds of the whole over those of the stages.
    """
    run = [stages[name] for name in ("reading", "network", "writing") if name in stages]
    slowest, cpu = max(stage["clock"] for stage in run), sum(stage["cpu"] for stage in run)
    bound = max(slowest, cpu / len(os.sched_getaffinity(0)))
    return {
        "of_slowest": slowest / whole["clock"],
        "of_bound": bound / whole["clock"],
        "cpu_overhead": whole["cpu"] / cpu,
    }


def _timed(function: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds of the clock, and of CPU in this process and those that it has started."""
    with ProcessTree() as tree:
        started = time.perf_counter()
        result = function()
        clock = time.perf_counter() - started
    return {"clock": clock, "cpu": tree.cpu_seconds}, result


def measure_clip_stages(setting: Setting, corpus: Path) -> dict[str, dict[str, float]]:
    """
    The parts of reading, which a worker process does one after the other for each clip.

    Their clock is the sum over clips divided by the number of processes, all of which are at work.
    """
    items = [made["vision"][0] for _, made in _items(corpus, ["vision"]) if made["vision"]]
    workers = Workers(setting.workers)
    try:
        list(map(_result, [workers.submit(clip_stages, (setting, item)) for item in items[: 2 * setting.workers]]))
        found = list(map(_result, [workers.submit(clip_stages, (setting, item)) for item in items]))
    finally:
        workers.close()
    names = ("decoding", "detection", "features")
    sums = np.array(found).sum(axis=0)
    return {name: {"clock": clock / max(1, setting.workers), "cpu": cpu}
            for name, (clock, cpu) in zip(names, sums.tolist(), strict=True)}  # fmt: skip


def _result(future: Any) -> Any:
    return future.result()


def clip_stages(given: tuple[Setting, Item]) -> list[tuple[float, float]]:
    """Clock and CPU seconds of decoding a clip, finding its faces in pictures at hand, and features of as many."""
    setting, item = given
    reader, path = setting.reader(), Path(setting.media, str(item.source))
    marks, frames = [_now()], []
    # A video may begin later than the file, or have no sound.
    with contextlib.suppress(MediaError):
        frames = [frame.image for frame in iter_frames(path, reader.frame_rate, item.start, item.end)]
    with contextlib.suppress(NoSoundError):
        read_audio(path, 16000, item.start, item.end)
    marks.append(_now())
    found = [reader.detect(frame) for frame in frames]
    marks.append(_now())
    crops = [frame[: reader.size, : reader.size] for frame, faces in zip(frames, found, strict=True) if faces]
    if crops:
        HogExtractor()(crops)
    marks.append(_now())
    return [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(marks)]


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _median(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each figure, the median of the rounds; of the ratios also the smallest and the largest."""
    names = rounds[0]["stages"]
    figures = {name: {kind: float(np.median([one["stages"][name][kind] for one in rounds]))
                      for kind in ("clock", "cpu")} for name in names}  # fmt: skip
    whole = {kind: float(np.median([one["whole"][kind] for one in rounds])) for kind in ("clock", "cpu")}
    ratios = {name: np.percentile([one[name] for one in rounds], [50, 0, 100]).tolist()
              for name in ("of_slowest", "of_bound", "cpu_overhead")}  # fmt: skip
    return {"stages": figures, "whole": whole, **ratios}


# Stages that only wait


class WaitingReader(MediaReader):
    """Takes a while for each item and reads nothing."""

    def read(self, item: Item) -> tuple[Any, str | None]:
        """A waveform without content; how long it takes is in the name."""
        time.sleep(float(item.name))
        return (np.zeros(1, np.float32), 16000), None


class WaitingJob(ShardJob):
    """A job whose processor has nothing to do, so that its time is that of the schedule alone."""

    name = "extract"

    def __init__(self, corpus: Any, workers: int, reading: float, network: float, writing: float):
        super().__init__(corpus)
        self.reading, self.network, self.writing = reading, network, writing
        compute = {"audio": self._wait_for_items}
        self.engine = FeatureEngine(WaitingReader(None), compute, batch_size=4, workers=workers)

    @property
    def features(self) -> datasets.Features:
        """Those of the input."""
        return next(iter(self.corpus.splits.values())).features

    def arguments(self) -> dict[str, Any]:
        """None that matter here."""
        return {}

    def process(
        self, shards: Iterable[tuple[Shard, pa.Table]], advance: Callable[[int], Any]
    ) -> Iterator[tuple[Shard, ShardResult]]:
        """The rows as they are, after a while."""
        for (shard, rows), made in self.engine.groups(((shard, rows), self._items(rows)) for shard, rows in shards):
            advance(sum(1 for _ in made))
            yield shard, ShardResult(rows)

    def _items(self, rows: pa.Table) -> list[tuple[str, dict[str, list[Item]]]]:
        ids = rows["utterance_id"].to_pylist()
        return [(name, {"audio": [Item("sound", f"{self.reading}", start=float(name[1:]))]}) for name in ids]

    def _wait_for_items(self, raw: Mapping[Item, Any]) -> dict[Item, Any]:
        time.sleep(self.network * len(raw))
        return {item: Missing("", rejected=False) for item in raw}

    def summary(self, table: pa.Table) -> dict[str, Any]:
        """Called when a shard is written."""
        time.sleep(self.writing * len(table))
        return {}

    def write_card(self, folder: Path, shards: Iterable[Any]) -> None:
        """None."""

    def close(self) -> None:
        """End the worker processes."""
        self.engine.close()


def measure_waits(folder: Path, workers: int, reading: float, network: float, writing: float) -> dict[str, float]:
    """
    The efficiency of the schedule: of a job whose stages wait for so many seconds in all.

    Args:
        folder: Where it is done.
        workers: Processes.
        reading, network, writing: Seconds of each stage alone.
    """
    corpus, count = folder / "waiting", _WAITING_ROWS
    if not corpus.exists():
        (corpus / "data").mkdir(parents=True)
        features = row_features(["neutral"], media=("audio",))
        columns: dict[str, Any] = {name: [None] * count for name in features}
        ids = [f"u{number}" for number in range(count)]
        columns |= {"utterance_id": ids, "dialogue_id": ids, "position": [0] * count, "emotions": [[]] * count}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(corpus / "data" / "train.parquet")
    seconds_of_one = reading * max(1, workers) / count, network / count, writing / count
    job = WaitingJob(load_corpus(str(corpus)), workers, *seconds_of_one)
    # Starts the processes, which is not what is timed.
    list(job.process(iter(_shards(corpus)[:1]), lambda number: None))
    started = time.perf_counter()
    run_job(job, folder / f"waited-{time.monotonic_ns()}", shard_rows=_SHARD_ROWS)
    whole = time.perf_counter() - started
    return {"seconds": whole, "efficiency": max(reading, network, writing) / whole}


# Detectors and encoders


def detector_seconds(setting: Setting, corpus: Path, detector: str, clips: int = 16) -> dict[str, Any]:
    """CPU seconds a second of video that a detector takes, without decoding, and the faces that it finds."""
    reader = setting.reader(detector)
    items = [item for _, made in _items(corpus, ["vision"]) for item in made["vision"]][:clips]
    pictures, faces, cpu = 0, 0, 0.0
    with one_thread():
        try:
            reader.detect(np.full((160, 160, 3), 128, np.uint8))
        except (ImportError, OSError) as error:
            return {"absent": str(error).splitlines()[0]}
        for item in items:
            for frame in iter_frames(Path(setting.media, str(item.source)), reader.frame_rate, item.start, item.end):
                started = time.process_time()
                faces += len(reader.detect(frame.image))
                cpu += time.process_time() - started
                pictures += 1
    cpu_of_one = cpu / pictures
    return {"cpu_per_second": cpu_of_one * reader.frame_rate, "ms_per_picture": 1e3 * cpu_of_one,
            "pictures": pictures, "faces": faces}  # fmt: skip


def encoder_seconds(setting: Setting, corpus: Path, path: str, clips: int = 16) -> dict[str, float]:
    """CPU and clock seconds a second of speech that an encoder takes, in the batches and on the threads of a job."""
    reader = MediaReader(Path(setting.media), 16000)
    items = [item for _, made in _items(corpus, ["audio"])[:clips] for item in made["audio"]]
    raw = {item: value for item in items if not isinstance(value := reader.read(item)[0], Missing)}
    extractor = SpeechEncoderExtractor(path)
    features_of(extractor, dict(itertools.islice(raw.items(), 1)), _BATCH)
    spoken = sum(len(waveform) / rate for waveform, rate in raw.values())
    clock, cpu = _now()
    features_of(extractor, raw, _BATCH)
    return {"clock_per_second": (time.perf_counter() - clock) / spoken, "speech_seconds": spoken,
            "cpu_per_second": (time.process_time() - cpu) / spoken}  # fmt: skip


# Memory


def measure_memory(setting: Setting, encoder: str, folder: Path, clips: int) -> dict[str, Any]:
    """The largest RssAnon of the command's own process and of its worker processes over a job of so many clips."""
    # The whole of each picture is a face, so that every picture has a crop; small encoder, so that it stands out.
    small = Setting(setting.media, "whole-frame", None, encoder, setting.seconds, setting.workers)
    return {"clips": clips, **in_fresh_process(memory_of_job, small, folder, clips)}


def memory_of_job(setting: Setting, folder: Path, clips: int) -> dict[str, float]:
    """Megabytes, in this process and in those that it starts."""
    datasets.disable_progress_bars()
    Workers.patience = 0.0
    corpus = write_clips(folder / "corpus", setting, clips)
    with ProcessTree() as tree:
        run_job(_job(setting, corpus), folder / "output", shard_rows=_SHARD_ROWS)
    return {"main_mb": tree.main_bytes / 1e6, "worker_mb": tree.largest_worker_bytes / 1e6,
            "workers_mb": tree.workers_bytes / 1e6}  # fmt: skip


# Tables


def _tables(report: Mapping[str, Any]) -> str:
    setting = report["setting"]
    video = report["clips"] * setting["seconds"]
    lines = [
        machine_line(report["machine"]),
        f"{report['clips']} clips of {setting['seconds']:g} s, {setting['detector']} at 5 pictures a second, hog, "
        f"wav2vec 2.0 {report['encoder']}, {setting['workers']} worker processes; median of {report['rounds']} turns.",
        "", "| stage | clock s | CPU s | CPU s a second of video |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    parts = ("decoding", "detection", "features")
    for name, stage in {**report["stages"], "whole job": report["whole"]}.items():
        shown = f"of reading: {name}" if name in parts else name
        lines.append(f"| {shown} | {stage['clock']:.2f} | {stage['cpu']:.2f} | {stage['cpu'] / video:.3f} |")
    lines += ["", "| ratio | median | range |", "|---|---:|---:|"]
    for name, shown in (
        ("of_slowest", "slowest stage alone / whole"),
        ("of_bound", "max(slowest stage, CPU of all stages / cores) / whole"),
        ("cpu_overhead", "CPU of the whole / CPU of the stages"),
    ):
        median, low, high = report[name]
        lines.append(f"| {shown} | {median:.2f} | {low:.2f} to {high:.2f} |")
    if report["waits"]:
        lines += ["", "| stages that only wait; the slowest | s | slowest / whole |", "|---|---:|---:|"]
    for name, found in report["waits"].items():
        lines.append(f"| {name} | {found['seconds']:.2f} | {found['efficiency']:.2f} |")
    lines += ["", "| detector | CPU s a second of video | ms a picture | faces in pictures |", "|---|---:|---:|---:|"]
    for name, found in report["detectors"].items():
        if "absent" in found:
            lines.append(f"| {name} | not measured: {found['absent']} | | |")
        else:
            lines.append(f"| {name} | {found['cpu_per_second']:.3f} | {found['ms_per_picture']:.1f} | "
                         f"{found['faces']} in {found['pictures']} |")  # fmt: skip
    lines += ["", "| speech encoder | CPU s a second of speech | clock s a second of speech |", "|---|---:|---:|"]
    for name, found in report["encoders"].items():
        lines.append(f"| {name} | {found['cpu_per_second']:.3f} | {found['clock_per_second']:.3f} |")
    if report["memory"]:
        lines += ["", "| clips | main RssAnon MB | largest worker MB | all workers MB |", "|---:|---:|---:|---:|"]
    for found in report["memory"]:
        lines.append(f"| {found['clips']} | {found['main_mb']:.0f} | {found['worker_mb']:.0f} | "
                     f"{found['workers_mb']:.0f} |")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
