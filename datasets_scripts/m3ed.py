# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build M3ED from the data files that the authors of UniVA published.

python datasets_scripts/m3ed.py --source DIR --output DIR [--text-features glove] [--label-source annotations]
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("m3ed"))
