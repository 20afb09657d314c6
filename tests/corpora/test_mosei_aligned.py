# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MOSEI aligned to words, from a small file as `torch.save` writes it, and what can be wrong with it."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset
from testing_utils import REPOSITORY
from toy_system import ToyConfig, ToyModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

import train_hf
from modeling_univa.cli import main as univa
from modeling_univa.commands.build import build_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.mosei_aligned import MoseiAligned
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS


WIDTHS = {"text": ("src-text", 300), "audio": ("src-audio", 74), "vision": ("src-visual", 35)}
KEYS = [key for key, _ in WIDTHS.values()]
STEPS = 12
LABELS = {
    "train": [[2, 4, 3], [2, 5, 9, 3], [2, 3], [2, 6, 7, 8, 3], [2, 4, 3], [2, 9, 4, 3]],
    "valid": [[2, 4, 3], [2, 5, 3]],
    "test": [[2, 6, 3], [2, 3], [2, 4, 5, 6, 7, 8, 9, 3]],
}
# Words of each utterance; the frames behind them are zero.
LENGTHS = {"train": [12, 5, 1, 7, 0, 3], "valid": [4, 9], "test": [2, 12, 6]}


def content() -> dict[str, Any]:
    """What the file holds, with one array a key; infinite where speech has no energy."""
    generator, found = np.random.default_rng(0), {}
    for split, lengths in LENGTHS.items():
        present = np.arange(STEPS) < np.array(lengths)[:, None]
        found[split] = {
            key: (generator.normal(size=(len(lengths), STEPS, size)) * present[..., None]).astype(np.float32)
            for key, size in WIDTHS.values()
        }
        found[split]["tgt"] = [list(ids) for ids in LABELS[split]]
    found["train"]["src-audio"][0, :2, :3] = -np.inf
    # The logarithm of nothing in the padding, too, and a frame of silence in the midst of words.
    found["train"]["src-audio"][1, 5:, 0] = -np.inf
    found["train"]["src-audio"][3, 2] = found["train"]["src-visual"][3, 2] = found["train"]["src-text"][3, 2] = 0
    return found


def listed(make: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], list]:
    return lambda array: [make(row.copy()) for row in array]


def save(folder: Path, found: Any, is_zip: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(found, folder / "train_valid_test.pt", _use_new_zipfile_serialization=is_zip)
    return folder


def features_as(found: dict[str, Any], make: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    return {split: {**table, **{key: make(table[key]) for key in KEYS}} for split, table in found.items()}


@pytest.fixture
def source(tmp_path) -> Path:
    return save(tmp_path / "source", content())


def loaded(folder: Path, split: str):
    return load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))[split]


def test_frames_are_as_many_in_every_modality(tmp_path):
    found = content()
    found["valid"]["src-audio"][0] = -np.inf
    builder = build_corpus(MoseiAligned, tmp_path / "corpus", source=save(tmp_path / "source", found))
    words = LENGTHS["valid"][0]
    assert builder.notes[-1].startswith(f"valid: {words * 74} values of covarep in 1 utterance were NaN or infinite")
    row = loaded(tmp_path / "corpus", "valid")[0]
    assert [len(row[f"{modality}_features"]) for modality in WIDTHS] == [words] * 3
    assert not np.any(row["audio_features"]) and np.all(row["text_features"])


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "make",
    [listed(np.asarray), listed(torch.tensor), np.asarray, torch.tensor, np.ndarray.tolist],
    ids=["arrays", "tensors", "one array", "one tensor", "lists"],
)
def test_every_row_is_there(tmp_path, make, is_zip):
    build_corpus(MoseiAligned, tmp_path / "corpus", source=save(tmp_path / "a", features_as(content(), make), is_zip))
    raw = content()
    for split, lengths in LENGTHS.items():
        rows = loaded(tmp_path / "corpus", split)
        assert rows["utterance_id"] == rows["dialogue_id"] == [f"{split}_{i:05d}" for i in range(len(lengths))]
        assert set(rows["position"]) == {0} and set(rows["text"]) == set(rows["speaker"]) == {None}
        for row, table, ids, length in zip(rows, range(len(lengths)), LABELS[split], lengths, strict=True):
            assert row["emotions"] == [one - 4 for one in ids[1:-1]]
            for modality, (key, size) in WIDTHS.items():
                assert np.isnan(row[f"{modality}_va"]).all()
                frames = raw[split][key][table, :length]
                if not length:
                    assert row[f"{modality}_features"] is None
                    continue
                found = np.array(row[f"{modality}_features"])
                assert found.shape == (length, size)
                np.testing.assert_array_equal(found, np.where(frames == -np.inf, 0, frames).astype(np.float16))
    assert rows.features["emotions"].feature.names == list(MOSEI_EMOTIONS)


def test_card_says_what_is_there_and_what_is_not(source, tmp_path, capsys):
    assert build_main("mosei_aligned", ["--source", str(source), "--output", str(tmp_path / "corpus")]) == 0
    printed = capsys.readouterr().out
    card = " ".join((tmp_path / "corpus" / "README.md").read_text().split())
    assert "train: 6 utterances in 6 dialogues" in printed
    for said in (
        "The file has no valence and arousal: `text_va`, `audio_va` and `vision_va` are unknown (NaN) in every row",
        "train: 6 values of covarep in 1 utterance were NaN or infinite (now 0)",
        "train: 1 utterance has no frame of facet-4.2, absent there.",
        "| train | 6 | 6 | 1 | 0 |",
        "| happy | 3 | 1 | 1 |",
        "| train | text | 0 (0.0%)",
        "| train | audio | 74 | 1 | 5.6 |",
        "`train_valid_test.pt`",
    ):
        assert said in card, said
    assert "begin with a frame" not in card
    made = json.loads((tmp_path / "corpus" / "feature_extractors.json").read_text())
    assert made == {
        modality: {"extractor_type": "precomputed", "name": name, "feature_size": WIDTHS[modality][1]}
        for modality, name in (("text", "glove.840B.300d"), ("audio", "covarep"), ("vision", "facet-4.2"))
    }


def test_frames_of_zeros_in_front_are_kept_and_told(tmp_path):
    found = content()
    for key in KEYS:
        found["valid"][key][0] = np.roll(found["valid"][key][0], 2, axis=0)
    builder = build_corpus(MoseiAligned, tmp_path / "corpus", source=save(tmp_path / "source", found))
    assert any(note.startswith("valid: 1 utterance begins with a frame that is zero") for note in builder.notes)
    assert len(loaded(tmp_path / "corpus", "valid")["audio_features"][0]) == LENGTHS["valid"][0] + 2


def test_the_files_own_vocabulary_of_labels_is_followed(tmp_path):
    words = {"<s>": 2, "</s>": 3, "fear": 4, "happy": 5, "sad": 6, "anger": 7, "surprise": 8, "disgust": 9}
    settings = argparse.Namespace(max_text_seq_len=STEPS)
    found = {"settings": settings, "dict": {"src": None, "tgt": words}, **content()}
    builder = build_corpus(MoseiAligned, tmp_path / "a", source=save(tmp_path / "source", found))
    assert not any("label ids" in note for note in builder.notes)
    names = loaded(tmp_path / "a", "train").features["emotions"].feature.int2str
    assert [names(row) for row in loaded(tmp_path / "a", "train")["emotions"]][:2] == [["fear"], ["happy", "disgust"]]
    found["dict"]["tgt"] = {"<s>": 2, "joy": 4, "grief": 5}
    builder = build_corpus(MoseiAligned, tmp_path / "b", source=save(tmp_path / "source", found))
    assert "The file calls its label ids {4: 'joy', 5: 'grief'}; they were taken for {4: 'happy'," in builder.notes[0]
    assert loaded(tmp_path / "b", "train")["emotions"][0] == [0]


# What is wrong with a row


def _rejected(tmp_path: Path, found: dict[str, Any], *options: str) -> dict[str, str]:
    source = save(tmp_path / "source", found)
    assert build_main("mosei_aligned", ["--source", str(source), "--output", str(tmp_path / "out"), *options]) == 0
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    return {entry["utterance_id"]: entry["reason"] for entry in map(json.loads, lines)}


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([2, 10, 3], "expected label ids (4 happy, 5 sad, "),
        ([2, 4, 1, 3], "between two markers, found [2, 4, 1, 3]"),
        ([4, 5, 6], "between two markers, found [4, 5, 6]"),
        ([2, 4, 5], "between two markers, found [2, 4, 5]"),
        ([2], "expected a marker, label ids and a marker, found [2]"),
        ([], "expected a marker, label ids and a marker, found []"),
        (["<s>", "happy", "</s>"], "expected a marker, label ids and a marker, found ['<s>', 'happy'"),
        ([[2], [4], [3]], "expected a marker, label ids and a marker"),
        ([2.0, 4.5, 3.0], "expected a marker, label ids and a marker"),
        ([2, [4], 3], "'tgt': "),
        (None, "expected a marker, label ids and a marker, found None"),
    ],
)
def test_rows_of_other_label_ids_are_rejected(tmp_path, ids, reason):
    found = content()
    found["train"]["tgt"][1] = ids
    rejected = _rejected(tmp_path, found)
    assert list(rejected) == ["train_00001"] and reason in rejected["train_00001"]
    assert len(loaded(tmp_path / "out", "train")) == len(LABELS["train"]) - 1


@pytest.mark.parametrize("make", [np.array, torch.tensor, tuple])
def test_label_ids_come_as_arrays_too_and_twice(tmp_path, make):
    found = content()
    found["train"]["tgt"] = [make([*ids[:-1], *ids[1:]]) for ids in found["train"]["tgt"]]
    build_corpus(MoseiAligned, tmp_path / "corpus", source=save(tmp_path / "source", found))
    assert loaded(tmp_path / "corpus", "train")["emotions"][3] == [2, 3, 4]


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("src-audio", lambda frames: frames[:-1], "{'text': 12, 'audio': 11, 'vision': 12}"),
        (
            "src-text",
            lambda frames: frames[:, :200],
            "'src-text': expected numbers of shape (words, 300), found float",
        ),
        ("src-visual", lambda frames: frames[0], "expected numbers of shape (words, 35), found float32 of (35,)"),
        ("src-audio", lambda frames: frames.astype(str), "expected numbers of shape (words, 74), found <U"),
        ("src-audio", lambda frames: [[1.0], [2.0, 3.0]], "'src-audio': "),
        ("src-audio", lambda frames: None, "expected numbers of shape (words, 74), found object of ()"),
    ],
)
def test_rows_of_other_frames_are_rejected(tmp_path, key, change, reason):
    found = features_as(content(), listed(np.asarray))
    found["train"][key][0] = change(found["train"][key][0])
    rejected = _rejected(tmp_path, found)
    assert list(rejected) == ["train_00000"] and reason in rejected["train_00000"]


# What is wrong with the file


def _without(split: str, key: str) -> Callable[[dict], None]:
    return lambda found: found[split].pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: found.update(dev=found.pop("valid")),
            "with the keys 'train', 'valid', 'test', found 'train', ",
        ),
        (
            _without("test", "src-visual"),
            "test: expected a dictionary with the keys 'src-text', 'src-audio', 'src-vis",
        ),
        (_without("train", "tgt"), "'tgt', found 'src-text', 'src-audio', 'src-visual'"),
        (lambda found: found.update(valid=[1]), "valid: expected a dictionary with the keys"),
        (lambda found: found["train"].update({"src-text": "words"}), "a list or an array under 'src-text', found str"),
        (lambda found: found["train"]["tgt"].pop(), "as many entries under every key, one an utterance, found {'src-"),
        (lambda found: found["train"].update(tgt=[[1]] * 6), "every row of split train was rejected; the first one"),
        (lambda found: found["train"].update(adj=os.system), "refused, it wants to load posix.system"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, capsys, change, message):
    found = content()
    change(found)
    source = save(tmp_path / "source", found)
    assert build_main("mosei_aligned", ["--source", str(source), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_folder_without_the_file(tmp_path, capsys):
    (tmp_path / "source").mkdir()
    assert build_main("mosei_aligned", ["--source", str(tmp_path / "source"), "--output", str(tmp_path / "out")]) == 2
    assert "holds no train_valid_test.pt; pass the folder of that file" in capsys.readouterr().err


def test_first_bad_row_ends_a_strict_build(tmp_path):
    found = content()
    found["valid"]["tgt"][1] = [2, 77, 3]
    with pytest.raises(CorpusError, match=r"row 2 \(utterance 'valid_00001'\): 'tgt': expected label ids"):
        build_corpus(MoseiAligned, tmp_path / "out", source=save(tmp_path / "source", found), strict=True)


# From the file to scores


@pytest.fixture
def toy():
    AutoConfig.register("toy", ToyConfig, exist_ok=True)
    for auto in (AutoModel, AutoModelForSequenceClassification):
        auto.register(ToyConfig, ToyModel, exist_ok=True)


@pytest.fixture
def recipe(source, tmp_path) -> Path:
    options = {
        "system": "toy", "corpus_script": "mosei_aligned", "corpus_source": str(source),
        "dataset": str(tmp_path / "corpus"), "output_dir": str(tmp_path / "run"), "num_train_epochs": 2,
        "per_device_train_batch_size": 2, "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(options))
    return tmp_path / "recipe.yaml"


@pytest.mark.slow
def test_recipe_builds_the_corpus_trains_and_tests(recipe, toy, tmp_path, capsys):
    assert train_hf.main([str(recipe)]) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    assert results["valid"]["eval_num_rows"] == 2 and results["test"]["test_num_rows"] == 3
    assert univa(["evaluate", str(tmp_path / "run"), str(tmp_path / "corpus"), "--split", "test"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [config[f"{modality}_feature_size"] for modality in WIDTHS] == [300, 74, 35]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mult", "tailor"])
@pytest.mark.parametrize("mask_padding", [False, True])
def test_published_recipes_take_the_corpus(source, name, mask_padding, tmp_path, capsys):
    recipe = yaml.safe_load((REPOSITORY / "recipes" / "mosei" / f"{name}_aligned.yaml").read_text())
    assert (recipe["mask_padding"], recipe.pop("fixed_length")) == (False, 60)
    recipe |= {"mask_padding": True} if mask_padding else {"fixed_length": 60}
    recipe |= {"corpus_script": "mosei_aligned", "corpus_source": str(source), "dataset": str(tmp_path / "corpus")}
    recipe |= {"output_dir": str(tmp_path / "run"), "num_train_epochs": 1, "use_cpu": True, "disable_tqdm": True}
    # One row a batch, so that no padding makes its modalities alike in length.
    recipe |= {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert train_hf.main([str(tmp_path / "recipe.yaml")]) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "all_results.json").read_text())["test"]["test_num_rows"] == 3


@pytest.mark.slow
def test_a_system_that_needs_valence_and_arousal_is_refused(recipe, tmp_path, capsys):
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {f"{modality}_num_hidden_layers": 1 for modality in WIDTHS}
    options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    assert train_hf.main([str(recipe), "--system", "univa", *options]) == 2
    error = capsys.readouterr().err
    assert "no row has valence and arousal, which the loss of UniVA needs" in error and "Traceback" not in error
    assert train_hf.main([str(recipe), "--system", "univa", *options, "--contrastive_loss", "none"]) == 0
