# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A saved folder, or the metric, to the Hub in one commit."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, RepoCard
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from transformers.utils import ADAPTER_CONFIG_NAME, logging

from ..models.files_univa import LOCK_FILE, one_line
from ..scores.metrics import metric_path
from .adapters import BASE_FOLDER, AdapterBase, adapter_config_with_base
from .folder import base_beside, check_folder, shared_files
from .snippets import MODEL_ID


__all__ = [
    "PushError",
    "check_base_repository",
    "commit_files",
    "explained",
    "make_repository",
    "push_folder",
    "push_metric",
    "refuse_untagged",
]

logger = logging.get_logger(__name__)

# Of these kinds a repository keeps only what the folder has: a loader would take weights of a previous push for those
# of this one (`model.safetensors` beside shards, `model.onnx` of other weights), and a reader the previous results for
# its results.
_REPLACED = (
    "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json", "model.onnx", "onnx_export.json",
    ".eval_results/*",
)  # fmt: skip

# Beside these a Space's `app.py` must find no file of the same name.
_METRIC_IMPORTS = ("datasets.py", "evaluate.py", "gradio.py", "numpy.py", "sklearn.py")

# Tells a base that was pushed with its adapter from a model that happens to have the same name.
_BASE_TAG = "univa-adapter-base"
_BASE_CARD = """---
library_name: transformers
tags:
- univa
- {tag}
---

# Base of {adapter}

The UniVA that the LoRA adapter [{adapter}](https://huggingface.co/{adapter}) changes, as it was before training. Load
the adapter on it, as the adapter's card says: alone it is of no use where its heads are untrained.
"""


class PushError(OSError):
    """A push that did not reach its end; it can be repeated."""


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload model",
    token: str | None = None,
    create_pr: bool = False,
) -> CommitInfo:
    """
    Push a saved folder in one commit: weights, configuration, code, processor, card and evaluation results.

    Nothing is sent unless the folder is complete ([`check_folder`]). Training state, checkpoints and pickles stay at
    home. Weights, exported graph and evaluation results of a previous push that the folder does not have are removed
    in the same commit.
    Until that commit, which is the last thing to be sent, the repository is as it was before, or empty if it is new;
    rerun a push that was interrupted: it does not send again the large files that had arrived. Snippets of
    the card that have no repository's name yet get that of this one.

    The base of an adapter that lies beside it goes first, in one commit to a repository `ORG/NAME-base` which is
    private if the adapter's is. The adapter that is pushed names that commit; the folder stays as it is.

    Args:
        folder: As `save_pretrained` of model and processor leave it.
        repo_id: `ORG/NAME`, or `NAME` for one of your own; made if it is not there yet.
        private: Whether a new repository is private; by default what the organisation has set. With `True` nothing is
            sent to a repository that is public.
        revision: Branch, made from `main` if it is not there yet; by default `main`.
        commit_message: First line of the commit.
        token: Instead of the one that `hf auth login` keeps.
        create_pr: Whether to open a pull request instead of changing the branch.

    Returns:
        The commit; the newest one if nothing differs.

    Raises:
        IncompleteFolderError: others could not load the folder.
        PushError: the Hub refused, or the connection broke.
    """
    folder = Path(folder)
    files = check_folder(folder)
    _tell_left_out(folder, files)
    additions: dict[str, Path | bytes] = {name: folder / name for name in files}
    api = HfApi(token=token)
    with explained(str(folder), repo_id):
        name = make_repository(repo_id, private=private, token=token, create_pr=create_pr)
        _make_branch(api, name, revision, create_pr)
        if "README.md" in additions:
            card = (folder / "README.md").read_bytes()
            additions["README.md"] = card.replace(MODEL_ID.encode(), name.encode())
        base = base_beside(folder)
        if base is not None:
            pushed = _push_base(api, base, name, revision, commit_message, create_pr)
            additions |= _naming_base(folder, pushed, additions.get("README.md"))
        return commit_files(api, name, "model", additions, _REPLACED, commit_message, revision, create_pr)


def _make_branch(api: HfApi, repo_id: str, revision: str | None, create_pr: bool) -> None:
    if revision not in (None, "main") and not create_pr and not str(revision).startswith("refs/"):
        api.create_branch(repo_id, branch=str(revision), exist_ok=True)


def _push_base(
    api: HfApi, folder: Path, adapter: str, revision: str | None, commit_message: str, create_pr: bool
) -> AdapterBase:
    """Push the base of the adapter in the repository `adapter`."""
    private = bool(api.repo_info(adapter).private)
    name = _base_name(adapter)
    make_repository(name, private=private, token=cast("str | None", api.token), create_pr=create_pr)
    _refuse_another_model(api, name, adapter)
    _make_branch(api, name, revision, create_pr)
    additions: dict[str, Path | bytes] = {file: folder / file for file in shared_files(folder)}
    additions["README.md"] = _BASE_CARD.format(tag=_BASE_TAG, adapter=adapter).encode()
    commit = commit_files(api, name, "model", additions, _REPLACED, commit_message, revision, create_pr)
    return AdapterBase(name, commit.oid)


def _base_name(adapter: str) -> str:
    return f"{adapter}-base"


def check_base_repository(adapter: str, token: str | None = None) -> None:
    """
    Check, before an adapter with a base of its own is trained, that the base can go to the Hub with it.

    Args:
        adapter: repository of the adapter, `ORG/NAME`.
        token: as of [`push_folder`].

    Raises:
        PushError: the repository of the base holds another model.
    """
    api = HfApi(token=token)
    with explained("The base", _base_name(adapter)):
        if api.repo_exists(_base_name(adapter)):
            _refuse_another_model(api, _base_name(adapter), adapter)


def _refuse_another_model(api: HfApi, name: str, adapter: str) -> None:
    message = f"{name}, where the base of {adapter} would go, holds another model already: push the adapter under "
    refuse_untagged(api, name, "model", _BASE_TAG, f"{message}another name.")


def refuse_untagged(api: HfApi, repo_id: str, repo_type: str, tag: str, message: str) -> None:
    """
    Raise a [`PushError`] with the message where a repository has files and its card lacks a tag.

    The card tells what a repository is: the tags that the Hub lists may lag behind.
    """
    files = set(api.list_repo_files(repo_id, repo_type=repo_type)) - {".gitattributes"}
    card = api.hf_hub_download(repo_id, "README.md", repo_type=repo_type) if "README.md" in files else None
    tags = [] if card is None else RepoCard.load(card, ignore_metadata_errors=True).data.get("tags")
    if files and tag not in (tags or []):
        raise PushError(message)


def _naming_base(folder: Path, base: AdapterBase, card: Path | bytes | None) -> dict[str, Path | bytes]:
    """The adapter's files that name its base."""
    config = (folder / ADAPTER_CONFIG_NAME).read_text(encoding="utf-8")
    files: dict[str, Path | bytes] = {ADAPTER_CONFIG_NAME: adapter_config_with_base(config, base).encode()}
    if isinstance(card, bytes):
        content = ModelCard(card.decode(), ignore_metadata_errors=True)
        content.data["library_name"], content.data["base_model"] = "peft", base.name
        files["README.md"] = str(content).encode()
    return files


def push_metric(repo_id: str, *, private: bool | None = None, token: str | None = None) -> CommitInfo:
    """
    Push the metric `multilabel_emotion` as a Space, from which `evaluate.load(repo_id)` takes it.

    Its module is renamed after the repository, where `evaluate` looks for it.

    Args:
        repo_id: `ORG/NAME`; made if it is not there yet.
        private: As of [`push_folder`].
        token: Instead of the one that `hf auth login` keeps.

    Raises:
        ValueError: a name that `evaluate` cannot load, that is not `ORG/NAME`, or that of a module its Space needs.
        PushError: the Hub refused, or the connection broke.
    """
    if not re.fullmatch(r"[\w\-]+/[\w\-]+", repo_id):
        raise ValueError(f"A metric's repository is called ORG/NAME, of letters, digits, - and _, got {repo_id!r}.")
    folder, name = metric_path(), repo_id.split("/")[1]
    files = shared_files(folder)
    if f"{name}.py" in {*files, *_METRIC_IMPORTS} - {"multilabel_emotion.py"} or name in sys.stdlib_module_names:
        raise ValueError(f"A metric called {name} would hide a module that its Space needs: choose another name.")
    additions: dict[str, Path | bytes] = {}
    for file in files:
        text = (folder / file).read_text(encoding="utf-8")
        text = text.replace("metrics/multilabel_emotion", repo_id).replace("multilabel_emotion.py", f"{name}.py")
        additions[f"{name}.py" if file == "multilabel_emotion.py" else file] = text.encode()
    api = HfApi(token=token)
    with explained("The metric", repo_id):
        make_repository(repo_id, "space", private=private, token=token)
        return commit_files(api, repo_id, "space", additions, (), "Upload metric")


def make_repository(
    repo_id: str,
    repo_type: str = "model",
    *,
    private: bool | None = None,
    token: str | None = None,
    create_pr: bool = False,
    what: str | None = None,
) -> str:
    """
    Make a repository where there is none yet, and see whether the token may write there.

    Args:
        create_pr: whether only a pull request is to be opened.
        what: is to be pushed, for messages; by default what a repository of this type holds.

    Returns:
        Its id, `ORG/NAME` also for one of your own.

    Raises:
        PushError: the Hub refused, the connection broke, or a private repository was asked for and it is a public one.
    """
    api = HfApi(token=token)
    what = what or {"space": "The metric", "dataset": "The corpus"}.get(repo_type, "The model")
    with explained(what, repo_id):
        sdk = "gradio" if repo_type == "space" else None
        url = api.create_repo(repo_id, repo_type=repo_type, space_sdk=sdk, private=private, exist_ok=True)
        if private and not api.repo_info(url.repo_id, repo_type=repo_type).private:
            raise PushError(
                f"{url.repo_id} already exists and is public: make it private in its settings on the Hub first, or "
                "do not ask for a private one."
            )
        # Of a repository that is there, `create_repo` succeeds with a token that may only read. What comes before a
        # commit is refused to such a token, and changes nothing.
        probe = CommitOperationAdd("README.md", b"\n")
        api.preupload_lfs_files(url.repo_id, [probe], repo_type=repo_type, create_pr=create_pr)
    return url.repo_id


def commit_files(
    api: HfApi,
    repo_id: str,
    repo_type: str,
    additions: Mapping[str, Path | bytes],
    replaced: Sequence[str],
    message: str,
    revision: str | None = None,
    create_pr: bool = False,
) -> CommitInfo:
    """
    Make one commit on top of the head as it is when this begins.

    Args:
        api: with the token.
        repo_id, repo_type: a repository that is there.
        additions: files to send by their names in the repository.
        replaced: patterns of names; files of a previous push that match and are not among the additions are removed.
        message: first line of the commit.
        revision: branch; by default `main`.
        create_pr: whether to open a pull request instead of changing the branch.
    """
    info = api.repo_info(repo_id, repo_type=repo_type, revision=revision)
    previous = api.list_repo_files(repo_id, repo_type=repo_type, revision=info.sha)
    stale = [name for name in previous if name not in additions and any(fnmatch(name, kind) for kind in replaced)]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [CommitOperationDelete(name) for name in stale]
    operations += [CommitOperationAdd(name, source) for name, source in additions.items()]
    return api.create_commit(
        repo_id,
        operations,
        commit_message=message,
        repo_type=repo_type,
        revision=revision,
        create_pr=create_pr,
        parent_commit=info.sha,
    )


def _tell_left_out(folder: Path, files: Sequence[str]) -> None:
    names = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    base = {BASE_FOLDER} if base_beside(folder) is not None else set()
    left_out = sorted(names - {name.split("/")[0] for name in files} - base - {LOCK_FILE})
    if left_out:
        logger.warning(f"Not shared: {', '.join(left_out)}.")


@contextmanager
def explained(what: str, repo_id: str) -> Iterator[None]:
    """Raise a [`PushError`] that says in one sentence why `what` was not pushed, and what to do."""
    try:
        yield
    except PushError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        reason = error.server_message or f"{status} {error.response.reason_phrase}"
        reason = one_line(reason).rstrip(".")
        raise PushError(f"{what} was not pushed to {repo_id}: {reason}. {_advice(status)}") from error
    except (HTTPError, OSError, RuntimeError) as error:
        reason = one_line(f"{error} {error.__cause__ or ''}").rstrip(".")
        raise PushError(f"{what} was not pushed to {repo_id}: {reason}. {_advice(None)}") from error


def _advice(status: int | None) -> str:
    if status in (401, 403):
        return "Log in with a token that may write there: `hf auth login`."
    if status == 412:
        return "Someone else has changed the repository meanwhile: look at it, then push again."
    return "Nothing in the repository has changed, or all of it: rerun the same command to be sure."
