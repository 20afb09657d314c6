# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One process of several: a training batch of its own through a saved model, whose buffers it writes to a file."""

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import distributed
from transformers import AutoModel

import modeling_univa  # noqa: F401  (registers the systems)


folder = Path(sys.argv[1])
distributed.init_process_group("gloo")
rank = distributed.get_rank()
assert distributed.get_world_size() == 2
model = AutoModel.from_pretrained(folder / "model").train()
model(**load_file(folder / f"batch-{rank}.safetensors"))
save_file(dict(model.named_buffers()), folder / f"buffers-{rank}.safetensors")
distributed.destroy_process_group()
