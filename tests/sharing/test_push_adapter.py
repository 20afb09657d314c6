# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""An adapter goes to the Hub with its base, which it names by commit; both load there to the same logits."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hub_server import HubServer
from huggingface_hub import HfApi, ModelCard
from peft import PeftModel
from testing_utils import (
    REPOSITORY,
    Utterances,
    random_rows,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
    write_text_encoder,
)
from transformers import AutoModel, AutoProcessor

import train_hf
from modeling_univa.sharing.adapters import AdapterBase, load_adapter, set_adapter_base
from modeling_univa.sharing.corpus_push import push_corpus
from modeling_univa.sharing.folder import IncompleteFolderError, check_folder
from modeling_univa.sharing.push import PushError, push_folder
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


NAME, BASE = "lab/emotions", "lab/emotions-base"
CARD = "---\nlicense: apache-2.0\nbase_model: bert-base\n---\n\n# Emotions\n\nORG/NAME\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """An adapter whose every part differs from its base, which lies beside it."""
    config, folder = tiny_config(), tmp_path / "adapter"
    adapted = add_adapter(tiny_model(config), ModelArguments(lora_rank=2), folder, True, tiny_processor(config))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter.data, std=0.3)
    adapted.save_pretrained(folder)
    tiny_processor(config).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def api(hub_client: HubServer) -> HfApi:
    return HfApi(token="hf_me")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(**Utterances(tiny_config(), absent=0.2).inputs()).logits


def files_of(hub: HubServer, name: str) -> set[str]:
    return set(hub.repository(name).at("main").files) - {".gitattributes"}


def titles(hub: HubServer, name: str) -> list[str]:
    return [commit.title for commit in hub.repository(name).at("main").history()]


def adapter_config(hub: HubServer, name: str = NAME) -> dict:
    return json.loads(hub.content(name, "adapter_config.json"))


def test_adapter_and_base_are_one_commit_each_and_give_the_same_logits(folder, hub, api):
    expected, before = logits(load_adapter(folder)), (folder / "adapter_config.json").read_bytes()
    push_folder(folder, NAME)
    assert titles(hub, NAME) == titles(hub, BASE) == ["Upload model", "initial commit"]
    assert {"model.safetensors", "config.json", "modeling_univa.py", "processor_config.json"} <= files_of(hub, BASE)
    assert {"adapter_model.safetensors", "processor_config.json", "README.md"} <= files_of(hub, NAME)
    assert not [name for name in files_of(hub, NAME) if name.startswith("base/") or name == "model.safetensors"]
    assert adapter_config(hub)["base_model_name_or_path"] == BASE
    assert adapter_config(hub)["revision"] == hub.repository(BASE).branches["main"]
    assert (folder / "adapter_config.json").read_bytes() == before

    model = AutoModel.from_pretrained(BASE, trust_remote_code=True)
    assert not torch.allclose(logits(model), expected, atol=1e-3)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(model, NAME)), expected)
    torch.testing.assert_close(logits(load_adapter(NAME)), expected)
    assert AutoProcessor.from_pretrained(NAME, trust_remote_code=True).tokenizer is not None


def test_cards_name_each_other(folder, hub, api):
    push_folder(folder, NAME)
    card = ModelCard.load(NAME)
    assert (card.data.library_name, card.data.base_model, card.data.license) == ("peft", BASE, "apache-2.0")
    assert NAME in card.text and "ORG/NAME" not in card.text
    base = ModelCard.load(BASE)
    assert base.data.library_name == "transformers"
    assert NAME in base.text


def test_pushed_again_nothing_changes_and_the_adapter_stays_on_its_commit(folder, hub, api):
    push_folder(folder, NAME)
    push_folder(folder, NAME)
    assert len(titles(hub, NAME)) == len(titles(hub, BASE)) == 2
    expected = logits(load_adapter(NAME))
    # Somebody else's new base is none of this adapter's.
    tiny_model(tiny_config(), seed=9).save_pretrained(folder.parent / "other")
    api.upload_folder(repo_id=BASE, folder_path=folder.parent / "other")
    torch.testing.assert_close(logits(load_adapter(NAME)), expected)


def test_adapter_trained_again_takes_the_place_of_the_former_whatever_tags_the_hub_lists(folder, hub, api):
    hub.lists_tags = False
    push_folder(folder, NAME)
    first, pushed = hub.repository(BASE).branches["main"], logits(load_adapter(NAME))
    config = json.loads((folder / "base" / "config.json").read_text()) | {"decision_threshold": 0.3}
    (folder / "base" / "config.json").write_text(json.dumps(config))
    push_folder(folder, NAME)
    assert len(titles(hub, BASE)) == 3
    assert adapter_config(hub)["revision"] == hub.repository(BASE).branches["main"] != first
    assert load_adapter(NAME).config.decision_threshold == 0.3
    torch.testing.assert_close(logits(load_adapter(NAME)), pushed, rtol=0, atol=0)
    # Another one, beside it.
    push_folder(folder, f"{NAME}-2")
    assert files_of(hub, f"{NAME}-2-base")


@pytest.mark.parametrize("existing", [False, True])
def test_base_of_a_private_adapter_is_private(existing, folder, hub, api):
    if existing:
        api.create_repo(NAME, private=True)
    push_folder(folder, NAME, private=None if existing else True)
    assert hub.repository(NAME).private
    assert hub.repository(BASE).private


def test_private_adapter_sends_no_base_to_a_public_repository(folder, hub, api):
    api.create_repo(BASE)
    with pytest.raises(PushError, match=f"{BASE} already exists and is public"):
        push_folder(folder, NAME, private=True)
    assert not files_of(hub, BASE)
    assert not files_of(hub, NAME)


def test_another_model_of_that_name_is_left_alone(folder, hub, api):
    tiny_model(tiny_config()).save_pretrained(folder.parent / "other")
    api.create_repo(BASE)
    api.upload_folder(repo_id=BASE, folder_path=folder.parent / "other")
    with pytest.raises(PushError, match=f"{BASE}, where the base of {NAME} would go, holds another model"):
        push_folder(folder, NAME)
    assert len(titles(hub, BASE)) == 2
    assert not files_of(hub, NAME)


@pytest.mark.parametrize("number", range(1, 3))
def test_broken_push_is_repeated(number, folder, hub, api):
    """Cut at the commit of the base, and at that of the adapter."""
    hub.cut(request=number, only="/commit/main")
    with pytest.raises(PushError, match="rerun the same command"):
        push_folder(folder, NAME)
    hub.restore()
    assert not files_of(hub, NAME)
    assert bool(files_of(hub, BASE)) == (number == 2)
    push_folder(folder, NAME)
    assert len(titles(hub, NAME)) == len(titles(hub, BASE)) == 2
    assert adapter_config(hub)["revision"] == hub.repository(BASE).branches["main"]


def test_branch_and_pull_request_hold_the_base_too(folder, hub, api):
    expected = logits(load_adapter(folder))
    push_folder(folder, NAME, revision="v2")
    torch.testing.assert_close(logits(load_adapter(NAME, "v2")), expected)
    assert not files_of(hub, BASE)
    commit = push_folder(folder, NAME, create_pr=True)
    torch.testing.assert_close(logits(load_adapter(NAME, commit.oid)), expected)


def test_base_that_is_on_the_hub_is_not_pushed(folder, hub, api):
    set_adapter_base(folder, AdapterBase("lab/elsewhere", "v1"))
    push_folder(folder, NAME)
    assert adapter_config(hub)["base_model_name_or_path"] == "lab/elsewhere"
    assert not [name for name in files_of(hub, NAME) if name.startswith("base/")]
    assert ("models", BASE) not in hub.repositories


def test_an_adapter_of_the_hub_names_nothing_of_this_machine(folder, hub, api):
    push_folder(folder, NAME)
    for place in (str((folder / "base").resolve()), "../base", "/proc/self", "base"):
        text = json.dumps({**adapter_config(hub), "base_model_name_or_path": place})
        api.upload_file(repo_id=NAME, path_in_repo="adapter_config.json", path_or_fileobj=text.encode())
        with pytest.raises(ValueError, match="must name a base on the Hub"):
            load_adapter(NAME)


def test_incomplete_base_is_named_before_anything_is_sent(folder, hub, api):
    (folder / "base" / "losses_univa.py").unlink()
    with pytest.raises(IncompleteFolderError, match="has no losses_univa.py"):
        push_folder(folder, NAME)
    assert not hub.repositories
    shutil.rmtree(folder / "base")
    with pytest.raises(IncompleteFolderError, match="which others cannot download: push that model"):
        check_folder(folder)


@pytest.fixture
def training(tmp_path) -> list[str]:
    """Options of a short run from a text encoder that is pushed."""
    splits = {name: random_rows([4, 3, 4], prefix=name) for name in ("train", "validation")}
    corpus = write_corpus(tmp_path / "corpus", splits)
    (corpus / "README.md").write_text("---\nlicense: mit\n---\n\n# Tiny\n\nSource: https://example.org/tiny\n")
    options = {
        "dataset": corpus, "text_model": write_text_encoder(tmp_path / "encoder"), "test_split": "none",
        "output_dir": tmp_path / "run", "use_cpu": True, "hidden_size": 16, "num_attention_heads": 2,
        "intermediate_size": 32, "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "push_to_hub": True,
        "hub_model_id": "lab/trained",
    }  # fmt: skip
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def test_training_pushes_adapter_and_base(training, hub, api, tmp_path, capsys):
    lora = ["--lora_rank", "2", "--num_train_epochs", "1", "--learning_rate", "0.01", "--hub_private_repo", "true"]
    assert train_hf.main([*training, *lora]) == 0, capsys.readouterr().err
    assert titles(hub, "lab/trained") == titles(hub, "lab/trained-base") == ["End of training", "initial commit"]
    assert hub.repository("lab/trained").private and hub.repository("lab/trained-base").private
    model = AutoModel.from_pretrained("lab/trained-base", trust_remote_code=True)
    expected = logits(load_adapter(tmp_path / "run"))
    assert not torch.allclose(logits(model), expected, atol=1e-3)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(model, "lab/trained")), expected)
    card = ModelCard.load("lab/trained")
    assert (card.data.library_name, card.data.base_model) == ("peft", "lab/trained-base")
    assert "PeftModel.from_pretrained" in card.text


def test_adapter_whose_base_cannot_be_pushed_is_not_trained(training, hub, api, tmp_path, capsys):
    api.create_repo("lab/trained-base")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="model.bin", repo_id="lab/trained-base")
    assert train_hf.main([*training, "--lora_rank", "2", "--num_train_epochs", "1"]) == 2
    assert "lab/trained-base, where the base of lab/trained would go, holds another model" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_threshold_of_an_adapter_is_that_which_validation_chose(training, hub, api, tmp_path, capsys):
    options = [*training, "--lora_rank", "2", "--num_train_epochs", "3", "--learning_rate", "0.01"]
    assert train_hf.main(options) == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "run" / "all_results.json").read_text())["validation"]
    for name in (tmp_path / "run", "lab/trained"):
        assert load_adapter(name).config.decision_threshold == scores["eval_threshold"]
    assert adapter_config(hub, "lab/trained")["revision"] == hub.repository("lab/trained-base").branches["main"]
    # Of a model that stays as it is, its own threshold is kept, unless another one is asked for.
    place = training.index("--text_model")
    more = ["--model", "lab/trained-base", "--lora_rank", "2", "--num_train_epochs", "1", "--push_to_hub", "false"]
    options = [*training[:place], *training[place + 2 :], *more]
    for choice, kept in (([], True), (["--decision_threshold", "auto"], False)):
        output = tmp_path / str(kept)
        assert train_hf.main([*options, "--output_dir", str(output), *choice]) == 0, capsys.readouterr().err
        found = json.loads((output / "all_results.json").read_text())["validation"]["eval_threshold"]
        assert (found == scores["eval_threshold"]) is kept
        assert load_adapter(output).config.decision_threshold == found
        assert (output / "base").is_dir() is not kept


def test_training_from_a_folder_is_refused_before_it_begins(training, hub, api, tmp_path, capsys):
    model = tmp_path / "model"
    config = tiny_config(modalities=["text", "audio"])
    tiny_model(config).save_pretrained(model)
    tiny_processor(config).save_pretrained(model)
    place = training.index("--text_model")
    options = [*training[:place], *training[place + 2 :], "--lora_rank", "2", "--num_train_epochs", "1"]
    # The corpus is not even looked at.
    options[options.index("--dataset") + 1] = "org/none"
    assert train_hf.main([*options, "--model", str(model)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert (
        f"the model in {model}, which others cannot download: push that model and use its Hub id as `model`" in message
    )
    assert not hub.repositories and not (tmp_path / "run").exists()
    for allowed in ({"push_to_hub": False}, {"hidden_dropout_prob": 0.3}):
        # Without a push, and with a base of its own, it is the corpus that is missed.
        more = [part for name, value in allowed.items() for part in (f"--{name}", str(value))]
        assert train_hf.main([*options, "--model", str(model), *more]) == 2
        assert "org/none cannot be loaded as a data set" in capsys.readouterr().err.splitlines()[-1]
    push_folder(model, "lab/model")
    options[options.index("--dataset") + 1] = str(tmp_path / "corpus")
    assert train_hf.main([*options, "--model", "lab/model"]) == 0, capsys.readouterr().err
    assert adapter_config(hub, "lab/trained")["base_model_name_or_path"] == "lab/model"


@pytest.mark.slow
def test_training_streams_a_corpus_of_the_hub(training, hub, api, tmp_path):
    push_corpus(tmp_path / "corpus", "lab/corpus")
    before = len(hub.log)
    steps = {"dataset": "lab/corpus", "streaming": True, "max_steps": 4, "eval_steps": 2, "save_steps": 2}
    steps |= {"eval_strategy": "steps", "save_strategy": "steps", "streaming_window": 4}
    steps |= {"per_device_train_batch_size": 2}
    options = [*training, *(part for name, value in steps.items() for part in (f"--{name}", str(value)))]
    environment = subprocess_environment(tmp_path / "cache") | hub.environment(tmp_path / "cache", "hf_me")
    result = run_command([sys.executable, REPOSITORY / "train_hf.py", *options], environment, tmp_path)
    assert result.returncode == 0, result.stderr[-5000:]
    # By parts, without a copy: whole files are downloaded to `HF_HUB_CACHE`.
    assert any("train-00000-of-00001.parquet" in path for _, path, _ in hub.log[before:])
    assert not list((tmp_path / "cache" / "hub").rglob("*.parquet"))
    assert {"model.safetensors", "README.md"} <= files_of(hub, "lab/trained")
    card = ModelCard.load("lab/trained")
    assert card.data.datasets == ["lab/corpus"]
