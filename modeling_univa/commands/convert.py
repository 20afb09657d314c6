# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa convert`: a published checkpoint to a folder that from_pretrained loads."""

import argparse

from ..convert.networks import convert_network
from ..convert.official import convert_official
from ..convert.systems import OFFICIAL
from ..convert.univa import convert_univa


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    kinds = {"univa": _convert_univa, "network": _convert_network, "official": _convert_official}
    return kinds[options.kind](options)


def _convert_univa(options: argparse.Namespace) -> int:
    print(f"wrote {convert_univa(options.checkpoint, options.output, options.text_model)}")
    return 0


def _convert_network(options: argparse.Namespace) -> int:
    print(f"wrote {convert_network(options.network, options.checkpoint, options.output)}")
    return 0


def _convert_official(options: argparse.Namespace) -> int:
    labels = {} if options.labels is None else {"id2label": dict(enumerate(options.labels.split(",")))}
    official, text_model = OFFICIAL[options.system], getattr(options, "text_model", None)
    print(f"wrote {convert_official(official, options.checkpoint, options.output, text_model, **labels)}")
    return 0
