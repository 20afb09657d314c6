# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Expressions of faces from the corpus to a model that reads them, which then makes them of raw faces itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from expression_networks import write_expression_network
from expression_toy_system import ExpressionToyConfig, ExpressionToyModel
from testing_utils import write_text_encoder
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor

import train_hf
from modeling_univa.cli import main
from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.models.media_univa import read_image
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.prediction.onnx_model import UnivaOnnxModel


HEADER = "utterance_id,dialogue_id,position,text,emotions,faces\n"
CASES = {"mini-xception": 7, "vit": 4}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """With the auto classes alone, as a system of another package is."""
    AutoConfig.register("expression-toy", ExpressionToyConfig, exist_ok=True)
    AutoProcessor.register(ExpressionToyConfig, UnivaProcessor, exist_ok=True)
    for auto in (AutoModel, AutoModelForSequenceClassification):
        auto.register(ExpressionToyConfig, ExpressionToyModel, exist_ok=True)


def write_source(folder: Path) -> Path:
    (folder / "metadata").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        rows = []
        for number in range(4):
            faces = [f"{split}{number}{place}.png" for place in range(number)]
            for face in faces:
                cv2.imwrite(str(folder / face), generator.integers(0, 255, (70, 60, 3), dtype=np.uint8))
            emotion = ("happy", "sad")[number % 2]
            rows.append(f"{split}_{number},{split}_d,{number},Well {number}.,{emotion},{';'.join(faces)}\n")
        (folder / "metadata" / f"{split}.csv").write_text(HEADER + "".join(rows))
    return folder


class Trained:
    """A corpus with expressions, and a model that was trained on it."""

    def __init__(self, kind: str, folder: Path):
        self.size = CASES[kind]
        self.source, self.network = write_source(folder / "source"), write_expression_network(folder / kind, kind)
        self.corpus, self.model = folder / "corpus", folder / "model"
        build = ["--source", str(self.source), "--output", str(self.corpus), "--face-emotions", str(self.network)]
        assert corpus_main(UtteranceFolder, build) == 0
        options = {
            "dataset": self.corpus, "text_model": write_text_encoder(folder / "encoder"), "output_dir": self.model,
            "system": "expression-toy", "modalities": "text vision", "use_cpu": True, "num_train_epochs": 2,
            "learning_rate": 0.05,
        }  # fmt: skip
        arguments = [part for name, value in options.items() for part in (f"--{name}", *str(value).split(" "))]
        assert train_hf.main(arguments) == 0


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory) -> Trained:
    return Trained(request.param, tmp_path_factory.mktemp("expressions"))


def rows_of(trained: Trained) -> list[dict[str, Any]]:
    return list(load_corpus(str(trained.corpus)).split("test"))


def recorded(model: torch.nn.Module) -> list[dict[str, torch.Tensor]]:
    """The inputs that a model gets from now on."""
    seen: list[dict[str, torch.Tensor]] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    return seen


def test_the_model_has_their_number_and_what_makes_them(trained):
    config, processor = (json.loads((trained.model / f"{name}.json").read_text()) for name in
                         ("config", "processor_config"))  # fmt: skip
    assert config["face_emotion_size"] == processor["face_emotion_size"] == trained.size
    # The network is small, and was copied beside the weights.
    made = processor["extractors"]["face_emotions"]
    assert made["extractor_type"] == "face-expression" and made["model"] == "./extractors/face_emotions"
    assert len(made["labels"]) == trained.size
    assert "| features | face_emotions |" in (trained.model / "README.md").read_text()


def test_raw_faces_meet_the_inputs_of_training(trained, tmp_path):
    folder = shutil.copytree(trained.model, tmp_path / "moved")
    model = ExpressionToyModel.from_pretrained(folder).eval()
    processor = UnivaProcessor.from_pretrained(folder)
    corpus = load_corpus(str(trained.corpus))
    dataset = make_split(corpus, "test", processor, model.config)
    expected = UtteranceCollator(dataset)(dataset.__getitems__([0, 1, 2, 3]))
    assert expected["face_emotions"].shape == (4, 3, trained.size)
    seen = recorded(model)
    pipe = UnivaPipeline(model=model, processor=processor, threshold=None)
    texts = [row["text"] for row in rows_of(trained)]
    faces = [[str(trained.source / path) for path in row["faces"] or ()] for row in rows_of(trained)]
    inputs = [{"text": texts, "utterance": place, "faces": found or None} for place, found in enumerate(faces)]
    found = pipe(inputs, batch_size=4)
    for name, value in expected.items():
        if name != "labels":
            torch.testing.assert_close(seen[0][name], value, atol=2e-3, rtol=2e-3)
    with torch.no_grad():
        scores = model.config.probabilities(model(**expected).logits)
    for one, row in zip(found, scores, strict=True):
        by_label = {entry["label"]: entry["score"] for entry in one}
        assert [by_label[name] for name in model.config.label_names] == pytest.approx(row.tolist(), abs=1e-3)
    # The columns of a row, as they are.
    again = pipe(
        [{**row, "text": texts, "utterance": place, "faces": None} for place, row in enumerate(rows_of(trained))]
    )
    assert [entry["score"] for one in again for entry in one] == pytest.approx(
        [entry["score"] for one in found for entry in one], abs=1e-3
    )


def test_the_processor_makes_them_of_faces_or_takes_them(trained):
    processor = UnivaProcessor.from_pretrained(trained.model)
    images = [read_image(trained.source / f"test3{place}.png") for place in range(3)]
    dialogue = [["Well.", "Well!"]]
    raw = processor(dialogue, faces=[images, None])
    assert raw["face_emotions"].shape == (2, 3, trained.size) and not raw["face_emotions"][1].any()
    torch.testing.assert_close(raw["face_emotions"][0].sum(dim=-1), torch.ones(3))
    emotions = processor.extract("face_emotions", [images])[0]
    frames = processor.extract_vision(images)
    ready = processor(dialogue, vision_features=[frames, frames], face_emotions=[emotions, None])
    torch.testing.assert_close(ready["face_emotions"][0], raw["face_emotions"][0])
    assert not ready["face_emotions"][1].any()
    unknown = processor(dialogue, vision_features=[frames, None])
    assert unknown["face_emotions"].shape == (2, 3, trained.size) and not unknown["face_emotions"].any()
    assert list(raw)[-1] == "face_emotions"
    with pytest.raises(ValueError, match=r"a frame for each of those of `vision_features`, \[3, 3\], got \[2, 0\]"):
        processor(dialogue, vision_features=[frames, frames], face_emotions=[emotions[:2], None])
    with pytest.raises(ValueError, match=f"of width 3 met a model of `face_emotion_size` = {trained.size}"):
        processor(dialogue, vision_features=[frames, None], face_emotions=[emotions[:, :3], None])


def test_commands_take_faces_and_corpora(trained, tmp_path, capsys):
    csv = trained.source / "metadata" / "test.csv"
    assert main(["predict", str(trained.model), str(csv), "--json"]) == 0, capsys.readouterr().err
    assert main(["evaluate", str(trained.model), str(trained.corpus), "--output", str(tmp_path / "card")]) == 0, (
        capsys.readouterr().err
    )
    results = json.loads((trained.model / "all_results.json").read_text())["test"]
    assert f"{results['test_accuracy']:.2f}" in capsys.readouterr().out


def test_a_model_without_them_is_completed(trained, tmp_path, capsys):
    folder = shutil.copytree(trained.model, tmp_path / "model")
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    del settings["extractors"]["face_emotions"]
    file.write_text(json.dumps(settings))
    shutil.rmtree(folder / "extractors")
    images = [read_image(trained.source / "test30.png")]
    with pytest.raises(ValueError, match="face_emotions features were made elsewhere .*: pass `face_emotions`"):
        UnivaProcessor.from_pretrained(folder)([["Well."]], faces=[images])
    assert main(["complete", str(folder), "--face-emotions", str(trained.network)]) == 0, capsys.readouterr().err
    found, expected = (UnivaProcessor.from_pretrained(place)([["Well."]], faces=[images]) for place in
                       (folder, trained.model))  # fmt: skip
    torch.testing.assert_close(found["face_emotions"], expected["face_emotions"])
    other = write_expression_network(tmp_path / "emonet", "emonet")
    assert main(["complete", str(folder), "--face-emotions", str(other)]) == 2
    assert f"features of width 5, and {folder} was trained on width {trained.size}" in capsys.readouterr().err


def test_onnx_reads_them(trained, tmp_path):
    pytest.importorskip("onnxruntime")
    export_onnx(trained.model, tmp_path / "onnx")
    graph = UnivaOnnxModel.from_pretrained(tmp_path / "onnx")
    assert "face_emotions" in graph.input_names
    model = ExpressionToyModel.from_pretrained(trained.model).eval()
    dataset = make_split(
        load_corpus(str(trained.corpus)), "test", UnivaProcessor.from_pretrained(trained.model), model.config
    )
    batch = UtteranceCollator(dataset)(dataset.__getitems__([3, 1]))
    with torch.no_grad():
        torch.testing.assert_close(graph(**batch).logits, model(**batch).logits, atol=1e-4, rtol=1e-3)


def test_a_corpus_of_other_expressions_is_refused(trained, tmp_path, capsys):
    other = write_expression_network(tmp_path / "other", "vit", seed=5)
    build = ["--source", str(trained.source), "--output", str(tmp_path / "corpus"), "--face-emotions", str(other)]
    assert corpus_main(UtteranceFolder, build) == 0
    capsys.readouterr()
    assert main(["evaluate", str(trained.model), str(tmp_path / "corpus"), "--output", str(tmp_path / "card")]) == 2
    assert "face_emotions" in capsys.readouterr().err
    plain = ["--source", str(trained.source), "--output", str(tmp_path / "plain")]
    assert corpus_main(UtteranceFolder, plain) == 0
    capsys.readouterr()
    assert main(["evaluate", str(trained.model), str(tmp_path / "plain"), "--output", str(tmp_path / "card")]) == 2
    assert "no column `face_emotions`, which the model reads" in capsys.readouterr().err
