# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters: what is trained, what is saved, and that adapter, base and merged model give the same logits."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from forks import run_forked
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from testing_utils import (
    REPOSITORY,
    Utterances,
    random_rows,
    run_command,
    subprocess_environment,
    text_config,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
    write_text_encoder,
)
from transformers import (
    AutoModel,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    XLMRobertaConfig,
)

import train_hf
from modeling_univa import cli
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.sharing import adapters
from modeling_univa.sharing.adapters import (
    AdapterBase,
    adapter_base,
    is_adapter,
    load_adapter,
    load_model,
    merge_adapter,
    set_adapter_base,
)
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments, parse_arguments
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


ENCODER = "univa.encoders.text.encoder."
OUTSIDE = (
    "univa.encoders.text.projection",
    "univa.encoders.text.pooling",
    "univa.encoders.text.absent_embedding",
    "univa.encoders.audio",
    "univa.encoders.vision",
    "classifier",
    "correlation_prior",
)
# A softmax does not see what is added to all of its inputs: these have no gradient but for rounding.
WITHOUT_GRADIENT = ("score.bias", "key.bias")


def lora(start: UnivaForEmotionClassification, folder: Path, **given: object) -> PeftModel:
    return add_adapter(start, ModelArguments(**{"lora_rank": 2, **given}), folder, write_base=True)


def logits(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**inputs).logits


def plain_name(name: str) -> str:
    """Of an adapted model's parameter, as the model itself names it."""
    for part in ("base_model.model.", "modules_to_save.default.", "base_layer."):
        name = name.replace(part, "")
    return name


class Trained:
    """A tiny adapted model after three steps of the objective, some rows without each modality."""

    def __init__(self, folder: Path, **options: object):
        self.folder = folder
        config = tiny_config(**options)
        self.utterances = Utterances(config, absent=0.3, seed=3)
        self.utterances.dialogues[0][1] = ""
        self.inputs = self.utterances.inputs()
        self.model = lora(tiny_model(config), folder)
        self.before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.step(3)
        self.model.save_pretrained(folder)
        tiny_processor(config).save_pretrained(folder)

    def step(self, count: int) -> None:
        affect = {f"{name}_va": torch.rand(len(self.utterances.places), 2) for name in ("text", "audio", "vision")}
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01, weight_decay=0.0)
        self.model.train()
        for _ in range(count):
            self.model(**self.inputs, labels=self.utterances.labels, **affect).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        self.model.eval()

    def changed(self) -> set[str]:
        return {name for name, value in self.model.state_dict().items() if not torch.equal(value, self.before[name])}


@pytest.fixture(scope="module", params=[True, False], ids=["M trained", "M fixed"])
def trained(request, tmp_path_factory) -> Trained:
    return Trained(tmp_path_factory.mktemp("adapter"), learn_label_similarity=request.param)


# What is trained, and what is saved


def test_all_outside_of_the_text_encoder_is_to_be_saved(trained):
    # M where it is fixed too, as all that a module holds: a queue or prototypes are buffers that training changes.
    assert trained.model.peft_config["default"].modules_to_save == list(OUTSIDE)
    trainable = {plain_name(name) for name, value in trained.model.named_parameters() if value.requires_grad}
    base = UnivaForEmotionClassification.from_pretrained(trained.folder / "base")
    own = {name for name, _ in base.named_parameters() if not name.startswith(ENCODER)}
    assert own == {name for name in trainable if not name.startswith(ENCODER)}
    assert all(".lora_" in name for name in trainable if name.startswith(ENCODER))


@pytest.mark.parametrize("module", OUTSIDE)
def test_module_changes_in_training_and_is_saved(module, trained):
    is_fixed = module == "correlation_prior" and not trained.model.config.learn_label_similarity
    saved = load_file(trained.folder / "adapter_model.safetensors")
    prefix = f"base_model.model.{module}."
    names = [name for name in trained.model.state_dict() if name.startswith(f"{prefix}modules_to_save.default.")]
    assert names
    for name in names:
        value = trained.model.state_dict()[name]
        key = name.replace("modules_to_save.default.", "")
        assert torch.equal(saved[key], value), name
        if not name.endswith(WITHOUT_GRADIENT):
            assert torch.equal(value, trained.before[name]) == is_fixed, name


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_absent_vector_is_trained(modality, trained):
    saved = load_file(trained.folder / "adapter_model.safetensors")
    (vector,) = (value for name, value in saved.items() if f".{modality}.absent_embedding" in name)
    assert vector.all()


def test_text_encoder_changes_by_its_updates_alone(trained):
    encoder = {name for name in trained.model.state_dict() if ENCODER in name}
    updates = {name for name in encoder if ".lora_" in name}
    assert {name.split(".lora_")[1] for name in updates} == {"A.default.weight", "B.default.weight"}
    assert encoder & trained.changed() == updates
    assert len(updates) == 2 * 4 * 2  # layers, projections of attention, A and B


def test_frozen_original_of_a_trained_module_does_not_change(trained):
    assert not any("original_module" in name for name in trained.changed())


# Loading


def test_auto_model_and_peft_model_give_the_same_logits(trained):
    base = AutoModel.from_pretrained(trained.folder / "base")
    expected = logits(trained.model, trained.inputs)
    assert (logits(base, trained.inputs) - expected).abs().max() > 1e-2
    found = PeftModel.from_pretrained(base, trained.folder)
    torch.testing.assert_close(logits(found, trained.inputs), expected, atol=1e-6, rtol=0)
    similarity = found(**trained.inputs).label_similarity
    torch.testing.assert_close(similarity, trained.model(**trained.inputs).label_similarity)


def test_auto_model_alone_finds_base_and_adapter(trained):
    found = AutoModel.from_pretrained(trained.folder)
    expected = logits(trained.model, trained.inputs)
    torch.testing.assert_close(logits(found, trained.inputs), expected, atol=1e-6, rtol=0)


def test_merged_model_gives_the_same_logits(trained, tmp_path):
    assert cli.main(["merge-adapter", str(trained.folder), "--output", str(tmp_path / "merged")]) == 0
    merged = UnivaForEmotionClassification.from_pretrained(tmp_path / "merged")
    expected = logits(trained.model, trained.inputs)
    torch.testing.assert_close(logits(merged, trained.inputs), expected, atol=1e-5, rtol=0)
    plain = UnivaForEmotionClassification.from_pretrained(trained.folder / "base")
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert str(trained.folder) not in (tmp_path / "merged" / "config.json").read_text()
    assert not is_adapter(tmp_path / "merged")
    torch.testing.assert_close(logits(load_model(trained.folder), trained.inputs), expected, atol=1e-5, rtol=0)
    processor = UnivaProcessor.from_pretrained(tmp_path / "merged")
    again = processor(trained.utterances.dialogues, trained.utterances.places)
    assert torch.equal(again["input_ids"], trained.inputs["input_ids"])


def test_folder_that_was_moved_still_finds_its_base(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "moved")
    set_adapter_base(tmp_path / "moved", AdapterBase("/no/where"))
    found = load_adapter(tmp_path / "moved")
    torch.testing.assert_close(logits(found, trained.inputs), logits(trained.model, trained.inputs))


@pytest.mark.parametrize("fault", ["nan", "missing"])
def test_damaged_adapter_is_refused(trained, fault, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "adapter", ignore=shutil.ignore_patterns("checkpoint*"))
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(name for name in tensors if "lora_A" in name)
    if fault == "nan":
        tensors[key][0, 0] = float("nan")
    else:
        del tensors[key]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match="values that are not finite" if fault == "nan" else "differs or is missing"):
        load_adapter(tmp_path / "adapter")


def test_base_may_be_named_where_it_was_pushed_to(trained, tmp_path, capsys):
    shutil.copytree(trained.folder, tmp_path / "adapter", ignore=shutil.ignore_patterns("base"))
    assert cli.main(["adapter-base", str(tmp_path / "adapter"), "org/base", "--revision", "a" * 40]) == 0
    assert adapter_base(tmp_path / "adapter") == AdapterBase("org/base", "a" * 40)
    config, previous = (
        PeftConfig.from_pretrained(folder).to_dict() for folder in (tmp_path / "adapter", trained.folder)
    )
    assert {name for name, value in config.items() if value != previous[name]} == {
        "base_model_name_or_path",
        "revision",
    }
    assert cli.main(["adapter-base", str(trained.folder / "base"), "org/base"]) == 2
    assert "base holds no adapter_config.json: it is not an adapter." in capsys.readouterr().err


def test_base_that_is_gone_is_named(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "moved", ignore=shutil.ignore_patterns("base"))
    set_adapter_base(tmp_path / "moved", AdapterBase("/no/where"))
    with pytest.raises(ValueError, match="The base /no/where of the adapter .*moved cannot be loaded"):
        load_model(tmp_path / "moved")


def test_a_model_that_is_not_there_is_named(hub_client):
    with pytest.raises(OSError, match=r"^me/slip is not a folder here, and could not be loaded from the Hub: "):
        load_model("me/slip")


WITHOUT_PACKAGE = """
import json, sys
sys.modules["modeling_univa"] = None
import torch
from peft import PeftModel
from transformers import AutoModel
adapter, merged, file = sys.argv[1:]
inputs = {name: torch.tensor(value) for name, value in json.load(open(file)).items()}
trusted = {"trust_remote_code": True}
found = {
    "merged": AutoModel.from_pretrained(merged, **trusted),
    "adapter": PeftModel.from_pretrained(AutoModel.from_pretrained(adapter + "/base", **trusted), adapter).eval(),
}
with torch.no_grad():
    print("\\n" + json.dumps({name: model(**inputs).logits.tolist() for name, model in found.items()}))
"""


@pytest.mark.processes
def test_process_without_the_package_gets_the_same_logits(tmp_path):
    trained = Trained(tmp_path / "adapter")
    merged = merge_adapter(trained.folder, tmp_path / "merged")
    (tmp_path / "inputs.json").write_text(json.dumps({name: value.tolist() for name, value in trained.inputs.items()}))
    command = [sys.executable, "-I", "-c", WITHOUT_PACKAGE, trained.folder, merged, tmp_path / "inputs.json"]
    result = run_command(command, subprocess_environment(tmp_path / "cache", with_package=False), tmp_path)
    assert result.returncode == 0, result.stderr[-5000:]
    expected = logits(trained.model, trained.inputs)
    found = json.loads(result.stdout.splitlines()[-1])
    torch.testing.assert_close(torch.tensor(found["adapter"]), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(found["merged"]), expected, atol=1e-5, rtol=0)


def test_predict_takes_an_adapter(tmp_path, capsys):
    config = tiny_config(modalities=["text"])
    model = lora(tiny_model(config), tmp_path)
    torch.nn.init.normal_(model.base_model.model.classifier.weight)
    model.eval().save_pretrained(tmp_path)
    processor = tiny_processor(config)
    processor.save_pretrained(tmp_path)
    assert cli.main(["predict", str(tmp_path), "--text", "yes no", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])["scores"]
    expected = logits(model, dict(processor([["yes no"]], [(0, 0)]))).softmax(-1)[0]
    assert list(scores.values()) == pytest.approx(expected.tolist(), abs=1e-5)


# The base


@pytest.fixture
def whole(tmp_path) -> Path:
    """A trained model to go on from."""
    config = tiny_config()
    tiny_model(config).save_pretrained(tmp_path / "whole")
    tiny_processor(config).save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


def test_model_gone_on_from_is_the_base(whole, tmp_path):
    model = UnivaForEmotionClassification.from_pretrained(whole)
    adapted = lora(model, tmp_path / "output", model=str(whole), contrastive_weight=model.config.contrastive_weight)
    adapted.save_pretrained(tmp_path / "output")
    assert not (tmp_path / "output" / "base").exists()
    assert adapter_base(tmp_path / "output") == AdapterBase(str(whole))


def test_other_configuration_than_the_models_makes_a_base_of_its_own(whole, tmp_path):
    model = UnivaForEmotionClassification.from_pretrained(whole)
    model.config.decision_threshold = 0.5
    lora(model, tmp_path / "output", model=str(whole), decision_threshold=0.5).save_pretrained(tmp_path / "output")
    assert adapter_base(tmp_path / "output") == AdapterBase(str(tmp_path / "output" / "base"))
    assert load_model(tmp_path / "output").config.decision_threshold == 0.5


def cache_model(cache: Path, name: str, commit: str, model: UnivaForEmotionClassification) -> None:
    """As a download of the newest commit of a Hub repository leaves it."""
    folder = cache / f"models--{name.replace('/', '--')}"
    model.save_pretrained(folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def test_hub_base_is_pinned_to_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    config, first, second = tiny_config(), "a" * 40, "b" * 40
    cache_model(tmp_path / "cache", "org/name", first, tiny_model(config, seed=1))
    model = UnivaForEmotionClassification.from_pretrained("org/name")
    adapted = lora(model, tmp_path / "output", model="org/name")
    adapted.save_pretrained(tmp_path / "output")
    content = json.loads((tmp_path / "output" / "adapter_config.json").read_text())
    assert (content["base_model_name_or_path"], content["revision"]) == ("org/name", first)
    # The repository moves on; the adapter does not.
    cache_model(tmp_path / "cache", "org/name", second, tiny_model(config, seed=2))
    inputs = Utterances(config).inputs()
    torch.testing.assert_close(logits(load_adapter(tmp_path / "output"), inputs), logits(adapted, inputs))


# Where the updates go


SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ENCODERS = {
    "bert": text_config("bert"),
    "roberta": text_config("roberta"),
    "xlm-roberta": XLMRobertaConfig(vocab_size=40, **SMALL),
    "electra": ElectraConfig(vocab_size=40, **SMALL, embedding_size=12),
    "mpnet": MPNetConfig(vocab_size=40, **SMALL),
    "deberta-v2": DebertaV2Config(vocab_size=40, **SMALL),
    "modernbert": ModernBertConfig(vocab_size=40, **SMALL, pad_token_id=0),
    "distilbert": DistilBertConfig(dim=12, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=40),
}


def targets(model: PeftModel) -> set[str]:
    return {name.split(".lora_A")[0].rpartition(ENCODER)[2] for name in model.state_dict() if ".lora_A." in name}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_attention_of_every_layer_is_adapted_and_nothing_else(encoder, tmp_path):
    model = UnivaForEmotionClassification(tiny_config(text_config=ENCODERS[encoder]))
    found = targets(lora(model, tmp_path))
    by_layer = {layer: {name for name in found if f".{layer}." in name} for layer in (0, 1)}
    assert len(by_layer[0]) == len(by_layer[1]) == len(found) / 2
    assert len(by_layer[0]) == (2 if encoder == "modernbert" else 4)
    assert all("att" in name for name in found)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["query", "value"], {"attention.self.query", "attention.self.value"}),
        (["intermediate.dense"], {"intermediate.dense"}),
        (
            ["all-linear"],
            {f"attention.self.{name}" for name in ("query", "key", "value")}
            | {"attention.output.dense", "intermediate.dense", "output.dense"},
        ),
    ],
)
def test_target_modules_may_be_named(wanted, expected, tmp_path):
    model = lora(tiny_model(tiny_config()), tmp_path, lora_target_modules=wanted)
    assert targets(model) == {f"encoder.layer.{layer}.{name}" for layer in (0, 1) for name in expected}


def test_many_targets_stay_within_the_text_encoder(tmp_path):
    # From twenty on, PEFT shortens the names; the layers over frames have modules of the same names.
    deep = ENCODERS["bert"].__class__(**{**ENCODERS["bert"].to_dict(), "num_hidden_layers": 6})
    model = lora(tiny_model(tiny_config(text_config=deep)), tmp_path)
    assert len(targets(model)) == 24
    assert all(ENCODER in name for name in model.state_dict() if ".lora_" in name)


def test_frozen_layers_get_no_update(tmp_path):
    model = tiny_model(tiny_config())
    model.univa.encoders["text"].encoder.encoder.layer[:1].requires_grad_(False)
    assert all(name.startswith("encoder.layer.1.") for name in targets(lora(model, tmp_path)))


def test_scale_and_dropout_reach_peft(tmp_path):
    config = lora(tiny_model(tiny_config()), tmp_path).peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (2, 4, 0.0)
    config = lora(tiny_model(tiny_config()), tmp_path, lora_alpha=3, lora_dropout=0.1).peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (2, 3, 0.1)


def test_updates_learn_at_the_rate_of_the_text_encoder(tmp_path):
    args = UnivaTrainingArguments(str(tmp_path), use_cpu=True, eval_strategy="no", save_strategy="no")
    args.load_best_model_at_end, args.learning_rate, args.heads_learning_rate = False, 0.25, 0.5
    model = lora(tiny_model(tiny_config()), tmp_path)
    groups = UnivaTrainer(model, args).create_optimizer().param_groups
    rates = {id(value): group["lr"] for group in groups for value in group["params"]}
    found = {(".lora_" in name, rates[id(value)]) for name, value in model.named_parameters() if value.requires_grad}
    assert found == {(True, 0.25), (False, 0.5)}
    assert len(rates) == sum(value.requires_grad for value in model.parameters())


# train_hf.py


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    splits = {
        name: random_rows(sizes, seed=seed, prefix=name)
        for seed, (name, sizes) in enumerate({"train": [4, 3, 5], "validation": [3, 4], "test": [5]}.items())
    }
    write_corpus(folder / "corpus", splits)
    write_text_encoder(folder / "encoder")
    return folder


def options(inputs: Path, output: Path, **extra: object) -> list[str]:
    given = {"dataset": inputs / "corpus", "text_model": inputs / "encoder", "output_dir": output, "use_cpu": True}
    given |= {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "audio_num_hidden_layers": 1}
    given |= {"vision_num_hidden_layers": 1, "num_train_epochs": 2, "learning_rate": 0.01, "lora_rank": 2}
    return [part for name, value in (given | extra).items() if value is not None for part in (f"--{name}", str(value))]


def metrics(folder: Path) -> dict[str, float]:
    content = json.loads((folder / "all_results.json").read_text())["test"]
    return {name: value for name, value in content.items() if not name.endswith(("runtime", "per_second"))}


@pytest.mark.slow
def test_run_leaves_an_adapter_its_base_and_its_scores(inputs, tmp_path):
    assert train_hf.main(options(inputs, tmp_path)) == 0
    assert not (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "config.json").exists()
    cards = list(tmp_path.rglob("README.md"))
    assert cards == [tmp_path / "README.md"]
    assert "More Information Needed" not in cards[0].read_text()
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    best = Path(state["best_model_checkpoint"], "adapter_model.safetensors")
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == best.read_bytes()
    start = load_file(tmp_path / "base" / "model.safetensors")
    for name, value in load_file(inputs / "encoder" / "model.safetensors").items():
        assert "pooler." in name or torch.equal(start[f"{ENCODER}{name}"], value), name
    for folder in (tmp_path, tmp_path / "base"):
        assert UnivaProcessor.from_pretrained(folder).tokenizer is not None


@pytest.mark.slow
def test_stopped_run_ends_as_one_that_was_left_alone(inputs, tmp_path):
    assert train_hf.main(options(inputs, tmp_path)) == 0
    weights, scores = (tmp_path / "adapter_model.safetensors").read_bytes(), metrics(tmp_path)
    base = (tmp_path / "base" / "model.safetensors").stat().st_mtime_ns
    first, last = sorted(tmp_path.glob("checkpoint-*"))
    shutil.rmtree(last)
    for name in ("adapter_model.safetensors", "all_results.json"):
        (tmp_path / name).unlink()
    assert train_hf.main(options(inputs, tmp_path)) == 0
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == weights
    assert metrics(tmp_path) == scores
    assert (tmp_path / "base" / "model.safetensors").stat().st_mtime_ns == base
    assert train_hf.main(options(inputs, tmp_path, lora_rank=3)) == 2


@pytest.mark.slow
def test_recomputed_activations_change_nothing(inputs, tmp_path):
    for name, recompute in (("plain", "false"), ("recomputed", "true")):
        dropout = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "projection_dropout": 0}
        extra = {**dropout, "classifier_dropout": 0, "activation_checkpointing": recompute}
        assert train_hf.main(options(inputs, tmp_path / name, **extra)) == 0
    plain, recomputed = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("plain", "recomputed"))
    assert any(not torch.equal(value, torch.zeros_like(value)) for name, value in plain.items() if ".lora_B" in name)
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, atol=1e-3, rtol=0)


@pytest.mark.processes
def test_two_processes_train_one_adapter(inputs, tmp_path):
    driver = REPOSITORY / "tests" / "integration" / "recording_driver.py"
    environment = {**os.environ, "RECORD": str(tmp_path / "record")}
    run_forked(driver, options(inputs, tmp_path / "output"), environment, tmp_path)
    records = [json.loads((tmp_path / f"record-{rank}.json").read_text()) for rank in (0, 1)]
    assert [record["world_size"] for record in records] == [2, 2]
    assert records[0]["weights"] == records[1]["weights"]
    saved = load_file(tmp_path / "output" / "adapter_model.safetensors")
    assert all(value.any() for name, value in saved.items() if ".lora_B" in name)
    assert not torch.equal(
        saved["base_model.model.correlation_prior.label_similarity"],
        load_model(tmp_path / "output" / "base").correlation_prior.label_similarity,
    )


def test_recipe_may_hold_the_options(tmp_path):
    given = {"lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.1, "lora_target_modules": ["query", "value"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(given))
    model_args, *_ = parse_arguments([str(tmp_path / "recipe.yaml"), "--lora_rank", "5"])
    assert {name: getattr(model_args, name) for name in given} == given | {"lora_rank": 5}
    with pytest.raises(ValueError, match="Unknown option '--lora_scale'"):
        parse_arguments(["--lora_scale", "3"])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"lora_rank": None, "lora_alpha": 4}, "`lora_alpha` needs `lora_rank`"),
        ({"lora_rank": 0}, "`lora_rank` must be at least 1, got 0"),
        ({"lora_alpha": -1}, "`lora_alpha` must be at least 1, got -1"),
        ({"lora_dropout": 1}, "`lora_dropout` must lie in [0, 1), got 1.0"),
        ({"lora_target_modules": "q_proj"}, "'all-linear', or some of ['dense', 'key', 'query', 'value']"),
        ({"lora_target_modules": "embeddings"}, "`lora_target_modules` ['embeddings'] fits no linear layer"),
        ({"frozen_text_layers": 2}, "fits no linear layer of the text encoder that is not frozen"),
        ({"modalities": "audio"}, "this model has none: pass `text_model`"),
    ],
)
def test_mistakes_end_in_one_sentence(extra, message, inputs, tmp_path, capsys):
    assert train_hf.main(options(inputs, tmp_path, **extra)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train_hf.py: ")
    assert message in error


def test_adapter_is_no_model_to_go_on_from(trained, inputs, tmp_path, capsys):
    assert train_hf.main(options(inputs, tmp_path, model=trained.folder)) == 2
    assert f"is an adapter: make a whole model of it first, `univa merge-adapter {trained.folder}" in (
        capsys.readouterr().err
    )


def test_missing_peft_is_named(trained, inputs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(adapters, "is_peft_available", lambda: False)
    for command in (["predict", str(trained.folder), "--text", "yes"], ["merge-adapter", str(trained.folder)]):
        command += ["--output", str(tmp_path / "merged")] if command[0] == "merge-adapter" else []
        assert cli.main(command) == 2
        assert 'pip install "univa[peft]"' in capsys.readouterr().err
    assert train_hf.main(options(inputs, tmp_path)) == 2
    assert 'train_hf.py: LoRA adapters need the Python package peft: pip install "univa[peft]"' in (
        capsys.readouterr().err
    )


def test_peft_is_imported_where_it_is_needed_only():
    for file in (REPOSITORY / "modeling_univa").rglob("*.py"):
        assert not re.search(r"^(import|from) peft", file.read_text(), re.MULTILINE), file


def test_only_an_adapter_can_be_merged_and_only_to_a_new_folder(trained, tmp_path, capsys):
    assert cli.main(["merge-adapter", str(trained.folder / "base"), "--output", str(tmp_path / "merged")]) == 2
    assert "holds no adapter_config.json: it is not an adapter" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert cli.main(["merge-adapter", str(trained.folder), "--output", str(tmp_path)]) == 2
    assert "already exists: choose another --output" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
