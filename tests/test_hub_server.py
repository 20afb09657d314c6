# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The Hub for tests answers the real clients as the Hub does, also where it refuses and where the network breaks."""

import sys
from pathlib import Path

import httpx2
import huggingface_hub.constants
import pytest
from hub_server import HubServer
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from testing_utils import run_command, subprocess_environment


REPOSITORY = "me/thing"


@pytest.fixture
def api(hub_client: HubServer) -> HfApi:
    return HfApi(token="hf_me")


@pytest.fixture
def filled(api: HfApi, tmp_path: Path) -> HfApi:
    """A repository with small and large files in folders."""
    folder = tmp_path / "folder"
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# Thing\n")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 300)
    (folder / "data" / "a.txt").write_text("a")
    (folder / "data" / "deep" / "b.txt").write_text("")
    api.create_repo(REPOSITORY)
    api.upload_folder(repo_id=REPOSITORY, folder_path=folder, commit_message="all")
    return api


FILES = {".gitattributes", "README.md", "config.json", "model.safetensors", "data/a.txt", "data/deep/b.txt"}


def status_of(call, *args, **kwargs) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*args, **kwargs)
    return caught.value.response.status_code


def add(api: HfApi, path: str, text: str, **kwargs):
    operations = [CommitOperationAdd(path, text.encode())]
    return api.create_commit(REPOSITORY, operations, commit_message=f"add {path}", **kwargs)


# What is there


def test_a_folder_arrives_in_one_commit(filled, tmp_path):
    assert set(filled.list_repo_files(REPOSITORY)) == FILES
    assert [commit.title for commit in filled.list_repo_commits(REPOSITORY)] == ["all", "initial commit"]
    folder = Path(snapshot_download(REPOSITORY, token="hf_me"))
    for path in FILES - {".gitattributes"}:
        assert (folder / path).read_bytes() == (tmp_path / "folder" / path).read_bytes()


def test_info_names_sizes_card_and_large_files(filled):
    info = filled.model_info(REPOSITORY, files_metadata=True)
    by_name = {file.rfilename: file for file in info.siblings}
    assert by_name["model.safetensors"].lfs.size == by_name["model.safetensors"].size == 76800
    assert by_name["config.json"].lfs is None
    assert (info.card_data.license, info.tags, info.config) == ("apache-2.0", ["a"], {"model_type": "bert"})
    assert info.sha == filled.list_repo_commits(REPOSITORY)[0].commit_id
    assert [model.id for model in filled.list_models(author="me")] == [REPOSITORY]
    assert list(filled.list_models(author="other")) == []


def test_tree_goes_by_folders_and_pages(filled, hub):
    hub.page_size = 2
    entries = {entry.path for entry in filled.list_repo_tree(REPOSITORY, recursive=True)}
    assert entries == FILES | {"data", "data/deep"}
    assert [entry.path for entry in filled.list_repo_tree(REPOSITORY, "data")] == ["data/a.txt", "data/deep"]
    found = filled.get_paths_info(REPOSITORY, ["data", "config.json", "absent"], expand=True)
    assert {entry.path for entry in found} == {"data", "config.json"}
    with pytest.raises(EntryNotFoundError):
        list(filled.list_repo_tree(REPOSITORY, "absent"))


def test_file_system_reads_by_range(filled, hub):
    with HfFileSystem(endpoint=hub.url, token="hf_me").open(f"{REPOSITORY}/model.safetensors", block_size=64) as file:
        file.seek(1000)
        assert file.read(4) == bytes([232, 233, 234, 235])


def test_unchanged_files_make_no_commit(filled, tmp_path):
    filled.upload_folder(repo_id=REPOSITORY, folder_path=tmp_path / "folder")
    assert len(filled.list_repo_commits(REPOSITORY)) == 2


def test_large_files_go_up_in_parts(api, hub):
    hub.part_size = 1000
    api.create_repo(REPOSITORY)
    content = bytes(range(250)) * 10
    api.upload_file(path_or_fileobj=content, path_in_repo="weights.bin", repo_id=REPOSITORY)
    assert sum(path.startswith("/_store/part/") for _, path, _ in hub.log) == 3
    assert hub.content(REPOSITORY, "weights.bin") == content


def test_operations_delete_and_copy(filled):
    filled.create_commit(
        REPOSITORY, [CommitOperationDelete("data/"), CommitOperationCopy("model.safetensors", "copy.safetensors")],
        commit_message="change",
    )  # fmt: skip
    expected = {".gitattributes", "README.md", "config.json", "model.safetensors", "copy.safetensors"}
    assert set(filled.list_repo_files(REPOSITORY)) == expected
    with pytest.raises(EntryNotFoundError):
        filled.create_commit(REPOSITORY, [CommitOperationDelete("absent")], commit_message="delete")


# Revisions


def test_every_name_of_a_revision_gives_its_own_files(filled):
    first = filled.model_info(REPOSITORY).sha
    filled.create_tag(REPOSITORY, tag="v1")
    filled.create_branch(REPOSITORY, branch="feature/x")
    add(filled, "config.json", "main")
    add(filled, "config.json", "branch", revision="feature/x")
    expected = {"main": "main", "feature/x": "branch"}
    expected |= dict.fromkeys(("v1", first, first[:8]), '{"model_type": "bert"}')
    for revision, text in expected.items():
        assert Path(hf_hub_download(REPOSITORY, "config.json", revision=revision)).read_text() == text
    refs = filled.list_repo_refs(REPOSITORY)
    assert {branch.name for branch in refs.branches} == {"main", "feature/x"}
    assert [tag.name for tag in refs.tags] == ["v1"]
    filled.delete_branch(REPOSITORY, branch="feature/x")
    filled.delete_tag(REPOSITORY, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        filled.model_info(REPOSITORY, revision="v1")


def test_pull_request_leaves_the_branch_alone(filled):
    made = add(filled, "config.json", "better", create_pr=True)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert Path(hf_hub_download(REPOSITORY, "config.json", revision="refs/pr/1")).read_text() == "better"
    assert Path(hf_hub_download(REPOSITORY, "config.json")).read_text() != "better"
    assert [ref.name for ref in filled.list_repo_refs(REPOSITORY, include_pull_requests=True).pull_requests] == ["1"]


def test_a_commit_on_a_former_parent_is_refused(filled):
    previous = filled.model_info(REPOSITORY).sha
    add(filled, "a.txt", "a", parent_commit=previous)
    assert status_of(add, filled, "b.txt", "b", parent_commit=previous) == 412


# Repositories


def test_repository_exists_once(api):
    api.create_repo("thing", private=True)
    assert api.repo_info(REPOSITORY).private
    assert status_of(api.create_repo, REPOSITORY) == 409
    assert api.create_repo(REPOSITORY, exist_ok=True).repo_id == REPOSITORY
    api.move_repo(REPOSITORY, "lab/thing")
    assert api.repo_info(REPOSITORY).id == "lab/thing"
    api.delete_repo("lab/thing")
    assert not api.repo_exists("lab/thing")
    assert api.whoami()["name"] == "me"


def test_private_repositories_are_seen_by_their_owner_alone(filled):
    filled.update_repo_settings(REPOSITORY, private=True)
    for token, status in ((False, 401), ("hf_other", 404)):
        for call in (filled.model_info, filled.list_repo_commits):
            with pytest.raises(RepositoryNotFoundError) as caught:
                call(REPOSITORY, token=token)
            assert caught.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(REPOSITORY, "config.json", token=token)
    assert hf_hub_download(REPOSITORY, "config.json", token="hf_reader")


def test_gated_repositories_show_their_name_but_no_file(filled, hub):
    filled.update_repo_settings(REPOSITORY, gated="manual")
    assert filled.model_info(REPOSITORY, token=False).gated == "manual"
    for token, status in ((False, 401), ("hf_other", 403)):
        with pytest.raises(GatedRepoError) as caught:
            hf_hub_download(REPOSITORY, "config.json", token=token)
        assert caught.value.response.status_code == status
    hub.repository(REPOSITORY).granted.add("other")
    assert hf_hub_download(REPOSITORY, "config.json", token="hf_other")


def test_writing_needs_the_right_to(filled):
    assert status_of(filled.create_repo, "other/thing") == 403
    assert status_of(filled.create_repo, "me/second", token="hf_reader") == 403
    assert status_of(filled.create_repo, "me/second", token=False) == 401
    assert status_of(filled.whoami, token="hf_unknown") == 401
    for token in ("hf_reader", "hf_other"):
        assert status_of(add, filled, "a.txt", "a", token=token) == 403
    assert add(filled, "a.txt", "a", token="hf_other", create_pr=True).pr_num == 1


def test_what_is_missing_is_named(filled):
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPOSITORY, "absent.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(REPOSITORY, "config.json", revision="absent")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("me/absent", "config.json")
    with pytest.raises(RevisionNotFoundError):
        add(filled, "a.txt", "a", revision="absent")


def test_bad_cards_are_refused_before_anything_goes_up(filled):
    with pytest.raises(ValueError, match='"tags" must be a list'):
        add(filled, "README.md", "---\ntags: {a: 1}\n---\n")
    with pytest.raises(ValueError, match="Invalid metadata"):
        add(filled, "README.md", "---\ntags: [\n---\n")


def test_a_commit_cannot_name_what_was_not_uploaded(filled, hub):
    line = '{"key": "header", "value": {"summary": "x"}}\n{"key": "lfsFile", "value": {"path": "m.bin", "oid": "%s"}}'
    answer = httpx2.post(
        f"{hub.url}/api/models/{REPOSITORY}/commit/main", content=line % ("0" * 64),
        headers={"Authorization": "Bearer hf_me"},
    )  # fmt: skip
    assert answer.status_code == 400
    with pytest.raises(BadRequestError):
        add(filled, "config.json/inside", "a")


def test_the_store_wants_a_signature_and_no_token(filled, hub):
    location = httpx2.head(f"{hub.url}/{REPOSITORY}/resolve/main/model.safetensors").headers["Location"]
    assert httpx2.get(location).status_code == 200
    assert httpx2.get(location[:-1] + "x").status_code == 403
    assert httpx2.get(location, headers={"Authorization": "Bearer hf_me"}).status_code == 400


# Broken connections


def test_a_download_goes_on_where_it_was_cut(filled, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.cut(sent=30000, only="GET /_store/download", lasting=False, orderly=True)
    path = hf_hub_download(REPOSITORY, "model.safetensors")
    assert Path(path).read_bytes() == (tmp_path / "folder" / "model.safetensors").read_bytes()
    assert [status for method, url, status in hub.log if method == "GET" and "download" in url] == [200, 206]


def test_a_reset_download_leaves_nothing_half(filled, hub, tmp_path):
    hub.cut(sent=30000, only="GET /_store/download", lasting=False)
    with pytest.raises(httpx2.ReadError):
        hf_hub_download(REPOSITORY, "model.safetensors")
    path = hf_hub_download(REPOSITORY, "model.safetensors")
    assert Path(path).read_bytes() == (tmp_path / "folder" / "model.safetensors").read_bytes()


def test_a_lost_answer_leaves_the_commit_made(filled, hub):
    hub.cut(request=1, only="/commit/", answer_lost=True)
    with pytest.raises(httpx2.TransportError):
        add(filled, "a.txt", "a")
    hub.restore()
    assert filled.list_repo_commits(REPOSITORY)[0].title == "add a.txt"


@pytest.mark.parametrize("when", [{"request": 3}, {"received": 20000}])
def test_a_cut_upload_changes_nothing(when, filled, hub):
    before = filled.model_info(REPOSITORY).sha
    hub.cut(**when)
    with pytest.raises((httpx2.TransportError, RuntimeError)):
        api_content = bytes(range(199)) * 400
        filled.upload_file(path_or_fileobj=api_content, path_in_repo="model.safetensors", repo_id=REPOSITORY)
    hub.restore()
    assert filled.model_info(REPOSITORY).sha == before


# The other clients, in processes of their own

SCRIPT = """
import datasets
from datasets import Dataset, DatasetDict, load_dataset
rows = Dataset.from_dict({"text": ["a", "b", "c"], "value": [1.0, 2.0, 3.0]})
DatasetDict(train=rows, test=rows.select([0])).push_to_hub("me/rows", private=True)
loaded = load_dataset("me/rows")
assert {name: len(split) for name, split in loaded.items()} == {"train": 3, "test": 1}, loaded
assert [row["text"] for row in load_dataset("me/rows", split="train", streaming=True)] == ["a", "b", "c"]
rows.select([1]).push_to_hub("me/rows", split="train")
assert len(load_dataset("me/rows", split="train")) == 1
import huggingface_hub
first = [commit.commit_id for commit in huggingface_hub.list_repo_commits("me/rows", repo_type="dataset")][1]
assert len(load_dataset("me/rows", split="train", revision=first)) == 3
"""


@pytest.mark.slow
def test_datasets_push_load_stream_and_pin(hub, tmp_path):
    environment = subprocess_environment(tmp_path / "cache") | hub.environment(tmp_path / "cache", "hf_me")
    result = run_command([sys.executable, "-c", SCRIPT], environment, tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
