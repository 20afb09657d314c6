# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build a corpus from one sheet (csv, tsv or xlsx) and a folder of media.

python datasets_scripts/sheet.py --source SHEET --output DIR --columns text=Transcript,video=File
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("sheet"))
