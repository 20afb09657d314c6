# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""HHMPN: the official code's numbers, what every system does, and what the variant after the paper repairs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture

from modeling_univa.convert.hhmpn import HHMPN
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.modeling_hhmpn import HhmpnConfig, HhmpnForEmotionClassification, label_graph
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


DROPOUTS = ("embed_dropout", "attention_dropout", "activation_dropout", "residual_dropout", "label_dropout")
LABELS = dict(enumerate(MOSEI_EMOTIONS))
PUBLISHED = {
    "hidden_size": 512, "num_hidden_layers": 6, "num_label_layers": 3, "label_intermediate_size": 512,
    "text_feature_size": 300, "audio_feature_size": 74, "vision_feature_size": 35,
}  # fmt: skip
# Labels 0 and 1 occur together, 2 alone, 3 never; 4 and 5 once together in a hundred rows of each.
ROWS = np.zeros((300, 6), dtype=np.uint8)
ROWS[:50, :2] = 1
ROWS[50:100, 2] = 1
ROWS[100:200, 4] = 1
ROWS[199:299, 5] = 1


class TestHhmpn(CommonSystemTests):
    system = HhmpnForEmotionClassification
    tiny = {
        "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "num_label_layers": 1,
        "num_label_heads": 2, "label_intermediate_size": 6,
    }  # fmt: skip
    still = dict.fromkeys(DROPOUTS, 0.0)

    def test_the_graph_is_that_of_the_training_set_and_is_saved(self, tmp_path):
        model = self.model(self.config())
        assert model.labels.graph.all()
        model.fit_statistics(SimpleNamespace(labels=ROWS))
        assert torch.equal(model.labels.graph, label_graph(torch.from_numpy(ROWS)))
        model.save_pretrained(tmp_path)
        loaded = self.system.from_pretrained(tmp_path)
        assert torch.equal(loaded.labels.graph, model.labels.graph)

    def test_an_adapter_carries_the_graph(self, tmp_path):
        """PEFT stores the modules that are trained in full, and with them their buffers."""
        peft = pytest.importorskip("peft")
        config = self.config()
        adapted = add_adapter(self.model(config), ModelArguments(lora_rank=2), tmp_path, write_base=False)
        adapted.fit_statistics(SimpleNamespace(labels=ROWS))
        adapted.save_pretrained(tmp_path / "adapter")
        again = peft.PeftModel.from_pretrained(self.model(config), tmp_path / "adapter").merge_and_unload()
        assert torch.equal(again.labels.graph, label_graph(torch.from_numpy(ROWS)))

    def test_labels_send_messages_along_the_graph_alone(self):
        """The released code builds the graph and never uses it."""
        config = self.config()
        model, batch = self.model(config), self.batch(config)

        def changed(graph):
            """Which logits change with the vector of label 0."""
            model.labels.graph.copy_(graph)
            before = self.scores(model, batch)
            kept = model.labels.weight.detach().clone()
            with torch.no_grad():
                model.labels.weight[0] += 1.0
            after = self.scores(model, batch)
            with torch.no_grad():
                model.labels.weight.copy_(kept)
            return ((before - after).abs().amax(dim=0) > 1e-6).tolist()

        joined = torch.eye(6).bool()
        assert changed(joined) == [True] + [False] * 5
        joined[3, 0] = True
        assert changed(joined) == [True, False, False, True, False, False]

    def test_each_decoder_reads_its_own_stream(self):
        """In the released code the decoders of text and vision read each other's."""
        modalities = ("text", "audio", "vision")
        assert self.config().streams == {name: name for name in modalities}
        released = self.config(variant="released")
        assert released.streams == {"text": "vision", "audio": "audio", "vision": "text"}
        assert self.config(variant="released", modalities=["text", "audio"]).streams == {
            "text": "text",
            "audio": "audio",
        }

    @pytest.mark.parametrize(("variant", "dim"), [("paper", 2), ("released", 1)])
    def test_what_is_weighed_against_each_other(self, variant, dim):
        """The released code leaves the dimension of its softmax out, which torch takes for the labels."""
        fusion = self.model(self.config(variant=variant)).fusion
        weights = []
        fusion.score.register_forward_hook(lambda module, inputs, output: weights.append(output))
        labels = {name: torch.randn(2, 6, 8) for name in fusion.angles}
        found = fusion(labels)
        angles = torch.stack([fusion.angles[name](value) for name, value in labels.items()], dim=2)
        expected = fusion.output((weights[0].exp() / weights[0].exp().sum(dim=dim, keepdim=True) * angles).sum(dim=2))
        torch.testing.assert_close(found, expected)

    def test_the_vectors_of_the_labels_score_them(self):
        """In the released code the tie is written to an attribute that nothing reads."""
        assert self.model(self.config()).classifier is None
        released = self.model(self.config(variant="released"))
        assert released.classifier.weight.shape == released.labels.weight.shape
        assert "labels.graph" not in released.state_dict()

    @pytest.mark.parametrize("route", ["bert", "words"])
    def test_of_the_released_variant_scores_do_not_depend_on_the_batch(self, route):
        class Released(TestHhmpn):
            tiny = {**TestHhmpn.tiny, "variant": "released"}

        Released().test_scores_do_not_depend_on_the_batch(route)
        Released().test_every_weight_gets_a_gradient_from_the_whole_loss(route)

    def test_the_released_mask_needs_equal_lengths(self):
        config = self.config("words", variant="released", mask_padding=False)
        inputs = {}
        for (name, size), length in zip(config.feature_sizes.items(), (3, 4, 5), strict=True):
            inputs |= {
                f"{name}_features": torch.randn(2, length, size),
                f"{name}_attention_mask": torch.ones(2, length),
            }
        with pytest.raises(ValueError, match="which have 5 and 3 frames: set `fixed_length`, or `mask_padding=True`"):
            self.model(config)(**inputs)
        config = self.config("words", variant="released", mask_padding=False, fixed_length=5)
        assert torch.isfinite(self.scores(self.model(config), inputs)).all()

    def test_without_masks_an_utterance_of_zeros_is_finite(self):
        config = self.config(variant="released", mask_padding=False, modalities=["audio"])
        inputs = {
            "audio_features": torch.zeros(1, 3, config.audio_feature_size),
            "audio_attention_mask": torch.zeros(1, 3),
        }
        assert torch.isfinite(self.scores(self.model(config), inputs)).all()

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        assert self.loss_by_heart(steps=150) < 0.1


@pytest.fixture(scope="module")
def fixture(shared_data):
    return OfficialFixture(shared_data, "hhmpn")


@pytest.fixture
def official(fixture):
    settings = dict.fromkeys(DROPOUTS, 0.0)
    return HHMPN.build(fixture.initial, id2label=LABELS, mask_padding=False, num_label_heads=2, **settings)


def test_the_official_steps(fixture, official):
    memories = {}

    def keep(name):
        def hook(layer, inputs):
            memories.setdefault(name, inputs[1].states)

        return hook

    for name, decoder in official.decoders.items():
        decoder.layers[0].register_forward_pre_hook(keep(name))
    steps = fixture.train(official)
    fixture.check_steps(steps, {"loss": ("bce", 1.0)})
    fixture.check_outputs("logits", [output.logits for output, _ in steps])
    assert set(memories) == set(official.config.modalities)
    for name, memory in memories.items():
        fixture.check_outputs(f"decoder_memory_{name}", [memory])


def test_the_published_size():
    """Without the 36,982,920 parameters that the official code builds and never uses."""
    with torch.device("meta"):
        model = HhmpnForEmotionClassification(HhmpnConfig(id2label=LABELS, variant="released", **PUBLISHED))
    absent = sum(parameter.numel() for parameter in model.absent.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) - absent == 405_289_673 - 36_982_920


def test_the_graph_against_a_plain_loop():
    found = label_graph(torch.from_numpy(ROWS))
    for i in range(6):
        for j in range(6):
            together = sum(bool(row[i] and row[j]) for row in ROWS)
            alone = ROWS[:, i].sum() * ROWS[:, j].sum()
            expected = i == j or (alone > 0 and together / alone**0.5 >= 0.2)
            assert found[i, j] == expected, (i, j)
    assert found.sum() == 8
    assert label_graph(torch.from_numpy(ROWS), joined_from=0.01)[4, 5]


def test_initial_weights():
    config = HhmpnConfig(
        id2label=LABELS, hidden_size=64, num_hidden_layers=1, num_label_layers=1, modalities=["audio"]
    )
    torch.manual_seed(0)
    model = HhmpnForEmotionClassification(config)
    attention = model.decoders["audio"].layers[0].cross_attention.attention
    assert attention.query.bias is None and attention.output.bias is None
    assert attention.query.weight.std().item() == pytest.approx((2 / (64 + 8)) ** 0.5, rel=0.05)
    assert attention.output.weight.std().item() == pytest.approx((2 / (64 + 64)) ** 0.5, rel=0.05)
    assert model.labels.weight.std().item() == pytest.approx(64**-0.5, rel=0.1)
    key = model.cross_modal.memories["audio"].layers[0].attention.key
    assert key.weight.std().item() == pytest.approx((2 / (64 + 3 * 64)) ** 0.5, rel=0.05)
    assert not key.bias.any()


@pytest.mark.parametrize("name", ["num_attention_heads", "num_label_heads"])
def test_heads_divide_the_width(name):
    with pytest.raises(StrictDataclassError, match=f"`hidden_size` must be a multiple of `{name}`, got 128 and 3"):
        HhmpnConfig(id2label=LABELS, **{name: 3})
