# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""TAILOR: the official code's numbers, what every system does, and what is its own."""

import pytest
import torch
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture

from modeling_univa.convert.tailor import TAILOR
from modeling_univa.models.modeling_tailor import TailorConfig, TailorForEmotionClassification


class TestTailor(CommonSystemTests):
    system = TailorForEmotionClassification
    tiny = {
        "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "text_num_hidden_layers": 1,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "cross_num_hidden_layers": 1,
        "aligned_length": 12,
    }  # fmt: skip
    still = dict.fromkeys(
        (
            "hidden_dropout_prob", "attention_probs_dropout_prob", "private_dropout", "common_dropout",
            "classifier_dropout",
        ),
        0.0,
    )  # fmt: skip

    def word_aligned(self, lengths=(4, 1, 6), **settings) -> tuple[TailorForEmotionClassification, dict]:
        """A model of word-aligned frames, and inputs of some numbers of words."""
        config = self.config("words", aligned=True, **self.still, **settings)
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        generator = torch.Generator().manual_seed(3)
        inputs = {"labels": (torch.rand(len(lengths), config.num_labels, generator=generator) < 0.5).float()}
        for name, size in config.feature_sizes.items():
            inputs[f"{name}_features"] = torch.randn(*mask.shape, size, generator=generator)
            inputs[f"{name}_attention_mask"] = mask.clone()
        return self.model(config), inputs

    @pytest.mark.parametrize("aligned", [True, False])
    def test_all_terms_are_of_each_row_alone(self, aligned):
        """Fault of the original: its mask of the common part is all ones, so that each term counts padding."""
        model, inputs = self.word_aligned()
        if not aligned:
            config = self.config("words", **self.still)
            model = self.model(config)
        model.train()
        longer = {
            name: torch.nn.functional.pad(value, (0, 1) if value.ndim == 2 else (0, 0, 0, 1), value=value.ndim - 2.0)
            for name, value in inputs.items()
            if name != "labels"
        }
        expected, found = model(**inputs).loss_terms, model(labels=inputs["labels"], **longer).loss_terms
        assert ("ctc_audio" in expected) is not aligned
        for name, term in expected.items():
            torch.testing.assert_close(found[name], term, atol=1e-6, rtol=1e-5)

    def test_what_an_aligned_utterance_lacks_is_the_same_at_each_word(self):
        model, inputs = self.word_aligned()
        lacking = {**inputs, "audio_attention_mask": inputs["audio_attention_mask"] * torch.tensor([[0], [1], [1]])}
        repeated = inputs["audio_features"].clone()
        repeated[0] = model.absent["audio"].weight
        expected = self.scores(model, {**inputs, "audio_features": repeated})
        torch.testing.assert_close(self.scores(model, lacking), expected)
        # Also where no utterance of the batch has it, so that its column has no frame.
        nothing = {
            "audio_features": torch.zeros(3, 1, 5),
            "audio_attention_mask": torch.zeros(3, 1),
        }
        repeated[:] = model.absent["audio"].weight
        expected = self.scores(model, {**inputs, "audio_features": repeated})
        torch.testing.assert_close(self.scores(model, {**inputs, **nothing}), expected)

    def test_frames_that_are_not_aligned_are_refused_as_such(self):
        model, inputs = self.word_aligned()
        frames = {
            "audio_features": torch.randn(3, 8, 5),
            "audio_attention_mask": torch.ones(3, 8),
        }
        with pytest.raises(ValueError, match=r"'audio': 8.*aligned=False"):
            model.train()(**{**inputs, **frames})

    def test_words_after_the_longest_text_are_not_read(self):
        for aligned in (True, False):
            model, inputs = self.word_aligned(aligned_length=4)
            if not aligned:
                model = self.model(self.config("words", aligned_length=4))
            changed = {**inputs, "text_features": inputs["text_features"].clone()}
            changed["text_features"][:, 4:] *= -1
            torch.testing.assert_close(self.scores(model, changed), self.scores(model, inputs))
            changed["text_features"][:, 3] *= -1
            assert not torch.allclose(self.scores(model, changed), self.scores(model, inputs), atol=1e-4)

    def test_the_alignment_loss_knows_all_frames(self):
        """Fault of the original: it takes the number of words for that of the frames, so that later ones are free."""
        config = self.config("words", **self.still)
        model = self.model(config).train()
        inputs = {
            "labels": torch.zeros(1, config.num_labels),
            "text_features": torch.randn(1, 2, 6), "text_attention_mask": torch.ones(1, 2),
            "audio_features": torch.randn(1, 8, 5), "audio_attention_mask": torch.ones(1, 8),
            "vision_features": torch.randn(1, 3, 3), "vision_attention_mask": torch.ones(1, 3),
        }  # fmt: skip
        inputs["audio_features"].requires_grad_()
        term = model(**inputs).loss_terms["ctc_audio"]
        (gradient,) = torch.autograd.grad(term, inputs["audio_features"])
        assert gradient[0].abs().sum(dim=-1).min() > 0

    def test_the_common_parts_work_against_the_discriminator(self, monkeypatch):
        """With the reversal their gradient is the negative of the one without; the discriminator's is the same."""
        model, inputs = self.word_aligned()

        def gradients() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
            term = model.train()(**inputs).loss_terms["adversarial_common"]
            weights = list(model.discriminator.parameters()), list(model.common_projection.parameters())
            found = torch.autograd.grad(term, weights[0] + weights[1])
            return found[: len(weights[0])], found[len(weights[0]) :]

        critic, common = gradients()
        monkeypatch.setattr("modeling_univa.models.modeling_tailor.reverse_gradient", lambda states: states)
        plain_critic, plain_common = gradients()
        assert all(gradient.any() for gradient in common)
        torch.testing.assert_close(critic, plain_critic)
        torch.testing.assert_close(common, tuple(-gradient for gradient in plain_common))

    def test_the_discriminator_tells_what_is_private(self):
        model, inputs = self.word_aligned()
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(25):
            optimizer.zero_grad()
            terms = model(**inputs).loss_terms
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
        assert terms["adversarial_private"] < 0.7 * terms["adversarial_common"]

    @pytest.mark.parametrize("modalities", [["audio", "vision"], ["text", "vision"], ["vision"]])
    def test_terms_of_some_modalities(self, modalities):
        config = self.config("words", modalities=modalities, **self.still)
        output = self.model(config).train()(**self.batch(config))
        expected = {"bce", "bce_common", "difference_common"}
        if len(modalities) > 1:
            expected |= {"adversarial_private", "adversarial_common", "difference_private"}
        if "text" in modalities:
            expected |= {f"ctc_{name}" for name in modalities if name != "text"}
        assert set(output.loss_terms) == expected
        output.loss.backward()

    def test_the_kl_divergence_of_univa(self):
        config = self.config(objective="kl", decision="softmax", **self.still)
        terms = self.model(config).train()(**self.batch(config)).loss_terms
        assert {"kl", "kl_common"} < set(terms) and "bce" not in terms

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"objective": "kl"}, "decision='softmax'"),
            ({"aligned": True}, "word vectors"),
            ({"cross_num_hidden_layers": -1}, "cross_num_hidden_layers"),
            ({"common_dropout": 2}, "common_dropout"),
        ],
    )
    def test_a_wrong_configuration_is_refused(self, settings, message):
        with pytest.raises(StrictDataclassError, match=message):
            self.config("bert", **settings)

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        """But for the discriminator, whose opponent wins, and the alignment, which has few frames."""
        assert self.loss_by_heart(steps=300) < 0.25

    def test_weights_start_small(self):
        """Normal with 0.02; the LSTMs of the alignment as torch has them."""
        model = self.system(self.config(hidden_size=64))
        for weight in (model.common_encoder.position_embeddings.weight, model.common_projection.weight):
            assert 0.015 < weight.std() < 0.025
        lstm = model.alignment.aligners["audio"].lstm
        assert 0.9 < lstm.weight_hh_l0.abs().max() * lstm.hidden_size**0.5 <= 1


@pytest.fixture(scope="module")
def official(shared_data) -> OfficialFixture:
    return OfficialFixture(shared_data, "tailor")


@pytest.fixture
def converted(official) -> TailorForEmotionClassification:
    dropouts = dict.fromkeys(TestTailor.still, 0.0)
    labels = {"id2label": dict(enumerate("abcdef"))}
    return TAILOR.build(official.initial, num_attention_heads=2, mask_padding=False, **labels, **dropouts)


def test_three_training_steps_are_those_of_the_official_code(official, converted):
    steps = official.train(converted)
    terms = {
        "ml": ("bce", 1.0),
        "cml": ("bce_common", 0.5),
        "adv_private": ("adversarial_private", 0.01),
        "adv_common": ("adversarial_common", 0.01),
        "diff_private": ("difference_private", 5e-6),
        "diff_common": ("difference_common", 5e-6),
    }
    assert set(steps[0][0].loss_terms) == {ours for ours, _ in terms.values()}
    official.check_steps(steps, terms)
    official.check_outputs("logits", [output.logits for output, _ in steps])
    official.check_outputs("scores", [converted.config.probabilities(output.logits) for output, _ in steps])
    with torch.no_grad():
        scores = converted.config.probabilities(converted.eval()(**official.batch(0)).logits)
    torch.testing.assert_close(scores, official.outputs["scores.eval"], atol=1e-3, rtol=0)


def test_the_published_size():
    """10,798,652 parameters of the official code less 394,752 of poolers that it never uses."""
    sizes = {"text_feature_size": 300, "audio_feature_size": 74, "vision_feature_size": 35}
    with torch.device("meta"):
        model = TailorForEmotionClassification(TailorConfig(aligned=True, **sizes, id2label=dict(enumerate("abcdef"))))
    absent = sum(sizes.values())
    assert model.num_parameters() == 10_798_652 - 394_752 + absent
