# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The authors' checkpoints: forward pass, objective and six training steps of the released code."""

import argparse
import json
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling_univa.convert.univa import convert_univa, rename
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.losses_univa import UnivaObjective
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


FIXTURES = ["mosei-roberta", "m3ed-bert", "mosei-glove"]
STEPS = 6


@pytest.fixture(scope="module", params=FIXTURES)
def fixture(request, shared_data) -> Path:
    return shared_data / "parity" / "released_univa" / request.param


@pytest.fixture(scope="module")
def converted(fixture, tmp_path_factory) -> Path:
    text_encoder = fixture / "text_encoder"
    return convert_univa(
        fixture / "best_model.pth",
        tmp_path_factory.mktemp("converted"),
        str(text_encoder) if text_encoder.exists() else None,
    )


def batch_of(fixture: Path, step: int) -> dict[str, torch.Tensor]:
    batches = load_file(fixture / "batches.safetensors")
    unused = (
        {"text_features", "text_attention_mask"}
        if (fixture / "text_encoder").exists()
        else {"input_ids", "attention_mask", "dialogue_index", "utterance_span"}
    )
    names = {name.removesuffix(f".{step}"): value for name, value in batches.items() if name.endswith(f".{step}")}
    return {name: value for name, value in names.items() if name not in unused}


def test_first_step_matches_the_released_code(fixture, converted):
    model = UnivaForEmotionClassification.from_pretrained(converted).eval()
    inputs = {name: value for name, value in batch_of(fixture, 0).items() if not name.endswith("_va")}
    expected = load_file(fixture / "expected.safetensors")
    with torch.no_grad():
        outputs = model(**inputs)
    torch.testing.assert_close(outputs.logits, expected["logits.0"], atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs.multimodal_embeds, expected["multimodal_embeds.0"], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_six_training_steps_match_the_released_code(fixture, converted):
    # The reference ran with all dropouts at 0; the text encoder's own configuration has some.
    model = UnivaForEmotionClassification.from_pretrained(converted).eval()
    objective = UnivaObjective.from_config(model.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-8, weight_decay=0.0)
    steps = json.loads((fixture / "expected.json").read_text())["steps"]
    for step in range(STEPS):
        batch = batch_of(fixture, step)
        affect = {name: batch.pop(name) for name in list(batch) if name.endswith("_va")}
        outputs = model(**batch)
        terms = objective(outputs, labels=batch["labels"], **affect)
        optimizer.zero_grad()
        terms["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found = {name: terms[name].item() for name in terms} | {
            "grad_norm": norm.item(),
            "kl_plus_prior": (terms["kl"] + terms["prior"]).item(),
        }
        expected = {name: value for name, value in steps[step].items() if name != "step"}
        tolerances = {name: 1e-4 if name == "grad_norm" else 1e-5 for name in expected}
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=tolerances[name]), (step, name)
    expected = load_file(fixture / "expected.safetensors")
    torch.testing.assert_close(outputs.logits, expected["logits.5"], atol=1e-3, rtol=0)
    similarity = model.correlation_prior.label_similarity
    torch.testing.assert_close(similarity, expected["label_similarity.final"], atol=1e-4, rtol=0)
    start = UnivaForEmotionClassification.from_pretrained(converted).correlation_prior()
    assert not torch.allclose(similarity, start)


def test_every_argument_of_the_run_is_kept(fixture, converted):
    arguments = json.loads((converted / "authors_arguments.json").read_text())
    config = UnivaConfig.from_pretrained(converted)
    assert (arguments["trg_lr"], arguments["trg_batch_size"], arguments["seed"]) == (5e-5, 5, 1111)
    assert (config.contrastive_weight, config.contrastive_temperature) == (0.45, 0.7)
    assert config.contrastive_modality_weights == ([3, 1, 1] if "mosei" in fixture.name else [1, 1, 1])
    assert (config.max_audio_length, config.max_vision_length) == (13, 9)
    assert (config.audio_num_hidden_layers, config.vision_num_hidden_layers) == (2, 3)
    assert config.num_labels == (6 if "mosei" in fixture.name else 7)


def test_renaming_reaches_every_kind_of_parameter():
    layer = "vision_utt_level_transformer.layer.2."
    ours = "univa.encoders.vision.layers.2."
    assert rename(layer + "transformer_self_attention.selfatt.query.weight") == ours + "attention.self.query.weight"
    assert rename(layer + "transformer_self_attention.dense_norm.dense.bias") == ours + "attention.output.dense.bias"
    assert rename(layer + "intermediate.dense.weight") == ours + "intermediate.dense.weight"
    assert rename("something.else") == "something.else"


def save(path: Path, **content: object) -> Path:
    torch.save(content, path)
    return path


def shared_lists() -> list:
    found: list = []
    for _ in range(40):
        found = [found, found]
    return found


def packed(path: Path) -> Path:
    """The same records, packed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path, "is not a file"),
        (lambda path: path.write_bytes(b"nonsense") and path, "cannot be read"),
        (lambda path: save(path, model={}), "must hold 'model' and 'config'"),
        (lambda path: save(path, model={}, config=argparse.Namespace(text_plm_checkpoint="glove")), "lack 'DATASET'"),
        (lambda path: save(path, model={}, config=argparse.Namespace(text_plm_checkpoint="bart")), "`text_model`"),
        (lambda path: save(path, model={}, config=pytest.approx(1)), "cannot be read"),
        (lambda path: save(path, model={}, config={"DATASET": "MOSEI"}), "the run's arguments, found dict and dict"),
        (lambda path: save(path, model={"a": 1}, config=argparse.Namespace()), "must hold tensors by their names"),
        (lambda path: save(path, model={}, config=argparse.Namespace(a=shared_lists())), "many times its size"),
        (lambda path: packed(save(path, model={"a": torch.zeros(10**6)})), "unpacks to more than it holds"),
        (lambda path: save(path, model={}, config=bytearray(5)), "makes arrays of bytes"),
    ],
    ids=[
        "absent",
        "not a checkpoint",
        "no config",
        "no arguments",
        "unknown encoder",
        "runs code",
        "other arguments",
        "no tensors",
        "shared lists",
        "packed zeros",
        "bytes by length",
    ],  # fmt: skip
)
def test_a_bad_checkpoint_is_refused_with_its_reason(tmp_path, write, message):
    with pytest.raises(ValueError, match=message):
        convert_univa(write(tmp_path / "best_model.pth"), tmp_path / "output")


def test_parameters_that_do_not_fit_the_arguments_are_named(shared_data, tmp_path):
    fixture = shared_data / "parity" / "released_univa" / "mosei-glove"
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(fixture / "best_model.pth", weights_only=True)
    del content["model"]["fc.0.bias"]
    content["model"]["fc.1.bias"] = torch.zeros(6)
    with pytest.raises(ValueError, match=r"lacks the parameters \['classifier.bias'\].*unknown ones \['fc.1.bias'\]"):
        convert_univa(save(tmp_path / "broken.pth", **content), tmp_path / "output")
