# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
A small Hub on loopback, for the real clients: set HF_ENDPOINT to `HubServer.url`.

    with HubServer(folder, {"hf_me": Account("me")}) as hub:
        subprocess.run(…, env={**os.environ, **hub.environment(cache, token="hf_me")})

It knows models, data sets and Spaces with commits, branches, tags and pull requests; private and gated repositories;
uploads within a commit, in one part and in several; downloads by range, of large files from another origin. It speaks
no Xet, which clients have to be told (HF_HUB_DISABLE_XET=1). `cut` breaks connections as a network does.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from hub_storage import (
    ATTRIBUTES,
    KINDS,
    LFS_SIZE,
    REPOSITORY_ID,
    Account,
    Blob,
    Commit,
    ContentStore,
    HubError,
    Repository,
    card_mistakes,
    changed_files,
    front_matter,
    git_oid,
    is_large,
    lfs_blob,
    make_commit,
)


__all__ = ["Account", "HubServer", "Outage"]

_SINGULAR = {"models": "model", "datasets": "dataset", "spaces": "space"}


class ConnectionCut(Exception):
    """Nothing more goes over this connection."""


@dataclass
class Outage:
    """
    When connections break, counted from `HubServer.cut` on.

    Args:
        request: number of the first request that is cut, from 1.
        received: bytes of request bodies, over all connections, after which to cut.
        sent: bytes of answers' bodies after which to cut.
        only: counts only requests whose "METHOD /path" this pattern is found in.
        answer_lost: `request` is done, but its answer does not arrive.
        orderly: close the connection, as a server that goes down does, instead of resetting it.
        lasting: whether everything fails from then on, or this one connection alone.
    """

    request: int | None = None
    received: int | None = None
    sent: int | None = None
    only: str = ""
    answer_lost: bool = False
    orderly: bool = False
    lasting: bool = True
    down: bool = False
    requests_seen: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    over: bool = False

    def check(self, line: str, requests: int = 0, received: int = 0, sent: int = 0) -> bool:
        """Count, and tell whether the connection breaks here."""
        if self.down or self.over:
            return self.down
        if not re.search(self.only, line):
            return False
        self.requests_seen += requests
        self.bytes_received += received
        self.bytes_sent += sent
        limits = (self.request, self.received, self.sent)
        counts = (self.requests_seen, self.bytes_received, self.bytes_sent)
        if any(limit is not None and count >= limit for limit, count in zip(limits, counts, strict=True)):
            self.down, self.over = self.lasting, True
            return True
        return False


class HubServer:
    """
    The Hub, from `with` to its end.

    Args:
        folder: where contents of files are kept.
        accounts: whom each token stands for.
        part_size: large files above this many bytes are uploaded in several parts of this size.
        page_size: entries of a list's page.
    """

    def __init__(
        self, folder: Path, accounts: Mapping[str, Account], part_size: int = 5 * LFS_SIZE, page_size: int = 1000
    ):
        self.store = ContentStore(folder)
        self.accounts = dict(accounts)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.moved: dict[tuple[str, str], str] = {}
        self.part_size, self.page_size = part_size, page_size
        self.parts: dict[tuple[str, int], bytes] = {}
        self.secret = secrets.token_bytes(16)
        self.lock = threading.RLock()
        self.outage = Outage()
        self.log: list[tuple[str, str, int]] = []
        # The Hub lists the tags of a card some time after the commit.
        self.lists_tags = True
        self._http = _Listener(("127.0.0.1", 0), _Handler)
        self._http.hub = self
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # The same listener by another name is another origin to clients, as the Hub's store of large files is.
        self.store_url = f"http://localhost:{self.port}/_store"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def environment(self, cache: Path, token: str | None = None) -> dict[str, str]:
        """Environment variables for a client process, with a cache of its own and no token but `token`."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_MODULES_CACHE": str(cache / "modules"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        }
        return variables | ({"HF_TOKEN": token} if token else {"HF_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})

    @contextmanager
    def connected(self, monkeypatch: Any, cache: Path, token: str) -> Iterator[None]:
        """Let huggingface_hub in this process, which has read its environment, talk to this Hub, and never wait."""
        # Not at the top of the module: what this import reads from the environment is set by conftest.py.
        from datasets import config as datasets_config
        from huggingface_hub import close_session, constants, hf_api
        from transformers.utils import hub as transformers_hub

        template = f"{self.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        settings = {"ENDPOINT": self.url, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_OFFLINE": False,
                    "HF_HUB_DISABLE_XET": True, "HF_HUB_CACHE": str(cache)}  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        for name, value in {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": False}.items():
            monkeypatch.setattr(datasets_config, name, value)
        # The functions of huggingface_hub, such as `file_exists`, are its methods.
        monkeypatch.setattr(hf_api.api, "endpoint", self.url)
        # That of transformers is made when it is first used.
        monkeypatch.setattr(transformers_hub, "_hf_api", None, raising=False)
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(time, "sleep", _sleep_unless_the_hub_is_tried_again)
        yield
        close_session()

    def repository(self, name: str, kind: str = "models") -> Repository:
        """For tests to look at; KeyError if there is none."""
        return self.repositories[kind, name]

    def content(self, name: str, path: str, revision: str = "main", kind: str = "models") -> bytes:
        """Content of one file."""
        return self.store.read(self.repository(name, kind).blob(revision, path)[1].sha256)

    def cut(self, **when: Any) -> Outage:
        """Break connections; see `Outage`."""
        with self.lock:
            self.outage = Outage(**when)
        return self.outage

    def restore(self) -> None:
        """All is well again."""
        with self.lock:
            self.outage = Outage()

    def sign(self, path: str) -> str:
        return hmac.new(self.secret, path.encode(), hashlib.sha256).hexdigest()

    def signed_url(self, path: str) -> str:
        """An address in the store that needs no token."""
        return f"{self.store_url}/{path}?{urlencode({'signature': self.sign(path)})}"


def _sleep_unless_the_hub_is_tried_again(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Others, such as who waits for processes, would take a whole core if they did not sleep."""
    caller = sys._getframe(1).f_globals.get("__name__", "")
    if caller.partition(".")[0] not in ("datasets", "huggingface_hub"):
        sleep(seconds)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    hub: HubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


ROUTES: list[tuple[str, re.Pattern[str], Callable[..., None]]] = []
_REPOSITORY = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
_FILES = r"/(?P<prefix>(?:datasets/|spaces/)?)(?P<name>[^/]+/[^/]+)"


def route(methods: str, pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def register(function: Callable[..., None]) -> Callable[..., None]:
        ROUTES.extend((method, re.compile(pattern), function) for method in methods.split())
        return function

    return register


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `HubServer.log` has it."""

    def do_GET(self) -> None:
        try:
            self._handle()
        except (ConnectionCut, ConnectionError):
            self.close_connection = True
            if self.hub.outage.orderly:
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        self.count(requests=0 if self.hub.outage.answer_lost else 1)
        self.body = b"".join(self._read_body())
        address = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        self.answered = False
        try:
            self._dispatch(address.path)
        except HubError as error:
            self.error(error)
        if not self.answered:
            raise RuntimeError(f"{self.command} {self.path} got no answer")

    def _dispatch(self, path: str) -> None:
        for method, pattern, function in ROUTES:
            match = pattern.fullmatch(path)
            if match and method == self.command:
                function(self, **{name: unquote(value) for name, value in match.groupdict(default="").items()})
                return
        raise HubError(404, f"There is no {self.command} {path}")

    def count(self, **numbers: int) -> None:
        with self.hub.lock:
            if self.hub.outage.check(f"{self.command} {self.path}", **numbers):
                raise ConnectionCut

    def _read_body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self._read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        remaining = int(self.headers.get("Content-Length") or 0)
        while remaining:
            piece = self._read(min(remaining, 4096))
            remaining -= len(piece)
            yield piece

    def _read(self, size: int) -> bytes:
        piece = self.rfile.read(size)
        if len(piece) < size:
            raise ConnectionCut
        self.count(received=size)
        return piece

    # Answers

    def answer(self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        if self.hub.outage.answer_lost:
            self.count(requests=1)
        with self.hub.lock:
            self.hub.log.append((self.command, self.path, status))
        self.answered = True
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            self.wfile.flush()
            self.count(sent=min(4096, len(content) - start))

    def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def error(self, error: HubError) -> None:
        headers = {**error.headers, "X-Error-Message": " ".join(error.message.split())}
        if error.code:
            headers["X-Error-Code"] = error.code
        self.json({"error": error.message, **error.body}, error.status, headers)

    def page(self, items: list[Any]) -> None:
        """One page of a list, with the address of the next one."""
        start = int(self.query.get("cursor", 0))
        end = start + min(self.hub.page_size, int(self.query.get("limit", self.hub.page_size)))
        headers = {}
        if end < len(items):
            query = urlencode({**self.query, "cursor": end})
            headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{query}>; rel="next"'
        self.json(items[start:end], headers=headers)

    # Who asks, and for what

    def form(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, "The request is not JSON") from error
        return value

    @property
    def account(self) -> Account | None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if not kind:
            return None
        if kind.lower() != "bearer" or token not in self.hub.accounts:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.accounts[token]

    def repository(self, kind: str, name: str) -> Repository:
        """A repository that whoever asks may see. To others it looks as if there were none, as on the Hub."""
        account = self.account
        repository = self.hub.repositories.get((kind, self.hub.moved.get((kind, name), name)))
        if repository is None or not repository.readable_by(account):
            raise HubError(401 if account is None else 404, "Repository not found", "RepoNotFound")
        return repository

    def writable(self, kind: str, name: str, create_pr: bool = False) -> Repository:
        repository, account = self.repository(kind, name), self.account
        if account is None:
            raise HubError(401, "Invalid username or password.")
        if account.role != "write" or not (create_pr or account.owns(repository.id.split("/")[0])):
            raise HubError(403, "You don't have the required permissions: the token has no write access")
        return repository

    def check_gate(self, repository: Repository) -> None:
        account = self.account
        if not repository.gated or (
            account and (account.name in repository.granted or account.sees(repository.id.split("/")[0]))
        ):
            return
        status = 401 if account is None else 403
        raise HubError(status, f"Access to {repository.id} is restricted: ask for it", "GatedRepo")

    @property
    def create_pr(self) -> bool:
        return self.query.get("create_pr") in ("1", "true")


# Account and repositories


@route("GET", r"/api/whoami-v2")
def whoami(handler: _Handler) -> None:
    account = handler.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "test", "role": account.role}
    handler.json({
        "type": "user", "id": account.name, "name": account.name, "fullname": account.name, "email": None,
        "orgs": [{"name": name} for name in account.organizations],
        "auth": {"type": "access_token", "accessToken": token},
    })  # fmt: skip


def _owned_name(handler: _Handler, name: str, organization: str | None) -> str:
    account = handler.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    full = f"{organization or account.name}/{name}"
    if not REPOSITORY_ID.fullmatch(full):
        raise HubError(400, f"Invalid repository name: {full}")
    if account.role != "write" or not account.owns(full.split("/")[0]):
        raise HubError(403, f"You don't have the rights to do this under the namespace {full.split('/')[0]}")
    return full


def _repository_url(handler: _Handler, kind: str, name: str) -> str:
    return f"{handler.hub.url}/{KINDS[kind]}{name}"


@route("POST", r"/api/repos/create")
def create_repository(handler: _Handler) -> None:
    form = handler.form()
    kind, name = f"{form.get('type') or 'model'}s", _owned_name(handler, form["name"], form.get("organization"))
    url = _repository_url(handler, kind, name)
    if kind == "spaces" and form.get("sdk") not in ("gradio", "docker", "static"):
        raise HubError(400, '"sdk" must be one of gradio, docker, static')
    with handler.hub.lock:
        if (kind, name) in handler.hub.repositories:
            raise HubError(409, f"You already created this {kind[:-1]} repo: {name}", url=url)
        private = form.get("visibility") == "private" or bool(form.get("private"))
        repository = Repository(kind, name, handler.account, private, sdk=form.get("sdk"))
        attributes = _regular_blob(handler, ATTRIBUTES.encode())
        first = make_commit(None, {".gitattributes": attributes}, "initial commit", "", handler.account.name)
        repository.branches["main"] = repository.record(first).id
        handler.hub.repositories[kind, name] = repository
    handler.json({"url": url, "name": name, "id": name})


@route("DELETE", r"/api/repos/delete")
def delete_repository(handler: _Handler) -> None:
    form = handler.form()
    kind, name = f"{form.get('type') or 'model'}s", _owned_name(handler, form["name"], form.get("organization"))
    if handler.hub.repositories.pop((kind, name), None) is None:
        raise HubError(404, "Repository not found", "RepoNotFound")
    handler.json({})


@route("POST", r"/api/repos/move")
def move_repository(handler: _Handler) -> None:
    form = handler.form()
    kind, previous, name = f"{form.get('type') or 'model'}s", form["fromRepo"], form["toRepo"]
    repository = handler.writable(kind, previous)
    _owned_name(handler, name.split("/")[1], name.split("/")[0])
    with handler.hub.lock:
        if (kind, name) in handler.hub.repositories:
            raise HubError(409, f"There is {name} already")
        handler.hub.repositories[kind, name] = handler.hub.repositories.pop((kind, repository.id))
        handler.hub.moved[kind, repository.id] = name
        repository.id = name
    handler.json({})


@route("PUT", _REPOSITORY + "/settings")
def change_settings(handler: _Handler, kind: str, name: str) -> None:
    repository, form = handler.writable(kind, name), handler.form()
    if "visibility" in form or "private" in form:
        repository.private = form.get("visibility") == "private" or bool(form.get("private"))
    repository.gated = form.get("gated", repository.gated)
    handler.json({"private": repository.private, "gated": repository.gated})


@route("POST DELETE", _REPOSITORY + "/branch/(?P<branch>[^/]+)")
def change_branch(handler: _Handler, kind: str, name: str, branch: str) -> None:
    repository = handler.writable(kind, name)
    with repository.lock:
        if handler.command == "DELETE":
            if repository.branches.pop(branch, None) is None or branch == "main":
                raise HubError(404, f"There is no branch {branch} to delete", "RevisionNotFound")
        elif branch in repository.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{branch}")
        else:
            repository.branches[branch] = repository.at(handler.form().get("startingPoint") or "main").id
    handler.json({})


@route("POST DELETE", _REPOSITORY + "/tag/(?P<revision>[^/]+)")
def change_tag(handler: _Handler, kind: str, name: str, revision: str) -> None:
    repository = handler.writable(kind, name)
    with repository.lock:
        if handler.command == "DELETE":
            if repository.tags.pop(revision, None) is None:
                raise HubError(404, f"There is no tag {revision}", "RevisionNotFound")
        else:
            tag = handler.form()["tag"]
            if tag in repository.tags:
                raise HubError(409, f"Tag reference exists already: {tag}")
            repository.tags[tag] = repository.at(revision).id
    handler.json({})


# Information


@route("GET", _REPOSITORY + "/refs")
def list_refs(handler: _Handler, kind: str, name: str) -> None:
    repository = handler.repository(kind, name)

    def describe(names: Mapping[Any, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": str(n), "ref": f"{prefix}{n}", "targetCommit": oid} for n, oid in names.items()]

    refs = {"branches": describe(repository.branches, "refs/heads/"), "converts": []}
    refs["tags"] = describe(repository.tags, "refs/tags/")
    if handler.query.get("include_prs"):
        refs["pullRequests"] = describe(repository.pull_requests, "refs/pr/")
    handler.json(refs)


@route("GET", _REPOSITORY + "/commits/(?P<revision>[^/]+)")
def list_commits(handler: _Handler, kind: str, name: str, revision: str) -> None:
    commits = handler.repository(kind, name).at(revision).history()
    handler.page([
        {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date,
         "authors": [{"user": commit.author}]} for commit in commits
    ])  # fmt: skip


@route("GET", _REPOSITORY + "(?:/revision/(?P<revision>[^/]+))?")
def repository_info(handler: _Handler, kind: str, name: str, revision: str = "") -> None:
    repository = handler.repository(kind, name)
    handler.json(_describe(handler, repository, repository.at(revision or "main")))


@route("GET", r"/api/(?P<kind>models|datasets|spaces)")
def list_repositories(handler: _Handler, kind: str) -> None:
    author, search = handler.query.get("author"), handler.query.get("search", "")
    found = [
        repository for (its_kind, name), repository in sorted(handler.hub.repositories.items())
        if its_kind == kind and repository.readable_by(handler.account) and search in name
        and author in (None, name.split("/")[0])
    ]  # fmt: skip
    handler.page([_describe(handler, repository, repository.at("main")) for repository in found])


@route("GET", _REPOSITORY + "/auth-check")
def check_access(handler: _Handler, kind: str, name: str) -> None:
    handler.check_gate(handler.repository(kind, name))
    handler.json({})


@route("GET", r"/api/spaces/(?P<name>[^/]+/[^/]+)/runtime")
def space_runtime(handler: _Handler, name: str) -> None:
    handler.repository("spaces", name)
    hardware = {"current": "cpu-basic", "requested": "cpu-basic"}
    handler.json({"stage": "RUNNING", "hardware": hardware, "gcTimeout": None, "storage": None})


def _describe(handler: _Handler, repository: Repository, commit: Commit) -> dict[str, Any]:
    card = _json_or_card(handler, commit, "README.md")
    first = list(commit.history())[-1]
    siblings = []
    for path, blob in sorted(commit.files.items()):
        details = {"size": blob.size, "blobId": blob.oid} | ({"lfs": blob.lfs} if blob.lfs else {})
        siblings.append({"rfilename": path} | (details if handler.query.get("blobs") else {}))
    info = {
        "_id": git_oid(repository.id.encode())[:24], "id": repository.id, "author": repository.id.split("/")[0],
        "sha": commit.id, "lastModified": commit.date, "createdAt": first.date, "private": repository.private,
        "gated": repository.gated, "disabled": False, "downloads": 0, "likes": 0,
        "tags": [tag for tag in card.get("tags", []) if isinstance(tag, str) and handler.hub.lists_tags],
        "cardData": card, "siblings": siblings,
    }  # fmt: skip
    if repository.kind == "models":
        config = _json_or_card(handler, commit, "config.json")
        info["config"] = {key: config[key] for key in ("model_type", "architectures", "auto_map") if key in config}
        info |= {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
    if repository.kind == "spaces":
        info["sdk"] = card.get("sdk", repository.sdk)
    return info


def _json_or_card(handler: _Handler, commit: Commit, path: str) -> dict[str, Any]:
    if path not in commit.files:
        return {}
    text = handler.hub.store.read(commit.files[path].sha256).decode()
    return json.loads(text) if path.endswith(".json") else front_matter(text)


# Files


def _entry(commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    blob = commit.files[path]
    entry = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
    if blob.lfs:
        entry["lfs"] = blob.lfs
    if expand:
        last = commit.last_change(path)
        entry["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
        entry["securityFileStatus"] = None
    return entry


def _folders(commit: Commit) -> dict[str, dict[str, Any]]:
    """Every folder of a commit, with a content-addressed id."""
    names = {path[: match.start()] for path in commit.files for match in re.finditer("/", path)}
    return {
        name: {
            "type": "directory", "path": name, "size": 0,
            "oid": git_oid("".join(f"{path}{blob.oid}" for path, blob in sorted(commit.files.items())
                                   if path.startswith(f"{name}/")).encode(), "tree"),
        } for name in names
    }  # fmt: skip


@route("GET", _REPOSITORY + "/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
def list_tree(handler: _Handler, kind: str, name: str, revision: str, path: str = "") -> None:
    commit = handler.repository(kind, name).at(revision)
    path, folders = path.strip("/"), _folders(commit)
    if path and path not in folders:
        raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound")
    start = f"{path}/" if path else ""
    recursive, expand = (handler.query.get(flag, "").lower() in ("true", "1") for flag in ("recursive", "expand"))
    entries = {**folders, **{file: _entry(commit, file, expand) for file in commit.files}}
    handler.page([
        entry for file, entry in sorted(entries.items())
        if file.startswith(start) and (recursive or "/" not in file[len(start) :])
    ])  # fmt: skip


@route("POST", _REPOSITORY + "/paths-info/(?P<revision>[^/]+)")
def paths_info(handler: _Handler, kind: str, name: str, revision: str) -> None:
    commit = handler.repository(kind, name).at(revision)
    form, folders = parse_qs(handler.body.decode()), _folders(commit)
    expand = form.get("expand", [""])[0].lower() == "true"
    wanted = [path.strip("/") for path in form.get("paths", [])]
    found = [_entry(commit, path, expand) for path in wanted if path in commit.files]
    handler.json(found + [folders[path] for path in wanted if path in folders])


@route("GET HEAD", _FILES + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(handler: _Handler, prefix: str, name: str, revision: str, path: str) -> None:
    kind = prefix.rstrip("/") or "models"
    if (kind, name) in handler.hub.moved:
        target = f"/{prefix}{handler.hub.moved[kind, name]}/resolve/{quote(revision, safe='')}/{quote(path)}"
        handler.answer(b"", 307, {"Location": target})
        return
    repository = handler.repository(kind, name)
    handler.check_gate(repository)
    commit, blob = repository.blob(revision, path)
    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{blob.etag}"'}
    if blob.lfs:
        headers |= {"X-Linked-ETag": f'"{blob.etag}"', "X-Linked-Size": str(blob.size)}
        headers["Location"] = handler.hub.signed_url(f"download/{blob.sha256}")
        handler.answer(b"", 302, headers)
    else:
        _send_file(handler, blob.sha256, headers)


def _send_file(handler: _Handler, sha256: str, headers: Mapping[str, str]) -> None:
    """A file, or the part of it that is asked for."""
    content = handler.hub.store.read(sha256)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", handler.headers.get("Range", ""))
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    if match is None or not any(match.groups()):
        handler.answer(content, headers=headers)
        return
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
    else:
        start, end = max(len(content) - int(match[2]), 0), len(content) - 1
    if start > end:
        handler.answer(b"", 416, {**headers, "Content-Range": f"bytes */{len(content)}"})
        return
    headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
    handler.answer(content[start : end + 1], 206, headers)


# Uploads


def _regular_blob(handler: _Handler, content: bytes) -> Blob:
    return Blob(handler.hub.store.add(content), len(content), git_oid(content))


@route("POST", r"/api/validate-yaml")
def validate_card(handler: _Handler) -> None:
    form = handler.form()
    mistakes = [{"message": message} for message in card_mistakes(form["content"], form.get("repoType") or "model")]
    handler.json({"errors": mistakes, "warnings": []}, 400 if mistakes else 200)


@route("POST", _REPOSITORY + "/preupload/(?P<revision>[^/]+)")
def preupload(handler: _Handler, kind: str, name: str, revision: str) -> None:
    repository = handler.writable(kind, name, handler.create_pr)
    commit = repository.at(revision)
    stored = commit.files.get(".gitattributes")
    attributes = handler.hub.store.read(stored.sha256).decode() if stored else ""
    files = []
    for file in handler.form()["files"]:
        blob, large = commit.files.get(file["path"]), is_large(file["path"], file["size"], attributes)
        item = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        files.append(item | ({"oid": blob.etag} if blob else {}))
    handler.json({"files": files})


@route("POST", _FILES + r"\.git/info/lfs/objects/batch")
def lfs_batch(handler: _Handler, prefix: str, name: str) -> None:
    # A batch request does not say whether a pull request is meant; uploads alone change no revision.
    repository = handler.writable(prefix.rstrip("/") or "models", name, create_pr=True)
    objects = []
    for item in handler.form()["objects"]:
        answer = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in repository.uploaded:
            answer["actions"] = _upload_actions(handler, repository, item["oid"], item["size"])
        objects.append(answer)
    handler.json({"transfer": "basic", "objects": objects})


def _upload_actions(handler: _Handler, repository: Repository, oid: str, size: int) -> dict[str, Any]:
    hub = handler.hub
    count = -(-size // hub.part_size)
    verify = f"{_repository_url(handler, repository.kind, repository.id)}.git/info/lfs/verify"
    if count <= 1:
        return {"upload": {"href": hub.signed_url(f"upload/{oid}")}, "verify": {"href": verify}}
    header = {"chunk_size": str(hub.part_size)}
    header |= {str(part): hub.signed_url(f"part/{oid}/{part}") for part in range(1, count + 1)}
    return {"upload": {"href": f"{hub.url}/_complete/{oid}?signature={hub.sign(oid)}", "header": header},
            "verify": {"href": verify}}  # fmt: skip


@route("PUT GET HEAD", r"/_store/(?P<path>.+)")
def store(handler: _Handler, path: str) -> None:
    """The store of large files: signed addresses, and no tokens, which it would refuse as other stores do."""
    if "Authorization" in handler.headers or handler.query.get("signature") != handler.hub.sign(path):
        raise HubError(400 if "Authorization" in handler.headers else 403, "Only a signature authorises here")
    action, oid, *part = path.split("/")
    if action == "download":
        _send_file(handler, oid, {"ETag": f'"{oid}"'})
        return
    if action == "part":
        handler.hub.parts[oid, int(part[0])] = handler.body
    else:
        _keep_upload(handler, oid, handler.body)
    handler.answer(b"", headers={"ETag": f'"{git_oid(handler.body)}"'})


def _keep_upload(handler: _Handler, oid: str, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != oid:
        raise HubError(400, "The content has another SHA-256 than was announced")
    handler.hub.store.add(content)


@route("POST", r"/_complete/(?P<oid>[0-9a-f]{64})")
def complete_upload(handler: _Handler, oid: str) -> None:
    if handler.query.get("signature") != handler.hub.sign(oid):
        raise HubError(403, "Only a signature authorises here")
    parts = [part["partNumber"] for part in handler.form()["parts"]]
    if any((oid, part) not in handler.hub.parts for part in parts):
        raise HubError(400, "A part is missing")
    _keep_upload(handler, oid, b"".join(handler.hub.parts.pop((oid, part)) for part in sorted(parts)))
    handler.json({})


@route("POST", _FILES + r"\.git/info/lfs/verify")
def verify_upload(handler: _Handler, prefix: str, name: str) -> None:
    repository, form = handler.writable(prefix.rstrip("/") or "models", name, create_pr=True), handler.form()
    if form["oid"] not in handler.hub.store or len(handler.hub.store.read(form["oid"])) != form["size"]:
        raise HubError(404, "The object was not uploaded whole")
    repository.uploaded.add(form["oid"])
    handler.json({})


@route("POST", _REPOSITORY + "/commit/(?P<revision>[^/]+)")
def commit(handler: _Handler, kind: str, name: str, revision: str) -> None:
    repository = handler.writable(kind, name, handler.create_pr)
    lines = [json.loads(line) for line in handler.body.splitlines() if line.strip()]
    if not lines or lines[0]["key"] != "header":
        raise HubError(400, "The first line of a commit must be its header")
    header, operations = lines[0]["value"], lines[1:]
    if not header.get("summary"):
        raise HubError(400, "A commit needs a summary")
    new = {line["value"]["path"]: _new_blob(handler, repository, line) for line in operations
           if line["key"] in ("file", "lfsFile")}  # fmt: skip
    _check_card(handler, repository, new)
    with repository.lock:
        head = repository.head_of(revision, handler.create_pr)
        parent = header.get("parentCommit")
        if parent and not head.id.startswith(parent):
            raise HubError(412, f"The branch has moved on since {parent}: a commit has happened since. Please refresh")
        files = changed_files(head.files, operations, new)
        made = make_commit(head, files, header["summary"], header.get("description", ""), handler.account.name)
        number = repository.advance(revision, made, handler.create_pr)
    url = _repository_url(handler, repository.kind, repository.id)
    handler.json({
        "success": True, "commitOid": made.id, "commitUrl": f"{url}/commit/{made.id}", "hookOutput": "",
        "pullRequestUrl": f"{url}/discussions/{number}" if number else None,
    })  # fmt: skip


def _new_blob(handler: _Handler, repository: Repository, line: dict[str, Any]) -> Blob:
    value = line["value"]
    if line["key"] == "file":
        return _regular_blob(handler, base64.b64decode(value["content"]))
    if value["oid"] not in repository.uploaded:
        raise HubError(400, f"LFS pointer points to a file that does not exist: {value['path']}")
    return lfs_blob(value["oid"], len(handler.hub.store.read(value["oid"])))


def _check_card(handler: _Handler, repository: Repository, new: Mapping[str, Blob]) -> None:
    if "README.md" in new:
        text = handler.hub.store.read(new["README.md"].sha256).decode()
        mistakes = card_mistakes(text, _SINGULAR[repository.kind])
        if mistakes:
            raise HubError(400, f"Invalid README.md: {'; '.join(mistakes)}")
