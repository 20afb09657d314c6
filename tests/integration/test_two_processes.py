# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Two processes: every row once in training and evaluation, and the predictions of one process."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forks import run_forked
from testing_utils import random_rows, run_command, subprocess_environment, write_corpus, write_text_encoder

import train_hf
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.utterances import UtteranceDataset
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.scores.predictions import read_predictions
from modeling_univa.training.run import check_world_size
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


DRIVER = Path(__file__).with_name("recording_driver.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
EPOCHS = 2
# Rows of each split: odd numbers, so that no split is shared evenly.
TRAIN, VALIDATION, TEST = (4, 3, 5, 1, 4, 2), (3, 4), (2, 1, 4, 4)


def splits(**options: Any) -> dict[str, Any]:
    sizes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    return {
        name: random_rows(value, seed=seed, prefix=name, **options) for seed, (name, value) in enumerate(sizes.items())
    }


VARIANTS = {
    "pretrained text": ({}, ["--heads_learning_rate", "0.02"]),
    "frozen text": ({}, ["--text_states", "true"]),
    "beyond the paper": (
        {},
        ["--gather_across_devices", "true", "--contrastive_memory", "5", "--contrastive_chunk_size", "2"],
    ),
    # An absent modality in every row, a prior that is off while M is trainable, and recomputed activations.
    "absent modality": (
        {"modalities": ("text", "audio", "vision"), "absent": {"audio": 1.0, "text": 0.2, "vision": 0.2}},
        ["--activation_checkpointing", "true", "--correlation_prior_weight", "0"],
    ),
}


class Run:
    """One training run of two processes."""

    def __init__(self, variant: str, folder: Path):
        rows, options = VARIANTS[variant]
        self.corpus = write_corpus(folder / "corpus", splits(**rows))
        self.output = folder / "output"
        # States are kept as float16; the predictions that they are compared with are those of tokens.
        self.tolerance = 2e-3 if variant == "frozen text" else 1e-5
        arguments = [
            "--dataset", self.corpus, "--output_dir", self.output, "--use_cpu", "true", "--hidden_size", 16,
            "--num_attention_heads", 2, "--intermediate_size", 32, "--audio_num_hidden_layers", 1,
            "--vision_num_hidden_layers", 1, "--text_num_hidden_layers", 1, "--num_train_epochs", EPOCHS,
            "--per_device_train_batch_size", 3, "--per_device_eval_batch_size", 2, "--learning_rate", 0.01, *options,
        ]  # fmt: skip
        if variant != "absent modality":
            arguments += ["--text_model", write_text_encoder(folder / "encoder")]
        record = {"RECORD": str(folder / "record")}
        if variant == "pretrained text":
            environment = subprocess_environment(folder / "cache") | record
            result = run_command([*TORCHRUN, DRIVER, *arguments], environment, folder)
            assert result.returncode == 0, result.stderr[-5000:]
            self.said = result.stdout
        else:
            self.said = "".join(run_forked(DRIVER, arguments, os.environ | record, folder))
        files = [folder / f"record-{rank}" for rank in (0, 1)]
        self.records = [json.loads(Path(f"{file}.json").read_text()) for file in files]
        self.predictions = [list(np.load(f"{file}.npz").values()) for file in files]


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, tmp_path_factory) -> Run:
    return Run(request.param, tmp_path_factory.mktemp("two"))


def test_there_were_two_processes(run):
    assert [record["world_size"] for record in run.records] == [2, 2]


def test_every_training_row_is_seen_once_an_epoch(run):
    assert len(run.records[0]["train"]) == len(run.records[1]["train"])
    batches = len(run.records[0]["train"]) // EPOCHS
    rows = sorted(load_corpus(str(run.corpus)).split("train")["utterance_id"])
    assert len(rows) == sum(TRAIN)
    for epoch in range(EPOCHS):
        seen = [
            name
            for record in run.records
            for batch in record["train"][epoch * batches : (epoch + 1) * batches]
            for name in batch
        ]
        assert sorted(seen) == rows


def test_both_processes_have_the_same_weights(run):
    assert run.records[0]["weights"] == run.records[1]["weights"]
    # They were trained: those of the first epoch's end are others than those of the second's.
    losses = [entry["loss"] for entry in run.records[0]["log"] if "loss" in entry]
    assert len(losses) == EPOCHS
    assert losses[0] != losses[1]


def test_both_processes_choose_the_same_threshold(run):
    chosen = [
        [entry["eval_threshold"] for entry in record["log"] if "eval_threshold" in entry] for record in run.records
    ]
    assert len(chosen[0]) >= EPOCHS and chosen[0] == chosen[1]
    config = json.loads((run.output / "config.json").read_text())
    results = json.loads((run.output / "all_results.json").read_text())
    found = {results["validation"]["eval_threshold"], results["test"]["test_threshold"]}
    assert found == {config["decision_threshold"]}


def test_every_row_is_scored_once(run):
    results = json.loads((run.output / "all_results.json").read_text())
    assert results["validation"]["eval_num_rows"] == sum(VALIDATION)
    assert results["test"]["test_num_rows"] == sum(TEST)
    assert f"{sum(TEST):>8}" in run.said
    for predictions in run.predictions:
        assert [len(logits) for logits in predictions] == [sum(VALIDATION)] * (EPOCHS + 1) + [sum(TEST)]


def test_predictions_and_metrics_are_those_of_one_process(run, tmp_path):
    model = UnivaForEmotionClassification.from_pretrained(run.output)
    processor = UnivaProcessor.from_pretrained(run.output)
    rows = load_corpus(str(run.corpus)).split("test")
    dataset = UtteranceDataset(rows, processor, model.config.label_names)
    args = UnivaTrainingArguments(str(tmp_path), use_cpu=True, per_device_eval_batch_size=3, disable_tqdm=True)
    expected = UnivaTrainer(model, args, eval_dataset=dataset, processing_class=processor).predict(dataset)
    for predictions in run.predictions:
        np.testing.assert_allclose(predictions[-1], expected.predictions, atol=run.tolerance)
    written = read_predictions(run.output / "predictions.parquet")[0]["test"]
    scores = model.config.probabilities(torch.from_numpy(expected.predictions)).numpy()
    np.testing.assert_allclose(written.scores, scores, atol=run.tolerance)
    assert written.utterance_ids == list(rows["utterance_id"])
    found = json.loads((run.output / "all_results.json").read_text())["test"]
    for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1", "loss"):
        assert found[f"test_{name}"] == pytest.approx(expected.metrics[f"test_{name}"], rel=run.tolerance)


def test_terms_are_logged_once_for_both(run):
    logs = [[{**entry, "training_seconds": 0} for entry in record["log"] if "kl" in entry] for record in run.records]
    assert len(logs[0]) == EPOCHS
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def readings(tmp_path_factory) -> list[list[dict[str, Any]]]:
    """What one process, and each of two, found with a model that reads across utterances."""
    found, driver = [], DRIVER.with_name("whole_dialogues_driver.py")
    for processes in (1, 2):
        folder = tmp_path_factory.mktemp("readings")
        run_forked(driver, [folder], os.environ | {"RECORD": str(folder / "record")}, folder, processes)
        found.append([json.loads(file.read_text()) for file in sorted(folder.glob("record-*.json"))])
    return found


def test_dialogues_stay_whole_on_two_processes(readings):
    (one,), two = readings
    assert [record["world_size"] for record in two] == [2, 2]
    for name in ("validation", "test"):
        for record in (one, *two):
            assert record[name]["labels"] == record[name]["expected"]
            np.testing.assert_allclose(record[name]["logits"], one[name]["logits"], atol=1e-5)
    # Dialogues of 3, 4, 2, 5 and 7 utterances, 5 to a batch: both processes have two batches.
    assert sorted(two[0]["batches"] + two[1]["batches"]) == [4, 5, 5, 7]
    assert len(two[0]["batches"]) == len(two[1]["batches"])


def test_both_processes_have_the_statistics_of_the_first(readings):
    assert [record["statistic"] for records in readings for record in records] == [10, 10, 10]
    assert readings[1][0]["metrics"]["eval_num_rows"] == 19


def test_processes_that_do_not_know_of_each_other_are_refused(tmp_path, monkeypatch):
    args = UnivaTrainingArguments(str(tmp_path), use_cpu=True)
    assert args.world_size == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes were launched, but the training arguments see 1.*torchrun"):
        check_world_size(args)


def test_launch_without_the_rest_of_what_torchrun_sets_is_refused(tmp_path):
    # A process of its own: accelerate writes a launcher's variables into the environment before it gives up.
    arguments = ["--use_cpu", "true", "--output_dir", tmp_path, "--dataset", "nowhere"]
    environment = subprocess_environment(tmp_path) | {"WORLD_SIZE": "2"}
    run = run_command([sys.executable, train_hf.__file__, *arguments], environment, tmp_path)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("train_hf.py: ")
