#!/usr/bin/env python
# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Train, test and save a model. From an installed package `univa train` is the same.

    python train_hf.py recipes/demo.yaml
    python train_hf.py recipes/mosei/univa.yaml --dataset corpora/mosei --learning_rate 3e-5
    torchrun --nproc_per_node 4 train_hf.py recipes/mosei/univa.yaml
    accelerate launch train_hf.py recipes/mosei/univa.yaml

A recipe is a YAML file of the options that `--help` lists; options on the command line win. Started again, a run that
was stopped goes on from its last complete checkpoint.
"""

import sys

from modeling_univa.cli import train_main as main


if __name__ == "__main__":
    sys.exit(main())
