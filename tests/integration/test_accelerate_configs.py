# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`accelerate launch` with the files of configs/accelerate, as far as a machine without GPU goes."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from fsdp_driver import train
from safetensors.torch import load_file
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

from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


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


def test_layers_that_fsdp_is_told_of_are_those_of_the_model():
    names = load_config_from_file(str(CONFIGS / "fsdp.yaml")).fsdp_config["fsdp_transformer_layer_cls_to_wrap"]
    layers = [type(module).__name__ for module in tiny_model(tiny_config("roberta")).modules()]
    assert all(name in layers for name in names.split(","))
    # As docs/cluster.md says; accelerate refuses a name that the model does not have.
    layers = [type(module).__name__ for module in tiny_model(tiny_config("bert")).modules()]
    assert "BertLayer" in layers and "RobertaLayer" not in layers


@pytest.mark.slow
def test_run_in_parts_is_that_of_copies_and_resumes_to_the_same_weights(tmp_path):
    sizes = {"train": (4, 3, 5, 1, 4, 2), "validation": (3, 4), "test": (2, 1, 4, 4)}
    rows = {name: random_rows(value, seed=seed, prefix=name) for seed, (name, value) in enumerate(sizes.items())}
    arguments = [
        "--dataset", write_corpus(tmp_path / "corpus", rows),
        "--text_model", write_text_encoder(tmp_path / "encoder", "roberta"), "--hidden_size", 16,
        "--num_attention_heads", 2, "--intermediate_size", 32, "--audio_num_hidden_layers", 1,
        "--vision_num_hidden_layers", 1, "--text_num_hidden_layers", 1, "--num_train_epochs", 2,
        "--per_device_train_batch_size", 3, "--learning_rate", 0.01, "--heads_learning_rate", 0.02,
        "--ema_decay", 0.9, "--gather_across_devices", "true", "--contrastive_memory", 5,
    ]  # fmt: skip
    environment = {**subprocess_environment(tmp_path / "cache"), "PYTHONPATH": str(REPOSITORY)}

    def run(config: str, script: Path, output: str, *options: str, **variables: str) -> Path:
        command = [*LAUNCH, CONFIGS / f"{config}.yaml", script, *arguments, "--output_dir", tmp_path / output]
        result = run_command([*command, *options], environment | variables, tmp_path)
        assert result.returncode == 0, result.stderr[-20_000:]
        return tmp_path / output

    driver = Path(__file__).with_name("fsdp_run_driver.py")
    copies = run("cpu_2_processes", REPOSITORY / "train_hf.py", "copies", "--use_cpu", "true")
    parts = run("fsdp", driver, "parts", ACCELERATE_TORCH_DEVICE="cpu")
    weights = load_file(parts / "model.safetensors")
    torch.testing.assert_close(weights, load_file(copies / "model.safetensors"), rtol=1e-4, atol=1e-4)
    # A folder like any other, with the sources of the model and not those of FSDP.
    left = {file.name for file in copies.iterdir()}
    assert {file.name for file in parts.iterdir()} == left and "modeling_univa.py" in left
    assert json.loads((parts / "config.json").read_text())["auto_map"]["AutoModel"].startswith("modeling_univa.")
    model = UnivaForEmotionClassification.from_pretrained(parts)
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
    first, last = sorted(parts.glob("checkpoint-*"))
    assert (first / "pytorch_model_fsdp.bin").is_file() and (first / "raw_weights.safetensors").is_file()
    # As if it had been killed in the second epoch.
    shutil.rmtree(last)
    written = (first / "model.safetensors").stat().st_mtime_ns
    for file in ("model.safetensors", "all_results.json", "predictions.parquet"):
        (parts / file).unlink()
    run("fsdp", driver, "parts", ACCELERATE_TORCH_DEVICE="cpu")
    assert last.is_dir() and (first / "model.safetensors").stat().st_mtime_ns == written
    torch.testing.assert_close(load_file(parts / "model.safetensors"), weights, rtol=0, atol=0)


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
