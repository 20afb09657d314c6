#!/usr/bin/env python
# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""
Train, test and save a UniVA model.

    python train_hf.py recipes/demo.yaml
    python train_hf.py recipes/mosei/univa.yaml --dataset corpora/mosei --learning_rate 3e-5
    torchrun --nproc_per_node 4 train_hf.py recipes/mosei/univa.yaml
    accelerate launch train_hf.py recipes/mosei/univa.yaml

A recipe is a YAML file of the options that `--help` lists; options on the command line win. Started again, a run that
was stopped goes on from its last complete checkpoint.
"""

import sys

from modeling_univa.commands.failures import run_guarded
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import run_training


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2, an interruption in 130."""
    return run_guarded("train_hf.py", lambda: _train(sys.argv[1:] if arguments is None else arguments))


def _train(arguments: list[str]) -> int:
    run_training(*parse_arguments(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
