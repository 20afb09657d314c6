# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The processor: layout of dialogues, truncation, features and raw media, files, and everything it refuses."""

import contextlib
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from testing_utils import TOKENIZERS, Utterances, bert_tokenizer, random_text, tiny_config, tiny_model, tiny_processor
from tokenizers import processors
from transformers import AutoProcessor

from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import MediaError, read_audio
from modeling_univa.models.processing_univa import PRECOMPUTED, UnivaProcessor, truncated_lengths


PRECOMPUTED_AUDIO = {"extractor_type": PRECOMPUTED, "name": "some-speech-encoder", "feature_size": 5}


@pytest.fixture(params=["bert", "roberta"])
def processor(request) -> UnivaProcessor:
    return tiny_processor(tiny_config(request.param, modalities=["text"]))


def with_max_length(processor: UnivaProcessor, length: int) -> UnivaProcessor:
    processor.max_lengths["text"] = length
    return processor


def shortened_step_by_step(lengths: list[int], budget: int) -> list[int]:
    """The rule, literally: while too long, the earliest of the longest loses its last token."""
    lengths = list(lengths)
    while sum(lengths) > budget:
        lengths[lengths.index(max(lengths))] -= 1
    return lengths


# Text


def test_bert_dialogue_is_laid_out_as_published():
    processor = tiny_processor(tiny_config("bert", modalities=["text"]))
    inputs = processor([["ab c", "yes!", "d"]])
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    assert tokens == ["[CLS]", "a", "##b", "c", "[SEP]", "yes", "!", "[SEP]", "d", "[SEP]"]
    assert inputs["utterance_span"].tolist() == [[1, 4], [5, 7], [8, 9]]
    assert inputs["dialogue_index"].tolist() == [0, 0, 0]


def test_roberta_dialogue_is_laid_out_as_published():
    processor = tiny_processor(tiny_config("roberta", modalities=["text"]))
    inputs = processor([["yes no", "a", "b"]])
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    # Each utterance is tokenised by itself: no space before its first word.
    assert tokens == ["<s>", "yes", "Ġn", "o", "</s>", "</s>", "a", "</s>", "</s>", "b", "</s>"]
    assert inputs["utterance_span"].tolist() == [[1, 4], [6, 7], [9, 10]]


def test_ids_are_those_of_a_call_of_the_tokenizer(processor):
    """Whatever its file says of padding and truncation, also of words that look like special tokens."""
    texts = ["a b", "", "  yes!  ", f"x {processor.tokenizer.sep_token} y", "ça 😀\u200b 你好", "a b c " * 50]
    backend = processor.tokenizer.backend_tokenizer
    for special in (False, True):
        processor.tokenizer.split_special_tokens = special
        expected = processor.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        backend.enable_truncation(3)
        backend.enable_padding(length=9)
        backend.encode_special_tokens = not special
        assert processor.tokenize(texts) == expected
    assert processor.tokenize([]) == []


def test_a_tokenizer_with_a_call_of_its_own_is_called(processor, monkeypatch):
    class Doubling(type(processor.tokenizer)):
        def _encode_plus(self, text, *args, **kwargs):
            return super()._encode_plus([f"{one} {one}" for one in text], *args, **kwargs)

    expected = processor.tokenize(["ab c ab c"])
    monkeypatch.setattr(processor.tokenizer, "__class__", Doubling)
    assert processor.tokenize(["ab c"]) == expected


def test_pair_of_utterances_is_what_the_tokenizer_itself_gives(processor):
    found = processor([["ab c", "yes!"]])["input_ids"][0].tolist()
    assert found == processor.tokenizer("ab c", "yes!")["input_ids"]


def test_spans_hold_exactly_the_own_tokens(processor):
    generator = np.random.default_rng(0)
    dialogues = [[random_text(generator) for _ in range(size)] for size in (1, 4, 2)]
    inputs = processor(dialogues)
    texts = [text for dialogue in dialogues for text in dialogue]
    for text, row, (start, end) in zip(texts, inputs["dialogue_index"], inputs["utterance_span"], strict=True):
        assert inputs["input_ids"][row, start:end].tolist() == processor.tokenize([text])[0]
    special = inputs["input_ids"].clone()
    for row, (start, end) in zip(inputs["dialogue_index"], inputs["utterance_span"], strict=True):
        special[row, start:end] = processor.tokenizer.pad_token_id
    assert set(special.unique().tolist()) <= set(processor.tokenizer.all_special_ids)
    assert torch.equal(inputs["attention_mask"].bool(), inputs["input_ids"] != processor.tokenizer.pad_token_id)


def test_wanted_utterances_choose_rows_and_order(processor):
    dialogues = [["a", "b c"], ["never seen"], ["d", "e f", "g"]]
    inputs = processor(dialogues, [(2, 1), (0, 0), (2, 1), (2, 2)])
    assert inputs["input_ids"].shape[0] == 2
    found = [
        processor.tokenizer.decode(inputs["input_ids"][row, start:end])
        for row, (start, end) in zip(inputs["dialogue_index"], inputs["utterance_span"], strict=True)
    ]
    assert [text.replace(" ", "") for text in found] == ["ef", "a", "ef", "g"]


def test_place_and_speaker_of_the_wanted_utterances():
    """Numbered over the whole dialogue, whichever of its utterances are wanted."""
    dialogues, speakers = [["a", "b", "c", "d"], ["e"], ["f", "g"]], [["x", None, "y", "x"], [" "], ["y", "x"]]
    places = [(2, 1), (0, 3), (0, 1), (0, 2), (1, 0)]
    expected = {
        "dialogue_index": [2, 0, 0, 0, 1], "position": [1, 3, 1, 2, 0], "speaker_index": [1, 0, -1, 1, -1],
    }  # fmt: skip
    tokens = tiny_processor(tiny_config(modalities=["text"]))(dialogues, places, speakers=speakers)
    assert list(tokens) == [
        "dialogue_index", "utterance_span", "position", "speaker_index", "input_ids", "attention_mask",
    ]  # fmt: skip
    sound = tiny_processor(tiny_config(modalities=["audio"]))
    clips = [np.ones((2, 5))] * len(places)
    for found in (tokens, sound(None, places, speakers=speakers, audio_features=clips)):
        for name, values in expected.items():
            assert found[name].dtype == torch.int64 and found[name].tolist() == values, name
    # Dialogues may be known by their utterances' places alone, or by their speakers alone.
    found = sound(utterances=places, audio_features=clips)
    assert found["position"].tolist() == expected["position"] and found["speaker_index"].tolist() == [-1] * 5
    found = sound(speakers=[["x", "x"], ["x"], ["y", "x"]], audio_features=clips)
    assert found["dialogue_index"].tolist() == [0, 0, 1, 2, 2] and found["position"].tolist() == [0, 1, 0, 0, 1]
    assert found["speaker_index"].tolist() == [0, 0, 0, 0, 1]
    assert list(sound(audio_features=clips)) == ["audio_features", "audio_attention_mask"]


def test_special_token_in_the_text_moves_no_border(processor):
    separator = processor.tokenizer.sep_token
    inputs = processor([[f"a {separator} b", "c"]])
    (start, end), (next_start, _) = inputs["utterance_span"].tolist()
    assert inputs["input_ids"][0, start:end].tolist() == processor.tokenize([f"a {separator} b"])[0]
    assert next_start > end


@pytest.mark.parametrize("seed", range(8))
def test_truncation_equals_the_step_by_step_rule(seed):
    generator = np.random.default_rng(seed)
    for _ in range(100):
        lengths = generator.integers(0, 12, generator.integers(1, 9)).tolist()
        for budget in range(sum(lengths) + 2):
            assert truncated_lengths(lengths, budget).tolist() == shortened_step_by_step(lengths, budget)


def test_published_length_with_a_long_dialogue():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 300, 40).tolist()
    assert truncated_lengths(lengths, 512 - 41).tolist() == shortened_step_by_step(lengths, 512 - 41)


def test_long_dialogue_keeps_the_beginning_of_every_utterance(processor):
    with_max_length(processor, 16)
    texts = ["a b", "c d e f g h i j k l", "m n o p q r s t"]
    whole = processor.tokenize(texts)
    inputs = processor([texts])
    assert inputs["input_ids"].shape == (1, 16)
    spans = inputs["utterance_span"].tolist()
    kept = [end - start for start, end in spans]
    assert sum(kept) < sum(map(len, whole))
    specials = 16 - sum(kept)
    assert kept == shortened_step_by_step([len(ids) for ids in whole], 16 - specials)
    for (start, end), ids in zip(spans, whole, strict=True):
        assert inputs["input_ids"][0, start:end].tolist() == ids[: end - start]


def test_dialogue_of_many_utterances_never_overflows(processor):
    generator = np.random.default_rng(1)
    for count in (5, 24, 47, 48, 200):
        texts = [random_text(generator) for _ in range(count)]
        inputs = processor([texts])
        assert inputs["input_ids"].shape[1] <= processor.max_text_length
        assert len(inputs["utterance_span"]) == count
        lengths = inputs["utterance_span"][:, 1] - inputs["utterance_span"][:, 0]
        assert (lengths >= 1).all()
        # Rows are windows of consecutive utterances, each of which starts with the utterance's own tokens.
        assert (inputs["dialogue_index"].diff() >= 0).all()
        for text, row, (start, end) in zip(texts, inputs["dialogue_index"], inputs["utterance_span"], strict=True):
            ids = inputs["input_ids"][row, start:end].tolist()
            assert ids == processor.tokenize([text])[0][: len(ids)]
            assert start >= 1
    assert len(inputs["input_ids"]) > 1


def test_windows_are_used_only_where_one_token_each_would_not_fit(processor):
    prefix, separator, suffix = processor._special_tokens
    with_max_length(processor, len(prefix) + len(suffix) + 5 + 4 * len(separator))
    assert processor([["a", "b", "c", "d", "e f g h"]])["input_ids"].shape[0] == 1
    assert processor([list("abcdef")])["input_ids"].shape[0] == 2


def test_utterances_of_a_window_may_be_wanted_alone(processor):
    with_max_length(processor, 8)
    texts = list("abcdefghij")
    everything, alone = processor([texts]), processor([texts], [(0, 7)])
    assert alone["input_ids"].shape[0] == 1
    start, end = alone["utterance_span"][0]
    assert processor.tokenizer.decode(alone["input_ids"][0, start:end]).strip() == texts[7]
    row = everything["dialogue_index"][7]
    width = int(alone["attention_mask"].sum())
    assert torch.equal(everything["input_ids"][row, :width], alone["input_ids"][0, :width])


def test_empty_utterance_has_an_empty_span(processor):
    start, end = processor([["a", "", "b"]])["utterance_span"][1]
    assert start == end


def test_limit_of_the_tokenizer_counts_too(processor):
    with_max_length(processor, 4000)
    assert processor.max_text_length == processor.tokenizer.model_max_length


# Features


def test_features_are_padded_to_the_longest_with_their_mask():
    config = tiny_config("words")
    clips = [np.ones((3, 5)), None, np.full((1, 5), 2.0, dtype=np.float16)]
    inputs = tiny_processor(config)(audio_features=clips, vision_features=[None] * 3, text_features=[None] * 3)
    assert inputs["audio_attention_mask"].tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert inputs["audio_features"].dtype == torch.float32
    assert inputs["audio_features"][2].tolist() == [[2.0] * 5, [0.0] * 5, [0.0] * 5]
    assert inputs["vision_attention_mask"].tolist() == [[0], [0], [0]]
    assert inputs["vision_features"].shape == (3, 1, 3)


def test_long_clips_are_cut_at_the_end_and_counted(caplog):
    logging.Logger.warning_once.cache_clear()  # another test may have had as many clips
    processor = tiny_processor(tiny_config("words", modalities=["audio"]))
    clips = [np.arange(50, dtype=np.float32).reshape(10, 5), np.ones((2, 5)), np.ones((11, 5))]
    logging.getLogger("transformers").addHandler(caplog.handler)
    inputs = processor(audio_features=clips)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert inputs["audio_features"].shape == (3, 8, 5)
    assert torch.equal(inputs["audio_features"][0], torch.arange(40.0).reshape(8, 5))
    assert inputs["audio_attention_mask"].sum(dim=1).tolist() == [8, 2, 8]
    assert "2 of 3 clips have more than `max_audio_length` = 8" in caplog.text


def test_missing_modality_is_absent_in_every_utterance(caplog):
    processor = tiny_processor(tiny_config())
    logging.getLogger("transformers").addHandler(caplog.handler)
    inputs = processor([["a", "b"]], audio_features=[np.ones((2, 5)), None])
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert inputs["vision_attention_mask"].tolist() == [[0], [0]]
    assert "No vision was given" in caplog.text


def test_raw_media_meet_the_extractors_of_the_training_features():
    speech, faces = LogMelExtractor(), HogExtractor()
    config = tiny_config("words", audio_feature_size=speech.feature_size, vision_feature_size=faces.feature_size)
    config.modalities = ["audio", "vision"]
    processor = tiny_processor(config, extractors={"audio": speech.to_dict(), "vision": faces.to_dict()})
    generator = np.random.default_rng(0)
    wave = generator.uniform(-0.5, 0.5, 4000).astype(np.float32)
    images = [generator.integers(0, 255, (20, 20, 3), dtype=np.uint8) for _ in range(2)]
    inputs = processor(audio=[(wave, 16000), None], faces=[[], images])
    expected = torch.from_numpy(speech(wave, 16000))
    torch.testing.assert_close(inputs["audio_features"][0, : len(expected)], expected)
    assert inputs["audio_attention_mask"].sum(dim=1).tolist() == [len(expected), 0]
    torch.testing.assert_close(inputs["vision_features"][1], torch.from_numpy(faces(images)))
    assert inputs["vision_attention_mask"].sum(dim=1).tolist() == [0, 2]


def test_raw_media_may_be_files(tmp_path):
    soundfile, cv2 = pytest.importorskip("soundfile"), pytest.importorskip("cv2")
    speech, faces = LogMelExtractor(), HogExtractor()
    config = tiny_config("bert", audio_feature_size=speech.feature_size, vision_feature_size=faces.feature_size)
    processor = tiny_processor(config, extractors={"audio": speech.to_dict(), "vision": faces.to_dict()})
    wave = np.sin(np.arange(8000) / 7).astype(np.float32) / 2
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[:, :, ::-1])
    inputs = processor([["yes"]], audio=[tmp_path / "a.wav"], faces=[[str(tmp_path / "a.png")]])
    torch.testing.assert_close(inputs["audio_features"][0], torch.from_numpy(speech(wave, 16000)))
    torch.testing.assert_close(inputs["vision_features"][0], torch.from_numpy(faces([image])))


def video_processor(**extractors) -> UnivaProcessor:
    speech, faces = LogMelExtractor(), HogExtractor()
    config = tiny_config("bert", audio_feature_size=speech.feature_size, vision_feature_size=faces.feature_size)
    return tiny_processor(config, extractors={"audio": speech.to_dict(), "vision": faces.to_dict(), **extractors})


def test_sound_and_faces_come_from_video(tmp_path, caplog):
    pytest.importorskip("cv2")
    video_files = pytest.importorskip("video_files")
    reader = FaceReader(detector="whole-frame", frame_rate=5)
    processor = video_processor(faces=reader.to_dict())
    sound = video_files.tone(16000, 1.2)
    whole = video_files.write_video(tmp_path / "a.mkv", video_files.levels(30), sound=sound, sampling_rate=16000)
    silent = video_files.write_video(tmp_path / "b.mp4", video_files.levels(10))
    dark = video_files.write_video(tmp_path / "c.mkv", sound=sound, sampling_rate=16000)
    clips = [whole, (str(whole), 0.2, 1.0), silent, dark.read_bytes(), None]
    logging.getLogger("transformers").addHandler(caplog.handler)
    inputs = processor([["a", "b", "yes", "no", "a"]], video=clips)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    speech, hog = LogMelExtractor(), HogExtractor()
    for row, (start, end) in enumerate([(None, None), (0.2, 1.0)]):
        heard = torch.from_numpy(speech(read_audio(whole, 16000, start, end), 16000))
        seen = torch.from_numpy(hog(reader(whole, start, end).images))
        torch.testing.assert_close(inputs["audio_features"][row, : len(heard)], heard)
        torch.testing.assert_close(inputs["vision_features"][row, : len(seen)], seen)
    assert inputs["audio_attention_mask"].any(dim=1).tolist() == [True, True, False, True, False]
    assert inputs["vision_attention_mask"].sum(dim=1).tolist() == [6, 4, 2, 0, 0]
    assert "b.mp4: it has no sound." in caplog.text
    assert "<bytes>: it has no moving picture." in caplog.text
    spoken = processor([["a"]], video=[whole], audio=[(whole, 0.2, 1.0)])
    length = spoken["audio_features"].shape[1]
    torch.testing.assert_close(spoken["audio_features"][0], inputs["audio_features"][1, :length])


def test_video_that_cannot_be_used_is_refused(tmp_path):
    video_files = pytest.importorskip("video_files")
    path = video_files.write_video(tmp_path / "a.mp4", video_files.levels(5))
    with pytest.raises(ValueError, match=r"how faces are found .*FaceReader\(detector="):
        video_processor()([["a"]], video=[path], audio=[None])
    with pytest.raises(ValueError, match=r"\(source, start, end\)"):
        video_processor(faces=FaceReader(detector="whole-frame").to_dict())([["a"]], video=[(path, 1.0)])
    with pytest.raises(ValueError, match="nothing of a video"):
        tiny_processor(tiny_config("bert", modalities=["text"]))([["a"]], video=[path])
    with pytest.raises(MediaError, match="nowhere.mp4"):
        video_processor(faces=FaceReader(detector="haar").to_dict())([["a"]], video=[tmp_path / "nowhere.mp4"])


# Files


@pytest.mark.parametrize("loader", [UnivaProcessor, AutoProcessor])
@pytest.mark.parametrize("route", ["bert", "roberta", "words"])
def test_saved_and_loaded_processor_gives_the_same_inputs(route, loader, tmp_path):
    config = tiny_config(route)
    utterances = Utterances(config)
    extractors = {"audio": PRECOMPUTED_AUDIO}
    utterances.processor = tiny_processor(config, extractors=extractors)
    before = utterances.inputs()
    # After use, so that nothing that was computed on the way gets into the file.
    utterances.processor.save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    options = {"trust_remote_code": True} if loader is AutoProcessor else {}
    loaded = loader.from_pretrained(tmp_path, **options)
    assert type(loaded).__name__ == "UnivaProcessor"
    assert (loaded.modalities, loaded.feature_sizes) == (config.modalities, config.feature_sizes)
    assert (loaded.max_lengths, loaded.extractors) == (config.max_lengths, extractors)
    utterances.processor = loaded
    after = utterances.inputs()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("route", ["bert", "words"])
def test_processor_file_holds_what_init_takes_and_no_more(route, tmp_path):
    utterances = Utterances(tiny_config(route))
    utterances.inputs()
    utterances.processor.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "processor_config.json").read_text())
    assert set(content) == {
        "auto_map", "extractors", "face_emotion_size", "feature_sizes", "has_tokenizer", "max_lengths", "modalities",
        "processor_class",
    }  # fmt: skip
    assert content["auto_map"] == {"AutoProcessor": "processing_univa.UnivaProcessor"}
    assert (tmp_path / "tokenizer.json").exists() is (route == "bert")
    copied = {file.name for file in tmp_path.glob("*.py")}
    assert {"processing_univa.py", "configuration_emotion.py", "light_features_univa.py", "media_univa.py"} <= copied


def test_saving_again_after_loading_works(tmp_path):
    for route in ("bert", "words"):
        tiny_processor(tiny_config(route)).save_pretrained(tmp_path / route / "1")
        UnivaProcessor.from_pretrained(tmp_path / route / "1").save_pretrained(tmp_path / route / "2")
        first, second = (
            json.loads((tmp_path / route / number / "processor_config.json").read_text()) for number in "12"
        )
        assert first == second


# Refusals


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([None], {}, "`dialogues` must be a list of dialogues"),
        ([[]], {}, "`dialogues` must be a list of dialogues"),
        ([["one utterance"]], {}, "each the list of its utterances"),
        ([[["a"]], [(0, 1)]], {}, r"names \(0, 1\), which is not in `dialogues`"),
        ([[["a"]], [(1, 0)]], {}, r"names \(1, 0\)"),
        ([[["a"]], [(-1, 0)]], {}, r"names \(-1, 0\)"),
        ([[["a"]]], {"audio_features": [np.ones((2, 5))] * 2}, "one entry an utterance"),
        ([[["a"]]], {"audio_features": [np.ones((2, 4))]}, r"width 4 met a model of `audio_feature_size` = 5"),
        ([[["a"]]], {"audio_features": [np.ones(5)]}, r"must be \(frames, 5\) each, got shape \(5,\)"),
        ([[["a"]]], {"audio": [None], "audio_features": [None]}, "raw media or as features, not both"),
        ([[["a"]]], {"text_features": [np.ones((2, 6))]}, r"takes \['audio', 'vision'\] features, not \['text'\]"),
        ([[["a"]]], {"audio": [(np.zeros(9), 16000)]}, "pass `audio_features`"),
        ([[["a"]]], {"faces": [[np.zeros((9, 9), np.uint8)]]}, "pass `vision_features`"),
        ([[["a"]]], {"images": []}, r"Unknown arguments \['images'\]"),
        ([[[], []]], {}, "name no utterance"),
        ([[["a"]], []], {}, "no utterance"),
        ([[["a", "b"]]], {"speakers": ["x", "y"]}, "`speakers` must have a list for every dialogue"),
        ([[["a", "b"]]], {"speakers": [None]}, "`speakers` must have a list for every dialogue"),
        ([[["a", "b"]]], {"speakers": [["x"]]}, r"of dialogues of \[1\] utterances, and `dialogues` have \[2\]"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, message):
    processor = tiny_processor(tiny_config(), extractors={"audio": PRECOMPUTED_AUDIO})
    with pytest.raises(ValueError, match=message):
        processor(*arguments, **options)


def test_message_names_what_made_the_features():
    processor = tiny_processor(tiny_config(), extractors={"audio": PRECOMPUTED_AUDIO})
    with pytest.raises(ValueError, match="made by 'some-speech-encoder' and this processor cannot make them"):
        processor([["a"]], audio=["clip.wav"])


@pytest.mark.parametrize("modality", ["audio", "vision"])
def test_argument_of_a_modality_that_the_model_lacks_is_refused(modality):
    processor = tiny_processor(tiny_config(modalities=["text"]))
    with pytest.raises(ValueError, match=rf"not \['{modality}'\]"):
        processor([["a"]], **{f"{modality}_features": [np.ones((2, 2))]})


def test_text_for_a_model_without_text_is_refused():
    processor = tiny_processor(tiny_config("words", modalities=["audio"]))
    with pytest.raises(ValueError, match="leave `dialogues` out"):
        processor([["a"]], audio_features=[np.ones((2, 5))])


def test_places_have_to_fit_the_clips():
    processor, clips = tiny_processor(tiny_config("words", modalities=["audio"])), [np.ones((2, 5))]
    for options, message in (
        ({"utterances": [(0, 0), (0, 1)]}, "one entry an utterance"),
        ({"speakers": [["x", "y"]]}, "one entry an utterance"),
        ({"utterances": [(0, -1)]}, r"names \(0, -1\), which is not in `dialogues`"),
        ({"utterances": [(0, 2)], "speakers": [["x", "y"]]}, r"names \(0, 2\), which is not in `speakers`"),
    ):
        with pytest.raises(ValueError, match=message):
            processor(audio_features=clips, **options)


def test_nothing_given_is_refused():
    with pytest.raises(ValueError, match="got nothing"):
        tiny_processor(tiny_config("words"))()


def test_model_with_text_encoder_needs_a_tokenizer():
    with pytest.raises(ValueError, match="needs its tokenizer"):
        UnivaProcessor.from_config(tiny_config())


def test_extractor_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"makes frames of width \d+, and the model takes `audio_feature_size` = 5"):
        tiny_processor(tiny_config(), extractors={"audio": LogMelExtractor().to_dict()})


def test_unknown_argument_of_the_processor_is_refused():
    with pytest.raises(TypeError, match="feature_size"):
        UnivaProcessor(bert_tokenizer(), feature_size={"audio": 5})


def test_room_for_no_token_is_refused(processor):
    with pytest.raises(ValueError, match="leaves no room for a single token"):
        with_max_length(processor, 2)([["a"]])


def test_tokenizer_without_separator_is_refused():
    processor = tiny_processor(tiny_config())
    processor.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    with pytest.raises(ValueError, match="puts no special token between two texts"):
        processor([["a", "b"]])


@pytest.mark.parametrize("route", TOKENIZERS)
def test_single_utterances_equal_the_tokenizer(route):
    processor = tiny_processor(tiny_config(route, modalities=["text"]))
    inputs = processor([["ab"], ["c d e"], ["f"]])
    expected = processor.tokenizer(["ab", "c d e", "f"], padding=True, return_tensors="pt")
    assert torch.equal(inputs["input_ids"], expected["input_ids"])
    assert torch.equal(inputs["attention_mask"], expected["attention_mask"])


# What must not come out silently


class DecodedSound:
    """What a row of `datasets.Audio` holds: torchcodec's decoder, with two keys of `datasets`."""

    def __init__(self, channels: np.ndarray, rate: int):
        self._channels, self._rate = channels, rate

    def get_all_samples(self) -> SimpleNamespace:
        return SimpleNamespace(data=torch.from_numpy(self._channels), sample_rate=self._rate)

    def __getitem__(self, key: str):
        return {"array": self._channels.mean(axis=0), "sampling_rate": self._rate}[key]


def media_processor() -> UnivaProcessor:
    speech, faces = LogMelExtractor(), HogExtractor(image_size=32, cell_size=16)
    config = tiny_config(
        "words", modalities=["audio", "vision"], audio_feature_size=speech.feature_size,
        vision_feature_size=faces.feature_size,
    )  # fmt: skip
    return tiny_processor(config, extractors={"audio": speech.to_dict(), "vision": faces.to_dict()})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_features_that_are_not_finite_are_refused(value):
    processor = tiny_processor(tiny_config(modalities=["text", "audio"]))
    frames = np.zeros((4, 5))
    frames[2, 3] = frames[1, 0] = value
    with pytest.raises(ValueError, match="audio features of input 1 hold 2 values that are NaN or infinite"):
        processor([["a", "b"]], audio_features=[np.zeros((2, 5)), frames])


@pytest.mark.parametrize("features", [[["a"] * 5], [[1.0] * 5, [1.0]], [[None] * 5], np.zeros((2, 5), np.complex64)])
def test_features_that_are_no_numbers_are_refused(features):
    processor = tiny_processor(tiny_config(modalities=["text", "audio"]))
    with pytest.raises(ValueError, match="audio.features"):
        processor([["a"]], audio_features=[features])


@pytest.mark.parametrize(
    ("name", "clips"),
    [
        ("audio", "a.wav"), ("audio", b"RIFF"), ("audio", (np.zeros(9, np.float32), 16000)),
        ("audio", np.zeros(9, np.float32)), ("faces", "a.jpg"), ("faces", np.zeros((9, 9, 3), np.uint8)),
        ("video", "a.mp4"), ("video", {"path": "a.mp4"}),
    ],
)  # fmt: skip
def test_one_clip_in_place_of_a_list_is_told(name, clips):
    with pytest.raises(ValueError, match=f"`{name}` must be a list with one entry an utterance, got"):
        media_processor()(**{name: clips})


def test_a_single_picture_is_one_face(tmp_path):
    processor = media_processor()
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = processor.extract_vision([image])
    assert expected.shape[0] == 1
    opaque = np.concatenate([image, np.full((32, 32, 1), 255, np.uint8)], axis=2)
    for one in (image, opaque, [opaque], image[None], torch.from_numpy(image)):
        np.testing.assert_array_equal(processor.extract_vision(one), expected)
    grey = processor.extract_vision([image[:, :, 0]])
    np.testing.assert_array_equal(processor.extract_vision(image[:, :, :1]), grey)
    with pytest.raises(MediaError, match=r"a.jpg"):
        processor(faces=[str(tmp_path / "a.jpg")])


@pytest.mark.parametrize("shape", [(3, 32, 32), (32, 32, 2), (5,), (1, 1, 32, 32, 3)])
def test_arrays_that_are_no_pictures_are_refused(shape):
    with pytest.raises(ValueError, match=r"`faces` takes arrays \(H, W\) or \(H, W, channels\)"):
        media_processor().extract_vision(np.zeros(shape, np.uint8))


def test_sound_of_a_data_set_is_read():
    processor = media_processor()
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    expected = processor.extract_audio((waveform, 16000))
    stereo = np.stack([waveform, waveform])
    decoded = DecodedSound(stereo, 16000)
    for one in (decoded, {"array": waveform, "sampling_rate": 16000, "path": None}):
        np.testing.assert_allclose(processor.extract_audio(one), expected, atol=1e-6)
    part = processor.extract_audio((decoded, 0.25, 0.75))
    np.testing.assert_allclose(part, processor.extract_audio((waveform[4000:12000], 16000)), atol=1e-6)
    # At another rate it is resampled, as a file is.
    assert processor.extract_audio((np.tile(waveform, 3), 48000)).shape == expected.shape


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-0.5, None, "start must be at least 0 and less than end"),
        (0.5, 0.2, "start must be at least 0 and less than end"),
        ("0.5", None, "`start` must be a number of seconds"),
        (float("nan"), None, "start must be at least 0"),
        (0.0, float("nan"), "start must be at least 0"),
        (2.0, None, "the sound lasts 1 s"),
    ],
)
def test_times_of_a_waveform_are_checked_as_those_of_a_file(start, end, message):
    clip = {"array": np.zeros(16000, np.float32), "sampling_rate": 16000}
    with pytest.raises(MediaError, match=message):
        media_processor().extract_audio((clip, start, end))


# Damaged and forged folders


@pytest.fixture
def saved(tmp_path) -> Path:
    config = tiny_config("bert")
    tiny_model(config).save_pretrained(tmp_path)
    tiny_processor(config).save_pretrained(tmp_path)
    return tmp_path


def test_missing_vocabulary_is_refused(saved):
    (saved / "tokenizer.json").unlink()
    for kind in (UnivaProcessor, AutoProcessor):
        with pytest.raises((ValueError, OSError), match="tokenizer"):
            kind.from_pretrained(saved)


def test_missing_vocabulary_of_a_class_that_makes_one_up_is_refused(saved):
    file = saved / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokenizer_class": "BertTokenizer"}))
    (saved / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="tokenizer.json"):
        UnivaProcessor.from_pretrained(saved)


def test_tokenizer_without_its_settings_is_refused(saved):
    (saved / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"no padding token, which tokenizer_config\.json names"):
        UnivaProcessor.from_pretrained(saved)


def test_tokenizer_of_another_model_is_refused(saved):
    other = bert_tokenizer()
    other.add_tokens(["more", "words"])
    other.save_pretrained(saved)
    with pytest.raises(ValueError, match=r"tokenizer.json, .*\) has 64 tokens, and its text encoder knows 62"):
        UnivaProcessor.from_pretrained(saved)


def test_code_of_a_tokenizer_is_neither_run_nor_asked_for(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail(f"asked {prompt}"))
    file = saved / "tokenizer_config.json"
    named = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | named))
    (saved / "evil.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\nclass Evil: pass\n")
    for kind, options in ((UnivaProcessor, {}), (AutoProcessor, {}), (AutoProcessor, {"trust_remote_code": True})):
        with contextlib.suppress(ValueError):
            kind.from_pretrained(saved, **options)
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"modalities": 3}, {"modalities": ["smell"]}, {"feature_sizes": {"audio": -1}}, {"feature_sizes": [1]},
        {"feature_sizes": {"smell": 3}}, {"max_lengths": {"text": 10**12}}, {"max_lengths": {"text": "9"}},
        {"extractors": ["a"]}, {"extractors": {"audio": "log-mel"}},
    ],
)  # fmt: skip
def test_settings_of_a_file_are_checked(saved, wrong):
    file = saved / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` "):
        UnivaProcessor.from_pretrained(saved)


def test_audio_tokenizer_of_a_file_is_not_loaded(saved):
    file = saved / "processor_config.json"
    named = {"audio_tokenizer_class": "BertModel", "audio_tokenizer_name_or_path": "/somewhere"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"audio_tokenizer": named}))
    with pytest.raises(ValueError, match="it names an audio tokenizer, which this processor does not have"):
        UnivaProcessor.from_pretrained(saved)


def test_configuration_beside_a_processor_is_checked_first(saved):
    file = saved / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_labels": 10**12}))
    with pytest.raises(ValueError, match="The number of labels must lie between 1 and 10,000"):
        UnivaProcessor.from_pretrained(saved)
