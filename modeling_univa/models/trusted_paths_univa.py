# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The door for paths that come with a file of someone else: in a processor's settings, or in the rows of a corpus.

What names a path is not to be believed. Settings that came with a file may name what lies beside it, a repository on
the Hub, or, where they are on this machine, a file of this machine together with its SHA-256, which only someone who
knows the content can tell. Media of a corpus lie in the folder that the user names. Messages are the same whatever is
wrong with a place, and never quote what it holds, so that nothing can be found out by asking.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from transformers.utils import CONFIG_NAME, FEATURE_EXTRACTOR_NAME, PROCESSOR_NAME

from .files_univa import sha256_of_files


__all__ = [
    "EMBEDDED",
    "OutsideError",
    "check_digest",
    "check_inside",
    "check_settings",
    "check_sha256",
    "content_digest",
    "embedded_parts",
    "embedded_place",
    "from_hub_cache",
    "has_hub_form",
    "is_hub_id",
    "inside",
    "network_files",
    "without_places",
]

# How the path of what was copied into the model's folder begins; a Hub id cannot begin so.
EMBEDDED = "./"

# Settings that name a file, a folder or a repository, and where the SHA-256 of it stands.
_PLACES = {"model": "sha256", "detector_model": "detector_sha256"}
_REVISIONS = ("revision", "detector_revision")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"\w[\w./-]{0,254}", re.ASCII)
_HUB_NAME = re.compile(r"\w[\w.-]{0,95}", re.ASCII)
_HUB_ID = re.compile(f"{_HUB_NAME.pattern}/{_HUB_NAME.pattern}", re.ASCII)
_HUB_FILE = re.compile(_HUB_ID.pattern + r"(/\w[\w.-]{0,95}){1,4}\.onnx", re.ASCII)
# Folders whose files are windows into the running system.
_SYSTEM = tuple(Path(name) for name in ("/proc", "/sys", "/dev"))
_HUB_CACHES = ("models--", "datasets--", "spaces--")


class OutsideError(ValueError):
    """A path that leads out of the folder that it has to stay in."""


# Media of a corpus


def inside(root: str | os.PathLike[str], path: str | os.PathLike[str], outside: bool = False) -> Path:
    """
    A file that a corpus names, in the folder of its media.

    Args:
        root: The folder; it may be a link itself.
        path: Relative to it.
        outside: Whether the user wants files elsewhere to be read, too.

    Raises:
        OutsideError: The path leads out of the folder: it is absolute, has `..` in it, or is a symbolic link to
            another place.
    """
    place = Path(root, path)
    if not outside:
        advice = "copy the file into it, or allow files outside of it"
        check_inside(root, place, f"{_shown(str(path))} leads out of the folder of the media: {advice}")
    return place


def check_inside(root: str | os.PathLike[str], place: Path, message: str) -> None:
    """Raise an `OutsideError` with the message where a place, symbolic links followed, is not in a folder."""
    try:
        real = place.resolve()
        homes = _homes(Path(root))
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        raise OutsideError(f"{message}.") from None
    if not any(real.is_relative_to(home) for home in homes):
        raise OutsideError(f"{message}.")


def _homes(root: Path) -> list[Path]:
    """The folder as it is on the disk; in the cache of the Hub, whose files are links, that of its repository too."""
    real = root.resolve()
    return [real, *(parent for parent in (real, *real.parents) if _is_cached_repository(parent))]


def _is_cached_repository(folder: Path) -> bool:
    return folder.name.startswith(_HUB_CACHES) and (folder / "snapshots").is_dir()


def from_hub_cache(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is what huggingface_hub downloaded to its cache."""
    return len(_homes(Path(folder))) > 1


# Settings that came with a file


def check_settings(settings: Mapping[str, Any], embedded: Callable[[str], Path], on_hub: bool) -> dict[str, Any]:
    """
    Settings of an extractor or a face reader that came with a file, ready for use on this machine.

    Args:
        settings: As they were read.
        embedded: From a path that begins with `./` to the folder that it is relative to.
        on_hub: Whether they were downloaded, so that they cannot know this machine.

    Returns:
        The settings, with the paths of what lies beside them as they are here.

    Raises:
        ValueError: They name a place that settings of others may not name.
    """
    checked = dict(settings)
    for name in _REVISIONS:
        revision = settings.get(name)
        if revision is not None and not (_is_match(_REVISION, revision) and ".." not in revision):
            raise ValueError(f"`{name}` must be a branch, tag or commit on the Hub, got {_shown(revision)}.")
    for name, digest in _PLACES.items():
        if settings.get(digest) is not None:
            check_sha256(settings[digest], digest)
        if settings.get(name) is not None:
            checked[name] = _checked_place(name, settings[name], settings.get(digest), embedded, on_hub)
    return checked


def _checked_place(name: str, value: Any, sha256: str | None, embedded: Callable[[str], Path], on_hub: bool) -> str:
    if isinstance(value, str) and value.startswith(EMBEDDED):
        return str(embedded_place(value, embedded(value)))
    hub_ids = (_HUB_ID, _HUB_FILE) if name == "detector_model" else (_HUB_ID,)
    if any(_is_match(pattern, value) for pattern in hub_ids):
        # What loads it by its name would take a folder of this name for it.
        if os.path.lexists(value):
            raise ValueError(
                f"`{name}` is the repository {value} on the Hub, and a file or folder of that name is in the current "
                "directory: run the command in another directory."
            )
        return value
    if isinstance(value, str) and os.path.isabs(value) and sha256 is not None and not on_hub:
        return value
    kind = "from the Hub" if on_hub else "of a saved file"
    also = "" if on_hub else f", or a file of this machine together with its SHA-256 in `{_PLACES[name]}`"
    raise ValueError(
        f"`{name}` is {_shown(value)} in settings {kind}, which may name what lies beside them "
        f"({EMBEDDED}extractors/NAME) or a repository on the Hub (ORG/NAME){also}: name the one on this machine with "
        "`univa complete`."
    )


def embedded_place(value: str, root: Path) -> Path:
    """
    The file or folder of an extractor that lies with its model, whose every file is really there.

    Args:
        value: Its path, relative to `root`.
        root: The model's folder.

    Raises:
        ValueError: It is not in `extractors`, a symbolic link leads out of the model's folder, or something is neither
            a file nor a folder.
    """
    embedded_parts(value)
    place = root / value
    message = f"{_shown(value)} leads out of the folder of its model: take the model from a place that you trust"
    files = [path for path in place.rglob("*") if not path.is_dir()] if place.is_dir() else []
    for path in (place, *files):
        check_inside(root, path, message)
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ValueError(f"{message}.")
    return place


def has_hub_form(value: Any) -> bool:
    """Whether something has the form ORG/NAME of an id on the Hub; a folder may have that form, too."""
    return _is_match(_HUB_ID, value)


def is_hub_id(value: Any, without_owner: bool = False) -> bool:
    """
    Whether something can only be the id of a repository on the Hub, ORG/NAME: nothing of that name is here.

    Args:
        value: may be anything.
        without_owner: whether NAME will do, as of the oldest models (`bert-base-uncased`).
    """
    fits = has_hub_form(value) or (without_owner and _is_match(_HUB_NAME, value))
    return fits and not os.path.lexists(value)


def embedded_parts(path: str) -> tuple[str, ...]:
    """`extractors` and the name of the extractor, of the path of something in it."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or ".." in parts or parts[0] != "extractors":
        raise ValueError(f"{path!r} is not a path of an extractor: expected ./extractors/NAME.")
    return parts[:2]


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from the Hub with nothing but the last part of a path on the machine of the one who pushed them."""
    places = {name: settings[name] for name in _PLACES if os.path.isabs(str(settings.get(name) or ""))}
    return {**settings, **{name: PurePosixPath(str(value)).name for name, value in places.items()}}


# What a place holds


def check_sha256(value: Any, name: str) -> None:
    """Raise a `ValueError` for what is not a SHA-256, 64 hexadecimal digits in lower case."""
    if not _is_match(_SHA256, value):
        raise ValueError(f"`{name}` must be a SHA-256, 64 hexadecimal digits in lower case, got {_shown(value)}.")


def network_files(folder: Path) -> list[Path]:
    """The files of a network that decide what it computes, safetensors before any other format."""
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    # How sound is scaled stands in one of the latter two.
    settings = [folder / name for name in (CONFIG_NAME, FEATURE_EXTRACTOR_NAME, PROCESSOR_NAME)]
    if not weights:
        raise ValueError(f"{folder} has no weights: expected model.safetensors and config.json in it")
    return [path for path in settings if path.is_file()] + sorted(folder.glob("*.index.json")) + weights


def content_digest(paths: Sequence[Path]) -> str:
    """
    SHA-256 over the contents of some files; large ones are not read twice in a process.

    Raises:
        OSError: One cannot be read, or is not a file of its own content such as a device or a file of `/proc`.
    """
    states = [_regular(path) for path in paths]
    return _digest_once(tuple(map(str, paths)), tuple((state.st_size, state.st_mtime_ns) for state in states))


def _regular(path: Path) -> os.stat_result:
    state = path.stat()
    if not stat.S_ISREG(state.st_mode) or any(path.resolve().is_relative_to(folder) for folder in _SYSTEM):
        raise OSError(f"{path} is not a regular file")
    return state


@lru_cache(maxsize=64)
def _digest_once(paths: tuple[str, ...], state: tuple[tuple[int, int], ...]) -> str:
    return sha256_of_files(*paths)


def check_digest(place: str, sha256: str | None, is_folder: bool = True) -> None:
    """
    Raise a `ValueError` where a file, or the network in a folder, is not the one of the SHA-256.

    The message does not tell whether nothing is there, it may not be read, or it holds something else.

    Args:
        place: Of the file or folder.
        sha256: Of the file or of `network_files`; with `None` nothing is compared.
        is_folder: Whether it is a folder.
    """
    if sha256 is None:
        return
    if place.startswith(EMBEDDED):
        raise ValueError(
            f"{place} lies in a model's folder, relative to which it is named: take the extractor from that model's "
            "processor"
        )
    check_sha256(sha256, "sha256")
    try:
        found = content_digest(network_files(Path(place)) if is_folder else [Path(place)])
    except (OSError, ValueError):
        found = ""
    if found != sha256:
        kind = "folder of the network" if is_folder else "file"
        raise ValueError(
            f"{place} is not the {kind} of SHA-256 {sha256[:12]}… that made the training features: it is not there, "
            "cannot be read or holds something else; name the right one with `univa complete`"
        )


def _is_match(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
