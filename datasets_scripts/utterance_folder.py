# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Build a corpus from metadata csv files and the media that they name.

python datasets_scripts/utterance_folder.py --source DIR --output DIR --labels happy,sad,neutral
"""

import sys

from modeling_univa.data.corpus_command import corpus_main
from modeling_univa.data.utterance_folder import UtteranceFolder


if __name__ == "__main__":
    sys.exit(corpus_main(UtteranceFolder))
