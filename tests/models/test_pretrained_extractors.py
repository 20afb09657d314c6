# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Speech encoders, face embeddings and word vectors: parity, batches, windows, and which weights they are."""

import gzip
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from testing_utils import pretrained_speech_encoder
from transformers import AutoModel, Wav2Vec2FeatureExtractor

from modeling_univa.models import speech_encoder_univa, word_vectors_univa
from modeling_univa.models.extractor_base_univa import same_extractor
from modeling_univa.models.extractors_univa import extractor_from_dict
from modeling_univa.models.face_networks_univa import FaceEmbeddingExtractor
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor
from modeling_univa.models.word_vectors_univa import WordVectorExtractor, tokenize_words


RATE = 16000
# Shorter than a frame, equal, one sample apart, and longer than the others.
LENGTHS = (4000, 3999, 30, 8000, 4000, 1234)
ENCODERS = [
    ("wav2vec2", {"feat_extract_norm": "group"}),
    ("wav2vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    ("wav2vec2", {"feat_extract_norm": "layer", "add_adapter": True, "output_hidden_size": 20}),
    ("hubert", {"feat_extract_norm": "group"}),
    ("hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    ("hubert", {"feat_extract_norm": "layer", "conv_pos_batch_norm": True}),
    ("wavlm", {"feat_extract_norm": "group"}),
    ("wavlm", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    ("data2vec-audio", {}),
]


def clips(lengths=LENGTHS, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    generator = np.random.default_rng(seed)
    return [(generator.normal(0.05, 0.1, length).astype(np.float32), RATE) for length in lengths]


def encoder_folder(folder: Path, kind: str, settings: dict) -> Path:
    path = folder / "-".join([kind, *map(str, settings.values())])
    return path if path.exists() else pretrained_speech_encoder(path, kind, **settings)


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture
def layer_norm(base) -> SpeechEncoderExtractor:
    return SpeechEncoderExtractor(str(encoder_folder(base, *ENCODERS[1])))


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.fixture
def tf32(monkeypatch) -> set[bool]:
    """Whether cuDNN might use TF32 in the convolutions that are computed."""
    found = set()
    for kind in (torch.nn.Conv1d, torch.nn.Conv2d):

        def forward(self, inputs, original=kind.forward):
            found.add(torch.backends.cudnn.allow_tf32)
            return original(self, inputs)

        monkeypatch.setattr(kind, "forward", forward)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return found


class TestSpeechEncoder:
    @pytest.fixture(params=ENCODERS, ids=lambda encoder: "-".join([encoder[0], *map(str, encoder[1].values())]))
    def folder(self, request, base) -> Path:
        return encoder_folder(base, *request.param)

    def test_frames_are_those_of_transformers(self, folder):
        network = AutoModel.from_pretrained(folder).eval()
        prepare = Wav2Vec2FeatureExtractor.from_pretrained(folder)
        extractor = SpeechEncoderExtractor(str(folder))
        for waveform, rate in clips((4000, 1234)):
            inputs = prepare(waveform, sampling_rate=rate, return_tensors="pt")
            with torch.no_grad():
                expected = network(inputs["input_values"]).last_hidden_state[0].numpy()
            found = extractor(waveform, rate)
            assert found.dtype == np.float32
            assert found.shape[1] == extractor.feature_size
            assert_close(found, expected, 1e-6)

    def test_convolutions_are_exact(self, layer_norm, tf32):
        layer_norm(*clips()[0])
        assert tf32 == {False} and torch.backends.cudnn.allow_tf32

    @pytest.mark.parametrize("batch_seconds", [1e-3, 0.6, 100.0])
    def test_batch_equals_one_by_one(self, folder, batch_seconds):
        extractor = SpeechEncoderExtractor(str(folder), batch_seconds=batch_seconds)
        together = extractor.extract_batch(clips())
        for frames, (waveform, rate) in zip(together, clips(), strict=True):
            assert_close(frames, extractor(waveform, rate))

    def test_padding_is_used_only_where_it_leaves_no_trace(self, folder, monkeypatch):
        extractor = SpeechEncoderExtractor(str(folder))
        encoder = speech_encoder_univa._speech_encoder(extractor.model, None, extractor.sha256, "cpu", torch.float32)
        pieces = [encoder.normalize(waveform) for waveform, _ in clips((4000, 2000))]
        alone = [encoder._encode([piece])[0] for piece in pieces]

        def leak(**ways: bool) -> float:
            for name, value in ways.items():
                monkeypatch.setattr(type(encoder), name, value)
            together = zip(encoder._encode(pieces), alone, strict=True)
            return max(np.abs(a[: len(b)] - b[: len(a)]).max() / np.abs(b).max() for a, b in together)

        pads_waveforms, pads_frames = encoder.pads_waveforms, encoder.pads_frames
        assert (leak(pads_waveforms=True) < 1e-5) == pads_waveforms
        if not getattr(encoder.network.config, "add_adapter", False):
            assert (leak(pads_waveforms=False) < 1e-5) == pads_frames

    def test_unnormalised_checkpoint_keeps_the_level(self, base):
        folder = pretrained_speech_encoder(base / "plain", "wav2vec2", do_normalize=False)
        extractor = SpeechEncoderExtractor(str(folder))
        [(waveform, rate)] = clips((4000,))
        with torch.no_grad():
            expected = AutoModel.from_pretrained(folder).eval()(torch.from_numpy(waveform)[None]).last_hidden_state[0]
        assert_close(extractor(waveform, rate), expected.numpy(), 1e-6)

    def test_head_of_a_checkpoint_is_left_out(self, base):
        from transformers import AutoModelForCTC

        folder = encoder_folder(base, *ENCODERS[1])
        network = AutoModelForCTC.from_pretrained(folder)
        network.save_pretrained(base / "ctc")
        Wav2Vec2FeatureExtractor.from_pretrained(folder).save_pretrained(base / "ctc")
        [(waveform, rate)] = clips((4000,))
        found = SpeechEncoderExtractor(str(base / "ctc"))(waveform, rate)
        np.testing.assert_allclose(found, SpeechEncoderExtractor(str(folder))(waveform, rate), rtol=1e-5, atol=1e-6)

    def test_long_clip_has_as_many_frames_in_windows(self, layer_norm):
        [(waveform, rate)] = clips((RATE * 3 + 777,))
        whole, cut = layer_norm(waveform, rate), replace(layer_norm, window_seconds=1.0)(waveform, rate)
        assert whole.shape == cut.shape
        # Only the context beyond a border is missing.
        assert 1e-3 < np.abs(whole - cut).mean() / np.abs(whole).mean() < 0.5

    def test_windows_see_the_samples_of_their_frames(self, layer_norm):
        encoder = speech_encoder_univa._speech_encoder(layer_norm.model, None, layer_norm.sha256, "cpu", torch.float32)
        values = encoder.normalize(clips((RATE * 2 + 123,))[0][0])

        def front_end(piece: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return encoder.network.feature_extractor(torch.from_numpy(piece)[None])[0].T.numpy()

        pieces = encoder.windows(values, 5000)
        assert max(map(len, pieces)) <= 5000
        np.testing.assert_allclose(
            np.concatenate([front_end(piece) for piece in pieces]), front_end(values), atol=1e-5
        )

    @pytest.mark.parametrize("window", [0, 1, 7, 10_000])
    def test_pooling_averages_frames_in_a_row(self, layer_norm, window):
        for waveform, rate in clips((8000, 30)):
            frames = layer_norm(waveform, rate)
            starts = range(0, len(frames), window or len(frames))
            expected = np.stack([frames[start : start + (window or len(frames))].mean(axis=0) for start in starts])
            found = replace(layer_norm, pooling_frames=window)(waveform, rate)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.1), ("float16", 0.01)])
    def test_half_precision_is_near(self, layer_norm, dtype, tolerance):
        [clip] = clips((4000,))
        found, expected = replace(layer_norm, dtype=dtype)(*clip), layer_norm(*clip)
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).mean() < tolerance * np.abs(expected).mean()

    def test_network_is_frozen_loaded_once_and_shared(self, base, monkeypatch):
        folder = pretrained_speech_encoder(base / "once", "wav2vec2")
        loaded, load = [], AutoModel.from_pretrained
        monkeypatch.setattr(AutoModel, "from_pretrained", lambda *args, **kw: loaded.append(args) or load(*args, **kw))
        first = SpeechEncoderExtractor(str(folder))
        assert not loaded
        second = extractor_from_dict(first.to_dict())
        [clip] = clips((4000,))
        for extractor in (first, second, pickle.loads(pickle.dumps(first)), replace(first, pooling_frames=2)):
            extractor(*clip)
        assert len(loaded) == 1
        encoder = speech_encoder_univa._speech_encoder(first.model, None, first.sha256, "cpu", torch.float32)
        assert not encoder.network.training
        assert not any(parameter.requires_grad for parameter in encoder.network.parameters())

    def test_dictionary_says_all_that_decides_the_features(self, layer_norm):
        extractor = replace(layer_norm, pooling_frames=5, device="cpu", dtype="bfloat16", batch_seconds=3.0)
        config = json.loads(json.dumps(extractor.to_dict()))
        assert set(config) == {
            "extractor_type", "model", "revision", "sha256", "feature_size", "sampling_rate", "pooling_frames",
            "window_seconds",
        }  # fmt: skip
        assert extractor_from_dict(config) == extractor
        assert extractor_from_dict(config) != layer_norm

    def test_moved_folder_is_the_same_and_changed_weights_are_not(self, layer_norm, tmp_path):
        import shutil

        moved = Path(shutil.copytree(layer_norm.model, tmp_path / "moved"))
        assert same_extractor(SpeechEncoderExtractor(str(moved)).to_dict(), layer_norm.to_dict())
        (moved / "README.md").write_text("of no account")
        assert same_extractor(SpeechEncoderExtractor(str(moved)).to_dict(), layer_norm.to_dict())
        settings = replace(layer_norm, model=str(moved)).to_dict()
        extractor_from_dict(settings)(*clips((4000,))[0])
        other = pretrained_speech_encoder(tmp_path / "other", *[ENCODERS[1][0]], **ENCODERS[1][1], seed=1)
        shutil.copy(other / "model.safetensors", moved)
        assert not same_extractor(SpeechEncoderExtractor(str(moved)).to_dict(), layer_norm.to_dict())
        speech_encoder_univa._speech_encoder.cache_clear()
        with pytest.raises(ValueError, match="is not the folder of the network of SHA-256"):
            extractor_from_dict(settings)(*clips((4000,))[0])

    def test_wrong_input_is_refused(self, layer_norm):
        [(waveform, rate)] = clips((4000,))
        for item, message in [
            ((waveform, 8000), "expected speech at 16000 Hz, got 8000 Hz"),
            ((waveform[:0], rate), "at least one sample"),
            ((waveform * np.nan, rate), "NaN"),
            (((waveform * 32768).astype(np.int16), rate), "int16"),
        ]:
            with pytest.raises(ValueError, match=message):
                layer_norm.extract_batch([(waveform, rate), item])
        assert layer_norm.extract_batch([]) == []

    def test_silence_and_a_single_sample_are_finite(self, layer_norm):
        for waveform in (np.zeros(5000, np.float32), np.ones(1, np.float32)):
            assert np.isfinite(layer_norm(waveform, RATE)).all()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"pooling_frames": -1}, "`pooling_frames`"),
            ({"window_seconds": 0.5}, "`window_seconds` must lie between 1 and 3,600"),
            ({"dtype": "int8"}, "`dtype` must be one of auto"),
            ({"feature_size": 99}, "has `feature_size` 32, but 99 was asked for"),
        ],
    )
    def test_wrong_settings_are_refused(self, layer_norm, settings, message):
        with pytest.raises(ValueError, match=message):
            SpeechEncoderExtractor(layer_norm.model, **settings)

    def test_what_is_no_speech_encoder_is_refused(self, base, tmp_path):
        from testing_utils import write_text_encoder

        with pytest.raises(ValueError, match="is a 'bert' model; speech encoders are"):
            SpeechEncoderExtractor(str(write_text_encoder(tmp_path / "bert")))
        for name in (str(tmp_path / "missing"), "./missing", "a/b/c"):
            with pytest.raises(ValueError, match="not a folder, and not a Hub id"):
                SpeechEncoderExtractor(name)
        with pytest.raises(ValueError, match="org/never-seen cannot be loaded as a speech encoder"):
            SpeechEncoderExtractor("org/never-seen")
        silent = pretrained_speech_encoder(tmp_path / "silent", "wav2vec2")
        (silent / "preprocessor_config.json").unlink()
        with pytest.raises(ValueError, match="how it scales sound is missing"):
            SpeechEncoderExtractor(str(silent))
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="empty cannot be loaded as a speech encoder"):
            SpeechEncoderExtractor(str(tmp_path / "empty"))

    def test_incomplete_checkpoint_is_refused(self, base, tmp_path):
        import shutil

        from safetensors.torch import load_file, save_file

        folder = Path(shutil.copytree(encoder_folder(base, *ENCODERS[1]), tmp_path / "lacking"))
        weights = load_file(folder / "model.safetensors")
        weights = {name: value for name, value in weights.items() if "layers.1.attention.q_proj" not in name}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(
            ValueError, match="lacks weights of its own architecture: encoder.layers.1.attention.q_pro"
        ):
            SpeechEncoderExtractor(str(folder))(*clips((4000,))[0])

    def test_code_beside_a_checkpoint_is_not_run(self, base, tmp_path):
        import shutil

        folder = Path(shutil.copytree(encoder_folder(base, *ENCODERS[1]), tmp_path / "code"))
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "evil.py").write_text("raise SystemExit('was run')\n")
        with pytest.raises(ValueError, match="code cannot be loaded as a speech encoder"):
            SpeechEncoderExtractor(str(folder))


def images(count: int, seed: int = 0, side: int = 160) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def face_folder(base) -> Path:
    torch.manual_seed(0)
    config = InceptionResnetV1Config(num_blocks_35=1, num_blocks_17=1, num_blocks_8=1)
    InceptionResnetV1Model(config).eval().save_pretrained(base / "faces")
    return base / "faces"


class TestFaceEmbedding:
    def test_embeddings_are_those_of_the_network(self, face_folder):
        extractor, faces = FaceEmbeddingExtractor(str(face_folder)), images(2)
        assert extractor.feature_size == 512
        pixels = torch.from_numpy((np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128)
        with torch.no_grad():
            expected = InceptionResnetV1Model.from_pretrained(face_folder).eval()(pixels).embeddings
        assert_close(extractor(faces), expected.numpy())

    def test_batch_equals_one_by_one(self, face_folder):
        extractor = FaceEmbeddingExtractor(str(face_folder), batch_images=3)
        sequences = [images(2), images(4, seed=1), images(1, seed=2, side=90)]
        together = extractor.extract_batch(sequences)
        assert [len(frames) for frames in together] == [2, 4, 1]
        for frames, sequence in zip(together, sequences, strict=True):
            assert_close(frames, np.concatenate([extractor([face]) for face in sequence]))
        assert extractor.extract_batch([]) == []

    def test_convolutions_are_exact(self, face_folder, tf32):
        FaceEmbeddingExtractor(str(face_folder))(images(1))
        assert tf32 == {False} and torch.backends.cudnn.allow_tf32

    def test_mini_xception(self, tmp_path):
        torch.manual_seed(0)
        network = MiniXceptionModel(MiniXceptionConfig()).eval()
        network.save_pretrained(tmp_path)
        extractor, faces = FaceEmbeddingExtractor(str(tmp_path), batch_images=2), images(3, side=70)
        assert extractor.feature_size == 1536
        with torch.no_grad():
            assert_close(extractor(faces), network(**network.preprocess(faces)).embeddings.numpy())

    def test_round_trip_and_refusals(self, face_folder, base):
        extractor = FaceEmbeddingExtractor(str(face_folder))
        assert extractor_from_dict(json.loads(json.dumps(extractor.to_dict()))) == extractor
        with pytest.raises(ValueError, match="at least one face image"):
            extractor.extract_batch([images(1), []])
        with pytest.raises(ValueError, match="face image 1: expected uint8"):
            extractor([*images(1), np.zeros((9, 9), np.float32)])
        with pytest.raises(ValueError, match="cannot be loaded as a face network .* 'wav2vec2'"):
            FaceEmbeddingExtractor(str(encoder_folder(base, *ENCODERS[1])))


VECTORS = {
    "the": [1, 2, 3], "do": [4, 5, 6], "n't": [7, 8, 9], ".": [-1, -2, -3], "it": [0.5, 0, 0],
    "'s": [0, 0.5, 0],
    "well": [1, 0, 0], "known": [0, 1, 0], "new york": [5, 5, 5],
    "Paris": [9, 0, 0], "高兴": [3, 3, 3], "很": [1, 1, 1],
}  # fmt: skip


def vector_text(vectors: dict[str, list[float]]) -> str:
    return "".join(f"{word} {' '.join(map(str, values))}\n" for word, values in vectors.items())


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    word_vectors_univa._word_vectors.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def glove(tmp_path, cache) -> Path:
    (tmp_path / "glove.txt").write_text(vector_text(VECTORS), encoding="utf-8")
    return tmp_path / "glove.txt"


class TestWordVectors:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Don't go, it's  fine!", ["Do", "n't", "go", ",", "it", "'s", "fine", "!"]),
            (
                "I\u2019ll pay 3.50 for a well-known one...",
                ["I", "'ll", "pay", "3.50", "for", "a", "well-known", "one", *"..."],
            ),
            ("  \n", []),
            ("我很高兴。", ["我很高兴", "。"]),
        ],
    )
    def test_tokenisation(self, text, words):
        assert tokenize_words(text) == words

    def test_one_vector_a_word(self, glove):
        extractor = WordVectorExtractor(str(glove))
        assert extractor.feature_size == 3
        found = extractor("THE don't zzz. ! Well-known 很高兴")
        zero = [0, 0, 0]
        expected = [VECTORS["the"], VECTORS["do"], VECTORS["n't"], zero, VECTORS["."], zero, VECTORS["well"],
                    VECTORS["known"], VECTORS["很"], VECTORS["高兴"]]  # fmt: skip
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.array(expected, np.float32))
        skipping = replace(extractor, unknown="skip")
        np.testing.assert_array_equal(skipping("the zzz it"), np.float32([VECTORS["the"], VECTORS["it"]]))
        assert skipping("zzz").shape == extractor("").shape == (0, 3)
        batch = extractor.extract_batch(["the", "", "it's"])
        assert [frames.shape for frames in batch] == [(1, 3), (0, 3), (2, 3)]

    def test_case_may_count(self, glove):
        assert WordVectorExtractor(str(glove))("Paris").tolist() == [[0, 0, 0]]
        assert WordVectorExtractor(str(glove), lowercase=False)("Paris The").tolist() == [[9, 0, 0], [1, 2, 3]]

    @pytest.mark.parametrize("form", ["gz", "zip", "header"])
    def test_other_forms_of_the_file(self, glove, form):
        path = glove.with_suffix(f".{form}")
        if form == "gz":
            path.write_bytes(gzip.compress(glove.read_bytes()))
        elif form == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(glove, "glove.txt")
        else:
            path.write_text(f"{len(VECTORS)} 3\n" + glove.read_text())
        found = WordVectorExtractor(str(path))
        np.testing.assert_array_equal(found("the it."), WordVectorExtractor(str(glove))("the it."))

    def test_file_is_read_once_and_memory_mapped(self, glove, cache):
        extractor = WordVectorExtractor(str(glove))
        expected = extractor("the")
        glove.unlink()
        word_vectors_univa._word_vectors.cache_clear()
        np.testing.assert_array_equal(extractor_from_dict(extractor.to_dict())("the"), expected)
        table = word_vectors_univa._word_vectors(extractor.model, extractor.sha256)
        assert isinstance(table.vectors, np.memmap)
        assert [path.name for path in (cache / "univa" / "word_vectors").iterdir()] == [extractor.sha256]

    def test_another_file_is_refused(self, glove):
        config = WordVectorExtractor(str(glove)).to_dict()
        glove.write_text(vector_text({**VECTORS, "the": [1, 2, 4]}), encoding="utf-8")
        with pytest.raises(ValueError, match="is not the file of SHA-256 .* that made the training features"):
            extractor_from_dict(config)("the")
        glove.unlink()
        with pytest.raises(
            ValueError, match="cannot be read or holds something else; name the right one with `univa complete"
        ):
            extractor_from_dict(config)("the")

    def test_most_frequent_words_alone(self, glove, tmp_path):
        small = WordVectorExtractor(str(glove)).write_most_frequent(tmp_path / "small.txt.gz", 3)
        assert small("the do n't it").tolist() == [VECTORS["the"], VECTORS["do"], VECTORS["n't"], [0, 0, 0]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "holds no word vectors"),
            ("the\n", "line 1: expected a word and its numbers"),
            ("the 1 2\nof 1\n", "line 2: expected a word and 2 numbers"),
            ("the 1 2\nof 1 x\n", "vector 2 holds something that is not a number"),
        ],
    )
    def test_what_is_no_such_file_is_refused(self, glove, content, message):
        glove.write_text(content)
        with pytest.raises(ValueError, match=message):
            WordVectorExtractor(str(glove))("the")

    def test_missing_and_ambiguous_files_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="this file of word vectors does not exist"):
            WordVectorExtractor(str(tmp_path / "none.txt"))
        with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
            archive.writestr("a.txt", "a 1")
            archive.writestr("b.txt", "b 1")
        with pytest.raises(ValueError, match=r"holds 2 files; unpack it and name one"):
            WordVectorExtractor(str(tmp_path / "two.zip"))
        (tmp_path / "bad.gz").write_text("the 1 2")
        with pytest.raises(ValueError, match="cannot be read as word vectors"):
            WordVectorExtractor(str(tmp_path / "bad.gz"))


def test_light_extractors_take_batches_too():
    extractor = LogMelExtractor()
    for frames, clip in zip(extractor.extract_batch(clips()), clips(), strict=True):
        np.testing.assert_allclose(frames, extractor(*clip), rtol=1e-5, atol=1e-6)
