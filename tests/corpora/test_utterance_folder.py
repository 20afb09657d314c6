# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import csv
import json
import os
import shutil

import numpy as np
import pytest
from csv_files import read_csv, write_csv
from datasets import load_dataset
from testing_utils import pretrained_speech_encoder

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.data.schema import CorpusError
from modeling_univa.features.engine import feature_engine
from modeling_univa.features.media import MediaReader
from modeling_univa.features.workers import Workers
from modeling_univa.models import utterance_media_univa
from modeling_univa.models.configuration_univa import EMOTION_VALENCE_AROUSAL, M3ED_EMOTIONS
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import read_audio, read_image
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor


def _load(path, tmp_path):
    return load_dataset(str(path), cache_dir=str(tmp_path / "cache"))


def test_rows_features_and_absent_modalities(folder, tmp_path):
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    corpus = _load(tmp_path / "corpus", tmp_path)
    assert list(corpus) == ["train", "dev_2"]
    for split, rows in corpus.items():
        cells = read_csv(folder / "metadata" / f"{split}.csv")
        names = rows.features["emotions"].feature.names
        # Those of the table in its order; nothing else occurs.
        assert names == ["happy", "sad", "neutral"]
        for row, expected in zip(rows, cells, strict=True):
            for name in ("utterance_id", "dialogue_id", "text"):
                assert row[name] == expected[name]
            assert row["position"] == int(expected["position"])
            assert row["speaker"] == (expected["speaker"] or None)
            assert ";".join(names[label] for label in row["emotions"]) == expected["emotions"]
            assert row["audio"] == (expected["audio"] or None)
            assert row["faces"] == (expected["faces"].split(";") if expected["faces"] else None)
            assert row["text_va"] == [0.5, -0.25]
            assert np.isnan(row["audio_va"]).all() and np.isnan(row["vision_va"]).all()
            _check_features(row, folder)
    assert not {"text_emotion", "audio_emotion", "vision_emotion"} & set(corpus["train"].column_names)


def _check_features(row, folder):
    if row["audio"] is None:
        assert row["audio_features"] is None
    else:
        expected = LogMelExtractor()(read_audio(folder / row["audio"]), 16000).astype(np.float16)
        np.testing.assert_array_equal(row["audio_features"], expected)
    if row["faces"] is None:
        assert row["vision_features"] is None
    else:
        images = [read_image(folder / path) for path in row["faces"]]
        np.testing.assert_array_equal(row["vision_features"], HogExtractor()(images).astype(np.float16))


def test_each_file_is_read_once(folder, tmp_path, monkeypatch):
    read = []
    for name in ("read_audio", "read_image"):
        original = getattr(utterance_media_univa, name)

        def counting(path, *args, original=original, **kwargs):
            read.append(path)
            return original(path, *args, **kwargs)

        monkeypatch.setattr(utterance_media_univa, name, counting)
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    assert len(read) == len(set(read)) == 4


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_clip_that_does_not_fit_into_memory_is_rejected_alone(folder, tmp_path, monkeypatch, error):
    read = utterance_media_univa.read_audio
    first = []

    def fail_once(path, *part):
        first.append(path)
        if path == first[0]:
            raise error
        return read(path, *part)

    monkeypatch.setattr(utterance_media_univa, "read_audio", fail_once)
    assert corpus_main(UtteranceFolder, ["--source", str(folder), "--output", str(tmp_path / "corpus")]) == 0
    lines = (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()
    assert {json.loads(line)["reason"].split(": ")[-1] for line in lines} == {
        "there is not enough memory for it; cut it into shorter clips"
    }


def test_copies_of_training_rows_at_other_speeds(folder, tmp_path):
    build_corpus(UtteranceFolder, tmp_path / "plain", source=str(folder))
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder), speed_perturbation="0.8,1.25")
    plain, corpus = _load(tmp_path / "plain", tmp_path), _load(tmp_path / "corpus", tmp_path)
    np.testing.assert_equal(list(corpus["dev_2"]), list(plain["dev_2"]))
    rows, count = corpus["train"], len(plain["train"])
    assert len(rows) == 3 * count
    np.testing.assert_equal(list(rows.select(range(count))), list(plain["train"]))
    for number, row in enumerate(plain["train"]):
        for nth, (prefix, speed) in enumerate({"sp0.8-": 0.8, "sp1.25-": 1.25}.items(), start=1):
            copy = rows[nth * count + number]
            assert copy["utterance_id"] == prefix + row["utterance_id"]
            assert copy["dialogue_id"] == prefix + row["dialogue_id"]
            changed = {"utterance_id", "dialogue_id", "audio_features"}
            same = row.keys() - changed
            np.testing.assert_equal([copy[name] for name in same], [row[name] for name in same])
            if row["audio"]:
                faster = read_audio(folder / row["audio"], round(16000 / speed))
                np.testing.assert_array_equal(
                    copy["audio_features"], LogMelExtractor()(faster, 16000).astype(np.float16)
                )
                assert copy["audio_features"] != row["audio_features"]
    assert (
        "for each of the speeds 0.8,1.25 there is a copy of every row" in (tmp_path / "corpus/README.md").read_text()
    )


@pytest.mark.parametrize("speeds", ["1", "0.9,0.9", "0.4", "fast", "nan", "0.9,"])
def test_speeds_that_are_none(folder, tmp_path, speeds):
    with pytest.raises(CorpusError, match="different speeds from 0.5 to 2"):
        build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder), speed_perturbation=speeds)


def test_speeds_without_speech_features(folder, tmp_path):
    options = {"source": str(folder), "audio_extractor": "none", "speed_perturbation": "0.9"}
    with pytest.raises(CorpusError, match="needs a split 'train' and speech features"):
        build_corpus(UtteranceFolder, tmp_path / "corpus", **options)


def test_va_from_the_emotion_of_each_modality(folder, tmp_path):
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder), va="from-emotion")
    rows = _load(tmp_path / "corpus", tmp_path)["train"]
    happy, sad = (np.array(EMOTION_VALENCE_AROUSAL[name]) * 2 - 1 for name in ("happy", "sad"))
    np.testing.assert_allclose(rows["text_va"], np.tile(happy, (6, 1)), atol=1e-6)
    np.testing.assert_allclose(rows["vision_va"], np.zeros((6, 2)), atol=1e-6)
    np.testing.assert_allclose(np.array(rows["audio_va"])[[0, 1, 3, 4]], np.tile(sad, (4, 1)), atol=1e-6)
    assert np.isnan(np.array(rows["audio_va"])[[2, 5]]).all()


@pytest.mark.parametrize("header", ["word,valence,arousal\n", "", "Word\tValence\tArousal\tDominance\n"])
def test_lexicon_file(folder, tmp_path, header):
    path = folder / "metadata" / "train.csv"
    write_csv(path, [row | {"text_emotion": "Serene"} for row in read_csv(path)])
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text(header + ("serene\t0.9\t0.2\t0.5\n" if "\t" in header else "serene,0.9,0.2\n"))
    config = {"source": str(folder), "va": "from-emotion", "emotion_va": str(lexicon)}
    build_corpus(UtteranceFolder, tmp_path / "corpus", **config)
    va = _load(tmp_path / "corpus", tmp_path)["train"][0]["text_va"]
    np.testing.assert_allclose(va, (0.8, -0.6), atol=1e-6)


def test_label_order(folder, tmp_path):
    path = folder / "metadata" / "train.csv"
    rows = read_csv(path)
    rows[1]["emotions"] = "awe; sad ;bliss"
    write_csv(path, rows)

    def names(**config):
        built = build_corpus(UtteranceFolder, tmp_path / "corpus", overwrite=True, source=str(folder), **config)
        return built.corpus.label_names

    assert names() == ["happy", "sad", "neutral", "awe", "bliss"]
    (folder / "labels.txt").write_text("sad\nbliss\nawe\nhappy\nneutral\nvery angry\n")
    assert names() == ["sad", "bliss", "awe", "happy", "neutral", "very angry"]
    assert names(labels="awe,bliss,happy, neutral,sad") == ["awe", "bliss", "happy", "neutral", "sad"]


def test_metadata_beside_the_media_and_no_media_at_all(folder, tmp_path):
    """Without media columns there are no feature columns; csv files may lie in the folder itself."""
    for path in (folder / "metadata").glob("*.csv"):
        rows = read_csv(path)
        keep = ("utterance_id", "dialogue_id", "position", "text", "emotions")
        write_csv(folder / path.name, [{name: row[name] for name in keep} for row in rows])
    for name in ("metadata", "speech", "faces"):
        shutil.rmtree(folder / name)
    builder = build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    rows = _load(tmp_path / "corpus", tmp_path)["dev_2"]
    assert rows.features == builder.info.features
    assert not [name for name in rows.column_names if "features" in name or name in ("audio", "faces")]
    assert rows["speaker"] == [None] * 6
    made = json.loads((tmp_path / "corpus" / "feature_extractors.json").read_text())
    assert made == {"text": None, "audio": None, "vision": None}


@pytest.mark.parametrize("as_file", [False, True])
def test_extractor_settings(folder, tmp_path, as_file):
    settings = '{"extractor_type": "hog", "image_size": 32, "cell_size": 16}'
    if as_file:
        (tmp_path / "hog.json").write_text(settings)
        settings = str(tmp_path / "hog.json")
    config = {"source": str(folder), "vision_extractor": settings, "audio_extractor": "none"}
    build_corpus(UtteranceFolder, tmp_path / "corpus", **config)
    row = _load(tmp_path / "corpus", tmp_path)["train"][0]
    assert np.shape(row["vision_features"]) == (2, 36)
    assert "audio_features" not in row and row["audio"] == "speech/0.wav"
    made = json.loads((tmp_path / "corpus" / "feature_extractors.json").read_text())
    assert made["audio"] is None
    assert made["vision"] == HogExtractor(image_size=32, cell_size=16).to_dict()


def test_speech_encoder(folder, tmp_path):
    encoder = pretrained_speech_encoder(tmp_path / "encoder", "wav2vec2", feat_extract_norm="layer")
    config = {"source": str(folder), "audio_extractor": str(encoder), "vision_extractor": "none"}
    build_corpus(UtteranceFolder, tmp_path / "corpus", **config)
    row = _load(tmp_path / "corpus", tmp_path)["train"][0]
    extractor = SpeechEncoderExtractor(str(encoder))
    expected = extractor(read_audio(folder / "speech" / "0.wav", extractor.sampling_rate), extractor.sampling_rate)
    # Corpora hold float16.
    np.testing.assert_allclose(row["audio_features"], expected, rtol=1e-3, atol=1e-3)
    made = json.loads((tmp_path / "corpus" / "feature_extractors.json").read_text())
    assert made["audio"] == extractor.to_dict()


def test_same_bytes_for_the_same_input(folder, tmp_path):
    for name in ("one", "two"):
        build_corpus(UtteranceFolder, tmp_path / name, source=str(folder))
    for path in sorted((tmp_path / "one").rglob("*")):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.is_dir() or path.read_bytes() == other.read_bytes()


def _bytes(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_same_bytes_whoever_makes_the_features(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    (folder / "speech" / "1.wav").write_bytes(b"no sound")
    options = {"source": str(folder), "speed_perturbation": "0.9"}
    for workers in (1, 2):
        builder = build_corpus(UtteranceFolder, tmp_path / f"{workers}", workers=workers, **options)
        assert len(builder.rejected) == 6
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "2")


def test_a_build_that_was_stopped_goes_on_with_its_features(folder, tmp_path, monkeypatch):
    build_corpus(UtteranceFolder, tmp_path / "whole", source=str(folder))
    read_all = MediaReader.read_all
    read = []

    def stop(self, items):
        if read:
            raise KeyboardInterrupt
        read.extend(items)
        return read_all(self, items)

    # Windows of one row.
    monkeypatch.setattr("modeling_univa.features.engine._BATCHES_PER_WINDOW", 1)
    monkeypatch.setattr(feature_engine, "__kwdefaults__", {**feature_engine.__kwdefaults__, "batch_size": 1})
    monkeypatch.setattr(MediaReader, "read_all", stop)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.partial", "source", "whole"]
    monkeypatch.setattr(MediaReader, "read_all", lambda self, items: read.extend(items) or read_all(self, items))
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    assert len(read) == len(set(read)) == 4
    assert _bytes(tmp_path / "corpus") == _bytes(tmp_path / "whole")
    assert not (tmp_path / "corpus.partial").exists()


@pytest.mark.slow
def test_command_reads_the_mosaic(shared_data, tmp_path, capsys):
    """The first dialogues of every split, in the layout of the real folder."""
    mosaic = shared_data / "emotion_mosaic"
    source = tmp_path / "mosaic"
    (source / "metadata").mkdir(parents=True)
    for name in ("speech", "faces"):
        (source / name).symlink_to(mosaic / name)
    expected = {}
    for path in sorted((mosaic / "metadata").glob("*.csv")):
        rows = read_csv(path)
        wanted = list(dict.fromkeys(row["dialogue_id"] for row in rows))[:3]
        expected[path.stem] = [row for row in rows if row["dialogue_id"] in wanted]
        write_csv(source / "metadata" / path.name, expected[path.stem])
    arguments = ["--source", str(source), "--output", str(tmp_path / "corpus")]
    arguments += ["--labels", ",".join(M3ED_EMOTIONS), "--va", "from-emotion"]
    # The links lead out of the folder, which may be someone else's.
    assert corpus_main(UtteranceFolder, arguments) == 2
    assert "is a link out of" in capsys.readouterr().err
    arguments += ["--outside-source"]
    assert corpus_main(UtteranceFolder, arguments) == 0
    assert f"train: {len(expected['train'])} utterances in 3 dialogues" in capsys.readouterr().out
    corpus = _load(tmp_path / "corpus", tmp_path)
    assert list(corpus) == ["train", "validation", "test"]
    for split, cells in expected.items():
        rows = corpus[split]
        assert rows.features["emotions"].feature.names == list(M3ED_EMOTIONS)
        assert rows["utterance_id"] == [row["utterance_id"] for row in cells]
        found = [";".join(M3ED_EMOTIONS[label] for label in labels) for labels in rows["emotions"]]
        assert found == [row["emotions"] for row in cells]
        for modality in ("text", "audio", "vision"):
            va = [2 * np.array(EMOTION_VALENCE_AROUSAL[row[f"{modality}_emotion"]]) - 1 for row in cells]
            np.testing.assert_allclose(rows[f"{modality}_va"], va, atol=1e-6)
        assert [len(frames) for frames in rows["vision_features"]] == [len(r["faces"].split(";")) for r in cells]


def test_spreadsheets_of_other_countries_and_what_other_systems_leave(folder, tmp_path):
    build_corpus(UtteranceFolder, tmp_path / "expected", source=str(folder))
    metadata = folder / "metadata"
    for name, delimiter, encoding in (("train", ";", "utf-16"), ("dev_2", "\t", "utf-8-sig")):
        rows = read_csv(metadata / f"{name}.csv")
        (metadata / f"{name}.csv").unlink()
        file = metadata / ("TRAIN.CSV" if name == "train" else f"{name}.Csv")
        with open(file, "w", encoding=encoding, newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        (metadata / f"._{file.name}").write_bytes(b"\0\5\26\7")
    (metadata / "__MACOSX").mkdir()
    (folder / "LABELS.TXT").write_text("happy\nsad\nneutral\n")
    # A name that is not UTF-8 is nobody's row, and must not end the job.
    with open(os.fsencode(folder / "speech") + b"/\xe9.wav", "wb") as file:
        file.write(b"")
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    expected, found = _load(tmp_path / "expected", tmp_path), _load(tmp_path / "corpus", tmp_path)
    assert list(found) == list(expected) == ["train", "dev_2"]
    for split in expected:
        assert found[split].features == expected[split].features
        assert found[split].to_pandas().equals(expected[split].to_pandas())


def test_times_of_a_clock(folder, tmp_path):
    for split in ("train", "dev_2"):
        rows = read_csv(folder / "metadata" / f"{split}.csv")
        rows = [{**row, "start": "", "end": "00:00:00.2" if row["audio"] else ""} for row in rows]
        write_csv(folder / "metadata" / f"{split}.csv", rows)
    builder = build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    assert builder.rejected == []
    row = _load(tmp_path / "corpus", tmp_path)["train"][0]
    assert (row["start"], row["end"]) == (None, pytest.approx(0.2))


def test_labels_that_are_listed_may_be_spelled_in_any_way(folder, tmp_path):
    for split in ("train", "dev_2"):
        rows = read_csv(folder / "metadata" / f"{split}.csv")
        rows = [{**row, "emotions": row["emotions"].replace("happy", "Sad").replace("neutral", "a|b")} for row in rows]
        write_csv(folder / "metadata" / f"{split}.csv", rows)
    with pytest.raises(CorpusError, match="differs from 'Sad' in case alone"):
        build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder))
    build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(folder), labels="Sad,sad,a|b")
    names = _load(tmp_path / "corpus", tmp_path)["train"].features["emotions"].feature.names
    assert names == ["Sad", "sad", "a|b"]
