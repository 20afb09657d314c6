# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build IEMOCAP from IEMOCAP_full_release.

python datasets_scripts/iemocap.py --source DIR --output DIR [--label-set four] [--labels-from votes --min-votes 2]
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("iemocap"))
