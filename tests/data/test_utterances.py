# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Rows to batches: the same tensors as the processor gives, whatever way the rows are stored."""

import tracemalloc

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from expression_toy_system import ExpressionToyConfig
from testing_utils import FEATURE_SIZES, random_rows, tiny_config, tiny_model, tiny_processor
from torch.utils.data import DataLoader

from modeling_univa.data.schema import CorpusError
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset, flatten_frames, known_va, speaker_names
from modeling_univa.models.configuration_emotion import MODALITIES, EmotionConfig
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS, UnivaConfig


SIZES = (3, 1, 4, 2)
SPEAKERS = ("b", "a", None, "b", " ", "c", "a")


def rows_for(config: EmotionConfig, **options) -> datasets.Dataset:
    shared = {"modalities": list(config.feature_sizes), "speakers": SPEAKERS, "longest": 12, "absent": 0.3}
    return random_rows(SIZES, **{**shared, **options})


def dataset_for(config: EmotionConfig, rows: datasets.Dataset, **options) -> UtteranceDataset:
    return UtteranceDataset(rows, tiny_processor(config), config.label_names, **options)


def batch_of(dataset: UtteranceDataset, indices: list[int], with_va: bool = False) -> dict[str, torch.Tensor]:
    return UtteranceCollator(dataset, with_va)(dataset.__getitems__(indices))


def processed(config: UnivaConfig, rows: datasets.Dataset, indices: list[int]) -> dict[str, torch.Tensor]:
    """The same rows through the processor's own call."""
    rows = rows.with_format(None)
    dialogues: dict[str, list[str]] = {}
    speakers: dict[str, list[str | None]] = {}
    for row in rows:
        dialogues.setdefault(row["dialogue_id"], []).append(row["text"])
        speakers.setdefault(row["dialogue_id"], []).append(row["speaker"])
    names = list(dialogues)
    first = {name: rows["dialogue_id"].index(name) for name in names}
    places = [(names.index(rows[i]["dialogue_id"]), i - first[rows[i]["dialogue_id"]]) for i in indices]
    features = {}
    for modality in config.feature_sizes:
        frames = [rows[i][f"{modality}_features"] for i in indices]
        features[f"{modality}_features"] = [None if clip is None else np.array(clip, np.float16) for clip in frames]
    processor = tiny_processor(config)
    texts = None if processor.tokenizer is None else list(dialogues.values())
    return dict(processor(texts, places, speakers=list(speakers.values()), **features))


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


def with_column(rows: datasets.Dataset, name: str, values: list, kind) -> datasets.Dataset:
    """The rows with a column added, or in place of the one they have."""
    content = {**rows.with_format(None)[:], name: values}
    return datasets.Dataset.from_dict(content, features=datasets.Features({**rows.features, name: kind}))


def test_order_of_a_batch():
    config = tiny_config()
    batch = batch_of(dataset_for(config, rows_for(config), va=known_va(rows_for(config))), [0, 5], with_va=True)
    assert list(batch) == [
        "labels", "dialogue_index", "utterance_span", "position", "speaker_index", "input_ids", "attention_mask",
        "audio_features", "audio_attention_mask", "vision_features", "vision_attention_mask",
        "text_va", "audio_va", "vision_va",
    ]  # fmt: skip
    assert all(batch[name].dtype == torch.int64 for name in list(batch)[1:7])


@pytest.mark.parametrize("route", ["bert", "words"])
def test_place_and_speaker_of_every_utterance(route):
    """Of dialogues of 3, 1, 4 and 2 rows."""
    config = tiny_config(route)
    names = ["b", "a", "b", None, "z", " ", "a", "z", None, "b"]
    rows = with_column(rows_for(config), "speaker", names, datasets.Value("string"))
    batch = batch_of(dataset_for(config, rows), list(range(10)))
    assert batch["dialogue_index"].tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]
    assert batch["position"].tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 0, 1]
    assert batch["speaker_index"].tolist() == [0, 1, 0, -1, 0, -1, 1, 0, -1, 0]
    # In a batch of some rows these are still those of the whole dialogue.
    batch = batch_of(dataset_for(config, rows), [6, 1, 9])
    assert batch["dialogue_index"].tolist() == [1, 0, 2]
    assert batch["position"].tolist() == [2, 1, 1]
    assert batch["speaker_index"].tolist() == [1, 1, 0]


def test_speakers_by_name():
    rows = rows_for(tiny_config("words"))
    names = ["b", "a", "b", None, "z", " ", "a", "z", None, "b"]
    named = with_column(rows, "speaker", names, datasets.Value("string"))
    known = ["b", "a", "b", None, "z", None, "a", "z", None, "b"]
    assert speaker_names(named) == known
    numbers = [None if name is None else ["a", "b", "z"].index(name) for name in known]
    classes = with_column(rows, "speaker", numbers, datasets.ClassLabel(names=["a", "b", "z"]))
    assert speaker_names(classes) == known
    assert speaker_names(rows.remove_columns(["speaker"])) is None
    assert dataset_for(tiny_config("words"), named).speaker_names == known


def test_place_is_that_of_the_corpus_where_it_says_one():
    config = tiny_config("words")
    rows = rows_for(config)
    left = rows.filter(lambda row: row["utterance_id"] not in ("d0_1", "d2_0"))
    assert dataset_for(config, left).positions.tolist() == [0, 2, 0, 1, 2, 3, 0, 1]
    unsaid = with_column(rows, "position", [5, None, None, *[None] * 7], datasets.Value("int32"))
    assert dataset_for(config, unsaid).positions.tolist() == [5, 1, 2, 0, 0, 1, 2, 3, 0, 1]
    bare = dataset_for(config, rows.remove_columns(["position", "speaker"]))
    assert bare.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 0, 1]
    assert bare.speakers.tolist() == [-1] * 10


def test_speakers_are_numbered_as_a_loop_would():
    config = tiny_config("words", modalities=["audio"])
    generator = np.random.default_rng(0)
    rows = random_rows([int(size) for size in generator.integers(1, 12, 40)], modalities=["audio"])
    names = [None if name == 0 else f"s{name}" for name in generator.integers(0, 6, len(rows))]
    rows = with_column(rows, "speaker", names, datasets.Value("string"))
    expected, seen = [], {}
    for dialogue, name in zip(rows["dialogue_id"], names, strict=True):
        known = seen.setdefault(dialogue, {})
        expected.append(-1 if name is None else known.setdefault(name, len(known)))
    assert dataset_for(config, rows).speakers.tolist() == expected


def frames_kind(width: int):
    return datasets.List(datasets.List(datasets.Value("float16"), length=width))


def clip(frames: int, width: int, start: float = 0) -> list[list[float]]:
    return (np.arange(frames * width).reshape(frames, width) + start).tolist()


def expression_config(size: int = 4, **overrides) -> ExpressionToyConfig:
    plain = tiny_config(**overrides)
    names = ("text_config", "id2label", "modalities", *(f"{name}_feature_size" for name in FEATURE_SIZES),
             *(f"max_{name}_length" for name in FEATURE_SIZES))  # fmt: skip
    return ExpressionToyConfig(face_emotion_size=size, **{name: getattr(plain, name) for name in names})


def rows_with_expressions(config: EmotionConfig, counts: list[int | None]) -> datasets.Dataset:
    rows = rows_for(config, absent=0.0)
    emotions = [None if count is None else clip(count, 4, start=row) for row, count in enumerate(counts)]
    return with_column(rows, "face_emotions", emotions, frames_kind(4))


def test_expressions_stand_beside_the_faces():
    config = expression_config(max_vision_length=5)
    faces = [len(frames) for frames in rows_for(config, absent=0.0)["vision_features"]]
    counts = [*faces[:9], None]
    rows = rows_with_expressions(config, counts)
    dataset = dataset_for(config, rows)
    batch = batch_of(dataset, [9, 0, 4])
    frames = batch["vision_features"].shape[1]
    assert batch["face_emotions"].shape == (3, frames, 4)
    assert not batch["face_emotions"][0].any() and batch["vision_attention_mask"][0].any()
    for place, row in ((1, 0), (2, 4)):
        kept = min(faces[row], 5)
        assert batch["face_emotions"][place, :kept].tolist() == clip(faces[row], 4, start=row)[:kept]
        assert not batch["face_emotions"][place, kept:].any()
    assert list(batch)[-1] == "face_emotions"
    # They are a number beside each face, and no frames of their own.
    assert dataset.lengths.tolist() == dataset_for(expression_config(0, max_vision_length=5), rows).lengths.tolist()


@pytest.mark.parametrize("variant", ["without faces", "without the field", "0"])
def test_expressions_are_for_models_that_read_them(variant):
    config = {
        "without faces": expression_config(0, modalities=["text", "audio"]), "without the field": tiny_config(),
        "0": expression_config(0),
    }[variant]  # fmt: skip
    rows = rows_with_expressions(config, [1] * 10)
    assert "face_emotions" not in batch_of(dataset_for(config, rows), [0])


def test_expressions_of_other_faces_are_refused():
    config = expression_config()
    faces = [len(frames) for frames in rows_for(config, absent=0.0)["vision_features"]]
    rows = rows_with_expressions(config, [*faces[:3], faces[3] + 1, *faces[4:]])
    message = refused(config, rows)
    assert f"row 'd1_0' has {faces[3] + 1} frames of `face_emotions` and {faces[3]} of `vision_features`" in message


def test_expressions_that_are_missing_or_others_are_refused():
    config = expression_config()
    message = refused(config, rows_for(config))
    assert "no column `face_emotions`, which the model reads; extract it with `face_emotions`, or set" in message
    message = refused(expression_config(5), rows_with_expressions(config, [None] * 10))
    assert "`face_emotions` are 4 numbers wide, and the model takes 5" in message


def test_rows_one_by_one_are_a_batch_too():
    """As a data set without `__getitems__` gives them, and as `Trainer` cuts a batch into its rows."""
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config))
    together, apart = batch_of(dataset, [2, 0, 7]), UtteranceCollator(dataset)([dataset[2], dataset[0], dataset[7]])
    assert list(apart) == list(together)
    assert all(torch.equal(apart[name], value) for name, value in together.items())


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


def refused(config: EmotionConfig, rows: datasets.Dataset) -> str:
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


def test_rows_without_text_are_counted_with_what_to_do():
    rows, config = random_rows(SIZES), tiny_config()
    texts = [None if place in (2, 4) else text for place, text in enumerate(rows["text"])]
    message = refused(config, datasets.Dataset.from_dict({**rows[:], "text": texts}, features=rows.features))
    first = rows[2]["utterance_id"]
    assert (
        f"2 of {len(rows)} rows have no text, the first {first!r}, and the model reads text; fill it in or" in message
    )
    assert "remove them, or leave the text out with `modalities` audio vision" in message


@pytest.mark.parametrize("column", ["utterance_id", "dialogue_id", "emotions"])
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


# Rows that lose a modality, and other features


def without_by_rows(rows: datasets.Dataset, modality: str, removed: np.ndarray) -> datasets.Dataset:
    """A corpus that never had it: null for features, an empty text."""
    columns = {"text": [("text", ""), ("text_features", None)], "audio": [("audio_features", None)],
               "vision": [("vision_features", None), ("face_emotions", None)]}[modality]  # fmt: skip
    kept = rows.with_format(None)
    for column, nothing in columns:
        if column in rows.features:
            values = [nothing if lost else row[column] for lost, row in zip(removed, kept, strict=True)]
            kept = with_column(kept, column, values, rows.features[column])
    return kept


@pytest.mark.parametrize("route", ["bert", "roberta", "words"])
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_rows_that_lose_a_modality_are_as_rows_that_never_had_it(route, modality, share):
    config = tiny_config(route)
    rows = rows_for(config)
    removed = np.random.default_rng(3).random(len(rows)) < share
    dataset = dataset_for(config, rows)
    before = batch_of(dataset, list(range(10)))
    found = dataset.without(modality, removed)
    expected = dataset_for(config, without_by_rows(rows, modality, removed))
    for indices in (list(range(10)), [4, 0, 9]):
        batch, wanted = batch_of(found, indices), batch_of(expected, indices)
        assert batch.keys() == wanted.keys()
        for name in wanted:
            assert torch.equal(batch[name], wanted[name]), name
    assert found.lengths.tolist() == expected.lengths.tolist()
    # The split itself stays as it was.
    assert all(torch.equal(value, before[name]) for name, value in batch_of(dataset, list(range(10))).items())


def test_modalities_are_lost_one_after_the_other():
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config, absent=0.0))
    first, second = np.arange(10) < 3, np.arange(10) > 7
    batch = batch_of(
        dataset.without("audio", first).without("audio", second).without("vision", second), list(range(10))
    )
    assert batch["audio_attention_mask"].any(dim=1).tolist() == [3 <= row <= 7 for row in range(10)]
    assert batch["vision_attention_mask"].any(dim=1).tolist() == [row <= 7 for row in range(10)]


def test_expressions_go_with_the_faces():
    config = expression_config()
    faces = [len(frames) for frames in rows_for(config, absent=0.0)["vision_features"]]
    removed = np.arange(10) % 3 == 0
    batch = batch_of(dataset_for(config, rows_with_expressions(config, faces)).without("vision", removed), [0, 1, 3])
    assert batch["face_emotions"].flatten(1).any(dim=1).tolist() == [False, True, False]


def test_text_is_not_removed_from_states_that_have_seen_it(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    config = tiny_config()
    dataset = dataset_for(config, rows_for(config), text_encoder=tiny_model(config).text_encoder)
    with pytest.raises(ValueError, match="make the split without `text_encoder`"):
        dataset.without("text", np.ones(10, bool))


def test_other_features_take_the_place_of_those_of_the_corpus():
    config = tiny_config()
    rows = rows_for(config)
    frames = [None if row == 2 else np.full((row % 4 + 1, 5), row, np.float32) for row in range(10)]
    found = dataset_for(config, rows).with_features("audio", frames)
    nested = [None if one is None else one.tolist() for one in frames]
    expected = dataset_for(config, with_column(rows, "audio_features", nested, rows.features["audio_features"]))
    for indices in (list(range(10)), [7, 2, 2]):
        assert all(
            torch.equal(value, batch_of(expected, indices)[name]) for name, value in batch_of(found, indices).items()
        )
    lost = batch_of(found.without("audio", np.arange(10) == 4), [3, 4])
    assert lost["audio_attention_mask"].any(dim=1).tolist() == [True, False]
