# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
train_hf.py in processes that take the processor for an accelerator, so that accelerate shares the model out (FSDP2).

With `--use_cpu true` it makes copies instead (DDP). `ACCELERATE_TORCH_DEVICE` must be cpu.
"""

import os
import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType


def backend(self, cpu: bool = False, sagemaker_dp: bool = False, backend: str | None = None):
    """That of accelerators, by gloo."""
    return "gloo", DistributedType.MULTI_GPU


PartialState._prepare_backend = backend

import train_hf  # noqa: E402


status = train_hf.main()
sys.stdout.flush()
sys.stderr.flush()
# Without what Python does at its end, where threads of gloo may abort a process.
os._exit(status)
