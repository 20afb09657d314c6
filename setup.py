# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Takes along what the package reads and what stands in folders of its own in the repository; see `shipped.py`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


SHIPPED = ("model_card.md", "metrics/multilabel_emotion", "recipes")


class BuildWithFiles(build_py):
    """Copies `SHIPPED` into the package, unless it stays where it is (`pip install --editable`)."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:
            return
        for name in SHIPPED:
            target = Path(self.build_lib, "modeling_univa", "shipped_files", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(name, target)


setup(cmdclass={"build_py": BuildWithFiles})
