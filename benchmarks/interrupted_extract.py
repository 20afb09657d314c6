# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""
`univa extract` killed at random moments and continued, against a run that was left alone.

    OMP_NUM_THREADS=1 python benchmarks/interrupted_extract.py --source FOLDER [--runs 20] [--output FILE.json]

FOLDER is one that `datasets_scripts/utterance_folder.py` reads. Every run is killed (SIGKILL) once, at a moment drawn
evenly over the time that the unbroken run took, and is then given the same command again. All files of the results
are compared by their SHA-256.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import datasets.config

import modeling_univa.features.extraction  # noqa: F401
from modeling_univa import cli
from modeling_univa.data.corpus_command import build_corpus
from modeling_univa.data.utterance_folder import UtteranceFolder


def main(arguments: list[str] | None = None) -> int:
    """Run; exit status 1 where a file differs."""
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
    parser.add_argument("--source", type=Path, required=True, help="folder of metadata csv files and media")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "--audio-extractor", default="log-mel", help="as of `univa extract`, or none (default log-mel)"
    )
    parser.add_argument("--vision-extractor", default="hog", help="as of `univa extract`, or none (default hog)")
    parser.add_argument("--shard-rows", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", help="where to work; by default a temporary folder")
    parser.add_argument("--output", help="write the figures to this JSON file")
    return parser


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The unbroken run, then the others one after the other until `options.runs` of them were killed."""
    corpus = folder / "corpus"
    build_corpus(UtteranceFolder, corpus, source=str(options.source), audio_features="none", vision_features="none")
    command = ["extract", str(corpus), "--media-root", str(options.source), "--shard-rows", str(options.shard_rows)]
    for name in ("audio_extractor", "vision_extractor"):
        if getattr(options, name) != "none":
            command += [f"--{name.replace('_', '-')}", getattr(options, name)]
    # The first use of the corpus converts it in the cache of datasets, which is no part of the job.
    seconds = [_run([*command, "--output", str(folder / name)])[0] for name in ("first", "whole")]
    expected = digests(folder / "whole")
    moments = random.Random(options.seed)
    runs: list[dict[str, Any]] = []
    while sum(run["killed"] for run in runs) < options.runs:
        output = folder / f"run-{len(runs)}"
        moment = moments.uniform(0, seconds[1])
        before, killed = _run([*command, "--output", str(output)], moment)
        shards = len(list(Path(f"{output}.partial").glob("shards/*.parquet")))
        after, _ = _run([*command, "--output", str(output)])
        same = digests(output) == expected and not Path(f"{output}.partial").exists()
        runs.append({"killed": killed, "seconds": before, "shards_done": shards, "seconds_after": after, "same": same})
        print(json.dumps(runs[-1]), flush=True)
        # Other work on the machine makes runs longer or shorter.
        seconds[1] = seconds[1] if killed else before
        shutil.rmtree(output)
    return {
        "files": len(expected),
        "shards": sum(name.endswith(".parquet") for name in expected),
        "seconds_unbroken": seconds[1],
        "runs": runs,
        "different": sum(not run["same"] for run in runs),
    }


def _run(command: list[str], kill_after: float | None = None) -> tuple[float, bool]:
    """Seconds that a command took, and whether it was killed."""
    started = time.perf_counter()
    # A fork, so that what is killed is the job and not the importing of packages.
    process = get_context("fork").Process(target=_quietly, args=(command,))
    process.start()
    process.join(kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        return time.perf_counter() - started, True
    if process.exitcode:
        raise RuntimeError(f"univa {' '.join(command)} ended with {process.exitcode}")
    return time.perf_counter() - started, False


def _quietly(command: list[str]) -> None:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
        status = cli.main(command)
    sys.exit(status)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _table(report: dict[str, Any]) -> str:
    killed = [run for run in report["runs"] if run["killed"]]
    between = sum(0 < run["shards_done"] < report["shards"] for run in killed)
    return (
        f"unbroken: {report['seconds_unbroken']:.0f} s, {report['shards']} shards, {report['files']} files\n"
        f"{len(report['runs'])} runs: {len(killed)} killed before their end, {between} of them between the first and "
        f"the last shard; {report['different']} results with another byte"
    )


if __name__ == "__main__":
    sys.exit(main())
