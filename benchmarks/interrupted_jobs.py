# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Jobs killed at random moments and started again by the same command, against runs that were left alone.

    OMP_NUM_THREADS=1 python benchmarks/interrupted_jobs.py JOB [--runs 20] [--output FILE.json]

JOB is build, extract, score-affect, train, push or reproduce. With `--patience 0` media are read in worker processes
from the first clip on, which end with the job that is killed. Everything is made from a seed: the media are those of
the demo corpus, the model that is pushed has random weights, and the Hub is that of tests/support. A run is
killed (SIGKILL) once, at a moment drawn evenly over the time that the unbroken run took, and is then given the same
command again. What it leaves, in its output and beside it, is compared with what the unbroken run left.
"""

import argparse
import contextlib
import hashlib
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import datasets.config
from tqdm import tqdm


REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "support")]

import train_hf  # noqa: E402
from modeling_univa import cli  # noqa: E402
from modeling_univa.commands.build import corpus_main  # noqa: E402
from modeling_univa.corpora.build import build_corpus  # noqa: E402
from modeling_univa.corpora.demo.corpus import write_demo_corpus  # noqa: E402
from modeling_univa.corpora.utterance_folder import UtteranceFolder  # noqa: E402
from modeling_univa.features import extraction as _extraction  # noqa: E402, F401
from modeling_univa.features import scoring as _affect_job  # noqa: E402, F401
from modeling_univa.features.workers import Workers  # noqa: E402
from modeling_univa.models.configuration_univa import UnivaConfig  # noqa: E402
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor  # noqa: E402
from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig  # noqa: E402
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification  # noqa: E402
from modeling_univa.models.processing_univa import UnivaProcessor  # noqa: E402
from modeling_univa.sharing import push as _push  # noqa: E402, F401


# By default all forks share one lock of the progress bars, which one that is killed may hold for ever.
tqdm.set_lock(threading.RLock())

EXTRACTORS = {"audio": LogMelExtractor(), "vision": HogExtractor()}
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


class Job(ABC):
    """
    A command and what comes of it.

    Args:
        folder: for what the command reads, made once.
        dialogues: of the demo corpus; how much work there is.
    """

    # Files that say when and how fast they were made.
    TIMED: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, dialogues: int):
        self.folder = folder
        self.dialogues = dialogues

    @abstractmethod
    def prepare(self) -> None:
        """Make what the command reads."""

    @abstractmethod
    def run(self, place: Path) -> int:
        """Do the job, in `place`; its exit status."""

    def results(self, place: Path) -> dict[str, str]:
        """SHA-256 of all that the job left in `place`, by relative path; of timed files only that they are there."""
        found = digests(place)
        return {path: "" if Path(path).name in self.TIMED else digest for path, digest in found.items()}

    def progress(self, place: Path) -> int:
        """How many pieces of work are done."""
        return len(list(place.rglob("*.parquet")))

    def media(self) -> Path:
        """Raw media and metadata of the demo corpus."""
        write_demo_corpus(self.folder / "media", seed=0, num_dialogues=self.dialogues)
        return self.folder / "media"

    def corpus(self, features: bool) -> Path:
        """The demo corpus, built."""
        kinds: dict[str, Any] = {} if features else dict.fromkeys(("audio_extractor", "vision_extractor"), "none")
        build_corpus(UtteranceFolder, self.folder / "corpus", source=str(self.media()), **kinds)
        return self.folder / "corpus"


class Build(Job):
    """datasets_scripts/utterance_folder.py"""

    def prepare(self) -> None:
        self.media()

    def run(self, place: Path) -> int:
        return corpus_main(
            UtteranceFolder, ["--source", str(self.folder / "media"), "--output", str(place / "corpus"), "--overwrite"]
        )


class Extract(Job):
    """univa extract"""

    def prepare(self) -> None:
        self.corpus(features=False)

    def run(self, place: Path) -> int:
        return cli.main(
            ["extract", *self.arguments(place), "--audio-extractor", "log-mel", "--vision-extractor", "hog"]
        )

    def arguments(self, place: Path) -> list[str]:
        """Those of all jobs on a corpus."""
        return [
            str(self.folder / "corpus"), "--media-root", str(self.folder / "media"), "--output", str(place / "corpus"),
            "--shard-rows", "16",
        ]  # fmt: skip


class ScoreAffect(Extract):
    """univa score-affect"""

    def prepare(self) -> None:
        super().prepare()
        for modality, extractor in EXTRACTORS.items():
            config = UnivaAffectRegressorConfig(modality=modality, feature_size=extractor.feature_size, **SIZES)
            UnivaAffectRegressor(config).save_pretrained(self.folder / modality)
            processor = UnivaProcessor.from_config(config, extractors={modality: extractor.to_dict()})
            processor.save_pretrained(self.folder / modality)

    def run(self, place: Path) -> int:
        scorers = [part for name in EXTRACTORS for part in (f"--{name}", str(self.folder / name))]
        return cli.main(["score-affect", *self.arguments(place), *scorers])


class Train(Job):
    """train_hf.py"""

    # The state of Python's own generator is in there, from which loading draws and training does not.
    TIMED = ("all_results.json", "trainer_state.json", "README.md", "rng_state.pth")

    def prepare(self) -> None:
        self.corpus(features=True)

    def run(self, place: Path) -> int:
        options = {
            "dataset": self.folder / "corpus", "output_dir": place / "output", "modalities": ["audio", "vision"],
            "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "num_train_epochs": 6, "use_cpu": True,
            "save_strategy": "steps", "save_steps": 4, "eval_strategy": "steps", "eval_steps": 4, "ema_decay": 0.9,
            "save_total_limit": 2, "learning_rate": 1e-3, "contrastive_loss": "none", **SIZES,
        }  # fmt: skip
        listed = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
        return train_hf.main([part for name, values in listed.items() for part in (f"--{name}", *map(str, values))])

    def progress(self, place: Path) -> int:
        return max((int(path.name.partition("-")[2]) for path in place.glob("output/checkpoint-*")), default=0)


class Reproduce(Train):
    """univa reproduce"""

    # Seconds are in these, and what processes said; in the last the times of trials.
    TIMED = ("run.json", "log.txt", "studies.sqlite3")

    def prepare(self) -> None:
        super().prepare()
        options = {
            "dataset": str(self.folder / "corpus"), "modalities": ["audio", "vision"], "audio_num_hidden_layers": 1,
            "vision_num_hidden_layers": 1, "num_train_epochs": 8, "use_cpu": True, "contrastive_loss": "none", **SIZES,
        }  # fmt: skip
        (self.folder / "base.yaml").write_text(json.dumps(options))
        tune = {"trials": 2, "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}}
        tables = {"searched": {"tune": tune, "rows": {"UniVA": {}}}, "fixed": {"rows": {"UniVA": {}}}}
        plan = {"base": "base.yaml", "seeds": [1], "tables": tables}
        (self.folder / "plan.yaml").write_text(json.dumps(plan))

    def run(self, place: Path) -> int:
        return cli.main(["reproduce", str(self.folder / "plan.yaml"), "--output", str(place / "store")])

    def progress(self, place: Path) -> int:
        return len(list(place.glob("store/runs/*/predictions.parquet")))


class Push(Job):
    """univa push"""

    def prepare(self) -> None:
        import pytest
        from hub_server import Account, HubServer

        sizes = {f"{name}_feature_size": made.feature_size for name, made in EXTRACTORS.items()}
        config = UnivaConfig(modalities=["audio", "vision"], **sizes, **SIZES)
        UnivaForEmotionClassification(config).save_pretrained(self.folder / "model", max_shard_size="50KB")
        processor = UnivaProcessor.from_config(
            config, extractors={k: made.to_dict() for k, made in EXTRACTORS.items()}
        )
        processor.save_pretrained(self.folder / "model")
        self.given = digests(self.folder / "model")
        self.stack = contextlib.ExitStack()
        self.hub = self.stack.enter_context(HubServer(self.folder / "hub", {"hf_me": Account("me")}))
        patches = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.stack.enter_context(self.hub.connected(patches, self.folder / "cache", "hf_me"))

    def run(self, place: Path) -> int:
        return cli.main(["push", str(self.folder / "model"), f"me/{place.name}"])

    def results(self, place: Path) -> dict[str, str]:
        """Of the repository: its files, branches and commits; the folder is as it was."""
        repository = self.hub.repository(f"me/{place.name}")
        tip = repository.at("main")
        files = {name: blob.sha256 for name, blob in tip.files.items()}
        state = {"branches": sorted(repository.branches), "commits": len(list(tip.history()))}
        unchanged = digests(self.folder / "model") == self.given
        del self.hub.repositories["models", repository.id]
        return {**files, **digests(place), "state": str(state), "the folder": str(unchanged)}

    def progress(self, place: Path) -> int:
        return 0


JOBS: dict[str, type[Job]] = {
    "build": Build,
    "extract": Extract,
    "score-affect": ScoreAffect,
    "train": Train,
    "push": Push,
    "reproduce": Reproduce,
}


def main(arguments: list[str] | None = None) -> int:
    """Run; exit status 1 where something differs or is left over."""
    options = _make_parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="univa-interrupted-") as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder, "cache")
        report = measure(options, Path(folder))
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return int(report["different"] > 0)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--runs", type=int, default=20, help="that are killed (default 20)")
    parser.add_argument("--dialogues", type=int, default=24, help="of the demo corpus (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--patience", type=float, default=Workers.patience, help="seconds before workers start")
    parser.add_argument("--folder", help="where to work; by default a temporary folder")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The unbroken run, then the others one after the other until `options.runs` of them were killed."""
    Workers.patience = options.patience
    job = JOBS[options.job](folder / "given", options.dialogues)
    job.folder.mkdir()
    job.prepare()
    # Always the same place, which some results name. The first use of a corpus converts it in the cache of datasets,
    # which is not part of the job.
    place = folder / "place"
    expected, pieces, seconds = None, 0, 0.0
    for _ in range(2):
        _empty(place)
        seconds, _ = _run(job, place)
        expected, pieces = job.results(place), job.progress(place)
    moments = random.Random(options.seed)
    runs: list[dict[str, Any]] = []
    while sum(run["killed"] for run in runs) < options.runs:
        _empty(place)
        before, killed = _run(job, place, moments.uniform(0, seconds))
        done = job.progress(place)
        after, _ = _run(job, place)
        found = job.results(place)
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        runs.append(
            {"killed": killed, "seconds": before, "pieces": done, "seconds_after": after, "differing": differing}
        )
        print(json.dumps(runs[-1]), flush=True)
        # Other work on the machine makes runs longer or shorter.
        seconds = seconds if killed else before
    return {
        "job": options.job,
        "files": len(expected or {}),
        "pieces": pieces,
        "seconds_unbroken": seconds,
        "runs": runs,
        "different": sum(bool(run["differing"]) for run in runs),
    }


def _empty(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()


def _run(job: Job, place: Path, kill_after: float | None = None) -> tuple[float, bool]:
    """Seconds that a job took, and whether it was killed."""
    started = time.perf_counter()
    # A fork, so that what is killed is the job and not the importing of packages.
    process = get_context("fork").Process(target=_quietly, args=(job, place))
    process.start()
    process.join(kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        return time.perf_counter() - started, True
    if process.exitcode:
        raise RuntimeError(
            f"{job.__doc__} ended with {process.exitcode}: {(place.parent / 'log').read_text()[-3000:]}"
        )
    return time.perf_counter() - started, False


def _quietly(job: Job, place: Path) -> None:
    with open(place.parent / "log", "w") as log, contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
        status = job.run(place)
    sys.exit(status)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative path; empty folders count as well."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() or not any(path.iterdir()):
            content = path.read_bytes() if path.is_file() else b""
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def _table(report: dict[str, Any]) -> str:
    killed = [run for run in report["runs"] if run["killed"]]
    between = sum(0 < run["pieces"] < report["pieces"] for run in killed)
    return (
        f"{report['job']}, unbroken: {report['seconds_unbroken']:.1f} s, {report['files']} files\n"
        f"{len(report['runs'])} runs: {len(killed)} killed before their end, {between} with a part of the work done; "
        f"{report['different']} with another result or something left over"
    )


if __name__ == "__main__":
    sys.exit(main())
