# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""UnivaConfig: what it fills in, what it refuses, and the similarity of the published label sets."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from testing_utils import text_config, tiny_config, tiny_model
from transformers import AutoConfig

from modeling_univa.models.configuration_univa import (
    EMOTION_VALENCE_AROUSAL,
    M3ED_EMOTIONS,
    MOSEI_EMOTIONS,
    UnivaConfig,
    affect_of_labels,
)
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification, label_similarity


def test_defaults_are_those_of_the_published_mosei_run():
    config = UnivaConfig()
    assert config.label_names == list(MOSEI_EMOTIONS)
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (768, 12, 3072)
    assert (config.contrastive_weight, config.contrastive_temperature) == (0.45, 0.7)
    assert (config.va_distance_threshold, config.decision_threshold) == (0.1, 0.18)
    assert config.contrastive_modality_weights == [3, 1, 1]
    assert (config.objective, config.learn_label_similarity, config.layer_norm_eps) == ("released", True, 1e-12)


@pytest.mark.parametrize("route", ["bert", "roberta", "words"])
def test_save_and_load_keep_every_field(route, tmp_path):
    config = tiny_config(route, modalities=["vision", "text"], contrastive_weight=0.2, learn_label_similarity=False)
    config.save_pretrained(tmp_path)
    loaded = UnivaConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == {**config.to_dict(), "transformers_version": loaded.transformers_version}
    assert type(loaded.text_config) is type(config.text_config)
    assert loaded.modalities == ["text", "vision"]
    assert loaded.label_names == list(MOSEI_EMOTIONS)
    assert loaded.auto_map["AutoModel"] == "modeling_univa.UnivaForEmotionClassification"
    assert loaded.auto_map["AutoProcessor"] == "processing_univa.UnivaProcessor"


def test_saved_file_is_plain_json_with_names_of_the_labels(tmp_path):
    tiny_config().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == "univa"
    assert content["id2label"] == {str(index): name for index, name in enumerate(MOSEI_EMOTIONS)}
    assert content["label2id"] == {name: index for index, name in enumerate(MOSEI_EMOTIONS)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ["text", "smell"]}, "must be some of"),
        ({"modalities": []}, "must be some of"),
        ({"hidden_size": 10, "num_attention_heads": 4}, "multiple of `num_attention_heads`"),
        ({"contrastive_modality_weights": [1.0, 1.0]}, "three numbers"),
        ({"contrastive_weight": 1.5}, r"must lie in \[0, 1\]"),
        ({"modality_dropout": 1}, r"\[0, 1\), got 1"),
        ({"contrastive_memory": -1}, "`contrastive_memory` must be at least 0, got -1"),
        ({"contrastive_memory": 10**9}, "The memory of `contrastive_memory` utterances"),
        ({"contrastive_chunk_size": -1}, "`contrastive_chunk_size`"),
        ({"contrastive_temperature": 0}, "greater than 0"),
        ({"decision_threshold": 1.0}, r"must lie in \[0, 1\)"),
        ({"decision_threshold": [0.1, 0.2, 0.3, 0.4, 0.5, 1.0]}, r"must lie in \[0, 1\), got \[0.1"),
        ({"decision_threshold": [0.1, 0.2]}, "one number, or one for each of the 6 labels, got 2"),
        ({"decision_threshold": []}, "one number, or one for each of the 6 labels, got 0"),
        ({"decision_threshold": ["0.1"] * 6}, "decision_threshold"),
        ({"objective": "published"}, "objective"),
        ({"contrastive_loss": "triplet"}, "contrastive_loss"),
        ({"hidden_size": "768"}, "hidden_size"),
        ({"audio_num_hidden_layers": 1.5}, "audio_num_hidden_layers"),
        ({"label_affect": [[0.1, 0.2]]}, "one \\(valence, arousal\\) pair for each of the 6"),
        ({"label_affect": [[0.1]] * 6}, "one \\(valence, arousal\\) pair for each of the 6"),
    ],
)
def test_wrong_fields_are_refused(options, message):
    with pytest.raises(StrictDataclassError, match=message):
        UnivaConfig(**options)


def test_affect_of_known_labels_is_filled_in():
    config = UnivaConfig(id2label={0: "neutral", 1: "happy"})
    assert config.label_affect == [[0.5, 0.5], [1.0, 0.735]]
    assert config.label2id == {"neutral": 0, "happy": 1}
    assert affect_of_labels(["happy", "bored"]) is None


def test_unknown_labels_are_refused_while_the_prior_is_on():
    labels = {0: "happy", 1: "bored"}
    with pytest.raises(StrictDataclassError, match="those of bored are not known: pass `label_affect`, or set"):
        UnivaConfig(id2label=labels)
    assert UnivaConfig(id2label=labels, correlation_prior_weight=0.0).label_affect is None
    assert UnivaConfig(id2label=labels, label_affect=[[1.0, 0.7], [0.2, 0.1]]).label_affect[1] == [0.2, 0.1]


def test_other_forms_of_the_known_words_are_known():
    config = UnivaConfig(id2label={0: "Joy", 1: "sadness", 2: "anger"})
    assert config.label_affect == affect_of_labels(["happy", "sad", "anger"])


def test_model_that_was_saved_without_the_prior_stays_without(tmp_path):
    """Before other forms were known, `joy` had no valence and arousal, and the model no weights of the prior."""
    config = tiny_config("words", id2label={0: "joy", 1: "sad"}, correlation_prior_weight=0.0)
    model = tiny_model(config)
    assert model.correlation_prior is None
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    assert json.loads(file.read_text()).get("label_affect") is None
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path)
    assert loaded.config.label_affect is None and loaded.correlation_prior is None
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_new_labels_of_other_forms_keep_the_prior(tmp_path, caplog):
    tiny_config("words").save_pretrained(tmp_path)
    loaded = UnivaConfig.from_pretrained(tmp_path, id2label={0: "joy", 1: "angry"})
    assert (loaded.label_affect, loaded.correlation_prior_weight) == (affect_of_labels(["happy", "anger"]), 1)


def test_number_of_labels_alone_leaves_them_without_affect():
    config = UnivaConfig(num_labels=3, correlation_prior_weight=0)
    assert (config.num_labels, config.label_affect) == (3, None)


@pytest.mark.parametrize(
    ("route", "modalities", "sizes"),
    [
        ("bert", ("text", "audio", "vision"), {"audio": 5, "vision": 3}),
        ("words", ("text", "audio", "vision"), {"text": 6, "audio": 5, "vision": 3}),
        ("words", ("vision",), {"vision": 3}),
        ("bert", ("text",), {}),
    ],
)
def test_feature_sizes_are_of_the_modalities_that_come_as_features(route, modalities, sizes):
    assert tiny_config(route, modalities=modalities).feature_sizes == sizes


def test_text_config_may_be_a_dictionary():
    config = tiny_config(text_config=text_config("roberta").to_dict())
    assert config.text_config.model_type == "roberta"
    assert config.reads_tokens


# The check values that belong to the published label sets: rows are pairs of labels and the cosine, to 3 decimals.
MOSEI_CHECKS = {
    ("happy", "sad"): -0.850,
    ("happy", "surprise"): 0.884,
    ("sad", "surprise"): -0.998,
    ("disgust", "fear"): 0.985,
    ("anger", "fear"): 0.986,
}
M3ED_CHECKS = {("happy", "neutral"): -0.558, ("sad", "neutral"): 0.912, ("surprise", "neutral"): -0.881}


@pytest.mark.parametrize(("labels", "checks"), [(MOSEI_EMOTIONS, MOSEI_CHECKS), (M3ED_EMOTIONS, M3ED_CHECKS)])
def test_label_similarity_of_the_published_label_sets(labels, checks):
    similarity = label_similarity(torch.tensor(UnivaConfig(id2label=dict(enumerate(labels))).label_affect))
    assert similarity.shape == (len(labels), len(labels))
    torch.testing.assert_close(similarity, similarity.T)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(len(labels)))
    for (one, other), expected in checks.items():
        assert similarity[labels.index(one), labels.index(other)].item() == pytest.approx(expected, abs=5e-4)


def test_affect_table_covers_both_label_sets():
    assert set(EMOTION_VALENCE_AROUSAL) == set(MOSEI_EMOTIONS) | set(M3ED_EMOTIONS)


# What a file may say


def test_the_one_task_answers_to_the_names_of_the_hub():
    tasks = tiny_config().custom_pipelines
    assert list(tasks) == ["multimodal-emotion-classification"]
    for task in ("video-classification", "audio-classification", "text-classification"):
        assert task in tasks and tasks[task] is tasks["multimodal-emotion-classification"]
    assert "summarization" not in tasks
    with pytest.raises(KeyError):
        tasks["summarization"]


WRONG_SETTINGS = [
    ({"audio_num_hidden_layers": 10**6}, "`audio_num_hidden_layers` must lie between 0 and 256"),
    ({"audio_num_hidden_layers": -1}, "`audio_num_hidden_layers` must lie between 0 and 256"),
    ({"max_audio_length": -5}, "`max_audio_length` must lie between 1"),
    ({"max_vision_length": 10**12}, "`max_vision_length` must lie between 1"),
    ({"audio_feature_size": 0}, "`audio_feature_size` must lie between 1"),
    ({"num_attention_heads": 0}, "`num_attention_heads` must lie between 1"),
    ({"num_attention_heads": -2}, "`num_attention_heads` must lie between 1"),
    ({"hidden_size": 65536, "intermediate_size": 65536, "audio_num_hidden_layers": 200}, r"\(parameters\), got"),
    ({"hidden_act": "evil"}, "`hidden_act` must be one of"),
    ({"hidden_dropout_prob": 3}, r"`hidden_dropout_prob` must lie in \[0, 1\]"),
    ({"layer_norm_eps": float("nan")}, "`layer_norm_eps` must be finite"),
    ({"contrastive_temperature": float("nan")}, "`contrastive_temperature` must be finite"),
    ({"decision_threshold": float("nan")}, "`decision_threshold`"),
    ({"decision_threshold": [0.1, 0.2, float("nan"), 0.1, 0.1, 0.1]}, "`decision_threshold`"),
    ({"label_affect": [[float("nan"), 0.0]] * 6}, "`label_affect` must be finite"),
    ({"hidden_size": [768]}, "hidden_size"),
    ({"contrastive_weight": "0.4"}, "contrastive_weight"),
    ({"modalities": "text"}, "modalities"),
    ({"num_labels": 10**12}, "The number of labels must lie between"),
    ({"num_labels": -1}, "The number of labels must lie between"),
    ({"num_labels": "6"}, "The number of labels must lie between"),
    ({"id2label": {"0": "a", "2": "b"}}, "`id2label` must number the labels from 0 to 1"),
    ({"id2label": {"first": "a"}}, "`id2label` must number the labels from 0 to 0"),
    ({"id2label": {"0": "a", "1": "a"}}, "a name of its own"),
    ({"id2label": {"0": " "}}, "a name of its own"),
    ({"id2label": ["a", "b"]}, "id2label"),
    ({"id2label": {}}, "The number of labels must lie between"),
    ({"text_config": "bert"}, "text_config"),
    ({"text_config": {"model_type": "nothing"}}, "Unrecognized model type"),
    ({"text_config": {"model_type": "bert", "num_hidden_layers": 10**6}}, "`text_config.num_hidden_layers` must lie"),
    ({"text_config": {"model_type": "bert", "num_hidden_layers": -1}}, "`text_config.num_hidden_layers` must lie"),
    ({"text_config": {"model_type": "bert", "vocab_size": 10**12}}, "`text_config.vocab_size` must lie"),
    ({"text_config": {"model_type": "bert", "max_position_embeddings": 10**9}}, "`text_config.max_position_embedd"),
    ({"text_config": {"model_type": "bert", "intermediate_size": 2**40}}, "`text_config.intermediate_size` must lie"),
    ({"text_config": {"model_type": "distilbert", "n_layers": 10**6}}, "`text_config.n_layers` must lie"),
    ({"text_config": {"model_type": "bert", "hidden_act": "evil"}}, "`text_config.hidden_act` must be one of"),
    ({"text_config": {"model_type": "bert", "hidden_size": "12"}}, "hidden_size"),
    ({"dtype": "evil"}, "`dtype` must be a type of torch such as float32, got 'evil'"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), WRONG_SETTINGS)
def test_settings_of_a_file_are_refused_in_one_sentence(wrong, message, tmp_path):
    tiny_config("words").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    with pytest.raises(ValueError, match=message) as caught:
        UnivaConfig.from_pretrained(tmp_path)
    found = str(caught.value)
    assert found.startswith(f"The configuration of {tmp_path} cannot be used: ") and "\n" not in found


def test_overrides_are_in_place_before_anything_is_checked(tmp_path):
    tiny_config("words").save_pretrained(tmp_path)
    loaded = UnivaConfig.from_pretrained(
        tmp_path, hidden_size=21, num_attention_heads=7, modalities=["vision", "text"]
    )
    assert (loaded.hidden_size, loaded.num_attention_heads, loaded.modalities) == (21, 7, ["text", "vision"])
    _, unused = UnivaConfig.from_pretrained(tmp_path, hidden_size=32, smell=3, return_unused_kwargs=True)
    assert set(unused) >= {"smell"} and "hidden_size" not in unused


def test_affect_is_derived_anew_for_other_labels(tmp_path, caplog):
    tiny_config("words").save_pretrained(tmp_path)
    names = dict(enumerate(reversed(MOSEI_EMOTIONS)))
    for kind in (UnivaConfig, AutoConfig):
        loaded = kind.from_pretrained(tmp_path, id2label=names)
        assert loaded.label_affect == affect_of_labels(list(names.values()))
        assert loaded.label2id == {name: index for index, name in names.items()}
    own = [[0.1, 0.2]] * 2
    loaded = UnivaConfig.from_pretrained(tmp_path, id2label={0: "bored", 1: "calm"}, label_affect=own)
    assert loaded.label_affect == own and loaded.correlation_prior_weight == 1
    loaded = UnivaConfig.from_pretrained(tmp_path, num_labels=2)
    assert loaded.label_affect is None and loaded.correlation_prior_weight == 0
    assert UnivaConfig.from_pretrained(tmp_path, num_labels=6).label_names == list(MOSEI_EMOTIONS)
    with pytest.raises(ValueError, match="`num_labels` is 3|names 2 labels and `num_labels` is 3"):
        UnivaConfig.from_pretrained(tmp_path, id2label={0: "bored", 1: "calm"}, num_labels=3)


@pytest.mark.parametrize("labels", [{"num_labels": 2}, {"id2label": {0: "bored", 1: "calm"}}])
def test_thresholds_of_each_label_do_not_outlive_their_labels(labels, tmp_path):
    config = UnivaConfig(decision_threshold=[0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    config.save_pretrained(tmp_path)
    for kind in (UnivaConfig, AutoConfig):
        loaded = kind.from_pretrained(tmp_path, **labels)
        assert (loaded.num_labels, loaded.decision_threshold) == (2, UnivaConfig.decision_threshold)
    own = UnivaConfig.from_pretrained(tmp_path, decision_threshold=[0.1, 0.4], **labels)
    assert own.decision_threshold == [0.1, 0.4]
    # New names may be the same labels in another language.
    names = {"id2label": dict(enumerate("abcdef"))}
    assert UnivaConfig.from_pretrained(tmp_path, **names).decision_threshold == config.decision_threshold
    with pytest.raises(ValueError, match="one for each of the 6 labels, got 2"):
        UnivaConfig.from_pretrained(tmp_path, decision_threshold=[0.1, 0.4])


@pytest.mark.parametrize(
    ("name", "expected"), [("hidden_dropout_prob", r"must lie in \[0, 1\]"), ("layer_norm_eps", "must be a number")]
)
def test_numbers_of_a_text_configuration_are_checked(name, expected, tmp_path):
    tiny_config("bert").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    settings = json.loads(file.read_text())
    settings["text_config"][name] = float("nan")
    file.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"`text_config.{name}` {expected}, got nan"):
        UnivaConfig.from_pretrained(tmp_path)


def test_how_to_compute_is_not_taken_from_a_file(tmp_path):
    tiny_config("bert").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    settings = json.loads(file.read_text()) | {"return_dict": False, "chunk_size_feed_forward": [1]}
    settings["text_config"]["chunk_size_feed_forward"] = "x"
    file.write_text(json.dumps(settings))
    loaded = UnivaConfig.from_pretrained(tmp_path)
    assert loaded.return_dict is True
    assert loaded.chunk_size_feed_forward == loaded.text_config.chunk_size_feed_forward == 0
    assert UnivaConfig.from_pretrained(tmp_path, return_dict=False).return_dict is False
