# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa export`: a trained model to ONNX."""

import argparse

from ..prediction.onnx_export import export_onnx


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    export = export_onnx(
        options.model,
        options.output,
        revision=options.revision,
        quantize=options.quantize,
        dataset=options.dataset,
        dataset_revision=options.dataset_revision,
        split=options.split,
    )
    print(export)
    return 0
