# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A streamed corpus: every row once an epoch, whole dialogues, the same inputs as from the corpus at rest."""

import itertools
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from expression_toy_system import ExpressionToyConfig
from testing_utils import FEATURE_SIZES, random_rows, tiny_config, tiny_processor, write_corpus, write_text_encoder

import train_hf
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.streaming import StreamedBatches, StreamedUtterances
from modeling_univa.data.utterances import UtteranceDataset, scaled_va


SIZES = [3, 1, 4, 2, 5, 1, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("stream")
    kinds = ("text", "audio", "vision")
    splits = {
        name: random_rows(sizes, seed=seed, modalities=kinds, prefix=name)
        for seed, (name, sizes) in enumerate({"train": SIZES, "validation": [3, 4], "test": [5]}.items())
    }
    write_corpus(base / "corpus", splits)
    # A border between files goes through a dialogue.
    data, rows = base / "corpus" / "data", splits["train"]
    (data / "train-00000-of-00001.parquet").unlink()
    rows.select(range(6)).to_parquet(data / "train-00000-of-00002.parquet")
    rows.select(range(6, len(rows))).to_parquet(data / "train-00001-of-00002.parquet")
    write_text_encoder(base / "encoder")
    return base


@pytest.fixture(scope="module")
def corpus(folder):
    return load_corpus(str(folder / "corpus"), streaming=True)


def streamed(corpus, window_rows: int = 5, va_scaling: str = "released") -> StreamedUtterances:
    config = tiny_config()
    return StreamedUtterances(
        corpus.stream("train"), tiny_processor(config), config.label_names, va_scaling, window_rows
    )


def test_expressions_come_with_a_stream(tmp_path):
    rows = random_rows([3, 2, 4], face_emotion_size=4)
    corpus = load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})), streaming=True)
    plain = tiny_config()
    sizes = {f"{name}_feature_size": size for name, size in plain.feature_sizes.items()}
    config = ExpressionToyConfig(
        text_config=plain.text_config, id2label=plain.id2label, face_emotion_size=corpus.feature_size("face_emotions"),
        **sizes,
    )  # fmt: skip
    stream = StreamedUtterances(corpus.stream("train"), tiny_processor(config), config.label_names)
    batch = next(iter(StreamedBatches(stream, batch_size=9)))
    assert batch["face_emotions"].shape == (*batch["vision_attention_mask"].shape, 4)
    sums = batch["face_emotions"].sum(dim=-1)
    torch.testing.assert_close(sums, batch["vision_attention_mask"].float(), atol=1e-2, rtol=0)


def test_corpus_describes_itself_as_at_rest(corpus, folder):
    whole = load_corpus(str(folder / "corpus"))
    assert corpus.label_names == whole.label_names
    assert [corpus.feature_size(name) for name in FEATURE_SIZES] == list(FEATURE_SIZES.values())
    assert str(corpus.split("test").to_dict()) == str(whole.split("test").to_dict())
    assert corpus.split("test").features == whole.split("test").features
    with pytest.raises(CorpusError, match="has no split 'dev'"):
        corpus.stream("dev")


@pytest.mark.parametrize("window_rows", [1, 5, 1000])
def test_windows_hold_whole_dialogues_and_every_row_once(corpus, window_rows, folder):
    windows = list(streamed(corpus, window_rows).windows())
    ids = [name for window in windows for name in window.utterance_ids]
    assert ids == load_corpus(str(folder / "corpus")).split("train")["utterance_id"]
    dialogues = [{name.split("_")[0] for name in window.utterance_ids} for window in windows]
    assert sum(map(len, dialogues)) == len(set().union(*dialogues)) == len(SIZES)
    assert all(len(window) >= min(window_rows, len(ids)) for window in windows)
    assert (len(windows) > 1) is (window_rows < 1000)


@pytest.mark.parametrize("va_scaling", ["none", "released", "standardize"])
def test_va_is_scaled_by_the_whole_split(corpus, folder, va_scaling):
    expected = scaled_va(load_corpus(str(folder / "corpus")).split("train"), va_scaling)
    windows = list(streamed(corpus, va_scaling=va_scaling).windows())
    for modality, values in expected.items():
        np.testing.assert_allclose(np.concatenate([window.va[modality] for window in windows]), values, rtol=1e-6)


def test_inputs_are_those_of_the_corpus_at_rest(corpus, folder):
    config = tiny_config()
    rows = load_corpus(str(folder / "corpus")).split("train")
    whole = UtteranceDataset(rows, tiny_processor(config), config.label_names, scaled_va(rows, "released"))
    for window in streamed(corpus).windows():
        for place, name in enumerate(window.utterance_ids):
            index = whole.utterance_ids.index(name)
            np.testing.assert_array_equal(window.labels[place], whole.labels[index])
            row = window.token_rows[window.row_of_utterance[place]]
            np.testing.assert_array_equal(row, whole.token_rows[whole.row_of_utterance[index]])
            np.testing.assert_array_equal(window.spans[place], whole.spans[index])
            assert window[place].features.equals(whole[index].features)


def labels_of(batches: StreamedBatches, count: int) -> list[torch.Tensor]:
    return [batch["labels"] for batch in itertools.islice(batches, count)]


def test_epochs_differ_and_a_second_run_is_the_same(corpus):
    utterances = streamed(corpus, 1000)
    count = -(-sum(SIZES) // 4)
    batches = [batch["text_va"] for batch in itertools.islice(StreamedBatches(utterances, 4, "random"), 2 * count)]
    again = [batch["text_va"] for batch in itertools.islice(StreamedBatches(utterances, 4, "random"), 2 * count)]
    assert all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(batches, again, strict=True))
    first, second = torch.cat(batches[:count]).nan_to_num(9), torch.cat(batches[count:]).nan_to_num(9)
    assert len(first) == len(second) == sum(SIZES)
    assert not torch.equal(first, second)
    assert sorted(first.tolist()) == sorted(second.tolist())


def test_processes_share_the_batches(corpus):
    utterances = streamed(corpus, 5)
    alone = labels_of(StreamedBatches(utterances, 2, num_processes=2, process_index=0), 4)
    other = labels_of(StreamedBatches(utterances, 2, num_processes=2, process_index=1), 4)
    windows = list(utterances.windows())
    first = -(-len(windows[0]) // 4)
    total = torch.cat(alone[:first]).sum(0) + torch.cat(other[:first]).sum(0)
    assert torch.equal(total, torch.from_numpy(windows[0].labels).float().sum(0))


def test_every_window_has_a_row_for_each_process(corpus, folder):
    # The second dialogue has a single row, and windows of one row are asked for.
    utterances = streamed(corpus, 1)
    sizes = [len(window) for window in utterances.windows(3)]
    assert 1 in [len(window) for window in utterances.windows()] and len(sizes) > 2 and min(sizes) >= 3
    shares = [StreamedBatches(utterances, 8, num_processes=3, process_index=rank) for rank in range(3)]
    seen = [batch["text_va"] for share in shares for batch in itertools.islice(share, len(sizes))]
    assert sum(map(len, seen)) == sum(SIZES)
    expected = scaled_va(load_corpus(str(folder / "corpus")).split("train"), "released")["text"]
    found = np.sort(torch.cat(seen).nan_to_num(9).numpy(), axis=0)
    np.testing.assert_allclose(found, np.sort(np.nan_to_num(expected, nan=9), axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match="19 training rows cannot be shared by 20 processes"):
        next(iter(StreamedBatches(streamed(corpus), 1, num_processes=20)))


def test_window_must_hold_a_row(corpus):
    with pytest.raises(CorpusError, match="a window must hold at least 1 row, got 0"):
        streamed(corpus, 0)


# Training


def options(folder: Path, output: Path, **extra: object) -> list[str]:
    given = {
        "dataset": folder / "corpus", "text_model": folder / "encoder", "output_dir": output, "streaming": True,
        "streaming_window": 6, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "use_cpu": True, "max_steps": 6,
        "per_device_train_batch_size": 4, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps",
        "save_steps": 3, "logging_strategy": "steps", "logging_steps": 3,
    }  # fmt: skip
    return [part for name, value in (given | extra).items() for part in (f"--{name}", str(value))]


@pytest.mark.slow
def test_training_from_a_stream_and_going_on(folder, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert train_hf.main(options(folder, whole)) == 0
    assert train_hf.main(options(folder, resumed)) == 0
    for path in [*resumed.glob("checkpoint-6"), *resumed.glob("model*.safetensors")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert [path.name for path in resumed.glob("checkpoint-*")] == ["checkpoint-3"]
    assert train_hf.main(options(folder, resumed)) == 0
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (whole / "README.md").is_file()


def test_a_stream_needs_an_end(folder, tmp_path, capsys):
    assert train_hf.main(options(folder, tmp_path, max_steps=-1)) == 2
    assert "pass `max_steps` with" in capsys.readouterr().err
    assert isinstance(datasets.load_dataset(str(folder / "corpus"), streaming=True), datasets.IterableDatasetDict)
