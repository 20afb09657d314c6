# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline gives what the model and the processor give, whatever form an input has and however many come."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from published_weights import tiny_speech_model
from testing_utils import Utterances, bert_tokenizer, random_rows, text_config, tiny_config, tiny_model, tiny_processor
from transformers import BertForSequenceClassification, pipeline
from transformers.pipelines.pt_utils import KeyDataset
from video_files import write_clip

from modeling_univa.models.affect_scorers_univa import load_scorer
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import MediaError, read_audio
from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.word_vectors_univa import WordVectorExtractor
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.predict import predict


SPEECH, FACES = LogMelExtractor(frame_rate=4.0), HogExtractor(image_size=32, cell_size=16)
READER = FaceReader(detector="whole-frame", frame_rate=4)


def make_pipeline(route: str = "bert", reader: FaceReader | None = READER, raw: bool = True, **options: Any):
    sizes = {"audio_feature_size": SPEECH.feature_size, "vision_feature_size": FACES.feature_size} if raw else {}
    config = tiny_config(route, **sizes, **options.pop("config", {}))
    extractors = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict(), **options.pop("extractors", {})} if raw else {}
    extractors = {name: made for name, made in extractors.items() if name in config.modalities}
    if reader is not None and raw:
        extractors["faces"] = reader.to_dict()
    model = tiny_model(config)
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return UnivaPipeline(model=model, processor=tiny_processor(config, extractors=extractors), **options)


@pytest.fixture(scope="module")
def classifier() -> UnivaPipeline:
    return make_pipeline(threshold=None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4")
    write_clip(folder / "b.mp4", 1.6, seed=3)
    write_clip(folder / "silent.mp4", sound=False)
    write_clip(folder / "dark.mp4", picture=False)
    return folder


def scores(found: list[dict[str, Any]]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in found}


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return scores(found) == pytest.approx(scores(expected), abs=1e-6)


def inputs_of(clips: Path) -> list[dict[str, Any]]:
    dialogue = ["yes no", "no!", "abc d"]
    return [
        {"text": dialogue, "video": str(clips / "a.mp4"), "utterance": 0},
        {"text": dialogue, "utterance": 1},
        {"text": dialogue, "video": clips / "b.mp4", "start": 0.2, "end": 1.3},
        {"text": "hello", "video": clips / "silent.mp4"},
        {"video": clips / "dark.mp4"},
    ]


# What comes out


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_results_are_those_of_univa_predict(classifier, clips, batch_size):
    utterances = [
        Utterance("u", "d", "yes no", video=clips / "a.mp4"),
        Utterance("v", "d", "no!"),
        Utterance("w", "d", "abc d", video=clips / "b.mp4", start=0.2, end=1.3),
        Utterance("x", "e", "hello", video=clips / "silent.mp4"),
        Utterance("y", "f", None, video=clips / "dark.mp4"),
    ]
    expected = list(predict(classifier.model, classifier.processor, utterances))
    assert [one.error for one in expected] == [None] * 5
    found = classifier(inputs_of(clips), batch_size=batch_size)
    for one, prediction in zip(found, expected, strict=True):
        assert scores(one) == pytest.approx(prediction.scores, abs=1e-6)
    at_model_threshold = classifier(inputs_of(clips), threshold=classifier.model.config.decision_threshold)
    assert [[one["label"] for one in found] for found in at_model_threshold] == [one.emotions for one in expected]


def test_threshold_and_number_of_emotions(classifier):
    every = classifier("yes no")
    assert len(every) == 6 and sum(scores(every).values()) == pytest.approx(1)
    assert [one["score"] for one in every] == sorted((one["score"] for one in every), reverse=True)
    likeliest = every[0]["score"]
    assert same(classifier("yes no", threshold=every[1]["score"]), every[:1])
    assert classifier("yes no", threshold=min(0.99, likeliest + 1e-3)) == []
    assert same(classifier("yes no", top_k=2), every[:2])
    by_default = make_pipeline()("yes no")
    assert same(by_default, [one for one in every if one["score"] > classifier.model.config.decision_threshold])


def test_each_emotion_may_have_a_threshold_of_its_own(classifier):
    every = {one["label"]: one["score"] for one in classifier("yes no")}
    names = classifier.model.config.label_names
    limits = [every[name] * (0.9 if place % 2 else 1.1) for place, name in enumerate(names)]
    wanted = set(names[1::2])
    assert {one["label"] for one in classifier("yes no", threshold=limits)} == wanted
    own = make_pipeline(config={"decision_threshold": limits})
    assert own.model.config.label_thresholds == limits
    assert {one["label"] for one in own("yes no")} == wanted
    (prediction,) = predict(own.model, own.processor, [Utterance("u", "d", "yes no")])
    assert set(prediction.emotions) == wanted
    for given, message in (([0.1], "one for each of the 6 labels, got 1"), ([0.1] * 5 + [2], "must lie in")):
        with pytest.raises(ValueError, match=message):
            classifier("yes no", threshold=given)


def test_attention_over_tokens_and_time(classifier, clips):
    inputs = [{"text": ["hello", "yes no!"], "video": clips / "b.mp4", "start": 0.5}, {"text": "no"}]
    found, textual = classifier(inputs, return_attention=True, batch_size=2)
    assert same(found["emotions"], classifier(inputs[0])) and set(found) == {"emotions", "attention"}
    attention = found["attention"]
    for places in attention.values():
        assert sum(place["weight"] for place in places) == pytest.approx(1, abs=1e-5)
    tokens = [(place["token"], place["start"], place["end"]) for place in attention["text"]]
    assert tokens == [("yes", 0, 3), ("no", 4, 6), ("!", 6, 7)]
    # Four frames a second of the 1.1 s (and the encoder's padding) from 0.5 s on.
    starts = [place["start"] for place in attention["audio"]]
    assert starts == pytest.approx([0.5, 0.75, 1.0, 1.25, 1.5][: len(starts)]) and len(starts) in (4, 5)
    assert 1.6 <= attention["audio"][-1]["end"] < 1.75
    assert [place["start"] for place in attention["vision"]] == pytest.approx([0.5, 0.75, 1.0, 1.25, 1.5])
    assert textual["attention"] == {
        "text": [{"token": "no", "start": 0, "end": 2, "weight": pytest.approx(1)}], "audio": None, "vision": None,
    }  # fmt: skip


def test_attention_is_that_of_the_model(classifier, clips):
    found = classifier({"text": ["ab", "yes no"], "video": clips / "a.mp4"}, return_attention=True)["attention"]
    processor = classifier.processor
    inputs = processor([["ab", "yes no"]], [(0, 1)], video=[clips / "a.mp4"])
    with torch.no_grad():
        output = classifier.model(**inputs, output_pooling_attentions=True)
    start, end = inputs["utterance_span"][0]
    assert [one["weight"] for one in found["text"]] == pytest.approx(output.text_attention[0, start:end].tolist())
    assert [one["weight"] for one in found["vision"]] == pytest.approx(output.vision_attention[0].tolist())


def test_saving(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    again = pipeline(model=str(tmp_path), trust_remote_code=True, threshold=None)
    assert same(again("yes no"), classifier("yes no")) and again.task in again.model.config.custom_pipelines
    assert "UnivaForEmotionClassification" in repr(again)


# What goes in


@pytest.mark.parametrize("batch_size", [1, 3])
def test_lists_generators_and_data_sets(classifier, clips, batch_size):
    inputs = inputs_of(clips)
    expected = [classifier(one) for one in inputs]

    def check(results: Any, wanted: list) -> None:
        found = list(results)
        assert len(found) == len(wanted) and all(map(same, found, wanted))

    check(classifier(inputs, batch_size=batch_size), expected)
    check(classifier((one for one in inputs), batch_size=batch_size), expected)
    check(classifier(tuple(inputs), batch_size=batch_size), expected)
    texts = datasets.Dataset.from_dict({"words": ["yes", "no no", "abc"]})
    said = [classifier(text) for text in texts["words"]]
    check(classifier(KeyDataset(texts, "words"), batch_size=batch_size), said)
    check(classifier(texts.rename_column("words", "text"), batch_size=batch_size), said)
    check(classifier(KeyDataset(texts, "words"), batch_size=batch_size, num_workers=2), said)
    assert classifier([]) == []


def test_generators_are_read_as_results_are_asked_for(classifier):
    read = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield "yes"

    assert len(list(itertools.islice(classifier(endless()), 3))) == 3
    assert len(read) < 8


def test_rows_of_a_corpus():
    classifier = make_pipeline("bert", raw=False, threshold=None)
    rows = random_rows([2, 1], absent=0.3)
    # Columns that this model does not read are left aside.
    more = rows.add_column("text_states", [[[0.5]]] * 3).add_column("face_emotions", [[[0.5]]] * 3)
    found = list(classifier(more, batch_size=2))
    features = {name: rows[name] for name in ("audio_features", "vision_features")}
    inputs = classifier.processor([[text] for text in rows["text"]], **features)
    with torch.no_grad():
        expected = classifier.model(**inputs).logits.softmax(-1)
    for one, probabilities in zip(found, expected, strict=True):
        assert list(scores(one).values()) == pytest.approx(sorted(probabilities.tolist(), reverse=True), abs=1e-6)


def test_forms_of_the_same_sound(classifier, clips):
    path = clips / "b.mp4"
    expected = classifier({"audio": str(path)})
    waveform = read_audio(path, 16000)
    again = [
        {"audio": path.read_bytes()},
        {"audio": waveform, "sampling_rate": 16000},
        {"audio": (waveform, 16000)},
        {"audio": {"array": waveform.astype(np.float64), "sampling_rate": 16000, "path": None}},
        {"audio": {"bytes": None, "path": str(path)}},
        {"audio": {"bytes": path.read_bytes(), "path": "b.mp4"}, "video": None},
    ]
    assert all(same(found, expected) for found in classifier(again))
    part = classifier({"audio": path, "start": 0.25, "end": 1.0})
    assert same(classifier({"audio": waveform, "sampling_rate": 16000, "start": 0.25, "end": 1.0}), part)
    assert not same(part, expected)
    # At another rate it is nearly the same sound.
    other = scores(classifier({"audio": read_audio(path, 48000), "sampling_rate": 48000}))
    assert other == pytest.approx(scores(expected), abs=0.05)


def test_forms_of_the_same_faces(classifier, tmp_path):
    import cv2

    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[:, :, ::-1])

    class Picture:
        def __init__(self, pixels):
            self.pixels = pixels

        def convert(self, mode):
            assert mode == "RGB"
            return self.pixels

    expected = classifier({"faces": list(images)})
    forms = [images, paths, [path.read_bytes() for path in paths], [Picture(image) for image in images]]
    assert all(same(classifier({"faces": faces}), expected) for faces in forms)
    single = classifier({"faces": [images[0]]})
    for face in (images[0], str(paths[0]), {"bytes": paths[0].read_bytes()}):
        assert same(classifier({"faces": face}), single)


def test_ready_features_go_before_raw_media(classifier, clips):
    video = {"text": "yes", "video": clips / "a.mp4"}
    frames = classifier.processor.extract_audio(clips / "b.mp4")
    mixed = classifier({**video, "audio_features": frames.tolist(), "audio": "no_such_file.wav"})
    assert same(mixed, classifier({**video, "audio": clips / "b.mp4"}))
    found = classifier({"audio_features": frames}, return_attention=True)
    assert [one["start"] for one in found["attention"]["audio"]] == [None] * len(frames)


def test_word_vectors(tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("".join(f"{word} {' '.join(['0.5'] * 5)} {index}\n" for index, word in enumerate("abc")))
    words = WordVectorExtractor(str(vectors))
    classifier = make_pipeline("words", extractors={"text": words.to_dict()}, threshold=None)
    found = classifier({"text": ["b", "c a"]}, return_attention=True)
    assert [one["token"] for one in found["attention"]["text"]] == ["c", "a"]
    assert same(found["emotions"], classifier({"text_features": words("c a")}))
    ready = Utterances(tiny_config("words"))
    classifier = make_pipeline("words", raw=False, threshold=None)
    inputs = [
        {f"{modality}_features": frames[place] for modality, frames in ready.features.items()}
        for place in ready.places
    ]
    with torch.no_grad():
        expected = classifier.model(**ready.inputs()).logits.softmax(-1)
    for one, probabilities in zip(classifier(inputs, batch_size=4), expected, strict=True):
        assert [item["score"] for item in one] == pytest.approx(sorted(probabilities.tolist(), reverse=True), abs=1e-6)


def test_modalities_that_the_model_does_not_have_are_left_aside(clips):
    classifier = make_pipeline("bert", config={"modalities": ["text"]}, threshold=None)
    assert same(classifier({"text": "yes", "video": "no_such_file.mp4"}), classifier("yes"))


def test_a_dialogue_is_encoded_once_a_batch(classifier, monkeypatch):
    shapes = []
    forward = type(classifier.model).forward

    def spy(self, **inputs):
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(self, **inputs)

    monkeypatch.setattr(type(classifier.model), "forward", spy)
    dialogue = ["yes", "no", "abc"]
    classifier([{"text": dialogue, "utterance": place} for place in (0, 1, -1)], batch_size=3)
    assert shapes == [(1, 9)]


def test_face_reader_of_a_model_that_was_trained_on_images(clips):
    video = {"video": clips / "a.mp4"}
    without = make_pipeline(reader=None, face_reader=READER.to_dict(), threshold=None)
    assert same(without(video), make_pipeline(threshold=None)(video))
    with pytest.raises(ValueError, match="leave `face_reader` out"):
        make_pipeline(face_reader=FaceReader(detector="haar"))


# Valence and arousal


class Sizes:
    """Scores by length, so that a wrong item would show."""

    sampling_rate = 8000

    def score(self, items):
        sizes = [0 if item is None else len(item[0]) if isinstance(item, tuple) else len(item) for item in items]
        return np.array([(size / 1e5, -0.5) if size else (np.nan, np.nan) for size in sizes], np.float32)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_valence_and_arousal(clips, batch_size):
    classifier = make_pipeline(va_scorers={"text": Sizes().score, "audio": Sizes(), "vision": Sizes()})
    inputs = [{"text": ["a", "yes"], "video": clips / "a.mp4"}, "no!!"]
    found, textual = classifier(inputs, return_va=True, batch_size=batch_size)
    affect = found["valence_arousal"]
    assert affect["text"] == pytest.approx({"valence": 3e-5, "arousal": -0.5})
    assert affect["vision"]["valence"] == pytest.approx(4e-5)
    assert affect["audio"]["valence"] == pytest.approx(0.08, abs=0.01)
    assert textual["valence_arousal"] == {
        "text": pytest.approx({"valence": 4e-5, "arousal": -0.5}), "audio": None, "vision": None,
    }  # fmt: skip
    assert set(found) == {"emotions", "valence_arousal"}
    assert isinstance(classifier(inputs[1]), list)


def test_scorers_by_name_are_those_of_the_package(tmp_path, clips):
    torch.manual_seed(0)
    config = text_config("bert")
    config.id2label = {0: "Arousal", 1: "Valence"}
    config.affect_range = (1, 5)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "text")
    bert_tokenizer().save_pretrained(tmp_path / "text")
    tiny_speech_model().save_pretrained(tmp_path / "audio")
    EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=3)).save_pretrained(tmp_path / "vision")
    names = {name: str(tmp_path / name) for name in ("text", "audio", "vision")}
    classifier = make_pipeline(va_scorers={**names, "vision": EmoNetModel.from_pretrained(names["vision"])})
    item = {"text": "yes no", "video": clips / "a.mp4"}
    found = classifier([item, {"faces": np.zeros((1, 9, 9, 3), np.uint8)}], return_va=True, batch_size=2)
    assert found[1]["valence_arousal"]["text"] is None and found[1]["valence_arousal"]["audio"] is None
    given = {
        "text": "yes no", "audio": (read_audio(clips / "a.mp4"), 16000), "vision": READER(clips / "a.mp4").images,
    }  # fmt: skip
    for modality, name in names.items():
        valence, arousal = load_scorer(modality, name).score([given[modality]])[0]
        wanted = {"valence": pytest.approx(valence, abs=1e-4), "arousal": pytest.approx(arousal, abs=1e-4)}
        assert found[0]["valence_arousal"][modality] == wanted, modality


# Mistakes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "a string or a dict with any of text, audio, video"),
        ("clips/a.mp4", "'clips/a.mp4' names a file: pass it as {'video': …}, {'audio': …}"),
        ("https://example.org/a.wav", "'https://example.org/a.wav' names a file"),
        ({"vidoe": "a.mp4"}, "'vidoe', which is unknown; it takes text, audio"),
        ({}, "nothing to predict from: the model takes text, audio, vision, and the input has none of these."),
        ({"text": "  "}, "the input has none of these."),
        ({"text": ["a", 3]}, "`text` must be a string, or a dialogue as the list of its utterances"),
        ({"text": []}, "`text` must be a string"),
        ({"text": ["a", "b"], "utterance": 2}, "index of one of the 2 utterances, got 2"),
        ({"audio": np.zeros(99, np.float32)}, "needs its `sampling_rate` in Hz beside it"),
        ({"audio": np.zeros(99, np.int16), "sampling_rate": 16000}, "floating-point samples"),
        ({"audio": 3.5}, "`audio` must be a file or a mono waveform"),
        ({"video": ["a.mp4"]}, "`video` must be the path or the bytes of a file, got list"),
        ({"faces": [3]}, "`faces` must be the path or the bytes"),
        ({"text": "a", "audio_features": [[1.0, 2.0]]}, "audio features of width 2 met a model"),
        ({"text": "a", "vision_features": [1.0, 2.0]}, "vision features must be"),
    ],
)
def test_bad_input_is_told_in_one_sentence(classifier, given, message):
    with pytest.raises(ValueError) as caught:
        classifier(given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(classifier, tmp_path):
    for name in ("audio", "video", "faces"):
        with pytest.raises(MediaError, match="absent.bin"):
            classifier({name: str(tmp_path / "absent.bin")})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "`threshold` must lie in"),
        ({"threshold": "high"}, "`threshold` must lie in"),
        ({"top_k": 0}, "`top_k` must be"),
        ({"return_va": True}, "needs scorers of valence and arousal"),
    ],
)
def test_bad_options(classifier, options, message):
    with pytest.raises(ValueError, match=message):
        classifier("yes", **options)


def test_bad_construction(classifier, tmp_path):
    with pytest.raises(ValueError, match="Pass `processor`"):
        UnivaPipeline(model=classifier.model)
    with pytest.raises(ValueError, match="'smell'; the modalities are text, audio, vision"):
        make_pipeline(va_scorers={"smell": len})
    with pytest.raises(ValueError, match="must be a name, a model or a function, got int"):
        make_pipeline(va_scorers={"text": 3})
    with pytest.raises(ValueError, match="is not a scorer of text"):
        make_pipeline(va_scorers={"text": EmoNetModel(EmoNetConfig(hidden_size=16))})
    BertForSequenceClassification(text_config("bert")).save_pretrained(tmp_path)
    bert_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has the labels valence and arousal"):
        make_pipeline(va_scorers={"text": str(tmp_path)})


def test_features_that_cannot_be_made_are_asked_for():
    classifier = make_pipeline(raw=False)
    with pytest.raises(ValueError, match="pass `audio_features`"):
        classifier({"audio": "clip.wav"})


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("many", [False, True])
def test_features_that_are_not_finite_are_refused(classifier, value, many):
    frames = np.zeros((3, FACES.feature_size))
    frames[1, 2] = value
    bad = {"text": "a", "vision_features": frames}
    number = 4 if many else 0
    with pytest.raises(ValueError, match=f"vision features of input {number} hold 1 values that are NaN or infinite"):
        classifier([*[{"text": "a"}] * number, bad], batch_size=3)


def test_entries_of_decoded_columns_are_read(classifier, clips):
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    samples = SimpleNamespace(data=torch.from_numpy(waveform[None]), sample_rate=16000)
    sound = SimpleNamespace(get_all_samples=lambda: samples)
    assert same(classifier({"audio": sound}), classifier({"audio": waveform, "sampling_rate": 16000}))
    # `datasets` keeps the file beside the decoder that it makes of a video.
    video = SimpleNamespace(_hf_encoded={"path": str(clips / "a.mp4"), "bytes": None})
    assert same(classifier({"video": video}), classifier({"video": clips / "a.mp4"}))


@pytest.mark.parametrize(("start", "end"), [(-0.5, None), (0.5, 0.2), ("0.5", None), (float("nan"), None)])
def test_times_of_a_waveform_are_checked(classifier, start, end):
    waveform = {"audio": np.zeros(16000, np.float32), "sampling_rate": 16000}
    with pytest.raises(MediaError, match="start"):
        classifier(waveform | {"start": start, "end": end})


def test_single_pictures_of_any_kind_are_one_face(classifier):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    opaque = np.concatenate([image, np.full((32, 32, 1), 255, np.uint8)], axis=2)
    assert same(classifier({"faces": opaque}), classifier({"faces": [image]}))
    assert same(classifier({"faces": image[:, :, :1]}), classifier({"faces": [image[:, :, 0]]}))
    with pytest.raises(ValueError, match=r"got the shape \(3, 32, 32\)"):
        classifier({"faces": image.transpose(2, 0, 1)})


def test_code_of_a_scorer_is_neither_run_nor_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail(f"asked {prompt}"))
    settings = {"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n")
    for modality, message in (("text", "cannot be used"), ("vision", "is a 'stranger' model; a scorer of vision is")):
        with pytest.raises(ValueError, match=message):
            make_pipeline(va_scorers={modality: str(tmp_path)})
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize("task", [None, "video-classification", "text-classification", "audio-classification"])
def test_tasks_that_the_hub_s_page_suggests_give_the_pipeline(task, tmp_path):
    make_pipeline().save_pretrained(tmp_path)
    arguments = [task] if task else []
    found = pipeline(*arguments, model=str(tmp_path), trust_remote_code=True)
    assert type(found).__name__ == "UnivaPipeline"
    assert same(found("yes no", threshold=None), make_pipeline(threshold=None)("yes no"))


def test_scores_that_are_not_finite_are_an_error():
    broken = make_pipeline()
    with torch.no_grad():
        broken.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="gives scores that are not finite"):
        broken("yes no")


def test_a_dialogue_is_encoded_once_for_all_its_batches_and_few_are_kept(monkeypatch):
    classifier = make_pipeline(threshold=None)
    encode, encoded = classifier.processor.encode_dialogue, []

    def counted(dialogue):
        encoded.append(dialogue)
        return encode(dialogue)

    dialogues = [[f"{'yes ' * length}no", "ab"] for length in range(20)]
    inputs = [{"text": dialogue, "utterance": place} for dialogue in dialogues for place in range(2)]
    expected = [classifier(one) for one in inputs]
    classifier = make_pipeline(threshold=None)
    monkeypatch.setattr(classifier.processor, "encode_dialogue", counted)
    found = classifier(inputs, batch_size=3)
    assert all(same(*pair) for pair in zip(found, expected, strict=True))
    assert encoded == [tuple(dialogue) for dialogue in dialogues]
    assert len(classifier._encoded) == 16
    assert same(classifier(inputs[0]), expected[0])
