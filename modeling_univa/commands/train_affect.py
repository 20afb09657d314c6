# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa train-affect`: train a scorer of valence and arousal."""

import argparse

from ..affect.training import AffectTrainingOptions, results_table, train_affect


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    chosen = {name: value for name, value in vars(options).items() if name != "run"}
    results = train_affect(AffectTrainingOptions(**chosen))
    print(results_table(results))
    print(f"wrote {options.output} in {results['seconds']:.0f} s")
    return 0
