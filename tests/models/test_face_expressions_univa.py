# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of expressions: the softmax of whatever network there is, face by face."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from expression_networks import VIT_LABELS, write_expression_network
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from modeling_univa.features.arguments import extractor_from_argument
from modeling_univa.models import face_expressions_univa
from modeling_univa.models.extractors_univa import extractor_from_dict
from modeling_univa.models.face_expressions_univa import FaceExpressionExtractor
from modeling_univa.models.modeling_mini_xception import EXPRESSIONS, MiniXceptionModel


KINDS = {"mini-xception": 7, "emonet": 5, "vit": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("expressions")
    return {kind: write_expression_network(base / kind, kind) for kind in KINDS}


def images(count: int, seed: int = 0, side: int = 40) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (side, side + 3, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_each_face_whatever_it_is_batched_with(kind, folders):
    extractor = FaceExpressionExtractor(str(folders[kind]), batch_images=2)
    sequences = [images(2), images(3, seed=1, side=70), [images(1, seed=2)[0][..., 0]]]
    found = extractor.extract_batch(sequences)
    assert [frames.shape for frames in found] == [(2, KINDS[kind]), (3, KINDS[kind]), (1, KINDS[kind])]
    for frames, sequence in zip(found, sequences, strict=True):
        assert frames.dtype == np.float32 and (frames >= 0).all()
        np.testing.assert_allclose(frames.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(frames, np.concatenate([extractor([face]) for face in sequence]), atol=1e-5)
    assert found[0].std() > 1e-4
    assert extractor.extract_batch([]) == []


def test_they_are_the_softmax_of_the_scores(folders):
    faces = images(3)
    network = MiniXceptionModel.from_pretrained(folders["mini-xception"]).eval()
    classifier = ViTForImageClassification.from_pretrained(folders["vit"]).eval()
    # 32 pixels a side, and the processor's mean and deviation of 0.5.
    small = images(3, side=32)
    square = [np.ascontiguousarray(face[:, :32]) for face in small]
    pixels = torch.from_numpy(np.stack(square)).permute(0, 3, 1, 2) / 255 * 2 - 1
    with torch.no_grad():
        expected = network(**network.preprocess(faces)).logits.softmax(-1).numpy()
        by_vit = classifier(pixels).logits.softmax(-1).numpy()
    np.testing.assert_allclose(FaceExpressionExtractor(str(folders["mini-xception"]))(faces), expected, atol=1e-5)
    np.testing.assert_allclose(FaceExpressionExtractor(str(folders["vit"]))(square), by_vit, atol=1e-5)
    grey = square[0].mean(axis=-1).astype(np.uint8)
    colours = np.repeat(grey[..., None], 3, axis=-1)
    extractor = FaceExpressionExtractor(str(folders["vit"]))
    np.testing.assert_allclose(extractor([grey]), extractor([colours]), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_name_the_expressions_and_come_back(kind, folders):
    extractor = FaceExpressionExtractor(str(folders[kind]))
    settings = json.loads(json.dumps(extractor.to_dict()))
    assert settings["extractor_type"] == "face-expression" and settings["feature_size"] == KINDS[kind]
    assert len(settings["labels"]) == KINDS[kind] and len(settings["sha256"]) == 64
    if kind != "emonet":
        assert settings["labels"] == list({"vit": VIT_LABELS, "mini-xception": EXPRESSIONS}[kind])
    again = extractor_from_dict(settings)
    assert again == extractor and again.to_dict() == extractor.to_dict()
    assert pickle.loads(pickle.dumps(extractor)) == extractor
    assert extractor.small is (kind != "vit")
    assert extractor_from_argument("face_emotions", str(folders[kind])) == extractor


def test_other_weights_under_the_name_are_refused(folders, tmp_path):
    folder = write_expression_network(tmp_path / "vit")
    extractor = FaceExpressionExtractor(str(folder))
    write_expression_network(folder, seed=1)
    face_expressions_univa._classifier.cache_clear()
    with pytest.raises(ValueError, match="SHA-256"):
        extractor(images(1))


def write_config(folder: Path, **changes) -> None:
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


REFUSED = {
    "headless": "weights",
    "text": "'bert', of which transformers has no image classifier",
    "no processor": "cannot be loaded as a network that tells expressions",
    "huge": r"`height` of its `size` must lie between 1 and 4,096",
    "nowhere": "not a folder, and not a Hub id",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_tells_no_expressions_is_refused(case, tmp_path):
    folder = tmp_path / "network"
    if case != "nowhere":
        write_expression_network(folder)
    if case == "headless":
        ViTModel(ViTConfig(**json.loads((folder / "config.json").read_text()))).save_pretrained(folder)
    elif case == "text":
        (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    elif case == "no processor":
        (folder / "preprocessor_config.json").unlink()
    elif case == "huge":
        write_config(folder, size={"height": 10**9, "width": 4})
    with pytest.raises(ValueError, match=REFUSED[case]):
        FaceExpressionExtractor(str(folder))(images(1))


def test_settings_that_contradict_the_network_are_refused(folders):
    model = str(folders["vit"])
    with pytest.raises(ValueError, match="has `feature_size` 4, but 7 was asked for"):
        FaceExpressionExtractor(model, feature_size=7)
    settings = FaceExpressionExtractor(model).to_dict()
    with pytest.raises(ValueError, match="`labels` must be 4 names of expressions, got 2"):
        extractor_from_dict({**settings, "labels": ["a", "b"]})
    with pytest.raises(ValueError, match="`labels` must be the names"):
        extractor_from_dict({**settings, "labels": [1, 2, 3, 4]})
    with pytest.raises(ValueError, match="`face_emotions` hog: hog makes vision features"):
        extractor_from_argument("face_emotions", "hog")
    with pytest.raises(ValueError, match="`vision_extractor` .*: face-expression makes probabilities of expressions"):
        extractor_from_argument("vision", json.dumps(settings))


def test_code_of_a_checkpoint_is_not_run(tmp_path):
    folder = write_expression_network(tmp_path / "network")
    (folder / "mine.py").write_text("raise SystemExit('it ran')\n")
    write_config(folder, auto_map={"AutoImageProcessor": "mine.Processor"}, image_processor_type="Mine")
    with pytest.raises(ValueError, match="cannot be loaded as a network that tells expressions"):
        FaceExpressionExtractor(str(folder))(images(1))
