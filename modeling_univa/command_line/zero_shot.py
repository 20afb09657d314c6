# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa zero-shot`: emotions of a split of a corpus by a language model that sees pictures."""

import argparse
from pathlib import Path

from ..options import OptionParser
from .places import check_corpus


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("corpus", help="corpus folder that was built from raw media, or its Hub id")
    parser.add_argument("--model", required=True, help="folder or Hub id of an image-text-to-text model, or its name "
                        "at the endpoint")  # fmt: skip
    parser.add_argument(
        "--endpoint", metavar="URL", help="server of OpenAI's protocol (http://localhost:8000/v1, say)"
    )
    parser.add_argument("--key-variable", metavar="NAME", help="environment variable that holds the endpoint's key")
    parser.add_argument("--output", required=True, help="folder to write; rerun the same command to resume")
    parser.add_argument("--split", default="test", help="which rows (default test)")
    parser.add_argument("--media-root", type=Path, help="folder that the corpus was built from")
    parser.add_argument("--outside-media-root", action="store_true", help="also read files elsewhere that it names")
    parser.add_argument(
        "--stages",
        choices=("captioned", "direct"),
        default="captioned",
        help="captioned: have the pictures described first (default); direct: ask one question",
    )
    parser.add_argument("--pictures", type=int, default=5, help="pictures of a clip (default %(default)s)")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest answer (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for an answer of the endpoint")
    parser.add_argument("--workers", type=int, default=1, help="clips to ask the endpoint about at a time (default 1)")
    parser.add_argument("--limit", type=int, help="only the first rows")
    parser.add_argument("--device", help="where a model of transformers runs (default: a GPU where there is one)")
    parser.add_argument("--strict", action="store_true", help="stop at the first clip without an answer")


def check(options: argparse.Namespace) -> None:
    """Refuse a corpus that does not exist, before the job is imported."""
    check_corpus(options.corpus)
