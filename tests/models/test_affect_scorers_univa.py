# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from affect_scorers import write_regressor, write_text_scorer
from testing_utils import bert_tokenizer

from modeling_univa.models.affect_scorers_univa import AudioAffectScorer, VisionAffectScorer, as_scorer, load_scorer
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel
from modeling_univa.models.modeling_wav2vec2_affect import Wav2Vec2AffectConfig, Wav2Vec2AffectModel


TEXTS = ["yes", None, "a longer one, with words", "  ", "no", "ab cd ef gh ij", ""]
SPEECH = {
    "conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4), "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16, "num_conv_pos_embeddings": 4, "num_feat_extract_layers": 2,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def _clips() -> list:
    generator = np.random.default_rng(0)
    lengths = (9000, 0, 24000, 100, 16000)
    clips: list = [(generator.normal(size=n).astype(np.float32) * 0.1, 16000) for n in lengths]
    return [clips[0], None, *clips[1:]]


def _faces() -> list:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, (40 + 9 * i, 50, 3), dtype=np.uint8) for i in range(6)]
    return [images[:3], [], [images[3]], None, [images[4], images[5][..., 0]]]


def _check_scores(scorer, items, absent) -> np.ndarray:
    """One by one, in batches of any size and in any order the same; NaN where there is nothing."""
    scores = scorer.score(items, batch_size=2)
    assert scores.dtype == np.float32
    assert scores.shape == (len(items), 2)
    assert np.isnan(scores[absent]).all()
    present = [index for index in range(len(items)) if index not in absent]
    assert np.abs(scores[present]).max() <= 1
    np.testing.assert_allclose(scores, np.concatenate([scorer.score([item]) for item in items]), atol=1e-5)
    np.testing.assert_allclose(scores, scorer.score(items[::-1], batch_size=50)[::-1], atol=1e-5)
    assert scorer.score([]).shape == (0, 2)
    return scores


def test_text(tmp_path):
    folder = write_text_scorer(tmp_path, ("arousal", "dominance", "valence"))
    scorer = load_scorer("text", str(folder))
    scores = _check_scores(scorer, TEXTS, [1, 3, 6])
    logits = scorer.model(**scorer.tokenizer([TEXTS[0]], return_tensors="pt")).logits[0]
    np.testing.assert_allclose(scores[0], logits[[2, 0]].numpy().clip(-1, 1), atol=1e-6)
    assert not any(value.requires_grad for value in scorer.model.parameters())
    # Longer than the encoder takes.
    assert np.isfinite(scorer.score(["ab " * 100])).all()


def test_text_range(tmp_path):
    scorer = load_scorer("text", str(write_text_scorer(tmp_path, affect_range=[-1, 3])))
    logits = scorer.model(**bert_tokenizer()(["yes"], return_tensors="pt")).logits.numpy()
    np.testing.assert_allclose(scorer.score(["yes"]), ((logits - 1) / 2).clip(-1, 1), atol=1e-6)


def test_text_is_translated_first(tmp_path):
    class Shouting:
        name = "shouting"
        asked: list[list[str]] = []

        def translate(self, texts):
            self.asked.append(list(texts))
            return [f"{text} no" for text in texts]

    folder = str(write_text_scorer(tmp_path))
    translated = load_scorer("text", folder, translator=Shouting()).score(["yes", "", None, "ab"])
    plain = load_scorer("text", folder)
    np.testing.assert_allclose(translated, plain.score(["yes no", None, "", "ab no"]), atol=1e-6)
    assert Shouting.asked == [["yes", "ab"]]
    assert np.abs(plain.score(["yes"]) - translated[0]).max() > 1e-5


def test_published_audio(tmp_path):
    torch.manual_seed(0)
    model = Wav2Vec2AffectModel(Wav2Vec2AffectConfig(**SPEECH)).eval()
    model.classifier.out_proj.weight.data.normal_()
    model.save_pretrained(tmp_path)
    scorer = load_scorer("audio", str(tmp_path))
    clips = _clips()
    scores = _check_scores(scorer, clips, [1, 2])
    assert scorer.sampling_rate == 16000
    output = model(**model.preprocess([clips[0][0]]))
    expected = 2 * torch.stack([output.valence, output.arousal], dim=1) - 1
    np.testing.assert_allclose(scores[:1], expected.detach().numpy().clip(-1, 1), atol=1e-5)
    with pytest.raises(ValueError, match="expected speech at 16000 Hz, got 8000"):
        scorer.score([(clips[0][0], 8000)])


def test_published_vision(tmp_path):
    torch.manual_seed(0)
    model = EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=3)).eval()
    model.save_pretrained(tmp_path)
    scorer = load_scorer("vision", str(tmp_path))
    scores = _check_scores(scorer, _faces(), [1, 3])
    exact = []
    convolution = next(module for module in scorer.model.modules() if isinstance(module, torch.nn.Conv2d))
    convolution.register_forward_pre_hook(lambda *_: exact.append(not torch.backends.cudnn.allow_tf32))
    scorer.score(_faces())
    assert exact and all(exact)
    with torch.no_grad():
        each = [model(**model.preprocess([image])) for image in _faces()[0]]
    valence = [output.valence.clip(-1, 1).item() for output in each]
    assert scores[0, 0] == pytest.approx(np.mean(valence), abs=1e-5)
    assert scores[0, 1] == pytest.approx(np.mean([output.arousal.clip(-1, 1).item() for output in each]), abs=1e-5)
    with pytest.raises(ValueError, match="face image 1: expected uint8"):
        scorer.score([[_faces()[0][0], np.zeros((3, 3))]])


def test_regressors(tmp_path):
    audio = write_regressor(tmp_path / "audio", "audio", LogMelExtractor().to_dict())
    scorer = load_scorer("audio", str(audio))
    assert isinstance(scorer, AudioAffectScorer)
    assert scorer.sampling_rate == 16000
    _check_scores(scorer, _clips(), [1, 2])
    extractor = HogExtractor(image_size=32)
    vision = write_regressor(tmp_path / "vision", "vision", extractor.to_dict())
    scorer = load_scorer("vision", str(vision))
    assert isinstance(scorer, VisionAffectScorer)
    scores = _check_scores(scorer, _faces(), [1, 3])
    frames = torch.from_numpy(extractor(_faces()[0]))[None]
    logits = scorer.model(vision_features=frames, vision_attention_mask=torch.ones(1, 3)).logits
    np.testing.assert_allclose(scores[:1], logits.detach().numpy().clip(-1, 1), atol=1e-5)


def test_what_is_no_scorer_is_refused(tmp_path):
    text = str(write_text_scorer(tmp_path / "text", ("valence", "dominance")))
    audio = str(write_regressor(tmp_path / "audio", "audio", LogMelExtractor().to_dict()))
    ready = {"extractor_type": "precomputed", "name": "theirs", "feature_size": 4}
    made_elsewhere = str(write_regressor(tmp_path / "ready", "vision", ready))
    emonet = EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=3))
    weights = {name: value for name, value in emonet.state_dict().items() if not name.startswith("affect_head.class")}
    emonet.save_pretrained(tmp_path / "emonet", state_dict=weights)
    for modality, model, message in [
        ("smell", text, "there is not a scorer of 'smell'; choose text, audio, vision"),
        ("text", text, "has the labels valence and arousal, and .* has valence, dominance"),
        ("vision", audio, "scores audio, not vision"),
        ("vision", made_elsewhere, "does not know how to make them from raw media"),
        ("audio", text, "is a 'bert' model; a scorer of audio is one of wav2vec2, wav2vec2-affect, univa_affect_reg"),
        ("vision", str(tmp_path / "emonet"), "lacks weights of its own architecture: affect_head.classifier"),
        ("audio", str(tmp_path / "nothing"), "nothing cannot be loaded"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_scorer(modality, model)
    with pytest.raises(ValueError, match="a translator is for text, not for audio"):
        load_scorer("audio", audio, translator=object())


def test_whatever_may_be_passed_for_a_scorer(tmp_path):
    audio = write_regressor(tmp_path / "audio", "audio", LogMelExtractor().to_dict())
    assert isinstance(as_scorer("audio", audio, "cpu"), AudioAffectScorer)
    emonet = EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=3))
    scorer = as_scorer("vision", emonet, "cpu")
    assert isinstance(scorer, VisionAffectScorer) and as_scorer("vision", scorer) is scorer
    assert as_scorer("text", lambda items: [len(item) for item in items]).score(["yes"]) == [3]
    for modality, given, message in [
        ("audio", emonet, "EmoNetModel is not a scorer of audio"),
        ("text", emonet, "EmoNetModel is not a scorer of text by itself"),
        ("text", 3, "must be a name, a model or a function, got int"),
    ]:
        with pytest.raises(ValueError, match=message):
            as_scorer(modality, given)


def test_a_network_that_is_not_registered_is_to_be_passed_itself(tmp_path, monkeypatch):
    EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=3)).save_pretrained(tmp_path)
    monkeypatch.setattr("modeling_univa.models.affect_scorers_univa.CONFIG_MAPPING", {})
    with pytest.raises(ValueError, match="is of the type emonet, which is not known here: .* pass the network"):
        load_scorer("vision", str(tmp_path))
