# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The model: one set of checks over all its variants, then what concerns single parts of it."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from testing_utils import Utterances, tiny_config, tiny_model, write_text_encoder
from torch import nn
from transformers import AutoModel

from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.configuration_univa import M3ED_EMOTIONS, MOSEI_EMOTIONS, UnivaConfig, affect_of_labels
from modeling_univa.models.losses_univa import UnivaObjective, kl_divergence_loss
from modeling_univa.models.modeling_emotion import DialogueFrames
from modeling_univa.models.modeling_univa import (
    UnivaForEmotionClassification,
    UnivaModel,
    UnivaSequenceEncoder,
    label_similarity,
    masked_softmax,
)


# A dialogue's logits may differ by no more than this, whatever shares its batch.
TOLERANCE = 1e-5

VARIANTS = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {}),
    "words": ("words", {}),
    "text": ("bert", {"modalities": ["text"]}),
    "words only": ("words", {"modalities": ["text"]}),
    "audio": ("bert", {"modalities": ["audio"]}),
    "vision": ("words", {"modalities": ["vision"]}),
    "text, audio": ("roberta", {"modalities": ["text", "audio"]}),
    "text, vision": ("words", {"modalities": ["text", "vision"]}),
    "audio, vision": ("bert", {"modalities": ["audio", "vision"]}),
    "deep": ("words", {f"{name}_num_hidden_layers": 3 for name in MODALITIES}),
    "paper": ("bert", {"objective": "paper", "learn_label_similarity": False, "contrastive_loss": "supervised"}),
}


@pytest.fixture(params=VARIANTS)
def config(request) -> UnivaConfig:
    route, options = VARIANTS[request.param]
    return tiny_config(route, **options)


@pytest.fixture
def model(config) -> UnivaForEmotionClassification:
    return tiny_model(config)


@pytest.fixture
def utterances(config) -> Utterances:
    return Utterances(config)


def logits(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def absent_vector(model: UnivaForEmotionClassification, modality: str) -> nn.Parameter:
    """The embedding of utterances without a modality."""
    vector = model.univa.encoders[modality].absent_embedding
    return vector.weight if isinstance(vector, nn.Module) else vector


def some_va(utterances) -> dict[str, torch.Tensor]:
    """Valence and arousal of every modality, the first utterance's unknown."""
    va = torch.linspace(-1, 1, 2 * len(utterances.labels)).view(-1, 2).clone()
    va[0] = torch.nan
    return {f"{name}_va": va for name in MODALITIES}


def without_modality(inputs: dict[str, torch.Tensor], modality: str, row: int | slice) -> dict[str, torch.Tensor]:
    """The inputs with a modality absent in some rows."""
    inputs = {name: value.clone() for name, value in inputs.items()}
    if modality == "text" and "utterance_span" in inputs:
        inputs["utterance_span"][row, 1] = inputs["utterance_span"][row, 0]
    else:
        inputs[f"{modality}_attention_mask"][row] = 0
    return inputs


def with_padding(inputs: dict[str, torch.Tensor], model: UnivaForEmotionClassification) -> dict[str, torch.Tensor]:
    """The inputs with longer rows; what is padded holds values that must not matter."""
    inputs = dict(inputs)
    if "input_ids" in inputs:
        # Position ids of RoBERTa follow the padding id, so that padding has to be made of it.
        pad = model.config.text_config.pad_token_id
        inputs["input_ids"] = nn.functional.pad(inputs["input_ids"], (0, 7), value=pad)
        inputs["attention_mask"] = nn.functional.pad(inputs["attention_mask"], (0, 7))
    for modality in model.config.feature_sizes:
        features, mask = inputs[f"{modality}_features"], inputs[f"{modality}_attention_mask"]
        longer = model.config.max_lengths[modality] - features.shape[1]
        mask = nn.functional.pad(mask, (0, longer))
        features = nn.functional.pad(features, (0, 0, 0, longer))
        inputs[f"{modality}_features"] = torch.where(mask[..., None].bool(), features, 3.0)
        inputs[f"{modality}_attention_mask"] = mask
    return inputs


def read_by(model, utterances) -> dict[str, torch.Tensor]:
    """The inputs that UniVA reads: it leaves place and speaker alone, and without tokens the dialogue too."""
    unread = {"position", "speaker_index"} | (set() if model.config.reads_tokens else {"dialogue_index"})
    return {name: value for name, value in utterances.inputs().items() if name not in unread}


class TestEveryVariant:
    def test_output_contract(self, config, model, utterances):
        inputs, labels = utterances.inputs(), utterances.labels
        batch, hidden, classes = len(labels), config.hidden_size, config.num_labels
        outputs = model(**inputs, labels=labels)
        assert outputs.logits.shape == (batch, classes)
        kl = kl_divergence_loss(outputs.logits, labels, config.objective)
        torch.testing.assert_close(outputs.loss, (1 - config.contrastive_weight) * kl)
        embeds = [getattr(outputs, f"{name}_embeds") for name in config.modalities]
        assert all(embed.shape == (batch, hidden) for embed in embeds)
        assert torch.equal(outputs.multimodal_embeds, torch.cat(embeds, dim=1))
        assert all(getattr(outputs, f"{name}_embeds") is None for name in MODALITIES if name not in config.modalities)
        assert torch.equal(outputs.label_similarity, model.correlation_prior.label_similarity)
        assert outputs.label_similarity.data_ptr() != model.correlation_prior.label_similarity.data_ptr()
        assert model(**inputs).loss is None

    def test_loss_in_training_is_the_whole_objective(self, config, model, utterances):
        inputs, labels, va = utterances.inputs(), utterances.labels, some_va(utterances)
        outputs = model.train()(**inputs, labels=labels, **va)
        expected = UnivaObjective.from_config(config)(outputs, labels=labels, **va)
        torch.testing.assert_close(outputs.loss, expected["loss"])
        torch.testing.assert_close(sum(outputs.loss_terms.values()), outputs.loss)
        names = {"kl", "prior", *(f"contrastive_{name}" for name in config.modalities)}
        assert set(outputs.loss_terms) == names
        if config.contrastive_loss == "va":
            with pytest.raises(ValueError, match=f"`{config.modalities[0]}_va` is missing"):
                model(**inputs, labels=labels)
        # In evaluation there is no valence and arousal.
        scored = model.eval()(**inputs, labels=labels, **va)
        assert list(scored.loss_terms) == ["kl"]
        torch.testing.assert_close(scored.loss, scored.loss_terms["kl"])

    def test_trainer_sees_nothing_but_logits(self, config, model, utterances):
        outputs = model(**utterances.inputs(), labels=utterances.labels, output_pooling_attentions=True)
        assert set(outputs) - set(config.keys_to_ignore_at_inference) == {"loss", "logits"}

    def test_tuple_begins_with_loss_and_logits(self, model, utterances):
        inputs = utterances.inputs()
        named = model(**inputs, labels=utterances.labels)
        loss, scores = model(**inputs, labels=utterances.labels, return_dict=False)[:2]
        torch.testing.assert_close(loss, named.loss)
        torch.testing.assert_close(scores, named.logits)
        torch.testing.assert_close(model(**inputs, return_dict=False)[0], named.logits)

    def test_saved_and_loaded_model_gives_the_same_logits(self, model, utterances, tmp_path):
        model.save_pretrained(tmp_path)
        loaded = UnivaForEmotionClassification.from_pretrained(tmp_path)
        torch.testing.assert_close(logits(loaded, utterances.inputs()), logits(model, utterances.inputs()))
        base = UnivaModel.from_pretrained(tmp_path)
        embeds = model(**utterances.inputs()).multimodal_embeds
        torch.testing.assert_close(base(**utterances.inputs()).multimodal_embeds, embeds)

    def test_same_logits_whatever_shares_the_batch(self, model, utterances):
        places = utterances.places
        together = logits(model, utterances.inputs())
        for index, place in enumerate(places):
            alone = logits(model, utterances.inputs([place]))
            torch.testing.assert_close(alone[0], together[index], atol=TOLERANCE, rtol=0)
        mixed = [places[index] for index in (4, 0, 5, 2, 0)]
        found = logits(model, utterances.inputs(mixed))
        torch.testing.assert_close(found, together[[4, 0, 5, 2, 0]], atol=TOLERANCE, rtol=0)

    def test_same_logits_whatever_the_padding(self, model, utterances):
        inputs = utterances.inputs()
        padded = with_padding(inputs, model)
        assert any(padded[name].shape != value.shape for name, value in inputs.items())
        torch.testing.assert_close(logits(model, padded), logits(model, inputs), atol=TOLERANCE, rtol=0)

    def test_absent_modality_gives_its_learned_vector(self, config, model, utterances):
        for modality in config.modalities:
            nn.init.normal_(absent_vector(model, modality))
            inputs = without_modality(utterances.inputs(), modality, 1)
            outputs = model(**inputs, output_pooling_attentions=True)
            embeds, absent = outputs[f"{modality}_embeds"], absent_vector(model, modality)
            assert torch.equal(embeds[1], absent)
            present = model(**utterances.inputs())[f"{modality}_embeds"]
            others = [0, *range(2, len(embeds))]
            torch.testing.assert_close(embeds[others], present[others], atol=TOLERANCE, rtol=0)
            assert not torch.allclose(present[1], absent)
            assert not outputs[f"{modality}_attention"][1].any()

    def test_absent_rows_have_finite_gradients(self, config, model, utterances):
        inputs = utterances.inputs()
        for modality in config.modalities:
            inputs = without_modality(inputs, modality, 1)
            if modality in config.feature_sizes:
                # A softmax over padding alone must not turn this into NaN.
                inputs[f"{modality}_features"][1] = 1e4
        model.train()(**inputs, labels=utterances.labels, **some_va(utterances)).loss.backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        assert all(absent_vector(model, name).grad.any() for name in config.modalities)

    def test_modality_absent_in_the_whole_batch(self, config, model, utterances):
        places = utterances.places
        for modality in config.modalities:
            inputs = without_modality(utterances.inputs(), modality, slice(None))
            if modality in config.feature_sizes:
                # As the processor gives it: one frame of padding.
                for name in (f"{modality}_features", f"{modality}_attention_mask"):
                    inputs[name] = inputs[name][:, :1]
            outputs = model(**inputs)
            absent = absent_vector(model, modality)
            assert torch.equal(outputs[f"{modality}_embeds"], absent.expand(len(places), -1))
            assert outputs.logits.isfinite().all()

    def test_gradients_reach_every_parameter(self, config, model, utterances):
        inputs = utterances.inputs()
        for modality in config.modalities:
            inputs = without_modality(inputs, modality, 3)
        outputs = model(**inputs)
        va = {f"{name}_va": torch.rand(len(utterances.labels), 2) for name in MODALITIES}
        UnivaObjective.from_config(config)(outputs, labels=utterances.labels, **va)["loss"].backward()
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        assert [name for name, value in trained.items() if value.grad is None] == []
        # Adding a constant to all scores of a softmax changes nothing: these two biases are without effect.
        no_effect = ("pooling.score.bias", "attention.self.key.bias")
        without = [name for name, value in trained.items() if not value.grad.any() and not name.endswith(no_effect)]
        assert without == []

    def test_activation_checkpointing_changes_nothing(self, model, utterances):
        inputs, found = utterances.inputs(), {}
        for checkpointing in (False, True):
            if checkpointing:
                model.activation_checkpointing_enable()
            model.train().zero_grad()
            torch.manual_seed(5)
            loss = model(**inputs, labels=utterances.labels, **some_va(utterances)).loss
            loss.backward()
            gradients = [value.grad.clone() for value in model.parameters() if value.grad is not None]
            found[checkpointing] = [loss.detach(), *gradients]
        assert model.is_activation_checkpointing
        torch.testing.assert_close(found[True], found[False])

    def test_eager_attention_equals_sdpa(self, config, model, utterances):
        expected = logits(model, utterances.inputs())
        model.set_attn_implementation("eager")
        assert config._attn_implementation == "eager"
        for encoder in model.univa.encoders.values():
            assert getattr(encoder, "encoder", encoder).config._attn_implementation == "eager"
        torch.testing.assert_close(logits(model, utterances.inputs()), expected, atol=TOLERANCE, rtol=0)
        model.set_attn_implementation("sdpa")
        torch.testing.assert_close(logits(model, utterances.inputs()), expected)

    def test_bfloat16_autocast(self, config, model, utterances):
        inputs = utterances.inputs()
        for modality in config.modalities:
            inputs = without_modality(inputs, modality, 0)
        expected = logits(model, inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(**inputs, labels=utterances.labels)
        assert outputs.loss.dtype == torch.float32
        torch.testing.assert_close(outputs.logits.float(), expected, atol=0.1, rtol=0)
        outputs.loss.backward()
        assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)

    def test_features_of_one_modality(self, config, model, utterances):
        outputs = model(**utterances.inputs())
        for modality in MODALITIES:
            get_features = getattr(model, f"get_{modality}_features")
            if modality in config.modalities:
                torch.testing.assert_close(get_features(**utterances.inputs()), outputs[f"{modality}_embeds"])
            else:
                with pytest.raises(ValueError, match=f"not '{modality}'"):
                    get_features(**utterances.inputs())

    def test_missing_inputs_are_named(self, model, utterances):
        for name in read_by(model, utterances):
            inputs = {other: value for other, value in utterances.inputs().items() if other != name}
            with pytest.raises(ValueError, match=f"needs .*`{name}`"):
                model(**inputs)

    def test_inputs_of_the_wrong_shape_are_refused(self, model, utterances):
        for name, value in read_by(model, utterances).items():
            wrong = [value[..., None], value[0]]
            if name.endswith("_features"):
                wrong.append(value[..., 1:])
            if name in ("dialogue_index", "attention_mask") or name.endswith("_attention_mask"):
                wrong.append(value[:-1])
            for shape in wrong:
                with pytest.raises(ValueError, match=r"`\w+` must have shape \(.*\), got \("):
                    model(**{**utterances.inputs(), name: shape})


def test_pooling_weights_cover_the_own_tokens_alone():
    utterances = Utterances(tiny_config())
    inputs = utterances.inputs()
    outputs = tiny_model(utterances.config)(**inputs, output_pooling_attentions=True)
    positions = torch.arange(inputs["input_ids"].shape[1])
    start, end = inputs["utterance_span"].T[..., None]
    own = (positions >= start) & (positions < end)
    assert torch.equal(outputs.text_attention > 0, own)
    torch.testing.assert_close(outputs.text_attention.sum(dim=1), torch.ones(len(own)))
    assert torch.equal(outputs.audio_attention > 0, inputs["audio_attention_mask"].bool())


def test_pooling_is_additive_attention_over_the_own_tokens():
    utterances = Utterances(tiny_config())
    inputs = utterances.inputs()
    encoder = tiny_model(utterances.config).univa.encoders["text"]
    with torch.no_grad():
        hidden = encoder.encoder(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
        embeds, _ = encoder(DialogueFrames(hidden, inputs["dialogue_index"], inputs["utterance_span"]))
        pooling = encoder.pooling
        for row, (start, end), found in zip(inputs["dialogue_index"], inputs["utterance_span"], embeds, strict=True):
            tokens = encoder.projection(hidden[row, start:end])
            scores = pooling.score(torch.tanh(pooling.key(tokens) + pooling.query(pooling.query_vector))).squeeze(-1)
            torch.testing.assert_close(found, scores.softmax(0) @ tokens, atol=1e-6, rtol=1e-5)


def test_sequence_of_one_passes_through_unchanged():
    model = tiny_model(tiny_config("words", audio_num_hidden_layers=0))
    encoder = model.univa.encoders["audio"]
    frame = torch.randn(2, 1, 5)
    with torch.no_grad():
        expected = encoder.projection(frame[:, 0]) + encoder.position_embeddings.weight[0]
        embeds = model.get_audio_features(
            audio_features=torch.cat([frame, torch.randn(2, 3, 5)], dim=1),
            audio_attention_mask=torch.tensor([[1, 0, 0, 0]] * 2),
        )
    torch.testing.assert_close(embeds, expected)


@pytest.mark.parametrize("route", ["bert", "words"])
def test_modality_dropout_gives_the_classifier_absent_modalities(route):
    torch.manual_seed(0)
    utterances = Utterances(tiny_config(route, modality_dropout=0.5))
    model, inputs = tiny_model(utterances.config), utterances.inputs()
    for modality in MODALITIES:
        nn.init.normal_(absent_vector(model, modality))
    model.train()
    absent = []
    for _ in range(30):
        output = model(**inputs)
        for modality, embed in zip(MODALITIES, output.multimodal_embeds.chunk(3, dim=-1), strict=True):
            own, vector = output[f"{modality}_embeds"], absent_vector(model, modality)
            dropped = (embed == vector).all(dim=-1)
            assert torch.equal(embed, torch.where(dropped[:, None], vector, own))
            absent.append(dropped)
    share = torch.stack(absent).view(30, 3, -1)
    assert not share.all(dim=1).any()
    # Each with 1/2, but not where all three would be: 1/2 - 1/8.
    assert share.float().mean().item() == pytest.approx(0.375, abs=0.08)
    model.eval()
    output = model(**inputs)
    embeds = [output[f"{modality}_embeds"] for modality in MODALITIES]
    assert torch.equal(output.multimodal_embeds, torch.cat(embeds, dim=-1))


# Past batches


def training_batch(utterances: Utterances, places: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """Inputs, labels, and valence and arousal, of which some are not known."""
    batch = utterances.inputs(places)
    batch["labels"] = utterances.labels[[utterances.places.index(place) for place in places]]
    for shift, modality in enumerate(utterances.config.modalities):
        va = torch.tensor(places).float() * torch.tensor([1.0, 0.2])
        va[shift % len(places)] = torch.nan
        batch[f"{modality}_va"] = va
    return batch


@pytest.mark.parametrize("contrastive_loss", ["va", "supervised", "self"])
@pytest.mark.parametrize("size", [3, 5, 100])
def test_loss_with_a_memory_is_against_the_last_utterances(size, contrastive_loss):
    options = {"contrastive_loss": contrastive_loss, "va_distance_threshold": 0.5}
    utterances = Utterances(tiny_config(contrastive_memory=size, **options), sizes=(3, 1, 2, 4))
    model = tiny_model(utterances.config).train()
    objective = UnivaObjective.from_config(model.config)
    past: list[torch.Tensor] = []
    for rows in (slice(0, 3), slice(3, 5), slice(5, 9), slice(9, 10)):
        batch = training_batch(utterances, utterances.places[rows])
        output = model(**batch)
        output.loss.backward()
        va = {f"{modality}_va": batch[f"{modality}_va"] for modality in MODALITIES}
        memory = torch.stack(past[-size:]) if past else None
        expected = objective.weighted(objective(output, batch["labels"], **va, memory=memory))
        assert output.loss_terms.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in output.loss_terms.items())
        past += objective.contrast_rows(output, batch["labels"], va).detach().unbind()
    kept = model.contrast_memory.rows
    assert torch.equal(kept.nan_to_num(7), torch.stack(past[-size:]).nan_to_num(7)) and not kept.requires_grad


def test_neither_evaluation_nor_a_model_without_contrast_remembers():
    utterances = Utterances(tiny_config(contrastive_memory=5))
    model, batch = tiny_model(utterances.config), training_batch(utterances, utterances.places)
    model(**batch)
    assert model.contrast_memory.rows is None
    model.train()(**batch)
    assert len(model.contrast_memory.rows) == 5
    assert tiny_model(tiny_config(contrastive_memory=5, contrastive_loss="none")).contrast_memory is None
    assert tiny_model(tiny_config()).contrast_memory is None


def test_a_saved_model_has_nothing_of_its_memory(tmp_path):
    utterances = Utterances(tiny_config(contrastive_memory=5))
    model, plain = tiny_model(utterances.config), tiny_model(tiny_config())
    model.train()(**training_batch(utterances, utterances.places))
    model.save_pretrained(tmp_path / "model"), plain.save_pretrained(tmp_path / "plain")
    files = [tmp_path / name / "model.safetensors" for name in ("model", "plain")]
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path / "model")
    assert loaded.contrast_memory.rows is None and loaded.contrast_memory.size == 5
    # Training goes on with another memory, or none.
    for size in (0, 7):
        other = UnivaForEmotionClassification.from_pretrained(tmp_path / "model", contrastive_memory=size)
        assert getattr(other.contrast_memory, "size", 0) == size


# Damaged folders


def saved_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def damage(folder: Path, kind: str) -> str:
    """Save a model with one fault of its weights; what the message has to name."""
    tiny_model(tiny_config()).save_pretrained(folder)
    tensors = saved_tensors(folder)
    key = "univa.encoders.audio.layers.0.output.dense.weight"
    if kind == "truncated":
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
        return "cannot be loaded"
    if kind.startswith("missing "):
        key = kind.partition(" ")[2]
        del tensors[key]
    elif kind == "unexpected":
        key = "univa.encoders.smell.projection.weight"
        tensors[key] = torch.zeros(2)
    elif kind == "shape":
        tensors[key] = tensors[key][:-1].clone()
    else:
        tensors[key][0, 0] = float(kind)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return key


FAULTS = (
    "missing classifier.weight", "missing correlation_prior.label_similarity",
    "missing univa.encoders.vision.absent_embedding",
    "missing univa.encoders.text.encoder.encoder.layer.1.output.dense.bias",
    "unexpected", "shape", "nan", "inf", "-inf", "truncated",
)  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("auto_class", [AutoModel, UnivaForEmotionClassification])
def test_damaged_weights_are_refused(auto_class, kind, tmp_path):
    key = damage(tmp_path, kind)
    with pytest.raises(ValueError) as caught:
        auto_class.from_pretrained(tmp_path)
    message = str(caught.value)
    assert key in message and str(tmp_path) in message and "\n" not in message


@pytest.mark.parametrize("kind", ["nan", "unexpected", "missing univa.encoders.vision.pooling.score.bias"])
def test_model_without_classifier_is_checked_as_well(kind, tmp_path):
    key = damage(tmp_path, kind)
    with pytest.raises(ValueError, match=re.escape(key.removeprefix("univa."))):
        UnivaModel.from_pretrained(tmp_path)


def test_model_without_classifier_loads_from_one_with_it(tmp_path):
    model = tiny_model(tiny_config())
    model.save_pretrained(tmp_path)
    loaded = UnivaModel.from_pretrained(tmp_path)
    for name, value in model.univa.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize("learn", [True, False])
def test_fixed_and_learned_similarity_load_from_each_other(learn, tmp_path):
    model = tiny_model(tiny_config(learn_label_similarity=learn))
    nn.init.normal_(model.correlation_prior.label_similarity)
    model.save_pretrained(tmp_path)
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path, learn_label_similarity=not learn)
    assert torch.equal(loaded.correlation_prior.label_similarity, model.correlation_prior.label_similarity)


def test_loading_information_is_given_where_it_is_asked_for(tmp_path):
    tiny_model(tiny_config()).save_pretrained(tmp_path)
    _, report = UnivaForEmotionClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]


def test_text_encoder_that_lacks_weights_is_refused(tmp_path):
    folder = write_text_encoder(tmp_path)
    tensors = saved_tensors(folder)
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights of its own architecture: encoder.layer.1.output.dense.bias"):
        UnivaForEmotionClassification.from_text_encoder(tiny_config(), str(folder))


def test_weights_that_a_configuration_claims_are_not_allocated(tmp_path, monkeypatch):
    tiny_model(tiny_config("words")).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 65536, "hidden_size": 8192}))
    with pytest.raises(ValueError, match="numbers that its weights lack"):
        UnivaForEmotionClassification.from_pretrained(tmp_path)


# Other labels


OTHER_LABELS = {"id2label": dict(enumerate(M3ED_EMOTIONS))}


@pytest.mark.parametrize(
    "labels", [OTHER_LABELS, {"num_labels": 7}, {"id2label": {0: "bored", 1: "curious"}}, {"num_labels": 3}]
)
@pytest.mark.parametrize("auto_class", [AutoModel, UnivaForEmotionClassification])
def test_encoders_are_kept_for_other_labels(auto_class, labels, tmp_path, caplog):
    model = tiny_model(tiny_config())
    model.save_pretrained(tmp_path)
    loaded = auto_class.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **labels)
    count = labels.get("num_labels") or len(labels["id2label"])
    assert loaded.config.num_labels == count and loaded.classifier.weight.shape == (count, 48)
    for name, value in model.univa.state_dict().items():
        assert torch.equal(loaded.univa.state_dict()[name], value), name
    assert loaded.classifier.weight.abs().max() <= 48**-0.5
    if labels is OTHER_LABELS:
        assert loaded.config.label_affect == affect_of_labels(M3ED_EMOTIONS)
        expected = label_similarity(torch.tensor(loaded.config.label_affect))
        assert torch.equal(loaded.correlation_prior.label_similarity, expected)
    else:
        assert loaded.correlation_prior is None and loaded.config.correlation_prior_weight == 0
    loaded.save_pretrained(tmp_path / "again")
    again = UnivaForEmotionClassification.from_pretrained(tmp_path / "again")
    assert again.config.label_names == loaded.config.label_names


def test_other_labels_without_leave_are_refused(tmp_path):
    tiny_model(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="pass `ignore_mismatched_sizes=True` for a classifier of other labels"):
        UnivaForEmotionClassification.from_pretrained(tmp_path, **OTHER_LABELS)


def test_encoders_are_checked_with_other_labels_too(tmp_path):
    key = damage(tmp_path, "missing univa.encoders.vision.pooling.score.bias")
    with pytest.raises(ValueError, match=key):
        UnivaForEmotionClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **OTHER_LABELS)


@pytest.mark.parametrize("way", ["arguments", "configuration"])
def test_renamed_labels_have_their_own_affect_and_similarity(way, tmp_path):
    model = tiny_model(tiny_config())
    nn.init.normal_(model.correlation_prior.label_similarity)
    model.save_pretrained(tmp_path)
    names = dict(enumerate(reversed(MOSEI_EMOTIONS)))
    options = {"id2label": names}
    if way == "configuration":
        options = {"config": UnivaConfig.from_pretrained(tmp_path, **options)}
    loaded = AutoModel.from_pretrained(tmp_path, **options)
    assert loaded.config.label_affect == affect_of_labels(list(names.values()))
    assert loaded.config.label2id == {name: index for index, name in names.items()}
    expected = label_similarity(torch.tensor(loaded.config.label_affect))
    assert torch.equal(loaded.correlation_prior.label_similarity, expected)
    assert torch.equal(loaded.classifier.weight, model.classifier.weight)


def test_new_labels_of_the_same_number_get_a_new_classifier_where_it_is_asked_for(tmp_path):
    model = tiny_model(tiny_config())
    model.save_pretrained(tmp_path)
    names = dict(enumerate("abcdef"))
    loaded = AutoModel.from_pretrained(tmp_path, id2label=names, ignore_mismatched_sizes=True)
    assert not torch.equal(loaded.classifier.weight, model.classifier.weight)
    same = AutoModel.from_pretrained(tmp_path, ignore_mismatched_sizes=True)
    assert torch.equal(same.classifier.weight, model.classifier.weight)


# What a file has no say in


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("auto_class", [AutoModel, UnivaForEmotionClassification, UnivaModel])
def test_attention_of_a_file_is_not_obeyed(auto_class, name, tmp_path):
    tiny_model(tiny_config()).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    settings = json.loads(file.read_text()) | {name: "someone/kernels", "experts_implementation": "someone/kernels"}
    settings["text_config"][name] = "someone/kernels"
    file.write_text(json.dumps(settings))
    loaded = auto_class.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == loaded.config.text_config._attn_implementation == "sdpa"
    loaded = auto_class.from_pretrained(tmp_path, attn_implementation="eager")
    assert loaded.config._attn_implementation == loaded.config.text_config._attn_implementation == "eager"


def test_attention_of_a_text_encoder_s_file_is_not_obeyed(tmp_path):
    folder = write_text_encoder(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attn_implementation": "someone/kernels"}))
    model = UnivaForEmotionClassification.from_text_encoder(tiny_config(), str(folder))
    assert model.univa.encoders["text"].encoder.config._attn_implementation == "sdpa"


def test_text_encoder_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`text_config` must be of a text encoder, got the `model_type` 'vit'"):
        UnivaModel(tiny_config(text_config={"model_type": "vit", "hidden_size": 12}))


def test_layers_of_a_stack_start_as_copies_of_one():
    encoder = tiny_model(tiny_config(vision_num_hidden_layers=3)).univa.encoders["vision"]
    first, *others = (layer.state_dict() for layer in encoder.layers)
    for other in others:
        assert all(torch.equal(other[name], value) for name, value in first.items())
    audio = tiny_model(tiny_config(vision_num_hidden_layers=3)).univa.encoders["audio"].layers[0].state_dict()
    assert not torch.equal(audio["attention.self.query.weight"], first["attention.self.query.weight"])


def test_initialisation_is_that_of_pytorch():
    config = tiny_config("words", hidden_size=96, intermediate_size=192, max_audio_length=64)
    model = tiny_model(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            assert module.weight.abs().max() <= bound
            assert module.bias.abs().max() <= bound
            if module.weight.numel() > 1000:
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        elif isinstance(module, nn.LayerNorm):
            assert torch.equal(module.weight, torch.ones(96))
            assert not module.bias.any()
        elif isinstance(module, UnivaSequenceEncoder):
            assert module.position_embeddings.weight.std().item() == pytest.approx(1, rel=0.1)
            assert module.pooling.query_vector.std().item() == pytest.approx(1, rel=0.3)
            assert not module.absent_embedding.any()


def test_text_encoder_keeps_its_own_initialisation():
    encoder = tiny_model(tiny_config()).univa.encoders["text"].encoder
    weight = encoder.encoder.layer[0].intermediate.dense.weight
    assert weight.std().item() == pytest.approx(encoder.config.initializer_range, rel=0.2)
    assert getattr(encoder, "pooler", None) is None


@pytest.mark.parametrize("learn", [True, False])
def test_similarity_is_trained_only_where_the_configuration_says_so(learn):
    model = tiny_model(tiny_config(learn_label_similarity=learn))
    similarity = model.correlation_prior.label_similarity
    assert "correlation_prior.label_similarity" in model.state_dict()
    assert similarity.requires_grad is learn
    assert torch.equal(similarity, label_similarity(torch.tensor(model.config.label_affect)))


@pytest.mark.parametrize("learn", [True, False])
def test_loaded_similarity_is_trained_only_where_the_configuration_says_so(learn, tmp_path):
    tiny_model(tiny_config(learn_label_similarity=learn)).save_pretrained(tmp_path)
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path)
    assert loaded.correlation_prior.label_similarity.requires_grad is learn


def test_labels_without_affect_leave_the_prior_out(tmp_path):
    config = tiny_config(id2label={0: "bored", 1: "keen"}, correlation_prior_weight=0)
    model, utterances = tiny_model(config), Utterances(config)
    assert model(**utterances.inputs(), labels=utterances.labels).label_similarity is None
    model.save_pretrained(tmp_path)
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(loaded, utterances.inputs()), logits(model, utterances.inputs()))


def test_attention_of_the_parts_may_be_chosen():
    model = tiny_model(tiny_config())
    model.set_attn_implementation({"": "eager", "text_config": "sdpa"})
    assert model.config._attn_implementation == "eager"
    assert model.univa.encoders["text"].encoder.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_kept_by_every_way_to_a_model(attention, tmp_path):
    folder = write_text_encoder(tmp_path / "encoder")
    tiny_model(tiny_config()).save_pretrained(tmp_path / "model")
    models = [
        UnivaForEmotionClassification._from_config(tiny_config(), attn_implementation=attention),
        UnivaForEmotionClassification.from_pretrained(tmp_path / "model", attn_implementation=attention),
        UnivaForEmotionClassification.from_text_encoder(tiny_config(), str(folder), attn_implementation=attention),
    ]
    for model in models:
        assert model.config._attn_implementation == attention
        encoder = model.univa.encoders["text"].encoder
        assert encoder.config._attn_implementation == attention
        # The same object, so that what is set on the one later holds for the other.
        assert encoder.config is model.config.text_config


@pytest.mark.parametrize("route", ["bert", "roberta"])
def test_pretrained_text_encoder_keeps_its_weights(route, tmp_path):
    folder = write_text_encoder(tmp_path, route)
    model = UnivaForEmotionClassification.from_text_encoder(tiny_config("words"), str(folder))
    assert model.config.text_config.model_type == route
    encoder = model.univa.encoders["text"].encoder
    reference = AutoModel.from_pretrained(folder).state_dict()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, reference[name]), name
    assert all(value.requires_grad for value in encoder.parameters())
    assert model.get_input_embeddings() is encoder.embeddings.word_embeddings
    # The configuration is a new model's: nothing of the text encoder's folder is left in it.
    model.save_pretrained(tmp_path / "model")
    again = UnivaForEmotionClassification.from_pretrained(tmp_path / "model")
    inputs = Utterances(model.config).inputs()
    torch.testing.assert_close(logits(again, inputs), logits(model.eval(), inputs))


def test_text_encoder_stored_in_half_precision_is_trained_in_full(tmp_path):
    AutoModel.from_pretrained(write_text_encoder(tmp_path)).to(torch.bfloat16).save_pretrained(tmp_path)
    model = UnivaForEmotionClassification.from_text_encoder(tiny_config(), str(tmp_path))
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_word_vector_route_has_no_token_embeddings():
    assert tiny_model(tiny_config("words")).get_input_embeddings() is None


def test_token_embeddings_may_be_replaced():
    model = tiny_model(tiny_config())
    embeddings = nn.Embedding(7, 12)
    model.set_input_embeddings(embeddings)
    assert model.univa.encoders["text"].encoder.get_input_embeddings() is embeddings


def test_modalities_of_unequal_number_are_refused():
    utterances = Utterances(tiny_config())
    inputs = utterances.inputs()
    inputs |= {name: inputs[name][1:] for name in ("vision_features", "vision_attention_mask")}
    with pytest.raises(ValueError, match=r"one entry an utterance, got {'text': 6, 'audio': 6, 'vision': 5}"):
        tiny_model(utterances.config)(**inputs)


def test_more_frames_than_positions_are_refused():
    utterances = Utterances(tiny_config("words"))
    inputs = utterances.inputs()
    batch = len(utterances.places)
    inputs |= {"audio_features": torch.zeros(batch, 9, 5), "audio_attention_mask": torch.ones(batch, 9)}
    with pytest.raises(ValueError, match=r"9 frames, more than `config.max_audio_length` \(8\)"):
        tiny_model(utterances.config)(**inputs)


def test_labels_of_the_wrong_shape_are_refused():
    utterances = Utterances(tiny_config())
    with pytest.raises(ValueError, match="`labels` must have shape"):
        tiny_model(utterances.config)(**utterances.inputs(), labels=utterances.labels[:, 1:])


def test_model_in_bfloat16():
    utterances = Utterances(tiny_config())
    model = tiny_model(utterances.config)
    expected = logits(model, utterances.inputs())
    found = logits(model.to(torch.bfloat16), utterances.inputs())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0)


def test_dropout_acts_on_the_logits_in_training():
    utterances = Utterances(tiny_config(classifier_dropout=0.5))
    model = tiny_model(utterances.config).train()
    dropped = (model(**utterances.inputs()).logits == 0).float().mean()
    assert 0.1 < dropped < 0.9


def test_masked_softmax_is_zero_outside_and_finite_everywhere():
    scores = torch.tensor([[1.0, 2.0, 1e9], [5.0, 6.0, 7.0]])
    weights = masked_softmax(scores, torch.tensor([[True, True, False], [False, False, False]]))
    torch.testing.assert_close(weights[0, :2], scores[0, :2].softmax(0))
    assert weights[0, 2] == 0
    assert weights.isfinite().all()


def test_label_similarity_of_a_column_without_spread_is_finite():
    assert label_similarity(torch.tensor([[0.5, 0.1], [0.5, 0.9]])).isfinite().all()


def test_saved_configuration_tells_no_absolute_path(tmp_path):
    encoder = write_text_encoder(tmp_path / "encoder")
    model = UnivaForEmotionClassification.from_text_encoder(tiny_config(), str(encoder))
    model.save_pretrained(tmp_path / "model")
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    assert str(tmp_path) not in json.dumps(content)
