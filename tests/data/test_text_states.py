# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""States of a frozen text encoder: those that the tokens have, computed once, and whole whatever happens."""

import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from testing_utils import random_rows, run_command, subprocess_environment, tiny_config, tiny_model, tiny_processor

from modeling_univa.data import text_states
from modeling_univa.data.samplers import BATCHINGS, UtteranceBatchSampler
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.models.configuration_univa import UnivaConfig


SIZES = (3, 1, 4, 2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, in which the states are kept."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache" / "univa_text_states"


@pytest.fixture
def encoded(monkeypatch) -> list[list[list[int]]]:
    """The tokens of each batch that the encoder reads while the test runs."""
    seen: list[list[list[int]]] = []

    def recording(self, places, encode=text_states._Encoding._encode):
        seen.append([self.dialogues[place][0].tolist() for place in places])
        return encode(self, places)

    monkeypatch.setattr(text_states._Encoding, "_encode", recording)
    return seen


def dataset_for(
    model: Any, rows: datasets.Dataset | None = None, states: bool = True, name: str = "rows", **settings: Any
) -> UtteranceDataset:
    rows = random_rows(SIZES) if rows is None else rows
    config = model.config if not settings else tiny_config(**settings)
    encoder = model.text_encoder if states else None
    return UtteranceDataset(rows, tiny_processor(config), config.label_names, name=name, text_encoder=encoder)


def batch_of(dataset: UtteranceDataset, indices: list[int]) -> dict[str, torch.Tensor]:
    return UtteranceCollator(dataset)(dataset.__getitems__(indices))


def states_of(dataset: UtteranceDataset) -> list[list[list[float]]]:
    return dataset.text_states[np.arange(len(dataset))].to_pylist()


def parts_of(cache: Path) -> list[str]:
    return sorted(file.name for file in cache.rglob("*") if file.is_file() and file.name != ".lock")


CONFIGS = {"bert": ("bert", {}), "roberta": ("roberta", {}), "windows": ("roberta", {"max_text_length": 8})}


def config_of(variant: str) -> UnivaConfig:
    route, settings = CONFIGS[variant]
    return tiny_config(route, **settings)


@pytest.mark.parametrize("variant", CONFIGS)
@pytest.mark.parametrize("indices", [[0], [3, 1, 8, 1], list(range(10)), [9, 0, 5]])
def test_batches_have_the_states_of_the_utterances_own_tokens(variant, indices):
    model = tiny_model(config_of(variant))
    tokens, found = batch_of(dataset_for(model, states=False), indices), batch_of(dataset_for(model), indices)
    assert list(found)[:6] == [
        "labels", "dialogue_index", "position", "speaker_index", "text_states", "text_attention_mask"
    ]  # fmt: skip
    assert not {"input_ids", "attention_mask", "utterance_span"} & set(found)
    assert found["text_states"].dtype == torch.float32
    with torch.no_grad():
        expected, frames = model.read(tokens)["text"], model.read(found)["text"]
        torch.testing.assert_close(frames.mask, expected.mask)
        torch.testing.assert_close(frames.states, expected.states, atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(model(**found).logits, model(**tokens).logits, atol=2e-3, rtol=2e-3)
    shared = set(tokens) & set(found) - {"dialogue_index"}
    assert all(torch.equal(found[name], tokens[name]) for name in shared) and len(shared) >= 5


def test_the_encoder_reads_each_distinct_dialogue_once(encoded, cache):
    """Copies of rows at another speed are dialogues of another name and of the same text."""
    rows = random_rows(SIZES)
    copies = [rows.map(lambda row, n=n: {name: f"{row[name]}-{n}" for name in ("utterance_id", "dialogue_id")})
              for n in range(3)]  # fmt: skip
    model = tiny_model(tiny_config())
    dataset = dataset_for(model, datasets.concatenate_datasets(copies))
    assert len(dataset) == 30
    assert sum(map(len, encoded)) == len(SIZES)
    assert states_of(dataset) == states_of(dataset_for(model, rows)) * 3
    (kept,) = {datasets.Dataset.from_file(str(file)).num_rows for file in cache.rglob("*.arrow")}
    assert kept == 10


def test_equal_tokens_of_other_utterances_are_not_the_same(encoded):
    rows = random_rows([2, 1])
    texts = ["a", "b", "a[SEP]b"]
    rows = datasets.Dataset.from_dict({**rows[:], "text": texts}, features=rows.features)
    found = states_of(dataset_for(tiny_model(tiny_config()), rows))
    assert encoded[0][0] == encoded[0][1]
    assert [len(states) for states in found] == [1, 1, 3]


def test_states_are_computed_once_for_an_encoder_and_its_tokens(encoded):
    model, rows = tiny_model(tiny_config()), random_rows(SIZES)
    first = states_of(dataset_for(model, rows))
    count = len(encoded)
    assert states_of(dataset_for(model, rows, name="another name")) == first and len(encoded) == count
    # Neither labels nor features are read.
    assert states_of(dataset_for(model, rows.remove_columns(["text_va", "speaker"]))) == first
    assert len(encoded) == count
    changed = [
        dataset_for(tiny_model(tiny_config(), seed=1), rows),
        dataset_for(model, rows, max_text_length=20),
        dataset_for(model, rows.select(range(8))),
    ]
    assert len(encoded) == count + len(changed)
    model.text_encoder.embeddings.word_embeddings.weight.data[7] += 1
    dataset_for(model, rows)
    assert len(encoded) == count + len(changed) + 1


def test_dropout_is_off_and_the_mode_is_as_before():
    config = tiny_config()
    config.text_config.hidden_dropout_prob = 0.5
    model = tiny_model(config)
    expected = batch_of(dataset_for(model, states=False), [0, 4])
    model.train()
    found = batch_of(dataset_for(model), [0, 4])
    assert model.text_encoder.training
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(**found).logits, model(**expected).logits, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_batching_goes_by_the_tokens_that_the_model_reads(batching):
    dataset = dataset_for(tiny_model(tiny_config()))
    batch = batch_of(dataset, list(range(10)))
    masks = [value for name, value in batch.items() if name.endswith("_mask")]
    assert dataset.lengths.tolist() == sum(mask.sum(dim=1) for mask in masks).tolist()
    assert not dataset.has_tokens and not dataset.count_cut()["text"]
    batches = list(UtteranceBatchSampler(dataset.lengths, dataset.dialogues, 4, batching))
    assert sorted(row for rows in batches for row in rows) == list(range(10))
    if batching == "whole_dialogues":
        whole = [set(np.flatnonzero(dataset.dialogues == number)) for number in range(4)]
        assert all(dialogue <= set(rows) or not dialogue & set(rows) for dialogue in whole for rows in batches)


def interrupted_after(monkeypatch, batches: int) -> None:
    """Stop the encoder when it is given this batch."""
    left = iter(range(batches))

    def stopping(self, places, encode=text_states._Encoding._encode):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return encode(self, places)

    monkeypatch.setattr(text_states._Encoding, "_encode", stopping)


def test_an_interrupted_job_goes_on(cache, monkeypatch, encoded):
    monkeypatch.setattr(text_states, "_TOKENS_OF_A_PART", 40)
    model, rows = tiny_model(tiny_config()), random_rows([4] * 9)
    with monkeypatch.context() as context:
        interrupted_after(context, 2)
        with pytest.raises(KeyboardInterrupt):
            dataset_for(model, rows)
    kept = parts_of(cache)
    assert kept == ["00000.arrow", "00001.arrow"]
    (cache / next(cache.iterdir()) / ".00002.arrow-1234.writing").write_bytes(b"what a killed process leaves")
    encoded.clear()
    dataset = dataset_for(model, rows)
    parts = parts_of(cache)
    assert len(parts) > 4 and parts == [f"{number:05d}.arrow" for number in range(len(parts))]
    assert len(encoded) == len(parts) - 2
    monkeypatch.setattr(text_states, "_TOKENS_OF_A_PART", 1000)
    torch.testing.assert_close(
        batch_of(dataset, list(range(36)))["text_states"],
        batch_of(dataset_for(model, rows), list(range(36)))["text_states"],
        atol=2e-3, rtol=2e-3,
    )  # fmt: skip


def test_a_damaged_file_is_made_again(cache, encoded, caplog):
    model, rows = tiny_model(tiny_config()), random_rows(SIZES)
    expected = states_of(dataset_for(model, rows))
    (file,) = cache.rglob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert states_of(dataset_for(model, rows)) == expected
    assert file.read_bytes() == whole and len(encoded) == 2


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_states_that_float16_does_not_hold_are_refused(value, cache):
    model = tiny_model(tiny_config())
    model.text_encoder.encoder.layer[-1].output.LayerNorm.bias.data[3] = value
    with pytest.raises(ValueError, match=r"states that the text encoder \(bert\) has for corpus \(dev\) are not fin"):
        dataset_for(model, name="corpus (dev)")
    assert not parts_of(cache)


def test_a_model_of_word_vectors_has_no_states():
    config = tiny_config("words")
    rows = random_rows(SIZES, modalities=("text", "audio", "vision"))
    dataset = UtteranceDataset(rows, tiny_processor(config), config.label_names, text_encoder=None)
    assert dataset.text_states is None and "text_features" in batch_of(dataset, [0])


READER = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/support")
import datasets, torch
from testing_utils import bert_tokenizer, random_rows
from transformers import BertConfig, BertModel
from modeling_univa.data import text_states
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.models.processing_univa import UnivaProcessor

def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

text_states._TOKENS_OF_A_PART = text_states._TOKENS_OF_A_BATCH = 1 << 10
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(bert_tokenizer()), hidden_size=512, num_hidden_layers=1, num_attention_heads=4,
    intermediate_size=64, max_position_embeddings=48,
)
encoder = BertModel(config, add_pooling_layer=False)
one = random_rows([4] * 50, modalities=())
rows = datasets.concatenate_datasets([
    one.map(lambda row: {"dialogue_id": f"{row['dialogue_id']}-{n}", "text": f"{row['text']} {chr(97 + n)} {n}"})
    for n in range(int(sys.argv[1]))
])
processor = UnivaProcessor(bert_tokenizer(), modalities=["text"], max_lengths={"text": 48})
before = private()
dataset = UtteranceDataset(rows, processor, rows.features["emotions"].feature.names, text_encoder=encoder)
collate, highest = UtteranceCollator(dataset), private()
for start in range(0, len(dataset), 20):
    collate(dataset.__getitems__(list(range(start, start + 20))))
    highest = max(highest, private())
print(highest - before, int(dataset.text_states.lengths.sum()) * 1024 / 2**20)
"""


@pytest.mark.slow
def test_private_memory_does_not_grow_with_the_states(tmp_path):
    found = []
    for copies in (2, 16):
        environment = subprocess_environment(tmp_path)
        # glibc keeps freed blocks of up to 32 MB and an arena for each thread: by chance as much as all the states.
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 17), "MALLOC_ARENA_MAX": "1"}
        root = Path(__file__).parents[2]
        result = run_command([sys.executable, "-c", READER, copies], environment, root)
        assert result.returncode == 0, result.stderr[-3000:]
        found.append([float(number) for number in result.stdout.split()])
    (small, few), (large, many) = found
    assert many > 7 * few and many > 20
    assert large - small < many / 2
