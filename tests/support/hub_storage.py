# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the Hub for tests keeps: repositories with git-like commits, and the contents of files on disk."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml


KINDS = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
LFS_SIZE = 10 * 1024 * 1024
LFS_PATTERNS = (
    "*.safetensors", "*.bin", "*.pt", "*.pth", "*.onnx", "*.parquet", "*.arrow", "*.h5", "*.npz", "*.npy", "*.zip",
    "*.tar", "*.gz", "*.wav", "*.mp3", "*.mp4", "*.png", "*.jpg",
)  # fmt: skip
ATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
REPOSITORY_ID = re.compile(r"[\w\-.]{1,96}/[\w\-.]{1,96}")


class HubError(Exception):
    """An answer that is an error: `code` is what clients choose their exception by."""

    def __init__(self, status: int, message: str, code: str | None = None, **body: Any):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body
        self.headers: dict[str, str] = {}


@dataclass(frozen=True)
class Account:
    """Who a token stands for; `role` is "read" or "write". In `reading` organizations the account may only read."""

    name: str
    role: str = "write"
    organizations: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()

    def sees(self, namespace: str) -> bool:
        return self.owns(namespace) or namespace in self.reading

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, *self.organizations)


@dataclass(frozen=True)
class Blob:
    """One content: `oid` is what git calls it, and large files have a `pointer` in git and live in the LFS store."""

    sha256: str
    size: int
    oid: str
    pointer_size: int | None = None

    @property
    def etag(self) -> str:
        return self.oid if self.pointer_size is None else self.sha256

    @property
    def lfs(self) -> dict[str, Any] | None:
        if self.pointer_size is None:
            return None
        return {"oid": self.sha256, "sha256": self.sha256, "size": self.size, "pointerSize": self.pointer_size}


def git_oid(content: bytes, kind: str = "blob") -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def lfs_blob(sha256: str, size: int) -> Blob:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return Blob(sha256, size, git_oid(pointer), len(pointer))


class ContentStore:
    """Files named by the SHA-256 of their content."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / sha256).write_bytes(content)
        return sha256

    def __contains__(self, sha256: str) -> bool:
        return bool(re.fullmatch(r"[0-9a-f]{64}", sha256)) and (self.folder / sha256).is_file()

    def read(self, sha256: str) -> bytes:
        return (self.folder / sha256).read_bytes()


@dataclass(frozen=True)
class Commit:
    """A state of all files, with its parent."""

    id: str
    parent: "Commit | None"
    files: Mapping[str, Blob]
    title: str
    message: str
    author: str
    date: str

    def history(self) -> Iterator["Commit"]:
        commit: Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent

    def last_change(self, path: str) -> "Commit":
        """The newest commit in which `path`, a file, became what it is."""
        for commit in self.history():
            if commit.parent is None or commit.parent.files.get(path) != self.files[path]:
                return commit
        raise KeyError(path)


def make_commit(parent: Commit | None, files: Mapping[str, Blob], title: str, message: str, author: str) -> Commit:
    date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    tree = "".join(f"{path}\0{blob.oid}\n" for path, blob in sorted(files.items()))
    text = f"{parent and parent.id}\n{tree}\n{title}\n{message}\n{author}\n{date}{time.monotonic_ns()}"
    return Commit(git_oid(text.encode(), "commit"), parent, dict(files), title, message, author, date)


@dataclass
class Repository:
    """Commits, and the branches, tags and pull requests that name some of them."""

    kind: str
    id: str
    owner: Account
    private: bool = False
    gated: str | bool = False
    sdk: str | None = None
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[int, str] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def readable_by(self, account: Account | None) -> bool:
        return not self.private or (account is not None and account.sees(self.id.split("/")[0]))

    def record(self, commit: Commit) -> Commit:
        self.commits[commit.id] = commit
        return commit

    def at(self, revision: str) -> Commit:
        """The commit that a branch, tag, `refs/…` or commit id (seven characters or more) names."""
        number = re.fullmatch(r"refs/pr/(\d+)", revision)
        if number and int(number[1]) in self.pull_requests:
            return self.commits[self.pull_requests[int(number[1])]]
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for names in (self.branches, self.tags):
            if name in names:
                return self.commits[names[name]]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            found = [commit for oid, commit in self.commits.items() if oid.startswith(revision)]
            if len(found) == 1:
                return found[0]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def blob(self, revision: str, path: str) -> tuple[Commit, Blob]:
        commit = self.at(revision)
        if path not in commit.files:
            error = HubError(404, "Entry not found", "EntryNotFound")
            error.headers["X-Repo-Commit"] = commit.id
            raise error
        return commit, commit.files[path]

    def head_of(self, revision: str, create_pr: bool) -> Commit:
        """What a commit to `revision` comes on top of; only branches and pull requests can grow."""
        commit = self.at(revision)
        name = revision.removeprefix("refs/heads/")
        if not (create_pr or name in self.branches or revision.startswith("refs/pr/")):
            raise HubError(400, f"{revision} is not a branch")
        return commit

    def advance(self, revision: str, commit: Commit, create_pr: bool) -> int | None:
        """Let the branch or pull request point at `commit`; returns the number of a new pull request."""
        self.record(commit)
        if create_pr:
            number = len(self.pull_requests) + 1
            self.pull_requests[number] = commit.id
            return number
        if revision.startswith("refs/pr/"):
            self.pull_requests[int(revision.rsplit("/", 1)[1])] = commit.id
        else:
            self.branches[revision.removeprefix("refs/heads/")] = commit.id
        return None


def changed_files(
    files: Mapping[str, Blob], operations: Sequence[Mapping[str, Any]], new: Mapping[str, Blob]
) -> dict[str, Blob]:
    """The files after a commit's operations, of which `new` holds the contents that are added."""
    result = dict(files)
    for operation in operations:
        key, path = operation["key"], operation["value"]["path"]
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or path.startswith(".git/"):
            raise HubError(400, f"Invalid path: {path}")
        if key in ("file", "lfsFile"):
            if any(str(parent) in result for parent in PurePosixPath(path).parents) or any(
                name.startswith(f"{path}/") for name in result
            ):
                raise HubError(400, f"{path} is a file and a folder")
            result[path] = new[path]
            continue
        gone = [name for name in result if name == path or (key == "deletedFolder" and name.startswith(path))]
        if not gone:
            raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
        for name in gone:
            del result[name]
    return result


def is_large(path: str, size: int, attributes: str) -> bool:
    """Whether a file goes to the LFS store: by `.gitattributes`, or because it is too big for git."""
    patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    name = path.rsplit("/", 1)[-1]
    return size > LFS_SIZE or any(fnmatch(name, pattern) or fnmatch(path, pattern) for pattern in patterns)


# Cards

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_STRINGS = ("pipeline_tag", "library_name", "pretty_name", "title")


def front_matter(text: str) -> dict[str, Any]:
    """The YAML block on top of a card; raises `HubError` where it is not a mapping."""
    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", text, re.DOTALL)
    if match is None:
        return {}
    try:
        data = yaml.safe_load(match[1]) or {}
    except yaml.YAMLError as error:
        raise HubError(400, f"Invalid metadata in README.md: {error}") from error
    if not isinstance(data, dict):
        raise HubError(400, "Invalid metadata in README.md: it must be a mapping")
    return data


def card_mistakes(text: str, kind: str) -> list[str]:
    """What the Hub would refuse in a card."""
    try:
        data = front_matter(text)
    except HubError as error:
        return [error.message]
    mistakes = [f'"{name}" must be a string' for name in _STRINGS if not isinstance(data.get(name, ""), str)]
    for name in ("tags", "datasets", "metrics", "model-index", "task_categories"):
        if not isinstance(data.get(name, []), list | (str if name in ("datasets", "metrics") else list)):
            mistakes.append(f'"{name}" must be a list')
    if not isinstance(data.get("license", ""), str | list):
        mistakes.append('"license" must be a string')
    elif isinstance(data.get("license"), str) and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", data["license"]):
        mistakes.append('"license" must be one of [apache-2.0, mit, cc-by-4.0, other, …]')
    if kind == "space":
        mistakes += [f'"{name}" must be one of {", ".join(COLORS)}' for name in ("colorFrom", "colorTo")
                     if data.get(name, "red") not in COLORS]  # fmt: skip
        if data.get("sdk") not in ("gradio", "docker", "static"):
            mistakes.append('"sdk" must be one of gradio, docker, static')
        if len(str(data.get("short_description", ""))) > 60:
            mistakes.append('"short_description" must be at most 60 characters')
    return mistakes
