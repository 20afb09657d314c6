# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Build CREMA-D from a copy of its repository.

python datasets_scripts/crema_d.py --source DIR --output DIR [--labels-from votes --min-share 0.25]
"""

import sys

from modeling_univa.commands.build import build_main


if __name__ == "__main__":
    sys.exit(build_main("crema_d"))
