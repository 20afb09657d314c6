# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A system that reads across utterances scores them alike wherever it is used: each in its whole dialogue."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from dialogue_toy_system import DialogueToyConfig, DialogueToyModel, register_dialogue_toy
from media_corpora import write_sound
from testing_utils import FEATURE_SIZES, MAX_TOKENS, random_rows, text_config, tiny_processor, write_corpus

from modeling_univa import cli
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.models.word_vectors_univa import WordVectorExtractor
from modeling_univa.prediction.inputs import Utterance, read_utterances
from modeling_univa.prediction.onnx_export import InputShape, export_onnx, random_inputs
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.prediction.predict import predict
from modeling_univa.training.evaluation import evaluate_model
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


# The first two fit into a batch of six, the third does not, and the last two do again.
SIZES, SPEAKERS, BATCH_SIZES = (3, 1, 7, 2, 4), ("b", "a", None, "b", "c"), (1, 6, 100)
ROUTES = {"bert": {}, "words": {}, "sound": {"modalities": ["audio"]}}
ABSENT = {"bert": 0.2, "words": {"text": 0.0, "audio": 0.2, "vision": 0.2}, "sound": 0.0}


def make_model(route: str, **settings: Any) -> DialogueToyModel:
    """One whose scores tell utterances and their dialogues apart."""
    sizes = {f"{name}_feature_size": size for name, size in FEATURE_SIZES.items()}
    lengths = {"max_text_length": MAX_TOKENS if route == "bert" else 9, "max_audio_length": 8, "max_vision_length": 7}
    labels = dict(enumerate(MOSEI_EMOTIONS))
    config = DialogueToyConfig(
        text_config=text_config(route), id2label=labels, **{**sizes, **lengths, **ROUTES[route], **settings}
    )
    torch.manual_seed(0)
    model = DialogueToyModel(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("text_encoder"):
                parameter.normal_(std=0.3, generator=generator)
    return model


def predicted(model: Any, processor: UnivaProcessor, dataset: UtteranceDataset, folder: Path, batch_size: int = 6):
    """Logits as evaluation in training has them."""
    args = UnivaTrainingArguments(
        folder, per_device_eval_batch_size=batch_size, batching="whole_dialogues", use_cpu=True, eval_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    return torch.from_numpy(UnivaTrainer(model, args, processing_class=processor).predict(dataset).predictions)


@pytest.fixture(scope="module", params=ROUTES)
def toy(request, tmp_path_factory) -> SimpleNamespace:
    """A saved model, a corpus, and the logits of its rows."""
    register_dialogue_toy()
    folder, route = tmp_path_factory.mktemp("toy"), request.param
    model = make_model(route)
    sizes = model.config.feature_sizes
    rows = random_rows(SIZES, speakers=SPEAKERS, modalities=list(sizes), absent=ABSENT[route])
    write_corpus(folder / "corpus", {"test": rows})
    extractors = json.loads((folder / "corpus" / "feature_extractors.json").read_text())
    processor = tiny_processor(model.config, extractors=extractors)
    for part in (model, processor):
        part.save_pretrained(folder / "model")
    dataset = UtteranceDataset(rows, processor, model.config.label_names)
    logits = predicted(model, processor, dataset, folder / "run")
    return SimpleNamespace(
        model=model, processor=processor, rows=rows, dataset=dataset, folder=folder, logits=logits, route=route
    )


@pytest.fixture(scope="module")
def exported(toy) -> Path:
    pytest.importorskip("onnxruntime")
    return export_onnx(toy.folder / "model", toy.folder / "onnx").folder


def inputs_of(toy: SimpleNamespace, *leave_out: str) -> list[dict[str, Any]]:
    """The rows as inputs of the pipeline."""
    return [{name: value for name, value in row.items() if name not in leave_out} for row in toy.rows]


def scores(toy: SimpleNamespace, found: list[list[dict[str, Any]]]) -> torch.Tensor:
    """Probabilities (B, C) of what the pipeline gives."""
    by_name = [{one["label"]: one["score"] for one in result} for result in found]
    return torch.tensor([[one[name] for name in toy.model.config.label_names] for one in by_name])


def assert_same(toy: SimpleNamespace, found: torch.Tensor, rows: Any = slice(None), tolerance: float = 1e-5) -> None:
    expected = toy.model.config.probabilities(toy.logits)[rows]
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def difference(toy: SimpleNamespace, found: torch.Tensor, rows: Any = slice(None)) -> torch.Tensor:
    """Of the scores of each row."""
    return (found - toy.model.config.probabilities(toy.logits)[rows]).abs().amax(dim=1)


def pipeline_of(toy: SimpleNamespace, model: Any = None) -> UnivaPipeline:
    return UnivaPipeline(model=model or toy.model, processor=toy.processor, threshold=None)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_evaluation_does_not_depend_on_the_batch(toy, batch_size, tmp_path):
    found = predicted(toy.model, toy.processor, toy.dataset, tmp_path, batch_size)
    torch.testing.assert_close(found, toy.logits, atol=1e-5, rtol=0)


def test_the_processor_gives_the_batch_of_training(toy):
    ends = np.cumsum([0, *SIZES])
    dialogues, speakers = (
        [toy.rows[name][start:end] for start, end in itertools.pairwise(ends)] for name in ("text", "speaker")
    )
    features = {
        f"{name}_features": [None if clip is None else np.array(clip) for clip in toy.rows[f"{name}_features"]]
        for name in toy.model.config.feature_sizes
    }
    texts = dialogues if toy.route == "bert" else None
    with torch.no_grad():
        found = toy.model(**toy.processor(texts, speakers=speakers, **features)).logits
    torch.testing.assert_close(found, toy.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_rows_of_a_corpus_go_through_the_pipeline(toy, batch_size):
    classifier = pipeline_of(toy)
    for inputs in (inputs_of(toy), toy.rows, iter(inputs_of(toy, "position"))):
        assert_same(toy, scores(toy, list(classifier(inputs, batch_size=batch_size))))


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_dialogues_as_lists_go_through_the_pipeline(toy, batch_size):
    """Without a name of the dialogue, and with the speakers of all of it."""
    inputs = inputs_of(toy, "dialogue_id", "position", "utterance_id")
    ends = np.cumsum([0, *SIZES])
    for start, end in itertools.pairwise(ends):
        dialogue = inputs[start:end]
        whole = {"text": [one["text"] for one in dialogue], "speaker": [one["speaker"] for one in dialogue]}
        for place in reversed(range(end - start)):
            inputs[start + place] = {**dialogue[place], **whole, "utterance": place}
    assert_same(toy, scores(toy, pipeline_of(toy)(inputs, batch_size=batch_size)))
    # In any order within a dialogue, each with its own speaker alone.
    order = [row for start, end in itertools.pairwise(ends) for row in range(end - 1, start - 1, -1)]
    alone = [{**inputs[row], "speaker": toy.rows["speaker"][row]} for row in order]
    assert_same(toy, scores(toy, pipeline_of(toy)(alone, batch_size=batch_size)), order)


def test_a_dialogue_that_is_cut_has_other_scores(toy):
    classifier = pipeline_of(toy)
    several = np.flatnonzero(np.repeat(SIZES, SIZES) > 1)
    alone = scores(toy, classifier(inputs_of(toy, "dialogue_id"), batch_size=100))
    assert (difference(toy, alone)[several] > 1e-4).all()
    # The first half of the long dialogue, and the second.
    for rows in (slice(4, 8), slice(8, 11)):
        found = scores(toy, classifier(inputs_of(toy, "position")[rows]))
        assert (difference(toy, found, rows) > 1e-4).all() and difference(toy, found, rows).max() > 1e-2
    # Who speaks matters, and where.
    for changed in ({"speaker": "z"}, {"position": 5}):
        moved = scores(toy, classifier([{**one, **changed} for one in inputs_of(toy)]))
        assert difference(toy, moved).median() > 1e-2


@pytest.mark.parametrize("route", ["bert", "words"])
def test_utterances_that_are_no_input_are_there_with_their_text(route, tmp_path):
    vectors = tmp_path / "vectors.txt"
    lines = [f"{word} {' '.join(map(str, np.eye(3, 6)[row]))}" for row, word in enumerate(("yes", "no", "well"))]
    vectors.write_text("\n".join(lines))
    extractor = WordVectorExtractor(str(vectors))
    model = make_model(route, modalities=["text", "audio"])
    processor = tiny_processor(model.config, extractors={"text": extractor.to_dict()} if route == "words" else {})
    dialogue, speakers, clip = ["yes no", "well", "no"], ["a", "b", "a"], np.ones((4, 5), np.float32)
    with torch.no_grad():
        logits = model(**processor([dialogue], speakers=[speakers], audio_features=[None, clip, None])).logits
    given = {"text": dialogue, "speaker": speakers, "utterance": 1, "audio_features": clip}
    (found,) = UnivaPipeline(model=model, processor=processor, threshold=None)([given])
    expected = dict(zip(model.config.label_names, model.config.probabilities(logits)[1].tolist(), strict=True))
    assert {one["label"]: one["score"] for one in found} == pytest.approx(expected, abs=1e-5)


class Placed(DialogueToyModel):
    """Reads where an utterance is and who speaks, and nothing of the others."""

    reads_dialogues = False

    def classify(self, frames, dialogue_index=None, **inputs):
        return super().classify(frames, torch.arange(len(dialogue_index)), **inputs)


def test_places_are_known_to_a_system_that_reads_no_other_utterance(toy, tmp_path):
    model = Placed(toy.model.config).eval()
    model.load_state_dict(toy.model.state_dict())
    logits = predicted(model, toy.processor, toy.dataset, tmp_path / "run")
    expected = model.config.probabilities(logits)
    for inputs, batch_size in itertools.product((toy.rows, inputs_of(toy, "position")), BATCH_SIZES):
        found = scores(toy, pipeline_of(toy, model)(inputs, batch_size=batch_size))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    utterances = read_utterances(write_table(toy, tmp_path))
    for row in (0, 9, 14):
        (found,) = predict(model, toy.processor, utterances, [utterances[row].utterance_id])
        assert list(found.scores.values()) == pytest.approx(expected[row].tolist(), abs=1e-5)


def test_dialogues_of_the_same_text_are_told_apart(toy):
    classifier = pipeline_of(toy)
    dialogue = inputs_of(toy)[:3]
    other = [{**one, "dialogue_id": "other"} for one in dialogue]
    found = scores(toy, classifier([*dialogue, *other], batch_size=100))
    for half in (found[:3], found[3:]):
        assert_same(toy, half, slice(3))


def test_rows_of_a_dialogue_have_to_follow_each_other(toy):
    with pytest.raises(ValueError, match="input 4 is of the dialogue 'd0', and so are inputs before it"):
        pipeline_of(toy)([*inputs_of(toy)[:4], inputs_of(toy)[0]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ["a", "b"], "speaker": ["x"]}, "`speaker` must have a name .* each of the 2 utterances of `text`"),
        ({"text": "a", "position": -1}, "`position` must count the utterances of a dialogue from 0, got -1"),
        ({"text": "a", "position": "first"}, "`position` must count"),
    ],
)
def test_places_that_are_none_are_refused(toy, given, message):
    with pytest.raises(ValueError, match=message):
        pipeline_of(toy)(given)


# `univa predict`


def write_table(toy: SimpleNamespace, folder: Path) -> Path:
    """The rows as a csv with a file of features an utterance."""
    columns = [f"{name}_features" for name in toy.model.config.feature_sizes]
    folder.mkdir(exist_ok=True)
    with open(folder / "test.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["utterance_id", "dialogue_id", "speaker", "text", *columns])
        writer.writeheader()
        for row in toy.rows:
            cells = {name: row[name] for name in ("utterance_id", "dialogue_id", "speaker", "text")}
            for column in columns:
                if row[column] is not None:
                    cells[column] = f"{row['utterance_id']}_{column}.npy"
                    np.save(folder / cells[column], np.array(row[column], np.float32))
            writer.writerow(cells)
    return folder / "test.csv"


def command(capsys, *arguments: Any) -> torch.Tensor:
    assert cli.main(["predict", *map(str, arguments), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return torch.tensor([list(line["scores"].values()) for line in lines])


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_univa_predict(toy, batch_size, tmp_path, capsys):
    table = write_table(toy, tmp_path)
    assert_same(toy, command(capsys, toy.folder / "model", table, "--batch-size", batch_size))
    # The others of their dialogues are read, too.
    rows = [14, 6, 0, 5]
    wanted = [part for row in rows for part in ("--utterance", toy.rows[row]["utterance_id"])]
    assert_same(toy, command(capsys, toy.folder / "model", table, "--batch-size", batch_size, *wanted), rows)


def test_utterances_that_cannot_be_read_leave_their_text(toy, tmp_path):
    table = write_table(toy, tmp_path)
    damaged, wide = 4, 5
    (tmp_path / f"{toy.rows['utterance_id'][damaged]}_audio_features.npy").write_bytes(b"no array")
    np.save(tmp_path / f"{toy.rows['utterance_id'][wide]}_audio_features.npy", np.ones((2, 3), np.float32))
    found = list(predict(toy.model, toy.processor, read_utterances(table), batch_size=100))
    assert [row for row, one in enumerate(found) if one.error] == [damaged, wide]
    assert "not a sound .npy file" in found[damaged].error
    assert "audio features of width 3 met a model" in found[wide].error
    # The dialogue is as long as it was, and those two are there without sound and faces.
    rows = toy.rows.to_list()
    for row in (damaged, wide):
        rows[row] |= {f"{name}_features": None for name in toy.model.config.feature_sizes}
    changed = UtteranceDataset(
        type(toy.rows).from_list(rows, features=toy.rows.features), toy.processor, toy.model.config.label_names
    )
    expected = toy.model.config.probabilities(predicted(toy.model, toy.processor, changed, tmp_path / "run"))
    for row, one in enumerate(found):
        if one.error is None:
            assert list(one.scores.values()) == pytest.approx(expected[row].tolist(), abs=1e-5)


def test_files_of_features_are_read_as_a_corpus_reads_them(tmp_path):
    """Numbers that it cannot hold are told, a file without a number is not a sound, and nor is an empty cell."""
    model = make_model("bert", modalities=["text", "audio"])
    processor, frames = tiny_processor(model.config), np.ones((3, 5), np.float32)
    frames[0, :3] = np.nan, np.inf, 1e6
    np.save(tmp_path / "a.npy", frames)
    np.save(tmp_path / "b.npy", np.full((2, 5), np.nan))
    files = {"a": {"audio": tmp_path / "a.npy"}, "b": {"audio": tmp_path / "b.npy"}, "c": {"audio": None}}
    # A file of sound is not asked for where there are features.
    utterances = [Utterance(name, name, "yes", tmp_path / "no.wav", features=named) for name, named in files.items()]
    found = list(predict(model, processor, utterances))
    frames[0, :3] = 0, 0, np.float16(65504)
    with torch.no_grad():
        logits = model(**processor([["yes"]] * 3, audio_features=[frames, None, None], speakers=[[None]] * 3)).logits
    for one, expected in zip(found, model.config.probabilities(logits).tolist(), strict=True):
        assert list(one.scores.values()) == pytest.approx(expected, abs=1e-5) and one.error is None
    assert "a.npy: 3 values were NaN or infinite (now 0) or beyond float16" in found[0].notes[0]
    assert "b.npy: no frame" in found[1].notes[0] and found[2].notes == []


def test_sound_that_cannot_be_used_leaves_its_text(tmp_path, monkeypatch):
    """It is found together with the others of its dialogue, when their features are made."""
    extractor = LogMelExtractor()
    model = make_model("bert", audio_feature_size=extractor.feature_size, modalities=["text", "audio"])
    processor = tiny_processor(model.config, extractors={"audio": extractor.to_dict()})
    clips = [write_sound(tmp_path / f"{number}.wav", 0.2 + number / 10) for number in range(6)]
    utterances = [Utterance(f"u{number}", f"d{number // 4}", "yes no", clip) for number, clip in enumerate(clips)]
    extract = LogMelExtractor.extract_batch

    def refusing(self, items):
        if any(len(waveform) == 16000 * 4 // 10 for waveform, _ in items):
            raise ValueError("too short a sound")
        return extract(self, items)

    expected = list(predict(model, processor, [*utterances[:2], replace(utterances[2], audio=None), *utterances[3:]]))
    monkeypatch.setattr(LogMelExtractor, "extract_batch", refusing)
    found = list(predict(model, processor, utterances))
    assert [one.error for one in found] == [None, None, "too short a sound", None, None, None]
    for one, other in zip(found, expected, strict=True):
        if one.error is None:
            assert one.scores == pytest.approx(other.scores, abs=1e-5)


# ONNX


@pytest.mark.slow
def test_onnx(toy, exported, tmp_path, capsys):
    graph = UnivaOnnxModel.from_pretrained(exported)
    assert graph.reads_dialogues and {"dialogue_index", "position", "speaker_index"} <= {*graph.input_names}
    batch = UtteranceCollator(toy.dataset)([toy.dataset[row] for row in range(len(toy.dataset))])
    torch.testing.assert_close(graph(**batch).logits, toy.logits, atol=1e-5, rtol=0)
    assert_same(toy, scores(toy, pipeline_of(toy, graph)(inputs_of(toy), batch_size=6)))
    assert_same(toy, command(capsys, exported, write_table(toy, tmp_path), "--runtime", "onnx", "--batch-size", 6))


def test_random_inputs_are_whole_dialogues(toy):
    inputs = random_inputs(toy.model, InputShape(7, 3, 9, 4), toy.model.config.max_lengths)
    assert inputs["dialogue_index"].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert inputs["position"].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert inputs["speaker_index"].shape == (7,) and inputs["speaker_index"].min() >= -1


@pytest.mark.slow
def test_an_export_is_scored_on_whole_dialogues(toy, tmp_path):
    pytest.importorskip("onnxruntime")
    options = {"dataset": str(toy.folder / "corpus"), "split": "test"}
    eager, graph = export_onnx(toy.folder / "model", tmp_path / "onnx", **options).scores
    expected = evaluate_model(str(toy.folder / "model"), str(toy.folder / "corpus"), batch_size=6, device="cpu").scores
    assert eager.micro_f1 == graph.micro_f1 == pytest.approx(expected["micro_f1"])


# `univa evaluate`


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_univa_evaluate(toy, batch_size):
    found = evaluate_model(
        str(toy.folder / "model"), str(toy.folder / "corpus"), batch_size=batch_size, device="cpu"
    ).scores
    labels = torch.from_numpy(toy.dataset.labels).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(toy.logits, labels)
    assert found["loss"] == pytest.approx(loss.item(), abs=1e-5) and found["num_rows"] == sum(SIZES)
    chosen = toy.model.config.probabilities(toy.logits) > toy.model.config.decision_threshold
    f1 = 200 * (chosen & labels.bool()).sum() / (chosen.sum() + labels.sum())
    assert found["micro_f1"] == pytest.approx(f1.item())
