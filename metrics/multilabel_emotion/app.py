# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The Space: evaluate's own widget around the metric that lies beside this file."""

from pathlib import Path

import evaluate
from evaluate.utils import launch_gradio_widget


if __name__ == "__main__":
    # By file, since evaluate finds a folder's metric by the folder's name and a Space runs in one of another name.
    launch_gradio_widget(evaluate.load(str(Path(__file__).with_name("multilabel_emotion.py"))))
