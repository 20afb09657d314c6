# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Make the demo corpus from a seed, raw media first, and build it.

python datasets_scripts/demo.py --output DIR [--media DIR] [--seed N]
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("demo"))
