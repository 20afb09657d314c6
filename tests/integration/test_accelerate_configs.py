# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`accelerate launch` with the files of configs/accelerate, as far as a machine without GPU goes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from fsdp_driver import train
from testing_utils import (
    REPOSITORY,
    Utterances,
    random_rows,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    write_corpus,
    write_text_encoder,
)


CONFIGS = REPOSITORY / "configs" / "accelerate"
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]


@pytest.mark.parametrize("name", ["one_gpu", "multi_gpu", "fsdp", "cpu_2_processes"])
def test_accelerate_reads_the_file(name):
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
    assert config.distributed_type.value == {"one_gpu": "NO", "fsdp": "FSDP"}.get(name, "MULTI_GPU")
    assert config.num_processes == (1 if name == "one_gpu" else 2) and config.mixed_precision == "no"
    assert {file.stem for file in CONFIGS.iterdir()} == {"one_gpu", "multi_gpu", "fsdp", "cpu_2_processes"}


@pytest.mark.slow
def test_two_processes_on_a_processor_share_each_step(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", {"train": random_rows((4, 3, 5, 1, 4, 2), seed=0, prefix="train")})
    arguments = [
        "--dataset", corpus, "--text_model", write_text_encoder(tmp_path / "encoder"), "--hidden_size", 16,
        "--num_attention_heads", 2, "--intermediate_size", 32, "--audio_num_hidden_layers", 1,
        "--vision_num_hidden_layers", 1, "--text_num_hidden_layers", 1, "--num_train_epochs", 2,
        "--per_device_train_batch_size", 3, "--use_cpu", "true", "--output_dir", tmp_path / "output",
    ]  # fmt: skip
    environment = {**subprocess_environment(tmp_path / "cache"), "PYTHONPATH": str(REPOSITORY)}
    command = [*LAUNCH, CONFIGS / "cpu_2_processes.yaml", REPOSITORY / "train_hf.py", *arguments]
    result = run_command(command, environment, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    states = [json.loads(file.read_text()) for file in tmp_path.glob("output/checkpoint-*/trainer_state.json")]
    # 19 rows in batches of 3 are 7 steps an epoch in one process, and 4 in two.
    assert max(state["global_step"] for state in states) == 8


@pytest.mark.slow
def test_model_in_parts_trains_as_the_whole_one(tmp_path):
    model = tiny_model(tiny_config("roberta"))
    model.save_pretrained(tmp_path / "model")
    batches = []
    for seed in range(4):
        utterances = Utterances(model.config, seed=seed)
        batches.append({"labels": utterances.labels, **utterances.inputs()})
    torch.save(batches, tmp_path / "batches.pt")
    environment = {**subprocess_environment(tmp_path / "cache"), "PYTHONPATH": str(REPOSITORY)}
    environment["ACCELERATE_USE_CPU"] = "true"
    driver = Path(__file__).with_name("fsdp_driver.py")
    command = [*LAUNCH, CONFIGS / "fsdp.yaml", driver, tmp_path]
    result = run_command(command, environment, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    expected = train(model, batches)
    about = [json.loads((tmp_path / f"about-{rank}.json").read_text()) for rank in (0, 1)]
    for one in about:
        assert one["world"] == one["version"] == 2 and one["groups"] > 4
        np.testing.assert_allclose(one["losses"], expected, rtol=1e-5)
    # Every number lies with one of the two, but for the padding of uneven parts.
    assert (
        about[0]["own"] + about[1]["own"] == about[0]["all"]
        and max(one["own"] for one in about) < 0.6 * about[0]["all"]
    )
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5)
