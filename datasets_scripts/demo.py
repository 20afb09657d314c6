# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Make the demo corpus from a seed, raw media first, and build it.

python datasets_scripts/demo.py --output DIR [--media DIR] [--seed N]
"""

import argparse
import os
import sys
from collections.abc import Sequence

from modeling_univa.data.corpus_command import corpus_main
from modeling_univa.data.demo_corpus import Demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script: `--output` and `--media` are read here, the rest are the options of every corpus script."""
    parser = argparse.ArgumentParser(
        description=(Demo.__doc__ or "").split("\n\n")[0],
        epilog="Further options: --seed N, --num-dialogues N, --overwrite, and those of utterance_folder.py.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, help="folder to make; load it with datasets.load_dataset")
    parser.add_argument(
        "--media", help="folder for the raw wav and jpg files, which stay there (default OUTPUT-media)"
    )
    arguments, others = parser.parse_known_args(argv)
    media = arguments.media or f"{arguments.output.rstrip(os.sep)}-media"
    status = corpus_main(Demo, ["--source", media, "--output", arguments.output, "--license", "apache-2.0", *others])
    if not status:
        print(f"raw media in {media}")
    return status


if __name__ == "__main__":
    sys.exit(main())
