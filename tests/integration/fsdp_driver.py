# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Two processes that train a model shared out by the plugin of configs/accelerate/fsdp.yaml, on CPU with gloo.

accelerate itself shares a model out on accelerators alone, and on CPU makes copies of it (DDP).
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate.utils import FullyShardedDataParallelPlugin, fsdp2_prepare_model
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


def train(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    """The loss of each step, without dropout."""
    model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    losses = []
    for batch in batches:
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main(folder: Path) -> None:
    """Train in parts; the first process leaves losses, weights and what was shared out."""
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    batches = torch.load(folder / "batches.pt", weights_only=True)
    model = UnivaForEmotionClassification.from_pretrained(folder / "model")
    # What `accelerate launch` makes of the file is in the environment, and the plugin reads it there.
    plugin = FullyShardedDataParallelPlugin()
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),), mesh_dim_names=("fsdp",))
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin), torch_device_mesh=mesh, mixed_precision="no",
        is_main_process=rank == 0, parallelism_config=SimpleNamespace(fsdp_dim_names=["fsdp"]),
        device=torch.device("cpu"),
    )  # fmt: skip
    model = fsdp2_prepare_model(accelerator, model)
    losses = train(model, batches)
    parts = [value for value in model.parameters() if isinstance(value, DTensor)]
    about = {
        "losses": losses,
        "groups": sum(isinstance(module, FSDPModule) for module in model.modules()),
        "own": sum(value.to_local().numel() for value in parts),
        "all": sum(value.numel() for value in model.parameters()),
        "version": plugin.fsdp_version,
        "world": distributed.get_world_size(),
    }
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    (folder / f"about-{rank}.json").write_text(json.dumps(about))
    if rank == 0:
        torch.save(weights, folder / "weights.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
