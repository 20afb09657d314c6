# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build MOSEI aligned to words, of HHMPN's file: python datasets_scripts/mosei_aligned.py --source DIR --output DIR"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("mosei_aligned"))
