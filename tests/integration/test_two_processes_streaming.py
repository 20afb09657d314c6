# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Two processes that train from a stream: every row once an epoch, by one of them, and the same run again."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from forks import run_forked
from hub_server import HubServer
from huggingface_hub import HfApi
from testing_utils import random_rows, run_command, subprocess_environment, write_corpus, write_text_encoder

from modeling_univa.data.loading import load_corpus


DRIVER = Path(__file__).with_name("recording_driver.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
# Odd numbers of rows, in one file a split, which two processes cannot share as files.
SIZES = {"train": (4, 3, 5, 1, 4, 2), "validation": (3, 4), "test": (2, 1, 4, 4)}
# Two epochs of three windows, and some steps of the third.
STEPS = 14


class Run:
    """One streamed training run of two processes, which torchrun starts where `environment` is theirs."""

    def __init__(
        self, folder: Path, dataset: str | Path, encoder: Path, environment: dict[str, str] | None = None, **extra: Any
    ):
        self.output = folder / "output"
        options = {
            "dataset": dataset, "output_dir": self.output, "use_cpu": True, "streaming": True, "streaming_window": 6,
            "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "audio_num_hidden_layers": 1,
            "vision_num_hidden_layers": 1, "text_model": encoder, "max_steps": STEPS, "learning_rate": 0.01,
            "per_device_train_batch_size": 2, "per_device_eval_batch_size": 2, "eval_strategy": "steps",
            "eval_steps": STEPS // 2, "save_strategy": "steps", "save_steps": STEPS // 2, "logging_strategy": "steps",
            "logging_steps": 1, **extra,
        }  # fmt: skip
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        record = {"RECORD": str(folder / "record")}
        if environment is None:
            self.said = "".join(run_forked(DRIVER, arguments, os.environ | record, folder))
        else:
            result = run_command([*TORCHRUN, DRIVER, *arguments], environment | record, folder)
            assert result.returncode == 0, result.stderr[-5000:]
        self.folder = folder

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads((self.folder / f"record-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    rows = {name: random_rows(sizes, seed=seed, prefix=name) for seed, (name, sizes) in enumerate(SIZES.items())}
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus", rows)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return write_text_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def run(corpus, encoder, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("streamed")
    return Run(folder, corpus, encoder)


def test_every_training_row_is_seen_once_an_epoch(run, corpus):
    first, second = (record["train"] for record in run.records)
    # In the order of the steps; of the batches that were read ahead of the last step nothing was learnt.
    seen = [name for step in list(zip(first, second, strict=False))[:STEPS] for batch in step for name in batch]
    rows = sorted(load_corpus(str(corpus)).split("train")["utterance_id"])
    epochs = [seen[start : start + len(rows)] for start in (0, len(rows))]
    assert [sorted(epoch) for epoch in epochs] == [rows, rows]
    assert epochs[0] != epochs[1]


def test_both_processes_take_the_same_steps(run):
    assert [record["world_size"] for record in run.records] == [2, 2]
    assert [record["steps"] for record in run.records] == [STEPS, STEPS]
    assert run.records[0]["weights"] == run.records[1]["weights"]


def test_every_row_is_scored_once(run):
    results = json.loads((run.output / "all_results.json").read_text())
    for split, prefix in (("validation", "eval"), ("test", "test")):
        assert results[split][f"{prefix}_num_rows"] == sum(SIZES[split])


def test_a_run_that_is_cut_off_ends_alike(run, corpus, encoder, tmp_path):
    shutil.copytree(run.output / f"checkpoint-{STEPS // 2}", tmp_path / "output" / f"checkpoint-{STEPS // 2}")
    shutil.copy(run.output / "run_arguments.json", tmp_path / "output")
    resumed = Run(tmp_path, corpus, encoder)
    assert f"Resuming from {resumed.output / f'checkpoint-{STEPS // 2}'}" in resumed.said
    for record, other in zip(resumed.records, run.records, strict=True):
        # All that was read before is read again, and skipped.
        assert record["train"][:STEPS] == other["train"][:STEPS]
        assert (record["weights"], record["steps"]) == (other["weights"], STEPS)


def test_from_the_hub_it_is_the_same_run(run, corpus, encoder, hub_client: HubServer, tmp_path):
    api = HfApi()
    api.create_repo("lab/corpus", repo_type="dataset", private=True)
    api.upload_folder(repo_id="lab/corpus", repo_type="dataset", folder_path=corpus)
    environment = subprocess_environment(tmp_path / "cache") | hub_client.environment(tmp_path / "cache", "hf_me")
    remote = Run(tmp_path, "lab/corpus", encoder, environment, dataloader_num_workers=1)
    for record, other in zip(remote.records, run.records, strict=True):
        assert (record["weights"], record["steps"]) == (other["weights"], STEPS)
