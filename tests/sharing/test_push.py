# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What is pushed, what is refused before anything is sent, and what a push that broke off leaves behind."""

import json
import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from huggingface_hub import HfApi, snapshot_download
from safetensors.torch import load_file, save_file
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor, write_corpus, write_text_encoder

import train_hf
from modeling_univa import cli
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.sharing.folder import IncompleteFolderError, check_folder, shared_files
from modeling_univa.sharing.push import PushError, make_repository, push_folder, push_metric
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


NAME = "me/emotions"
CODE = {
    "configuration_univa.py", "light_features_univa.py", "losses_univa.py", "media_univa.py", "modeling_univa.py",
    "processing_univa.py",
}  # fmt: skip
CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n# Emotions\n"


def save(folder: Path, seed: int = 0, **kwargs: Any) -> Path:
    """A saved model with its processor, a card, evaluation results, and what training leaves in such a folder."""
    config = tiny_config(audio_feature_size=LogMelExtractor().feature_size)
    tiny_model(config, seed).save_pretrained(folder, **kwargs)
    tiny_processor(config, extractors={"audio": LogMelExtractor().to_dict()}).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    (folder / ".eval_results").mkdir(exist_ok=True)
    (folder / ".eval_results" / "mosei.yaml").write_text("- value: 1.0\n")
    return folder


def litter(folder: Path) -> None:
    (folder / "checkpoint-7").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "checkpoint-7")
    for name in ("checkpoint-7/optimizer.pt", "optimizer.pt", "rng_state.pth", "pytorch_model.bin", "rows.csv",
                 "trainer_state.json", "training_args.json", "run_arguments.json", "training_args.bin",
                 "scheduler.pkl", ".env", "clip.wav", ".cache/x.json", "__pycache__/x.py"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def api(hub_client: HubServer) -> HfApi:
    return HfApi(token="hf_me")


def files_of(hub: HubServer, name: str = NAME, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
    commit = hub.repository(name, kind).at(revision)
    paths = set(commit.files) - {".gitattributes"}
    return {path: hub.content(name, path, revision, kind) for path in sorted(paths)}


def titles(hub: HubServer, name: str = NAME, revision: str = "main") -> list[str]:
    return [commit.title for commit in hub.repository(name).at(revision).history()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in shared_files(folder)}


# What is pushed


def test_one_commit_holds_all_that_loading_needs_and_nothing_else(folder, hub, api):
    expected = contents(folder)
    litter(folder)
    commit = push_folder(folder, NAME)
    assert files_of(hub) == expected
    assert set(expected) >= CODE | {
        "README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json",
        "tokenizer_config.json", ".eval_results/mosei.yaml",
    }  # fmt: skip
    assert titles(hub) == ["Upload model", "initial commit"]
    assert commit.oid == hub.repository(NAME).branches["main"]


def test_what_stays_at_home_is_told(folder, hub, api, caplog):
    litter(folder)
    with caplog.at_level(logging.WARNING):
        push_folder(folder, NAME)
    told = next(record.getMessage() for record in caplog.records if "Not shared" in record.getMessage())
    assert {"optimizer.pt", "checkpoint-7", "rows.csv", "trainer_state.json"} <= set(told[12:-1].split(", "))


def test_pushing_again_makes_no_commit_and_a_new_model_replaces_all_weights(tmp_path, hub, api):
    sharded = save(tmp_path / "sharded", max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    push_folder(sharded, NAME)
    first = push_folder(sharded, NAME)
    assert titles(hub) == ["Upload model", "initial commit"]
    whole = save(tmp_path / "whole", seed=1)
    shutil.rmtree(whole / ".eval_results")
    push_folder(whole, NAME)
    assert files_of(hub) == contents(whole)
    assert files_of(hub, revision=first.oid) == contents(sharded)
    push_folder(sharded, NAME)
    assert files_of(hub) == contents(sharded)


def test_snippets_of_the_card_name_the_repository(folder, hub, api):
    with (folder / "README.md").open("a") as card:
        card.write('AutoModel.from_pretrained("ORG/NAME", trust_remote_code=True)\n')
    push_folder(folder, NAME)
    assert b'from_pretrained("me/emotions", trust' in hub.content(NAME, "README.md")


def test_files_of_others_in_the_repository_are_kept(folder, hub, api):
    api.create_repo(NAME)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="handler.py", repo_id=NAME)
    push_folder(folder, NAME)
    assert files_of(hub) == contents(folder) | {"handler.py": b"x"}


def test_branch_and_pull_request(folder, hub, api):
    push_folder(folder, NAME, revision="next")
    assert (titles(hub), titles(hub, revision="next")[0]) == (["initial commit"], "Upload model")
    commit = push_folder(folder, NAME, create_pr=True, commit_message="Better")
    assert (commit.pr_num, titles(hub), titles(hub, revision="refs/pr/1")[0]) == (1, ["initial commit"], "Better")


def test_a_network_that_is_no_univa_needs_no_processor(tmp_path, hub, api):
    encoder = write_text_encoder(tmp_path / "encoder")
    push_folder(encoder, NAME)
    assert files_of(hub) == contents(encoder)


def test_name_of_ones_own(folder, hub, api):
    assert push_folder(folder, "emotions", private=True).repo_url.repo_id == NAME
    assert hub.repository(NAME).private


def test_a_private_push_sends_nothing_to_a_public_repository(folder, hub, api):
    api.create_repo(NAME)
    with pytest.raises(PushError, match="is public"):
        push_folder(folder, NAME, private=True)
    assert files_of(hub) == {}


@pytest.mark.parametrize("token", ["hf_reader", "hf_other", "hf_unknown"])
def test_no_right_to_write_is_one_sentence(token, folder, hub, api):
    with pytest.raises(PushError, match="Log in with a token") as caught:
        push_folder(folder, NAME, token=token)
    assert "\n" not in str(caught.value)
    assert not hub.repositories


@pytest.mark.parametrize("access", ["public", "private", "gated", "organization"])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_token_that_may_only_read_an_existing_repository_is_told_at_once(kind, access, hub, api):
    """`create_repo(exist_ok=True)` succeeds with it."""
    name, token = ("lab/emotions", "hf_guest") if access == "organization" else (NAME, "hf_reader")
    sdk = "gradio" if kind == "space" else None
    api.create_repo(name, repo_type=kind, private=access != "public", space_sdk=sdk)
    hub.repository(name, f"{kind}s").gated = "manual" if access == "gated" else False
    HfApi(token=token).create_repo(name, repo_type=kind, space_sdk=sdk, exist_ok=True)
    with pytest.raises(PushError, match="was not pushed to .* Log in with a token that may write there"):
        make_repository(name, kind, token=token)
    assert make_repository(name, kind, token="hf_me") == name
    assert len(list(hub.repository(name, f"{kind}s").at("main").history())) == 1


def test_pull_request_needs_no_right_to_write(folder, hub, api):
    api.create_repo("lab/emotions")
    assert push_folder(folder, "lab/emotions", token="hf_other", create_pr=True).pr_num == 1
    with pytest.raises(PushError, match="Log in with a token"):
        push_folder(folder, "lab/emotions", token="hf_other")


def test_somebody_elses_commit_meanwhile_is_not_overwritten(folder, hub, api, monkeypatch):
    push_folder(folder, NAME)
    (folder / "README.md").write_text(CARD + "New.\n")
    before = HfApi.create_commit

    def meanwhile(self, *args, **kwargs):
        monkeypatch.setattr(HfApi, "create_commit", before)
        api.upload_file(path_or_fileobj=b"theirs", path_in_repo="notes.md", repo_id=NAME)
        return before(self, *args, **kwargs)

    monkeypatch.setattr(HfApi, "create_commit", meanwhile)
    with pytest.raises(PushError, match="push again"):
        push_folder(folder, NAME)
    assert hub.content(NAME, "README.md").decode() == CARD
    push_folder(folder, NAME)
    assert hub.content(NAME, "notes.md") == b"theirs"


# What is refused before anything is sent


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[min(tensors)]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


MISTAKES = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "config no JSON": (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    "no auto_map": (lambda folder: edit_json(folder / "config.json", auto_map={}), "lacks AutoConfig"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    "weights cut off": (lambda folder: truncate(folder / "model.safetensors"), "is damaged"),
    "tensor missing": (drop_tensor, "do not fit"),
    "weights of another size": (lambda folder: edit_json(folder / "config.json", hidden_size=32), "do not fit"),
    "no model code": (lambda folder: (folder / "modeling_univa.py").unlink(), "has no modeling_univa.py"),
    "no imported code": (lambda folder: (folder / "media_univa.py").unlink(), "has no media_univa.py"),
    "class missing": (lambda folder: (folder / "modeling_univa.py").write_text("x = 1\n"), "has no class Univa"),
    "not Python": (lambda folder: (folder / "processing_univa.py").write_text("def"), "is not Python"),
    "pipeline missing": (
        lambda folder: edit_json(folder / "config.json", custom_pipelines={"emotion": {"impl": "pipe.Pipe"}}),
        "has no pipe.py",
    ),
    "no processor": (lambda folder: (folder / "processor_config.json").unlink(), "has no processor_config.json"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be loaded"),
    "processor of another model": (
        lambda folder: edit_json(folder / "processor_config.json", feature_sizes={"vision": 9}, extractors={}),
        "of another model",
    ),
    "extractor missing": (
        lambda folder: edit_json(
            folder / "processor_config.json",
            extractors={"vision": {"extractor_type": "x", "feature_size": 3, "model": "./extractors/vision"}},
        ),
        "has no ./extractors/vision",
    ),
    "card": (lambda folder: (folder / "README.md").write_text("---\na: [\n---\n"), "README.md are not YAML"),
    "results": (lambda folder: (folder / ".eval_results" / "mosei.yaml").write_text("a: ["), "mosei.yaml is not YAML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_incomplete_folder_is_refused_before_anything_is_sent(mistake, folder, hub, api):
    spoil, message = MISTAKES[mistake]
    spoil(folder)
    with pytest.raises(IncompleteFolderError, match=message):
        push_folder(folder, NAME)
    assert hub.log == []


def test_weights_of_another_versions_code_are_not_judged_by_this_one(folder):
    drop_tensor(folder)
    code = folder / "modeling_univa.py"
    code.write_text(code.read_text() + "# Another version.\n")
    assert "model.safetensors" in check_folder(folder)


def test_missing_shard_is_named(tmp_path):
    folder = save(tmp_path / "sharded", max_shard_size="20KB")
    check_folder(folder)
    sorted(folder.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(IncompleteFolderError, match="has no model-00002-of"):
        check_folder(folder)


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", 7])
def test_an_index_names_files_of_its_folder(folder, shard):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(IncompleteFolderError, match="not a file in it"):
        check_folder(folder)


def test_a_link_out_of_the_folder_is_not_shared(folder, tmp_path, hub, api):
    secret = tmp_path / "secret"
    secret.write_text("of nobody's business")
    for name in ("notes.txt", "extractors/notes.txt"):
        link = folder / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(secret)
        with pytest.raises(IncompleteFolderError, match=rf"{name} is a link out of the folder"):
            push_folder(folder, NAME)
        link.unlink()
    assert not hub.repositories
    # Links within the folder are its own, and so are those of the Hub's cache.
    (folder / "notes.txt").symlink_to("README.md")
    push_folder(folder, NAME)
    from huggingface_hub import snapshot_download

    assert "model.safetensors" in shared_files(snapshot_download(NAME))


def test_no_folder(tmp_path):
    with pytest.raises(IncompleteFolderError, match="There is no folder"):
        check_folder(tmp_path / "absent")


def test_adapter_of_a_model_on_this_machine_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter_model.safetensors")
    for base, accepted in (("me/base", True), (str(tmp_path / "base"), False)):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        if accepted:
            assert set(check_folder(tmp_path)) == {"adapter_config.json", "adapter_model.safetensors"}
        else:
            with pytest.raises(IncompleteFolderError, match="push that model"):
                check_folder(tmp_path)


def test_extractor_on_this_machine_is_told(folder, caplog):
    settings = {"extractor_type": "x", "feature_size": 3, "model": "/somewhere/encoder"}
    edit_json(folder / "processor_config.json", extractors={"vision": settings})
    with caplog.at_level(logging.WARNING):
        check_folder(folder)
    assert "/somewhere/encoder" in caplog.text


# A push that breaks off


def push_through(folder: Path, hub: HubServer, cuts: Iterator[dict[str, Any]]) -> int:
    """Push, with a broken connection at each of `cuts`, until it succeeds; returns how often it was broken off."""
    broken = 0
    for cut in cuts:
        hub.cut(**cut)
        try:
            push_folder(folder, NAME)
        except PushError as error:
            broken += 1
            assert "rerun the same command" in str(error)
            if ("models", NAME) in hub.repositories and len(titles(hub)) == 1:
                assert files_of(hub) == {}
        hub.restore()
    push_folder(folder, NAME)
    return broken


@pytest.mark.parametrize(
    "cut",
    [
        {"request": 1},
        {"request": 1, "answer_lost": True, "only": "repos/create"},
        {"received": 9000},
        {"request": 1, "only": "/_store/upload"},
        {"received": 5000, "only": "/commit/main"},
        {"request": 1, "answer_lost": True, "only": "/commit/main"},
    ],
    ids=lambda cut: "-".join(f"{name}={value}" for name, value in cut.items()),
)
def test_broken_push_is_repeated(cut, folder, hub, api):
    assert push_through(folder, hub, iter([cut])) == 1
    assert files_of(hub) == contents(folder)
    assert titles(hub) == ["Upload model", "initial commit"]


def test_large_files_that_had_arrived_are_not_sent_again(tmp_path, hub, api):
    folder = save(tmp_path / "sharded", max_shard_size="20KB")
    shards = len(list(folder.glob("model-*.safetensors")))
    push_through(folder, hub, iter([{"request": 1, "only": "/commit/main"}]))
    assert sum(method == "PUT" for method, *_ in hub.log) == shards


@pytest.mark.slow
def test_push_cut_at_twenty_random_points(saved, hub, api):
    generator = random.Random(0)
    push_folder(saved, "me/probe")
    requests = len(hub.log)
    size = sum(len(content) for content in contents(saved).values())
    for trial in range(20):
        hub.repositories.clear()
        if trial % 2:
            cut = {"received": generator.randrange(1, size)}
        else:
            cut = {"request": generator.randrange(1, requests + 1), "answer_lost": generator.random() < 0.5}
        assert push_through(saved, hub, iter([cut])) == 1, cut
        assert files_of(hub) == contents(saved), cut
        assert titles(hub) == ["Upload model", "initial commit"], cut


def test_several_cuts_in_a_row(folder, hub, api):
    assert push_through(folder, hub, iter([{"request": n} for n in range(1, 6)])) == 5
    assert titles(hub) == ["Upload model", "initial commit"]


# Command line, trainer and metric


def test_command_line(folder, hub, api, capsys):
    assert cli.main(["push", str(folder), NAME, "--private", "--revision", "v2"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"/{NAME}/commit/{hub.repository(NAME).branches['v2']}")
    assert hub.repository(NAME).private
    assert cli.main(["push", str(folder / "absent"), NAME]) == 2
    assert cli.main(["push", str(folder), "other/name"]) == 2
    assert "hf auth login" in capsys.readouterr().err


def test_training_pushes_the_finished_model_once(tmp_path, hub, api, capsys):
    splits = {name: random_rows([3, 4], seed=seed, prefix=name) for seed, name in enumerate(("train", "validation"))}
    write_corpus(tmp_path / "corpus", splits)
    write_text_encoder(tmp_path / "encoder")
    options = {
        "dataset": tmp_path / "corpus", "text_model": tmp_path / "encoder", "output_dir": tmp_path / "run",
        "test_split": "none", "num_train_epochs": 2, "use_cpu": True, "hidden_size": 16, "num_attention_heads": 2,
        "intermediate_size": 32, "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "push_to_hub": True,
        "hub_model_id": "lab/trained", "hub_private_repo": True,
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    assert train_hf.main(arguments) == 0, capsys.readouterr().err
    files = files_of(hub, "lab/trained")
    assert set(files) >= CODE | {"model.safetensors", "processor_config.json", "tokenizer.json", "README.md"}
    assert not [name for name in files if "checkpoint" in name or name.endswith(("args.json", "state.json", ".bin"))]
    assert titles(hub, "lab/trained") == ["End of training", "initial commit"]
    assert hub.repository("lab/trained").private
    # Before the first step, not after the last.
    elsewhere = ["--hub_model_id", "other/trained", "--output_dir", str(tmp_path / "b")]
    assert train_hf.main([*arguments[:-4], *elsewhere]) == 2
    assert not list((tmp_path / "b").glob("checkpoint-*"))
    reading = ["--hub_token", "hf_reader", "--output_dir", str(tmp_path / "c"), "--hub_model_id", "lab/trained"]
    assert train_hf.main([*arguments[:-4], *reading]) == 2
    assert "Log in with a token that may write there" in capsys.readouterr().err
    assert not list((tmp_path / "c").glob("checkpoint-*"))


def test_trainer_pushes_without_waiting(tmp_path, hub, api):
    config = tiny_config("words")
    args = UnivaTrainingArguments(
        output_dir=str(tmp_path / "words"), use_cpu=True, eval_strategy="no", save_strategy="no",
        load_best_model_at_end=False, hub_revision="v1",
    )  # fmt: skip
    trainer = UnivaTrainer(tiny_model(config), args, processing_class=tiny_processor(config))
    commit = trainer.push_to_hub("Words", blocking=False).result()
    assert commit.oid == hub.repository("me/words").branches["v1"]
    assert titles(hub, "me/words", "v1") == ["Words", "initial commit"]
    assert "tokenizer.json" not in files_of(hub, "me/words", "v1")


def test_no_unfinished_model_is_pushed(tmp_path):
    with pytest.raises(ValueError, match="hub_strategy"):
        UnivaTrainingArguments(output_dir=str(tmp_path), hub_strategy="every_save")


def test_metric_becomes_a_space(hub, api):
    push_metric("lab/emotion-score", private=True)
    files = files_of(hub, "lab/emotion-score", kind="spaces")
    assert set(files) == {"README.md", "app.py", "emotion-score.py", "page.py", "requirements.txt", "scoring.py"}
    assert b'evaluate.load("lab/emotion-score")' in files["README.md"]
    assert b'with_name("emotion-score.py")' in files["page.py"]
    assert hub.repository("lab/emotion-score", "spaces").private
    with pytest.raises(ValueError, match="ORG/NAME"):
        push_metric("emotion.score")
    for name in ("scoring", "page", "evaluate", "json"):
        with pytest.raises(ValueError, match="choose another name"):
            push_metric(f"lab/{name}")


def test_snapshot_is_the_folder_and_can_be_pushed_again(folder, hub, api):
    push_folder(folder, NAME)
    snapshot = Path(snapshot_download(NAME))
    assert contents(snapshot) == contents(folder)
    push_folder(snapshot, "lab/copy")
    assert files_of(hub, "lab/copy") == contents(folder)
