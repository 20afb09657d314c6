# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Small runs of training that several tests start from."""

from pathlib import Path

from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus, write_text_encoder

from modeling_univa.data.utterances import UtteranceDataset, scaled_va
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


__all__ = ["SIZES", "write_training_inputs", "training_options", "tiny_split", "tiny_trainer"]


def tiny_trainer(folder: Path, config: UnivaConfig | None = None, model=None, **options) -> UnivaTrainer:
    config = config or tiny_config()
    settings = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 4, "learning_rate": 1e-2}
    args = UnivaTrainingArguments(
        str(folder), **{**settings, "num_train_epochs": 2, "use_cpu": True, "disable_tqdm": True, **options}
    )
    return UnivaTrainer(
        model or tiny_model(config),
        args,
        train_dataset=tiny_split(config, (3, 4, 2, 5), seed=1, with_va=True),
        eval_dataset=tiny_split(config, (3, 2, 4), seed=2),
        processing_class=tiny_processor(config),
    )


def tiny_split(config: UnivaConfig, sizes: tuple[int, ...], seed: int, with_va: bool = False) -> UtteranceDataset:
    rows = random_rows(
        sizes, seed=seed, label_names=config.label_names, modalities=list(config.feature_sizes), prefix=f"s{seed}_"
    )
    va = scaled_va(rows, "released", config.modalities) if with_va else None
    return UtteranceDataset(rows, tiny_processor(config), config.label_names, va)


SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def write_training_inputs(folder: Path) -> Path:
    """A corpus and a text encoder."""
    splits = {
        name: random_rows(sizes, seed=seed, prefix=name, modalities=("text", "audio", "vision"))
        for seed, (name, sizes) in enumerate({"train": [4, 3, 5], "validation": [3, 4], "test": [5]}.items())
    }
    write_corpus(folder / "corpus", splits)
    write_text_encoder(folder / "encoder")
    return folder


def training_options(inputs: Path, output: Path, **extra: object) -> list[str]:
    given = {"dataset": inputs / "corpus", "text_model": inputs / "encoder", "output_dir": output, **SIZES}
    given |= {"audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "num_train_epochs": 1, "use_cpu": True}
    return [part for name, value in (given | extra).items() if value is not None for part in (f"--{name}", str(value))]
