# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build RAVDESS from its archives: python datasets_scripts/ravdess.py --source DIR --output DIR [--channel both]"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("ravdess"))
