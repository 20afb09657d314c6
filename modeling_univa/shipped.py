# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files that stand outside this package in the repository, and inside it where it is installed."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

from .options import nearest


__all__ = ["in_words", "named_file", "plans", "recipes", "shipped"]

_PACKAGE = Path(__file__).resolve().parent
_RECIPES, _PLANS = "recipes", "recipes/benchmark"
_SUFFIX = ".yaml"


def shipped(name: str) -> Path:
    """
    Where a file or folder of the repository lies, such as "model_card.md".

    Raises:
        FileNotFoundError: neither in the repository nor in the installed package.
    """
    for folder in (_PACKAGE / "shipped_files", _PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is neither in {_PACKAGE} nor beside it: reinstall univa.")


def recipes() -> list[str]:
    """The names of the recipes that come with the package, such as "demo" and "mosei/univa"."""
    found = _names(_RECIPES)
    return [name for name in found if not f"{_RECIPES}/{name}".startswith(f"{_PLANS}/")]


def plans() -> list[str]:
    """The names of the benchmark plans that come with the package."""
    return _names(_PLANS)


def named_file(name: str | Path, kind: str = "recipe") -> Path:
    """
    A recipe or a plan: a file of the user's or, where there is none, that of the package.

    Args:
        name: path of a file; or the name of one of the package's, also with what comes before and after it in the
            repository ("mosei/univa", "mosei/univa.yaml", "recipes/mosei/univa.yaml").
        kind: "recipe" or "plan".

    Raises:
        ValueError: there is no such file; the message lists those of the package.
    """
    for path in (Path(name), Path(f"{name}{_SUFFIX}")):
        if path.is_file():
            return path
    folder, known = (_RECIPES, recipes()) if kind == "recipe" else (_PLANS, plans())
    for short in _short_names(name, PurePosixPath(folder).parts):
        if short in known:
            return shipped(folder) / f"{short}{_SUFFIX}"
    raise ValueError(f"There is no {kind} {name}{nearest(str(name), known)}; this package has {in_words(known)}.")


def in_words(names: Sequence[str]) -> str:
    """Names of files, those of one folder together: "demo, mosei/{mult, univa}"."""
    folders = groupby(names, key=lambda name: name.rpartition("/")[0])
    lists = [(folder, ", ".join(name.rpartition("/")[2] for name in found)) for folder, found in folders]
    return ", ".join(f"{folder}/{{{found}}}" if folder else found for folder, found in lists)


def _names(folder: str) -> list[str]:
    root = shipped(folder)
    files = [path.relative_to(root).with_suffix("") for path in root.rglob(f"*{_SUFFIX}")]
    # Those of the folder itself first.
    return [path.as_posix() for path in sorted(files, key=lambda path: (len(path.parts), path.as_posix()))]


def _short_names(name: str | Path, folder: Sequence[str]) -> list[str]:
    """What may be the name of a file of a folder, which the user may have written before it, as a whole or its end."""
    parts = PurePosixPath(Path(name).as_posix().removesuffix(_SUFFIX)).parts
    ends = [tuple(folder[start:]) for start in range(len(folder) + 1)]
    return ["/".join(parts[len(end) :]) for end in ends if parts[: len(end)] == end]
