# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build a corpus from metadata csv files and the media that they name.

python datasets_scripts/utterance_folder.py --source DIR --output DIR --labels happy,sad,neutral
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("utterance_folder"))
