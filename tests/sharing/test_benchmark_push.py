# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A benchmark goes to its own repository alone, and what an earlier push has left there goes away."""

import pytest
from huggingface_hub import HfApi

from modeling_univa.sharing.benchmark_push import BENCHMARK_TAG, make_benchmark_repository, push_benchmark
from modeling_univa.sharing.push import PushError


NAME = "lab/benchmark"
CARD = f"---\ntags:\n- {BENCHMARK_TAG}\n---\n\n# ORG/NAME\n".encode()


def test_files_of_an_earlier_push_are_replaced_and_others_stay(hub_client, tmp_path):
    push_benchmark({"README.md": CARD, "data/a/test.parquet": b"a", "runs/a/run.json": b"{}"}, NAME)
    HfApi().upload_file(path_or_fileobj=b"mine", path_in_repo="NOTES.md", repo_id=NAME, repo_type="dataset")
    (tmp_path / "b").write_bytes(b"b")
    commit = push_benchmark({"README.md": CARD, "data/b/test.parquet": tmp_path / "b"}, NAME)
    files = set(hub_client.repository(NAME, "datasets").at(commit.oid).files) - {".gitattributes"}
    assert files == {"README.md", "NOTES.md", "data/b/test.parquet"}
    assert hub_client.content(NAME, "README.md", kind="datasets").endswith(b"# lab/benchmark\n")


def test_a_bare_name_is_one_of_your_own(hub_client):
    push_benchmark({"README.md": CARD}, "mine")
    assert hub_client.content("me/mine", "README.md", kind="datasets").endswith(b"# me/mine\n")


@pytest.mark.parametrize("card", [b"---\ntags:\n- other\n---\n", b"# no metadata\n", None])
def test_another_data_set_is_not_overwritten(card, hub_client):
    api = HfApi()
    api.create_repo(NAME, repo_type="dataset")
    name, content = ("data.csv", b"a,b\n") if card is None else ("README.md", card)
    api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=NAME, repo_type="dataset")
    before = hub_client.repository(NAME, "datasets").branches["main"]
    for attempt in (lambda: make_benchmark_repository(NAME), lambda: push_benchmark({"README.md": CARD}, NAME)):
        with pytest.raises(
            PushError, match="lab/benchmark holds a data set that is not a benchmark of `univa report`"
        ):
            attempt()
    assert hub_client.repository(NAME, "datasets").branches["main"] == before


def test_private_is_not_sent_to_a_public_repository(hub_client):
    push_benchmark({"README.md": CARD}, NAME, private=True)
    assert hub_client.repository(NAME, "datasets").private
    HfApi().create_repo("lab/open", repo_type="dataset")
    with pytest.raises(PushError, match="lab/open already exists and is public"):
        push_benchmark({"README.md": CARD}, "lab/open", private=True)


def test_refusal_of_the_hub_is_one_sentence(hub_client):
    with pytest.raises(PushError, match=r"^The benchmark was not pushed to other/benchmark: "):
        push_benchmark({"README.md": CARD}, "other/benchmark")
    with pytest.raises(PushError, match="Log in with a token that may write there"):
        make_benchmark_repository(NAME, token="hf_reader")
