# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build MELD from MELD.Raw: python datasets_scripts/meld.py --source DIR --output DIR [--media audio]"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("meld"))
