# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
One of any number of processes: some steps of a saved model by SGD, on batches of its own.

    gathering_driver.py FOLDER OUTPUT LEAST: FOLDER has model/ and batch-STEP-RANK.safetensors; weights, the memory and
    the terms of each step go to OUTPUT-RANK.safetensors. Rows of at least LEAST of work go without their padding.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModel

import modeling_univa  # noqa: F401  (registers the systems)
from modeling_univa.models import packed_rows_univa


def main(folder: Path, output: str) -> None:
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world_size > 1:
        distributed.init_process_group("gloo", timeout=timedelta(seconds=100))
        assert distributed.get_world_size() == world_size
    save_file(trained(folder, rank, world_size), f"{output}-{rank}.safetensors")
    if world_size > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def trained(folder: Path, rank: int, world_size: int) -> dict[str, torch.Tensor]:
    """Terms, weights and state. The network that holds the process group is gone before that is destroyed."""
    model = network = AutoModel.from_pretrained(folder / "model").train()
    if world_size > 1:
        network = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    found = {"world_size": torch.tensor(world_size)}
    for step in range(len(list(folder.glob(f"batch-*-{rank}.safetensors")))):
        result = network(**load_file(folder / f"batch-{step}-{rank}.safetensors"))
        found |= {f"term.{step}.{name}": value.detach() for name, value in result.loss_terms.items()}
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    attention = [getattr(module, "config", None) for module in model.modules()]
    packed = [
        getattr(config, "_attn_implementation", None) == packed_rows_univa.PACKED_ATTENTION for config in attention
    ]
    found |= {"packed": torch.tensor(sum(packed))}
    found |= {f"weight.{name}": value.detach() for name, value in model.named_parameters()}
    return found | model.resume_state()


if __name__ == "__main__":
    packed_rows_univa.LEAST_WORK = int(sys.argv[3])
    main(Path(sys.argv[1]), sys.argv[2])
