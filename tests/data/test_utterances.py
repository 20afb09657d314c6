# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows to batches: the same tensors as the processor gives, whatever way the rows are stored."""

import tracemalloc

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from testing_utils import FEATURE_SIZES, random_rows, tiny_config, tiny_model, tiny_processor
from torch.utils.data import DataLoader

from modeling_univa.data.schema import CorpusError
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset, flatten_frames, known_va
from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS, UnivaConfig


SIZES = (3, 1, 4, 2)


def rows_for(config: UnivaConfig, **options) -> datasets.Dataset:
    return random_rows(SIZES, **{"modalities": list(config.feature_sizes), "longest": 12, "absent": 0.3, **options})


def dataset_for(config: UnivaConfig, rows: datasets.Dataset, **options) -> UtteranceDataset:
    return UtteranceDataset(rows, tiny_processor(config), config.label_names, **options)


def batch_of(dataset: UtteranceDataset, indices: list[int], with_va: bool = False) -> dict[str, torch.Tensor]:
    return UtteranceCollator(dataset, with_va)(dataset.__getitems__(indices))


def processed(config: UnivaConfig, rows: datasets.Dataset, indices: list[int]) -> dict[str, torch.Tensor]:
    """The same rows through the processor's own call."""
    rows = rows.with_format(None)
    dialogues: dict[str, list[str]] = {}
    for row in rows:
        dialogues.setdefault(row["dialogue_id"], []).append(row["text"])
    names = list(dialogues)
    first = {name: rows["dialogue_id"].index(name) for name in names}
    places = [(names.index(rows[i]["dialogue_id"]), i - first[rows[i]["dialogue_id"]]) for i in indices]
    features = {}
    for modality in config.feature_sizes:
        frames = [rows[i][f"{modality}_features"] for i in indices]
        features[f"{modality}_features"] = [None if clip is None else np.array(clip, np.float16) for clip in frames]
    processor = tiny_processor(config)
    if processor.tokenizer is None:
        return dict(processor(**features))
    return dict(processor(list(dialogues.values()), places, **features))


CONFIGS = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {}),
    "words": ("words", {}),
    "text": ("bert", {"modalities": ["text"]}),
    "audio": ("words", {"modalities": ["audio"]}),
    "windows": ("roberta", {"max_text_length": 8, "modalities": ["text", "vision"]}),
}


@pytest.mark.parametrize("variant", CONFIGS)
@pytest.mark.parametrize("indices", [[0], [3, 1, 8, 1], [2, 3], list(range(10)), [9, 0, 5]])
def test_batch_equals_that_of_the_processor(variant, indices):
    route, options = CONFIGS[variant]
    config = tiny_config(route, **options)
    rows = rows_for(config)
    batch = batch_of(dataset_for(config, rows), indices)
    assert next(iter(batch)) == "labels"
    expected = torch.zeros(len(indices), 6)
    for place, index in enumerate(indices):
        expected[place, rows[index]["emotions"]] = 1
    assert torch.equal(batch.pop("labels"), expected)
    reference = processed(config, rows, indices)
    assert list(batch) == list(reference)
    for name, value in reference.items():
        assert batch[name].dtype == value.dtype
        assert torch.equal(batch[name], value), name


def test_dialogue_is_encoded_once_however_many_of_its_utterances_are_in_the_batch():
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config))
    assert batch_of(dataset, [0, 1, 2])["input_ids"].shape[0] == 1
    assert batch_of(dataset, [0, 1, 3, 4])["input_ids"].shape[0] == 3


def test_text_context_is_the_dialogue_also_of_a_single_utterance():
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config))
    one, three = batch_of(dataset, [1]), batch_of(dataset, [0, 1, 2])
    assert torch.equal(one["input_ids"], three["input_ids"])
    assert torch.equal(one["utterance_span"][0], three["utterance_span"][1])


def variants_of_storage(rows: datasets.Dataset) -> dict[str, datasets.Dataset]:
    """The rows 2 to 6, stored in different ways."""
    parts = [rows.select(range(start, start + 2)) for start in range(0, 10, 2)]
    return {
        "slice": rows.select(range(2, 7)),
        "indices": rows.select([2, 3, 4, 5, 6, 9]).select(range(5)),
        "filtered": rows.filter(lambda _, index: 2 <= index < 7, with_indices=True, keep_in_memory=True),
        "chunked": datasets.concatenate_datasets(parts).select(range(2, 7)),
        "reversed twice": rows.select(range(9, -1, -1)).select([7, 6, 5, 4, 3]),
        "other format": rows.select(range(2, 7)).with_format("numpy"),
    }


@pytest.mark.parametrize("storage", ["slice", "indices", "filtered", "chunked", "reversed twice", "other format"])
def test_storage_of_the_rows_does_not_matter(storage):
    config = tiny_config()
    rows = rows_for(config)
    stored = variants_of_storage(rows)[storage]
    dataset = dataset_for(config, stored, va=known_va(stored))
    plain = datasets.Dataset.from_dict(rows[2:7], features=rows.features)
    expected = dataset_for(config, plain, va=known_va(plain))
    for indices in ([0, 1, 2, 3, 4], [3], [4, 0]):
        found, wanted = batch_of(dataset, indices, with_va=True), batch_of(expected, indices, with_va=True)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)
    assert dataset.lengths.tolist() == expected.lengths.tolist()
    assert dataset.dialogues.tolist() == [0, 1, 2, 2, 2]


def feature_column(frames: list) -> pa.Array:
    return pa.array(frames, type=pa.list_(pa.list_(pa.float16(), 2)))


CLIPS = [[[1, 2], [3, 4]], None, [[5, 6]], [], [[7, 8], [9, 10], [11, 12]]]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([feature_column(CLIPS)]),
        pa.chunked_array([feature_column(CLIPS[:2]), feature_column([]), feature_column(CLIPS[2:])]),
        pa.chunked_array([feature_column([[[0, 0]], *CLIPS, None]).slice(1, 5)]),
        pa.chunked_array([feature_column([None, *CLIPS[:1]]).slice(1), feature_column(CLIPS).slice(1)]),
        pa.chunked_array([feature_column([[[0, 0]], *CLIPS])]).take(pa.array([1, 2, 3, 4, 5])),
    ],
    ids=["plain", "chunked", "sliced", "sliced chunks", "taken"],
)
def test_frames_of_any_arrow_column(column):
    values, lengths = flatten_frames(column)
    assert values.dtype == np.float16
    assert values.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]
    assert lengths.tolist() == [2, 0, 1, 0, 3]


@pytest.mark.parametrize("frames", [[None, None], [[], []], []])
def test_columns_without_any_frame(frames):
    values, lengths = flatten_frames(pa.chunked_array([feature_column(frames)]))
    assert values.shape == (0, 2)
    assert lengths.tolist() == [0] * len(frames)


def test_no_python_object_is_made_for_a_number():
    config = tiny_config("words", modalities=["audio"], max_audio_length=2000)
    rows = rows_for(config, longest=2000, absent=0.0)
    dataset = dataset_for(config, rows)
    batch_of(dataset, [0])
    tracemalloc.start()
    batch = batch_of(dataset, list(range(10)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # float16 frames, float32 batch and mask; a Python float in a list takes 32 bytes.
    assert peak < 16 * batch["audio_features"].numel()


def test_modality_absent_in_every_row():
    config = tiny_config()
    rows = rows_for(config, absent={"audio": 1.0})
    dataset = dataset_for(config, rows)
    batch = batch_of(dataset, [0, 4])
    assert batch["audio_attention_mask"].tolist() == [[0], [0]]
    assert not dataset.frame_counts["audio"].any()
    batch.pop("labels")
    assert tiny_model(config)(**batch).logits.isfinite().all()


def test_labels_are_matched_by_name():
    names = list(reversed(MOSEI_EMOTIONS))
    config = tiny_config(id2label=dict(enumerate(names)))
    rows = rows_for(config)
    labels = batch_of(dataset_for(config, rows), list(range(10)))["labels"]
    for found, row in zip(labels, rows, strict=True):
        active = {names[index] for index in found.nonzero().flatten().tolist()}
        assert active == {MOSEI_EMOTIONS[index] for index in row["emotions"]}


def test_rows_without_any_emotion():
    config = tiny_config()
    rows = rows_for(config)
    rows = datasets.Dataset.from_dict({**rows[:], "emotions": [[]] * len(rows)}, features=rows.features)
    assert not batch_of(dataset_for(config, rows), [0, 5])["labels"].any()


def test_va_belongs_to_training_batches_alone():
    config = tiny_config(modalities=["text", "vision"])
    rows = rows_for(config)
    dataset = dataset_for(config, rows, va=known_va(rows, config.modalities))
    assert not [name for name in batch_of(dataset, [0, 3]) if name.endswith("_va")]
    batch = batch_of(dataset, [7, 3], with_va=True)
    assert [name for name in batch if name.endswith("_va")] == ["text_va", "vision_va"]
    expected = torch.tensor([rows[7]["vision_va"], rows[3]["vision_va"]])
    torch.testing.assert_close(batch["vision_va"], expected, equal_nan=True)


def test_va_may_be_null_or_not_there():
    config = tiny_config()
    rows = rows_for(config)
    content = {**rows[:], "text_va": [[0.5, 0.25], None] + [[0.0, 0.0]] * 8}
    va = known_va(datasets.Dataset.from_dict(content, features=rows.features).remove_columns("audio_va"))
    assert va["text"][0].tolist() == [0.5, 0.25]
    assert np.isnan(va["text"][1]).all()
    assert np.isnan(va["audio"]).all()
    assert all(va[name].shape == (10, 2) for name in MODALITIES)


def test_lengths_are_frames_and_tokens():
    config = tiny_config()
    rows = rows_for(config)
    dataset = dataset_for(config, rows)
    for index, row in enumerate(rows):
        tokens = int(batch_of(dataset, [index])["attention_mask"].sum())
        frames = sum(len(row[f"{name}_features"] or ()) for name in ("audio", "vision"))
        assert dataset.lengths[index] == tokens + frames


def test_cut_rows_are_counted():
    config = tiny_config("words", max_vision_length=3)
    rows = rows_for(config)
    counts = {
        name: sum(len(clip or ()) > config.max_lengths[name] for clip in rows[f"{name}_features"])
        for name in MODALITIES
    }
    assert dataset_for(config, rows).count_cut() == counts
    assert all(counts.values())


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_asks_for_whole_batches(workers):
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config))
    loader = DataLoader(
        dataset, batch_size=4, collate_fn=UtteranceCollator(dataset), num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    found = list(loader)
    assert [len(batch["labels"]) for batch in found] == [4, 4, 2]
    for start, batch in zip((0, 4, 8), found, strict=True):
        expected = batch_of(dataset, list(range(start, min(start + 4, 10))))
        assert all(torch.equal(batch[name], value) for name, value in expected.items())


# Refusals


def refused(config: UnivaConfig, rows: datasets.Dataset) -> str:
    with pytest.raises(CorpusError) as error:
        dataset_for(config, rows, name="corpus (train)")
    assert str(error.value).startswith("corpus (train): ")
    return str(error.value)


def test_empty_split_is_refused():
    assert "there is no row" in refused(tiny_config(), random_rows(SIZES).select([]))


def test_missing_features_are_refused():
    rows = random_rows(SIZES, modalities=("audio",))
    assert "no column `vision_features`, which a model with vision needs" in refused(tiny_config(), rows)


def test_features_of_another_width_are_refused():
    message = refused(tiny_config(audio_feature_size=FEATURE_SIZES["audio"] + 1), random_rows(SIZES))
    assert "`audio_features` are 5 numbers wide, and the model takes 6" in message


def test_other_labels_are_refused():
    message = refused(tiny_config(), random_rows(SIZES, label_names=("happy", "sad")))
    assert "the corpus has the labels ['happy', 'sad'], and the model has ['happy', 'sad', 'anger'" in message


@pytest.mark.parametrize("number", [-1, 6, 99, None])
def test_number_that_is_no_label_is_refused(number):
    rows = random_rows([3, 2], modalities=["audio", "vision"])
    emotions = [[0], [1, 5], [2], [3, number], []]
    table = rows.data.table
    column = pa.array(emotions, table.schema.field("emotions").type)
    table = table.set_column(table.schema.get_field_index("emotions"), table.schema.field("emotions"), column)
    config = tiny_config()
    with pytest.raises(
        CorpusError, match=f"row 'd1_0' has the label {-1 if number is None else number}, expected num"
    ):
        UtteranceDataset(datasets.Dataset(table), tiny_processor(config), config.label_names)


@pytest.mark.parametrize("column", ["utterance_id", "dialogue_id", "text", "emotions"])
def test_null_is_refused_with_its_column_and_row(column):
    rows = random_rows(SIZES)
    cells = rows[:][column]
    cells[4] = None
    message = refused(tiny_config(), datasets.Dataset.from_dict({**rows[:], column: cells}, features=rows.features))
    name = 4 if column == "utterance_id" else repr(rows[4]["utterance_id"]).strip("'")
    assert f"row {name} has null in the column {column!r}, expected" in message.replace(f"'{name}'", f"{name}")


def test_null_text_is_fine_where_no_text_is_read():
    config = tiny_config("words", modalities=["audio"])
    rows = rows_for(config)
    content = {**rows[:], "text": [None] * len(rows)}
    assert len(dataset_for(config, datasets.Dataset.from_dict(content, features=rows.features))) == 10


@pytest.mark.parametrize("row", [0, 4, 9, 1203])
def test_null_for_a_frame_is_refused_with_its_row(row):
    rows = random_rows([2] * 700, absent=0.1)
    frames, field = rows[:]["audio_features"], rows.data.schema.field("audio_features")
    frames[row] = [[1.0] * 5, None]
    place = rows.data.schema.get_field_index("audio_features")
    rows = datasets.Dataset(rows.data.table.set_column(place, field, pa.array(frames, field.type)))
    message = refused(tiny_config(), rows)
    assert f"row {rows[row]['utterance_id']!r} has null for a frame in the column 'audio_features'" in message


def test_text_beyond_the_limit_is_refused():
    rows = random_rows(SIZES)
    texts = [*rows["text"][:5], "é" * 1_000_001, *rows["text"][6:]]
    message = refused(tiny_config(), datasets.Dataset.from_dict({**rows[:], "text": texts}, features=rows.features))
    assert f"row {rows[5]['utterance_id']!r}: the length of its text must lie between 0 and 1,000,000" in message


def test_torn_dialogue_is_refused():
    rows = random_rows(SIZES)
    torn = rows.select([0, 3, 1, 2, *range(4, 10)])
    assert "the rows of a dialogue do not stand together" in refused(tiny_config(), torn)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_with_their_row(value):
    config = tiny_config("words", modalities=["audio", "vision"])
    rows = rows_for(config, absent=0.0).with_format(None)

    def spoil(row: dict, index: int) -> dict:
        if index == 4:
            row["audio_features"][0][1] = value
        return row

    dataset = dataset_for(config, rows.map(spoil, with_indices=True), name="corpus (test)")
    with pytest.raises(ValueError) as caught:
        batch_of(dataset, [2, 4, 5])
    assert f"row {rows[4]['utterance_id']!r} of corpus (test) hold 1 values that are NaN" in str(caught.value)
    batch_of(dataset, [2, 3, 5])
