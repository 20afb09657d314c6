# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Exported graphs give the logits of the PyTorch model, and nothing is written that does not."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from testing_utils import (
    MAX_TOKENS,
    Utterances,
    bert_tokenizer,
    random_rows,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
)
from transformers import DebertaV2Config, DistilBertConfig, ElectraConfig, ModernBertConfig, MPNetConfig
from video_files import write_clip

from modeling_univa import cli
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.prediction import onnx_export, onnx_model
from modeling_univa.prediction.onnx_export import InputShape, export_onnx, random_inputs
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.sharing.adapters import load_model
from modeling_univa.sharing.folder import ONNX_FILE
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


SPEECH, FACES = LogMelExtractor(), HogExtractor(image_size=32, cell_size=16)
SIZES = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
ENCODERS = {
    "deberta": DebertaV2Config(
        vocab_size=90,
        max_position_embeddings=MAX_TOKENS,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        **SIZES,
    ),
    "distilbert": DistilBertConfig(
        vocab_size=90, max_position_embeddings=MAX_TOKENS, dim=12, n_layers=1, n_heads=2, hidden_dim=24
    ),
    "electra": ElectraConfig(vocab_size=90, max_position_embeddings=MAX_TOKENS, embedding_size=8, **SIZES),
    "modernbert": ModernBertConfig(
        vocab_size=90, max_position_embeddings=MAX_TOKENS, pad_token_id=0, local_attention=8, **SIZES
    ),
    "mpnet": MPNetConfig(vocab_size=90, max_position_embeddings=MAX_TOKENS + 2, **SIZES),
}
CONFIGS = {
    "bert": {},
    "roberta": {"route": "roberta"},
    "words": {"route": "words"},
    "no text": {"modalities": ["audio", "vision"]},
    "text alone": {"modalities": ["text"]},
    "words and faces": {"route": "words", "modalities": ["text", "vision"]},
    "no prior": {"correlation_prior_weight": 0.0, "id2label": {0: "calm", 1: "bored"}},
}


def _model(config: UnivaConfig) -> UnivaForEmotionClassification:
    """A model whose logits are far apart, and whose absent vectors are not those it starts with."""
    model = tiny_model(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("classifier") or "absent_embedding" in name:
                parameter.normal_(generator=generator)
    return model


def _save(folder: Path, config: UnivaConfig, **kwargs) -> Path:
    _model(config).save_pretrained(folder)
    tiny_processor(config, **kwargs).save_pretrained(folder)
    return folder


def _logits(model, inputs) -> np.ndarray:
    with torch.inference_mode():
        return model(**inputs).logits.numpy()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    config = tiny_config(audio_feature_size=SPEECH.feature_size, vision_feature_size=FACES.feature_size)
    reader = FaceReader(detector="whole-frame", frame_rate=4)
    extractors = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict(), "faces": reader.to_dict()}
    return _save(tmp_path_factory.mktemp("model") / "model", config, extractors=extractors)


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> Path:
    return export_onnx(saved, tmp_path_factory.mktemp("exported") / "onnx").folder


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_gives_the_logits_of_the_model(name, tmp_path):
    config = tiny_config(**CONFIGS[name])
    export = export_onnx(_save(tmp_path / "model", config), tmp_path / "onnx")
    assert 0 <= export.largest_difference < 5e-5
    eager, graph = _model(config), UnivaOnnxModel.from_pretrained(tmp_path / "onnx")
    # A pipeline moves its model to the accelerator that it finds.
    assert graph.to("cuda:0") is graph
    # Not those of the export's own check: what the processor makes of dialogues, padding and absences included.
    for seed, (sizes, absent) in enumerate([((1,), 0.0), ((3, 1, 2), 0.5), ((4,), 1.0), ((5, 4, 3, 2, 1), 0.3)]):
        utterances = Utterances(config, sizes, absent, seed)
        utterances.dialogues[0][-1] = ""
        for places in (utterances.places, utterances.places[-1:]):
            inputs = utterances.inputs(places)
            expected = _logits(eager, inputs)
            assert expected.shape == (len(places), config.num_labels) and expected.std() > 0.1
            assert graph(**inputs).logits.numpy() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_text_encoders_of_other_kinds(name, tmp_path):
    config = tiny_config(text_config=ENCODERS[name], modalities=["text", "vision"])
    _model(config).save_pretrained(tmp_path / "model")
    tiny_processor(tiny_config(modalities=["text", "vision"])).save_pretrained(tmp_path / "model")
    assert export_onnx(tmp_path / "model", tmp_path / "onnx").largest_difference < 5e-5


def test_scores_that_are_not_finite_are_an_error(exported):
    model = UnivaOnnxModel.from_pretrained(exported)
    inputs = UnivaProcessor.from_pretrained(exported)([["yes", "no"]])
    assert np.isfinite(_logits(model, inputs)).all()
    model.session = SimpleNamespace(run=lambda names, arrays: [np.full((2, 6), np.nan, np.float32)])
    with pytest.raises(ValueError, match="scores that are not finite: export the model again"):
        model(**inputs)


def test_predict_needs_the_exported_folder_alone(saved, tmp_path, capsys):
    source, clips = shutil.copytree(saved, tmp_path / "source"), tmp_path / "clips"
    for number, name in enumerate("ab"):
        write_clip(clips / f"{name}.mp4", seed=number)
    write_clip(clips / "silent.mp4", sound=False)
    (clips / "a.txt").write_text("yes no\n")
    command = ["predict", str(source), str(clips), "--json", "--batch-size", "2"]
    assert cli.main(command) == 0
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    folder = tmp_path / "exported" / "onnx"
    assert cli.main(["export", str(source), "--output", str(folder)]) == 0
    assert f"wrote {folder}" in capsys.readouterr().out
    shutil.rmtree(source)
    assert not list(folder.rglob("*.safetensors"))
    command[1] = str(folder)
    assert cli.main([*command, "--runtime", "onnx"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one, other in zip(found, expected, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=5e-5)
        assert one["emotions"] == other["emotions"] and one["notes"] == other["notes"]
    assert len({tuple(one["scores"].values()) for one in found}) == 3


def test_an_adapter_is_merged(tmp_path):
    config = tiny_config()
    model = add_adapter(_model(config), ModelArguments(lora_rank=2), tmp_path / "adapter", write_base=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.save_pretrained(tmp_path / "adapter")
    tiny_processor(config).save_pretrained(tmp_path / "adapter")
    export_onnx(tmp_path / "adapter", tmp_path / "onnx")
    inputs = Utterances(config).inputs()
    found = UnivaOnnxModel.from_pretrained(tmp_path / "onnx")(**inputs).logits.numpy()
    assert found == pytest.approx(_logits(load_model(tmp_path / "adapter"), inputs), abs=5e-5)
    assert np.abs(found - _logits(_model(config), inputs)).max() > 1e-3


def test_a_model_in_half_precision_is_exported_in_single(tmp_path):
    config = tiny_config("words", modalities=["text"])
    _model(config).half().save_pretrained(tmp_path / "model")
    tiny_processor(config).save_pretrained(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    logits = UnivaOnnxModel.from_pretrained(tmp_path / "onnx")(**Utterances(config).inputs()).logits
    assert logits.dtype == torch.float32


# Nothing wrong is written


def test_a_graph_that_differs_is_not_written(saved, tmp_path, monkeypatch):
    write = onnx_export._write_graph

    def disturbed(model, longest, file):
        with torch.no_grad():
            model.classifier.bias += 2e-4
            write(model, longest, file)
            model.classifier.bias -= 2e-4

    monkeypatch.setattr(onnx_export, "_write_graph", disturbed)
    with pytest.raises(ValueError, match=r"differ from PyTorch's by 0\.0002, more than 0\.0001, on .*input_ids"):
        export_onnx(saved, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_one_size_is_not_written(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_axes", lambda name: ())
    with pytest.raises(ValueError, match="ONNX Runtime refuses dialogue_index"):
        export_onnx(saved, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_int8(tmp_path, monkeypatch, capsys):
    config = tiny_config(hidden_size=64, intermediate_size=256, modalities=["text", "audio"])
    source = _save(tmp_path / "model", config)
    corpus = write_corpus(tmp_path / "corpus", {"validation": random_rows([3, 2, 4] * 20)})
    command = ["export", str(source), "--quantize", "int8", "--dataset", str(corpus)]
    # A random model has no micro-F1 worth the name.
    monkeypatch.setattr(onnx_export, "INT8_TOLERANCE", 5.0)
    assert cli.main([*command, "--output", str(tmp_path / "int8")]) == 0
    header, *rows, written = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["runtime", "miF1", "%", "rows"] and f"wrote {tmp_path / 'int8'}" in written
    scores = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(scores) == ["eager", "onnx", "int8"] and scores["eager"][:4] == scores["onnx"][:4]
    assert {row[1] for row in scores.values()} == {"180"} and float(scores["eager"][0]) > 10
    types = [node.op_type for node in onnx.load(tmp_path / "int8" / "model.onnx").graph.node]
    assert types.count("MatMulInteger") >= 10
    exact = export_onnx(source, tmp_path / "exact")
    size = (tmp_path / "int8" / "model.onnx").stat().st_size
    assert exact.size > 1.5 * size and exact.quantization is None
    inputs = Utterances(config).inputs()
    found = UnivaOnnxModel.from_pretrained(tmp_path / "int8")(**inputs).logits
    exact_logits = UnivaOnnxModel.from_pretrained(tmp_path / "exact")(**inputs).logits
    assert 1e-4 < (found - exact_logits).abs().max() < 0.1 * exact_logits.std()
    report = json.loads((tmp_path / "int8" / "onnx_export.json").read_text())
    assert report["quantization"] == "int8" and [score["runtime"] for score in report["scores"]] == list(scores)


def test_int8_that_scores_otherwise_is_not_written(saved, tmp_path, monkeypatch):
    config = tiny_config(modalities=["text", "audio"])
    source = _save(tmp_path / "model", config)
    corpus = write_corpus(tmp_path / "corpus", {"validation": random_rows([3, 2])})
    quantize = onnx_export._quantized

    class Constant:
        def __call__(self, **inputs):
            return type("Output", (), {"logits": torch.eye(6)[:1].expand(len(inputs["audio_features"]), -1) * 50})

    monkeypatch.setattr(onnx_export, "_quantized", lambda *given: quantize(*given) and Constant())
    with pytest.raises(ValueError, match=r"micro-F1 is .* points from PyTorch's"):
        export_onnx(source, tmp_path / "out" / "onnx", quantize="int8", dataset=str(corpus))
    assert list((tmp_path / "out").iterdir()) == []


# The Hub


def _predict(capsys, *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert cli.main(["predict", *arguments, "--json"]) == 0, capsys.readouterr().err
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_a_graph_beside_the_weights_is_pushed_and_predicts(saved, exported, hub_client, tmp_path, capsys):
    folder, name = shutil.copytree(saved, tmp_path / "model"), "lab/emotions"
    shutil.copy(exported / ONNX_FILE, folder)
    assert cli.main(["push", str(folder), name]) == 0
    first = hub_client.repository(name).branches["main"]
    assert hub_client.content(name, ONNX_FILE) == (exported / ONNX_FILE).read_bytes()
    clip = write_clip(tmp_path / "clips" / "a.mp4")
    given = [str(clip), "--text", "yes no"]
    (expected,), (found,) = (_predict(capsys, name, *given, *more) for more in ((), ("--runtime", "onnx")))
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-4)
    assert found["emotions"] == expected["emotions"]

    # Another model goes to main: its graph is not that of the model before, which keeps its own.
    other = _model(UnivaConfig.from_pretrained(saved))
    with torch.no_grad():
        other.classifier.bias += torch.arange(6.0)
    other.save_pretrained(tmp_path / "other")
    shutil.copytree(saved, tmp_path / "other", dirs_exist_ok=True, ignore=lambda *_: ["model.safetensors"])
    assert cli.main(["push", str(tmp_path / "other"), name]) == 0
    with pytest.raises(ValueError, match=f"{name} has no model.onnx: make it with `univa export {name}"):
        UnivaOnnxModel.from_pretrained(name)
    shutil.copy(export_onnx(name, tmp_path / "onnx").folder / ONNX_FILE, tmp_path / "other")
    assert cli.main(["push", str(tmp_path / "other"), name]) == 0
    inputs = random_inputs(other, InputShape(3, 2, 8, 5), other.config.max_lengths)
    for revision, model in {None: other, first: load_model(saved)}.items():
        logits = UnivaOnnxModel.from_pretrained(name, revision=revision)(**inputs).logits.numpy()
        assert logits == pytest.approx(_logits(model.eval(), inputs), abs=1e-4)


def test_what_is_not_on_the_hub_is_named(saved, exported, hub_client, capsys):
    runtime = ["--runtime", "onnx"]
    assert cli.main(["push", str(exported), "lab/graph"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "has an exported model.onnx and no model.safetensors: copy model.onnx into the folder" in message
    assert not hub_client.repositories
    assert cli.main(["push", str(saved), "lab/emotions"]) == 0
    for name, message in {
        "lab/emotions": "has no model.onnx: make it with `univa export lab/emotions --output FOLDER`",
        "lab/nothing": "univa: lab/nothing is not a local folder and is not a valid model identifier",
    }.items():
        capsys.readouterr()
        assert cli.main(["predict", name, "--text", "yes", *runtime]) == 2
        assert message in capsys.readouterr().err


# Mistakes


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_named(saved, exported, tmp_path, monkeypatch, capsys, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == package else find(name))
    assert cli.main(["export", str(saved), "--output", str(tmp_path / "onnx")]) == 2
    message = f'univa: ONNX needs the Python package {package}: pip install "univa[onnx]"\n'
    assert capsys.readouterr().err.endswith(message)
    if package == "onnxruntime":
        assert cli.main(["predict", str(exported), "--text", "yes", "--runtime", "onnx"]) == 2
        assert capsys.readouterr().err.endswith(message)


def test_mistakes_of_the_command_line(saved, exported, tmp_path, monkeypatch, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no graph")
    other = shutil.copytree(exported, tmp_path / "other")
    tiny_config(modalities=["vision"]).save_pretrained(other)
    export, onnx_runtime = ["export", str(saved), "--output"], ["--runtime", "onnx"]
    for command, message in {
        (*export, str(tmp_path / "full")): "full already exists: choose another --output",
        ("predict", str(saved), "--text", "yes", *onnx_runtime): "has no model.onnx: make it with `univa export",
        ("predict", str(exported), "--text", "yes"): "was exported to ONNX: pass --runtime onnx",
        ("predict", str(broken), "--text", "yes", *onnx_runtime): "broken/model.onnx cannot be loaded by ONNX Runtime",
        ("predict", str(other), "--text", "yes", *onnx_runtime): "export the model again",
    }.items():
        assert cli.main(list(command)) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(onnx_export, "_LARGEST_FILE", 1000)
    with pytest.raises(ValueError, match="an ONNX file holds less than 2"):
        export_onnx(saved, tmp_path / "new")
    with pytest.raises(ValueError, match="`quantize` must be int8"):
        export_onnx(saved, tmp_path / "new", quantize="int4")


def test_inputs_that_do_not_fit_are_refused(exported):
    graph = UnivaOnnxModel.from_pretrained(exported)
    longest = graph.config.max_lengths
    inputs = random_inputs(UnivaForEmotionClassification(graph.config), InputShape(2, 1, 8, 3), longest)
    assert graph(**inputs).logits.shape == (2, 6)
    with pytest.raises(ValueError, match="needs `audio_attention_mask`"):
        graph(**{**inputs, "audio_attention_mask": None})
    frames = longest["vision"] + 1
    vision = torch.zeros(2, frames, graph.config.vision_feature_size), torch.ones(2, frames, dtype=torch.long)
    with pytest.raises(ValueError, match=rf"ONNX Runtime refuses .*vision_features \(2, {frames}, "):
        graph(**{**inputs, "vision_features": vision[0], "vision_attention_mask": vision[1]})


def test_random_inputs():
    config = tiny_config()
    model = tiny_model(config)
    inputs = random_inputs(model, InputShape(40, 3, 11, 4, absent=0.5), config.max_lengths)
    spans, lengths = inputs["utterance_span"], inputs["attention_mask"].sum(1)
    assert (spans[:, 1] <= lengths[inputs["dialogue_index"]]).all() and (spans[:, 0] <= spans[:, 1]).all()
    for absent in (
        spans[:, 0] == spans[:, 1],
        *(inputs[f"{name}_attention_mask"].sum(1) == 0 for name in ("audio", "vision")),
    ):
        assert 5 < absent.sum() < 35
    assert inputs["audio_features"].shape == (40, 4, 5) and inputs["vision_features"].shape == (40, 5, 3)
    assert lengths.max() == 11 and inputs["input_ids"].max() < len(bert_tokenizer())
    absent = random_inputs(model, InputShape(2, 1, 90, 90, absent=1.0), config.max_lengths)
    assert absent["input_ids"].shape == (1, MAX_TOKENS) and not absent["audio_attention_mask"].any()
