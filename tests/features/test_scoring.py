# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from affect_scorers import write_text_scorer
from media_corpora import LABELS, folder_bytes, media_rows, write_media, write_media_corpus

from modeling_univa.cli import main
from modeling_univa.data.corpus import SCORERS_FILE
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.features import scoring
from modeling_univa.features.scoring import ScoringJob, ScoringOptions
from modeling_univa.features.shards import REJECTED_FILE, run_job
from modeling_univa.models.media_univa import read_audio, read_image


SPLITS = {"train": (3, 2, 4), "test": (2, 3)}


class Ruler:
    """A stand-in scorer whose valence is a length and whose arousal a mean; it refuses some items."""

    device = "cpu"

    def __init__(self, refuses=()):
        self.refuses, self.seen = refuses, []

    def measure(self, item):
        if isinstance(item, str):
            return len(item) / 100, item.count("i") / 10
        if isinstance(item, tuple):
            return len(item[0]) / 32000, float(np.abs(item[0]).mean())
        return len(item) / 10, float(np.mean([image.mean() for image in item])) / 255

    def score(self, items, batch_size):
        self.seen += [items]
        if any(isinstance(item, str) and item in self.refuses for item in items):
            raise ValueError("there is a bad word in it")
        return np.array([self.measure(item) for item in items], dtype=np.float32)


class Reverser:
    """A stand-in translator."""

    name = "reverser"

    def __init__(self):
        self.seen = []

    def translate(self, texts):
        self.seen += texts
        return [text[::-1] + "i" for text in texts]


@pytest.fixture
def root(tmp_path):
    return write_media(tmp_path / "media")


@pytest.fixture
def folder(tmp_path):
    return write_media_corpus(tmp_path / "corpus", {name: media_rows(sizes, name) for name, sizes in SPLITS.items()})


def score(corpus, output, scorers, mark="a", strict=False, **options):
    about = {modality: {"model": f"{modality}-scorer", "revision": mark} for modality in scorers}
    job = ScoringJob(load_corpus(str(corpus)), scorers, about, ScoringOptions(**options))
    return run_job(job, output, shard_rows=4, strict=strict)


def rows_of(folder):
    return {split: rows.to_list() for split, rows in load_corpus(str(folder)).splits.items()}


def test_va_is_that_of_the_scorers_and_unknown_without_a_signal(folder, root, tmp_path):
    ruler = Ruler()
    output = score(folder, tmp_path / "output", {"text": ruler, "audio": ruler, "vision": ruler}, media_root=root)
    before = rows_of(folder)
    for split, rows in rows_of(output).items():
        for row, old in zip(rows, before[split], strict=True):
            va = {modality: row.pop(f"{modality}_va") for modality in ("text", "audio", "vision")}
            assert row == {name: value for name, value in old.items() if not name.endswith("_va")}
            faces = row["faces"] and [read_image(root / face) for face in row["faces"]]
            sound = row["audio"] and (read_audio(root / row["audio"]), 16000)
            for modality, item in (("text", row["text"]), ("audio", sound), ("vision", faces)):
                expected = ruler.measure(item) if item else (np.nan, np.nan)
                np.testing.assert_allclose(va[modality], expected, rtol=1e-6)
    scorers = json.loads((output / SCORERS_FILE).read_text())
    assert scorers["audio"] == {"model": "audio-scorer", "revision": "a", "splits": ["test", "train"]}
    assert "univa score-affect" in (output / "README.md").read_text()
    assert not (output / REJECTED_FILE).exists()


def test_splits_and_modalities_that_are_not_named_keep_their_va(folder, tmp_path):
    output = score(folder, tmp_path / "output", {"text": Ruler()}, splits=["train"])
    before, after = rows_of(folder), rows_of(output)
    assert after["test"] == before["test"]
    for row in after["train"]:
        assert row["audio_va"] == row["vision_va"] == [0.25, -0.5]
        assert row["text_va"] == pytest.approx(Ruler().measure(row["text"]))
    second = score(output, tmp_path / "second", {"text": Ruler()}, mark="b", splits=["test"])
    assert json.loads((second / SCORERS_FILE).read_text())["text"]["splits"] == ["test"]


def test_a_clip_that_cannot_be_scored_leaves_its_row_with_unknown_va(folder, root, tmp_path):
    (root / "speech" / "2.wav").write_bytes(b"")
    bad_text = rows_of(folder)["train"][4]["text"]
    ruler = Ruler(refuses=(bad_text,))
    output = score(folder, tmp_path / "output", {"text": ruler, "audio": ruler}, media_root=root)
    expected = []
    for split in ("train", "test"):
        for row in rows_of(output)[split]:
            if row["text"] == bad_text:
                expected.append((row["utterance_id"], "text", "text: there is a bad word in it"))
            if row["audio"] == "speech/2.wav":
                expected.append((row["utterance_id"], "audio", "speech/2.wav: the file is empty (0 bytes)"))
            unknown = {"text": row["text"] == bad_text, "audio": row["audio"] in (None, "speech/2.wav")}
            for modality, value in unknown.items():
                assert np.isnan(row[f"{modality}_va"]).all() == value
    lines = [json.loads(line) for line in (output / REJECTED_FILE).read_text().splitlines()]
    assert [(line["utterance_id"], line["modality"], line["reason"]) for line in lines] == expected
    assert {split: len(rows) for split, rows in rows_of(output).items()} == {"train": 9, "test": 5}
    # The rows are there, so that the card must not count them as left out.
    assert "| train | 9 | 3 | 0 | 0 |" in (output / "README.md").read_text()
    with pytest.raises(CorpusError, match="bad word"):
        score(folder, tmp_path / "strict", {"text": ruler}, strict=True)


def test_text_is_translated_for_the_scorer_once_and_kept(folder, tmp_path):
    translator, ruler = Reverser(), Ruler()
    output = score(folder, tmp_path / "output", {"text": ruler}, translator=translator, splits=["train"])
    texts = [row["text"] for row in rows_of(folder)["train"]]
    assert sorted(translator.seen) == sorted(texts)
    assert sorted(text for batch in ruler.seen for text in batch) == sorted(f"{text[::-1]}i" for text in texts)
    after = rows_of(output)["train"]
    assert [row["text"] for row in after] == texts
    assert after[0]["text_va"] == pytest.approx(Ruler().measure(f"{texts[0][::-1]}i"))
    lines = [json.loads(line) for line in (output / "translations.jsonl").read_text().splitlines()]
    assert {line["text"]: line["translation"] for line in lines} == {text: f"{text[::-1]}i" for text in texts}
    again = Reverser()
    second = score(output, tmp_path / "second", {"text": ruler}, mark="b", translator=again)
    assert sorted(again.seen) == sorted(row["text"] for row in rows_of(folder)["test"])
    assert rows_of(second)["train"] == after


def test_translations_of_the_input_are_read_once(folder, tmp_path, monkeypatch):
    corpus = score(folder, tmp_path / "translated", {"text": Ruler()}, translator=Reverser())
    read = []

    class Counted(scoring.TranslationCache):
        def __init__(self, path):
            read.append(path)
            super().__init__(path)

    monkeypatch.setattr(scoring, "TranslationCache", Counted)
    again = Reverser()
    score(corpus, tmp_path / "again", {"text": Ruler()}, mark="b", translator=again)
    assert again.seen == [] and read == [corpus / "translations.jsonl"]


def test_an_interrupted_job_goes_on_with_the_same_bytes(folder, tmp_path):
    expected = folder_bytes(score(folder, tmp_path / "whole", {"text": Ruler()}, translator=Reverser()))

    class Tired(Reverser):
        def translate(self, texts):
            if len(self.seen) > 5:
                raise KeyboardInterrupt
            return super().translate(texts)

    with pytest.raises(KeyboardInterrupt):
        score(folder, tmp_path / "output", {"text": Ruler()}, translator=Tired())
    translator = Reverser()
    score(folder, tmp_path / "output", {"text": Ruler()}, translator=translator)
    assert len(translator.seen) < 14
    assert folder_bytes(tmp_path / "output") == expected


def test_another_scorer_is_refused(folder, tmp_path):
    score(folder, tmp_path / "output", {"text": Ruler()})
    with pytest.raises(CorpusError, match="of a run with scorers"):
        score(folder, tmp_path / "output", {"text": Ruler()}, mark="b")


def test_what_is_asked_for_must_make_sense(folder, root, tmp_path):
    for scorers, options, message in (
        ({}, {}, "nothing to score"),
        ({"audio": Ruler()}, {}, "`media_root`"),
        ({"audio": Ruler()}, {"media_root": root, "translator": Reverser()}, "`translate` is for `text_scorer`"),
        ({"text": Ruler()}, {"splits": ["dev"]}, "no split 'dev'; it has"),
        ({"text": Ruler()}, {"workers": -1}, "`workers` must be a number of processes"),
    ):
        with pytest.raises(CorpusError, match=message):
            score(folder, tmp_path / "output", scorers, **options)


def test_the_command_line_loads_a_scorer_from_a_folder(folder, tmp_path, capsys):
    scorer = write_text_scorer(tmp_path / "scorer")
    command = ["score-affect", str(folder), "--output", str(tmp_path / "output"), "--text-scorer", str(scorer)]
    assert main([*command, "--splits", "train"]) == 0
    rows = rows_of(tmp_path / "output")
    assert not np.isnan([row["text_va"] for row in rows["train"]]).any()
    assert len({tuple(row["text_va"]) for row in rows["train"]}) > 1
    assert rows["test"] == rows_of(folder)["test"]
    assert set(json.loads((tmp_path / "output" / SCORERS_FILE).read_text())["text"]) == {"model", "sha256", "splits"}
    assert load_corpus(str(tmp_path / "output")).label_names == list(LABELS)
    assert main([*command, "--splits", "train", "--text-scorer", "nowhere/else"]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
