# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import re

import numpy as np
import pytest
import yaml
from datasets import load_dataset
from datasets.exceptions import DatasetGenerationError

from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.builder import CorpusDescription, UnivaCorpusBuilder
from modeling_univa.corpora.card import CardFacts
from modeling_univa.data.schema import CorpusError, RowError


LABELS = ["happy", "sad", "calm"]


def _frames(split: str, utterance_id: str) -> np.ndarray | None:
    if utterance_id.endswith("_1"):
        return None
    rng = np.random.default_rng([len(split), *utterance_id.encode()])
    return rng.standard_normal((rng.integers(1, 6), 4)).astype(np.float32)


class Toy(UnivaCorpusBuilder):
    """Build a toy corpus: three dialogues of four utterances in each of its splits."""

    SPLITS = ("train", "dev_2")
    bad: dict[str, str] = {}

    def describe(self):
        made = {"extractor_type": "precomputed", "name": "toy", "feature_size": 4}
        return CorpusDescription(LABELS, {split: f"{split}.toy" for split in self.SPLITS}, extractors={"audio": made})

    def rows(self, split):
        for dialogue in range(3):
            for position in range(4):
                yield {
                    "utterance_id": f"{split}_{dialogue}_{position}",
                    "dialogue_id": f"{split}_{dialogue}",
                    "position": position,
                    "speaker": None,
                    "text": f"This is {position}.",
                    "emotions": LABELS[: position % 3],
                }

    def signals(self, split, row):
        if row["utterance_id"] in self.bad:
            raise RowError(self.bad[row["utterance_id"]])
        va = (0.25 * row["position"] - 0.5, 0.5)
        return {"audio_features": _frames(split, row["utterance_id"]), "text_va": va}


@pytest.fixture
def toy():
    return type("Toy", (Toy,), {"__doc__": Toy.__doc__, "__module__": Toy.__module__})


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return str(folder)


def test_places_in_the_dialogue_are_counted_where_rows_do_not_say_them(toy, source, tmp_path):
    class Unnumbered(toy):
        def rows(self, split):
            for row in super().rows(split):
                del row["position"]
                yield row

    built = []
    for kind in (toy, Unnumbered):
        build_corpus(kind, tmp_path / kind.__name__, source=source)
        built.append(load_dataset(str(tmp_path / kind.__name__), split="train").to_list())
    assert [row["position"] for row in built[0]] == [0, 1, 2, 3] * 3
    assert repr(built[0]) == repr(built[1])


def test_corpus_folder_loads_without_our_code(toy, source, tmp_path):
    output = tmp_path / "out" / "corpus"
    builder = build_corpus(toy, output, source=source)
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()) == [
        "README.md",
        "checksums.json",
        "data/dev_2-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "eval.yaml",
        "feature_extractors.json",
    ]
    assert [path.name for path in output.parent.iterdir()] == ["corpus"]
    loaded = load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train", "dev_2"]
    for split, rows in loaded.items():
        assert rows.features == builder.info.features == builder.corpus.features()
        for row, expected in zip(rows, builder.rows(split), strict=True):
            frames = _frames(split, expected["utterance_id"])
            if frames is None:
                assert row["audio_features"] is None
            else:
                np.testing.assert_array_equal(row["audio_features"], frames.astype(np.float16))
            assert row["text_va"] == [0.25 * expected["position"] - 0.5, 0.5]
            assert np.isnan(row["audio_va"]).all() and np.isnan(row["vision_va"]).all()
            assert [LABELS[label] for label in row["emotions"]] == expected["emotions"]
            assert all(row[name] == expected[name] for name in ("utterance_id", "dialogue_id", "position", "text"))


def test_one_split_of_any_name_alone(toy, source, tmp_path):
    toy.SPLITS = ("valid",)
    build_corpus(toy, tmp_path / "corpus", source=source)
    loaded = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"valid": 12}


def test_same_bytes_for_the_same_input(toy, source, tmp_path):
    for name in ("one", "two"):
        build_corpus(toy, tmp_path / name, source=source)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_shards(toy, source, tmp_path):
    toy.DEFAULT_WRITER_BATCH_SIZE = 2
    build_corpus(toy, tmp_path / "corpus", source=source, max_shard_size="1KB")
    shards = sorted(path.name for path in (tmp_path / "corpus" / "data").glob("train-*"))
    assert len(shards) > 1
    assert shards == [f"train-{index:05d}-of-{len(shards):05d}.parquet" for index in range(len(shards))]
    loaded = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"]["utterance_id"] == [f"train_{d}_{p}" for d in range(3) for p in range(4)]


def test_usable_as_a_builder(toy, source, tmp_path):
    builder = toy(source=source, cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    rows = builder.as_dataset()
    assert {split: len(part) for split, part in rows.items()} == {"train": 12, "dev_2": 12}
    assert builder.statistics["train"].num_dialogues == 3
    again = toy(source=source, cache_dir=str(tmp_path / "cache"))
    assert again.cache_dir == builder.cache_dir
    (tmp_path / "source" / "new.csv").write_text("changed")
    assert toy(source=source, cache_dir=str(tmp_path / "cache")).cache_dir != builder.cache_dir


def test_bad_rows_are_left_out_and_listed(toy, source, tmp_path):
    toy.bad = {"train_0_0": "cut off", "train_0_2": "no sound", "dev_2_1_3": "odd"}
    builder = build_corpus(toy, tmp_path / "corpus", source=source)
    lines = (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == builder.rejected
    assert builder.rejected[0] == {
        "split": "train",
        "utterance_id": "train_0_0",
        "dialogue_id": "train_0",
        "reason": "train.toy: row 1 (utterance 'train_0_0'): cut off",
    }
    assert [entry["utterance_id"] for entry in builder.rejected] == list(toy.bad)
    loaded = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    first = loaded["train"].select(range(2))
    assert first["utterance_id"] == ["train_0_1", "train_0_3"]
    assert first["position"] == [0, 1]
    card = (tmp_path / "corpus" / "README.md").read_text()
    assert "| train | 10 | 3 | 5 | 2 |" in card
    assert "`position` was recounted" in card


def test_strict_stops_at_the_first_bad_row(toy, source, tmp_path):
    toy.bad = {"dev_2_1_3": "odd"}
    with pytest.raises(CorpusError, match=r"dev_2.toy: row 8 \(utterance 'dev_2_1_3'\): odd") as error:
        build_corpus(toy, tmp_path / "corpus", source=source, strict=True)
    assert not isinstance(error.value, RowError)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_split_without_a_good_row_is_an_error(toy, source, tmp_path):
    toy.bad = {f"dev_2_{dialogue}_{position}": "odd" for dialogue in range(3) for position in range(4)}
    with pytest.raises(CorpusError, match="every row of split dev_2 was rejected; the first one: .*odd"):
        build_corpus(toy, tmp_path / "corpus", source=source)


@pytest.mark.parametrize("split", ["dev-2", "all", "", "a b"])
def test_split_names_that_datasets_cannot_have(toy, source, tmp_path, split):
    toy.SPLITS = (split,)
    with pytest.raises(CorpusError, match=f"split name {split!r} cannot be used"):
        build_corpus(toy, tmp_path / "corpus", source=source)


def test_structure_is_checked_before_the_first_feature(toy, source, tmp_path):
    original = toy.rows
    toy.rows = lambda self, split: (row | {"dialogue_id": "one"} for row in original(self, split))
    toy.signals = lambda self, split, row: pytest.fail("features were made")
    with pytest.raises(CorpusError, match="position 0 in dialogue 'one', expected 4"):
        build_corpus(toy, tmp_path / "corpus", source=source)


@pytest.mark.parametrize(
    ("error", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (RuntimeError, DatasetGenerationError)]
)
def test_an_interrupted_build_leaves_what_was_there(toy, source, tmp_path, error, seen):
    output = tmp_path / "corpus"
    build_corpus(toy, output, source=source)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    def signals(self, split, row):
        if row["utterance_id"] == "dev_2_1_0":
            raise error
        return Toy.signals(self, split, row)

    toy.signals = signals
    with pytest.raises(seen):
        build_corpus(toy, output, source=source, overwrite=True)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "source"]


def test_output_that_is_in_the_way(toy, source, tmp_path):
    output = tmp_path / "corpus"
    build_corpus(toy, output, source=source)
    with pytest.raises(CorpusError, match="is not empty; choose another one, or pass `overwrite`"):
        build_corpus(toy, output, source=source)
    toy.SPLITS = ("train",)
    build_corpus(toy, output, source=source, overwrite=True)
    assert [path.name for path in (output / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(CorpusError, match="holds no corpus"):
        build_corpus(toy, tmp_path / "mine", source=source, overwrite=True)
    with pytest.raises(CorpusError, match="is or holds the source"):
        build_corpus(toy, tmp_path, source=source, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="is a file"):
        build_corpus(toy, tmp_path / "file", source=source)


def test_source_must_be_a_folder(toy, tmp_path):
    for source in ("", str(tmp_path / "none")):
        with pytest.raises(CorpusError, match="is not a folder"):
            build_corpus(toy, tmp_path / "corpus", source=source)


def _table(card: str, title: str) -> list[list[str]]:
    section = re.search(rf"## {title}\n\n((?:\|.*\n)+)", card)
    assert section, title
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section[1].splitlines()[2:]]


def test_a_rebuilt_corpus_is_not_read_from_the_cache_of_the_former(toy, source, tmp_path):
    class Other(toy):
        def rows(self, split):
            yield from ({**row, "text": "Something else."} for row in super().rows(split))

    def texts(folder):
        return set(load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]["text"])

    first, second = tmp_path / "corpus", tmp_path / "elsewhere" / "corpus"
    build_corpus(toy, first, source=source)
    build_corpus(toy, second, source=source)
    assert "This is 0." in texts(first) & texts(second)
    build_corpus(Other, first, source=source, overwrite=True)
    assert texts(first) == {"Something else."}
    assert "This is 0." in texts(second)


def test_card_says_what_the_rows_say(toy, source, tmp_path):
    facts = CardFacts("A toy", license="cc-by-4.0", language="en")
    build_corpus(toy, tmp_path / "corpus", source=source, facts=facts)
    card = (tmp_path / "corpus" / "README.md").read_text()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["pretty_name"] == "A toy"
    assert (metadata["license"], metadata["language"]) == ("cc-by-4.0", "en")
    assert metadata["size_categories"] == ["n<1K"]
    assert metadata["task_categories"] == ["text-classification", "audio-classification"]

    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    assert _table(card, "Splits") == [[split, "12", "3", "6", "0"] for split in rows]
    counts = [[str(sum(label in row["emotions"] for row in rows[s])) for s in rows] for label in range(3)]
    assert [line[1:] for line in _table(card, "Labels")] == counts
    va = np.array(rows["train"]["text_va"])
    line = _table(card, "Valence and arousal")[0]
    expected = [*va.mean(axis=0), *va.std(axis=0, ddof=1)]
    assert line == ["train", "text", "12 (100.0%)", *(f"{value:.3f}" for value in expected)]
    assert _table(card, "Valence and arousal")[1][2] == "0 (0.0%)"
    lengths = [len(frames) for frames in rows["train"]["audio_features"] if frames is not None]
    line = _table(card, "Features")[0]
    assert line == ["train", "audio", "4", "3", f"{np.mean(lengths):.1f}", line[5], str(max(lengths))]
    assert str(tmp_path) not in card
    assert not math.isnan(float(line[4]))
