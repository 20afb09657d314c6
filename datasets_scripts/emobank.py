# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build EmoBank, which text scorers of valence and arousal are trained on.

python datasets_scripts/emobank.py --source emobank.csv --output DIR
"""

import sys

from modeling_univa.commands.build import emobank_main


if __name__ == "__main__":
    sys.exit(emobank_main())
