# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build MOSEI from the data files that the authors of UniVA published, or from CMU's own computational sequences.

python datasets_scripts/mosei.py --source DIR --output DIR [--text-features glove] [--label-source annotations]
python datasets_scripts/mosei.py --csd DIR --folds DIR --output DIR [--audio-sequence COVAREP] …
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("mosei"))
