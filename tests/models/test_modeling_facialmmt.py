# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""FacialMMT: the official code's numbers, what every system does, and what ours does better than the original."""

import pytest
import torch
import torch.nn.functional as F
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture
from testing_utils import Utterances
from transformers import RobertaConfig

from modeling_univa.convert.facialmmt import FACIALMMT
from modeling_univa.models.configuration_univa import M3ED_EMOTIONS
from modeling_univa.models.losses_univa import kl_divergence_loss
from modeling_univa.models.modeling_emotion import Frames
from modeling_univa.models.modeling_facialmmt import (
    FacialmmtConfig,
    FacialmmtForEmotionClassification,
    expressive_faces,
)
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.prediction.onnx_model import UnivaOnnxModel


LABELS = dict(enumerate(M3ED_EMOTIONS))
DROPOUTS = (
    "projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "cross_modal_dropout",
    "classifier_dropout",
)  # fmt: skip


class TestFacialmmt(CommonSystemTests):
    system = FacialmmtForEmotionClassification
    tiny = {
        "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "audio_num_hidden_layers": 1,
        "vision_num_hidden_layers": 1, "text_audio_num_layers": 1, "text_audio_vision_num_layers": 1,
    }  # fmt: skip
    still = dict.fromkeys(DROPOUTS, 0.0)

    def expressions(self, inputs: dict[str, torch.Tensor], size: int = 4) -> torch.Tensor:
        """Probabilities of expressions, of some faces sure and of others not."""
        shape = inputs["vision_attention_mask"].shape
        scores = torch.linspace(0, 6, shape[0] * shape[1]).view(shape)[..., None] * torch.eye(size)[0]
        return scores.softmax(dim=-1) * inputs["vision_attention_mask"][..., None]

    @pytest.mark.parametrize("route", ["bert", "words"])
    def test_with_expressions_scores_do_not_depend_on_the_batch(self, route):
        config = self.config(route, face_emotion_size=4)
        model, utterances = self.model(config), Utterances(config, sizes=(3, 1, 4), absent=0.2)
        inputs = utterances.inputs()
        emotions = self.expressions(inputs)
        together = self.scores(model, {**inputs, "face_emotions": emotions})
        assert not torch.allclose(together, self.scores(model, {**inputs, "face_emotions": 0 * emotions}), atol=1e-4)
        for row, place in enumerate(utterances.places):
            alone = utterances.inputs([place])
            faces = alone["vision_attention_mask"].shape[1]
            found = self.scores(model, {**alone, "face_emotions": emotions[row : row + 1, :faces]})
            torch.testing.assert_close(found[0], together[row], atol=1e-5, rtol=1e-4)

    def test_expressions_are_part_of_the_graph(self, tmp_path):
        pytest.importorskip("onnxruntime")
        config = self.config("words", face_emotion_size=4)
        model, utterances = self.model(config), Utterances(config, absent=0.2)
        model.save_pretrained(tmp_path / "model")
        utterances.processor.save_pretrained(tmp_path / "model")
        export_onnx(tmp_path / "model", tmp_path / "onnx")
        graph, inputs = UnivaOnnxModel.from_pretrained(tmp_path / "onnx"), utterances.inputs()
        inputs["face_emotions"] = self.expressions(inputs)
        torch.testing.assert_close(graph(**inputs).logits, self.scores(model, inputs), atol=1e-4, rtol=1e-3)

    def test_expressions_that_do_not_fit_are_refused(self):
        config = self.config(face_emotion_size=4)
        model, inputs = self.model(config), Utterances(config).inputs()
        del inputs["face_emotions"]
        with pytest.raises(ValueError, match="This model reads `face_emotions`, the probabilities of 4 expressions"):
            model(**inputs)
        for wrong in (torch.zeros(6, 1, 4), self.expressions(inputs, size=3)):
            with pytest.raises(ValueError, match="`face_emotions` must have shape"):
                model(**inputs, face_emotions=wrong)

    def test_without_faces_there_are_no_expressions(self):
        config = self.config(face_emotion_size=4, modalities=["text", "audio"])
        assert config.extra_inputs == ()
        assert self.scores(self.model(config), Utterances(config).inputs()).isfinite().all()

    def test_scores_do_not_depend_on_the_padded_lengths(self):
        """In the official code they do: its cross-modal layers attend padding, and count positions over it."""
        frames = {name: torch.randn(1, 3, size) for name, size in self.config("words").feature_sizes.items()}

        def inputs(length):
            found = {f"{name}_features": F.pad(states, (0, 0, 0, length - 3)) for name, states in frames.items()}
            mask = torch.tensor([[1] * 3 + [0] * (length - 3)])
            return {**found, **{f"{name}_attention_mask": mask for name in frames}}

        model = self.model(self.config("words"))
        expected = self.scores(model, inputs(3))
        torch.testing.assert_close(self.scores(model, inputs(7)), expected)
        released = self.model(self.config("words", mask_padding=False))
        # Every modality is padded to its greatest length, so that batches do not matter there either.
        torch.testing.assert_close(self.scores(released, inputs(7)), self.scores(released, inputs(3)))
        longer = self.model(self.config("words", mask_padding=False, max_utterance_length=20))
        assert not torch.allclose(self.scores(longer, inputs(3)), self.scores(released, inputs(3)), atol=1e-4)

    def test_text_is_cut(self):
        config = self.config("words", max_utterance_length=2)
        model = self.model(config)
        inputs = Utterances(config, sizes=(2,)).inputs()
        features = torch.randn(2, 5, config.text_feature_size)
        text = {"text_features": features, "text_attention_mask": torch.ones(2, 5)}
        cut = {"text_features": features[:, :2], "text_attention_mask": torch.ones(2, 2)}
        torch.testing.assert_close(self.scores(model, {**inputs, **text}), self.scores(model, {**inputs, **cut}))


# Faces and their expressions


def faces(probabilities: list[list[float]]) -> tuple[Frames, torch.Tensor]:
    """Faces numbered from 1 with (p, 1 − p) of two expressions, in rows padded with zeros."""
    longest = max(map(len, probabilities))
    states, emotions = torch.zeros(len(probabilities), longest, 1), torch.zeros(len(probabilities), longest, 2)
    mask = torch.zeros(len(probabilities), longest, dtype=torch.bool)
    for row, values in enumerate(probabilities):
        for place, p in enumerate(values):
            states[row, place, 0], mask[row, place] = place + 1, True
            emotions[row, place] = torch.tensor([p, 1 - p])
    return Frames(states, mask), emotions


def test_faces_that_show_an_expression_come_first():
    frames, emotions = faces([[0.5, 0.9, 0.5, 1.0], [0.5, 0.5], [0.9]])
    found = expressive_faces(frames, emotions, 0.6)
    # Of the second row none is expressive: all are kept.
    assert found.mask.tolist() == [[True, True, False, False], [True, True, False, False], [True] + 3 * [False]]
    assert found.states[..., 0].tolist() == [[2, 4, 0, 0], [1, 2, 0, 0], [1, 0, 0, 0]]
    torch.testing.assert_close(found.states[0, :2, 1:], emotions[0, [1, 3]])
    assert not found.states[~found.mask].any()


def test_no_utterance_gets_faces_of_another():
    """In the official code a batch of several does: it asks for a whole batch whether any face is expressive, and
    counts faces over its rows."""
    frames, emotions = faces([[0.5, 0.5], [0.9, 0.5, 0.9]])
    together = expressive_faces(frames, emotions, 0.6)
    for row in range(2):
        alone = expressive_faces(Frames(frames.states[row, None], frames.mask[row, None]), emotions[row, None], 0.6)
        assert torch.equal(together.states[row], alone.states[0]) and torch.equal(together.mask[row], alone.mask[0])


def test_expressions_are_read_as_they_are():
    """The official code draws Gumbel noise in evaluation too, so that its scores vary from run to run."""
    case = TestFacialmmt()
    config = case.config("words", face_emotion_size=4)
    model, inputs = case.model(config), Utterances(config).inputs()
    inputs["face_emotions"] = case.expressions(inputs)
    assert torch.equal(case.scores(model, inputs), case.scores(model, inputs))


# The official numbers


@pytest.fixture(scope="module")
def fixture(shared_data):
    return OfficialFixture(shared_data, "facialmmt")


@pytest.fixture
def official(fixture):
    still = dict.fromkeys(DROPOUTS, 0.0)
    encoder = RobertaConfig(**fixture.text_config)
    encoder.hidden_dropout_prob = encoder.attention_probs_dropout_prob = 0.0
    return FACIALMMT.build(
        fixture.initial, id2label=LABELS, text_config=encoder, num_attention_heads=2, max_utterance_length=7,
        mask_padding=False, **still,
    )  # fmt: skip


def test_the_official_steps(fixture, official):
    steps = fixture.train(official)
    fixture.check_steps(steps, {"loss": ("kl", 1.0)})
    fixture.check_outputs("logits", [output.logits for output, _ in steps])


def test_the_official_scores_one_at_a_time(fixture, official):
    batch = fixture.batch(0)
    for row in range(5):
        own = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
        own |= {name: value[row : row + 1] for name, value in batch.items() if name not in own}
        with torch.no_grad():
            logits = official(**own).logits
        torch.testing.assert_close(logits[0], fixture.outputs["logits.one_at_a_time"][row], atol=1e-5, rtol=0)


def test_the_official_faces(fixture):
    for step in range(3):
        batch = fixture.batch(step)
        frames = Frames(batch["vision_features"], batch["vision_attention_mask"].bool())
        found = expressive_faces(frames, batch["face_emotions"], fixture.expected["config"]["face_threshold"])
        mask = fixture.outputs[f"vision_mask.{step}"].bool()
        assert torch.equal(found.mask, mask)
        expected = fixture.outputs[f"vision_inputs.{step}"]
        torch.testing.assert_close(found.states[mask], expected[mask], atol=1e-6, rtol=0)


def test_the_loss_is_the_divergence_of_univa():
    model = FacialmmtForEmotionClassification(TestFacialmmt().config(modalities=["vision"]))
    labels = torch.tensor([[1.0, 0, 0, 0, 0, 1], [0.0] * 6])
    inputs = {"vision_features": torch.randn(2, 3, 3), "vision_attention_mask": torch.ones(2, 3)}
    output = model.eval()(labels=labels, **inputs)
    assert set(output.loss_terms) == {"kl"}
    torch.testing.assert_close(output.loss, kl_divergence_loss(output.logits, labels, "released"))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"num_attention_heads": 5}, r"`hidden_size` must be a multiple of `num_attention_heads`, got 768 and 5"),
    ({"fixed_length": 60}, "leave `fixed_length` out"),
    ({"max_utterance_length": 0}, "`max_utterance_length` must lie"),
    ({"face_emotion_size": -1}, "`face_emotion_size` must lie"),
    ({"face_threshold": 1.5}, "`face_threshold` must lie"),
    ({"cross_modal_dropout": -0.1}, "`cross_modal_dropout` must lie"),
    ({"hidden_act": "none"}, "hidden_act"),
    ({"decision": "sigmoid"}, "needs `decision='softmax'`"),
])  # fmt: skip
def test_a_wrong_configuration_is_refused(wrong, message):
    with pytest.raises(StrictDataclassError, match=message):
        FacialmmtConfig(id2label=LABELS, **wrong)
