# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""M3ER: its check of the modalities, proxies, memory fusion and multiplicative loss."""

import json
from types import SimpleNamespace

import pytest
import torch
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture
from testing_utils import Utterances
from torch import nn

from modeling_univa.models.modality_check_univa import ModalityPair
from modeling_univa.models.modeling_emotion import Frames
from modeling_univa.models.modeling_m3er import (
    M3erConfig,
    M3erForEmotionClassification,
    M3erLstm,
    multiplicative_loss,
    resampled,
)
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


class TestM3er(CommonSystemTests):
    system = M3erForEmotionClassification
    tiny = {
        "num_frames": 4, "lstm_sizes": [6, 5, 4], "memory_size": 8, "mlp_sizes": [8, 8, 8, 8, 8],
        "modality_head_size": 6, "cca_components": 3,
    }  # fmt: skip
    still = {"dropout": 0.0}

    @pytest.mark.parametrize("route, proxy", [("bert", "linear"), ("words", "nearest")])
    def test_statistics_of_the_training_set_are_saved(self, route, proxy, tmp_path):
        config = self.config(route, proxy=proxy, num_neighbours=3, memory_rows=5)
        model, dataset = self.model(config), self.dataset(config)
        model.train().fit_statistics(dataset)
        assert model.training
        counts = dataset.frame_counts
        assert model.check.pairs["audio_vision"].num_rows == ((counts["audio"] > 0) & (counts["vision"] > 0)).sum()
        model.eval().save_pretrained(tmp_path)
        loaded = self.system.from_pretrained(tmp_path).eval()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], value, atol=0, rtol=0)
        found, expected = loaded(**self.batch(config)), model(**self.batch(config))
        assert torch.equal(found.replaced, expected.replaced) and found.replaced.any()
        torch.testing.assert_close(found.logits, expected.logits)

    def test_statistics_do_not_depend_on_batches(self):
        config = self.config()
        dataset, model = self.dataset(config), self.model(config)
        model.fit_statistics(dataset)
        pair = model.check.pairs["text_audio"]
        expected = pair.left_to_right.clone()
        frames = [model.read(batch) for batch in dataset.batches(3)]
        model.check.fit(frames, len(dataset))
        torch.testing.assert_close(pair.left_to_right, expected, atol=1e-5, rtol=1e-4)

    def test_statistics_are_part_of_an_adapter(self, tmp_path):
        """They are buffers of a module without parameters."""
        peft = pytest.importorskip("peft")
        config = self.config()
        base, batch = self.model(config), self.batch(config)
        base.save_pretrained(tmp_path / "base")
        adapted = add_adapter(base, ModelArguments(lora_rank=2), tmp_path, write_base=False).eval()
        adapted.fit_statistics(self.dataset(config))
        adapted.save_pretrained(tmp_path / "adapter")
        whole = self.system.from_pretrained(tmp_path / "base")
        loaded = peft.PeftModel.from_pretrained(whole, tmp_path / "adapter").eval()
        expected = adapted(**batch)
        assert expected.replaced.any()
        torch.testing.assert_close(loaded(**batch).logits, expected.logits)

    def test_steps_after_the_last_frame_change_nothing(self):
        """With aligned frames, which are taken as they are: states and memory stay as they were."""
        config = self.config("words", num_frames=0)
        model, utterances = self.model(config), Utterances(config, sizes=(3, 1, 4), absent=0.2)
        together = self.scores(model, utterances.inputs())
        for row, place in enumerate(utterances.places):
            alone = self.scores(model, utterances.inputs([place]))[0]
            torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=1e-4)

    @pytest.mark.slow
    def test_graph_of_aligned_frames_has_a_fixed_length(self, tmp_path):
        pytest.importorskip("onnxruntime")
        for length in (None, 9):
            config, folder = self.config("words", num_frames=0, fixed_length=length), tmp_path / str(length)
            self.model(config).save_pretrained(folder)
            Utterances(config).processor.save_pretrained(folder)
        with pytest.raises(ValueError, match="set `num_frames`, or `fixed_length`"):
            export_onnx(tmp_path / "None", tmp_path / "refused")
        export_onnx(tmp_path / "9", tmp_path / "onnx")


# The check and proxies

SIZES = {"text": 20, "audio": 18, "vision": 17}
SHARED = 16


def related_frames(rows: int, seed: int) -> dict[str, Frames]:
    """Utterances whose three modalities tell of the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, SHARED, generator=generator)
    found = {}
    for name, size in SIZES.items():
        mean = hidden @ torch.randn(SHARED, size, generator=maps) + 3
        frames = mean[:, None] + 0.3 * torch.randn(rows, 4, size, generator=generator)
        found[name] = Frames(frames, torch.ones(rows, 4, dtype=torch.bool))
    return found


def noise_like(frames: Frames, seed: int = 5) -> Frames:
    generator = torch.Generator().manual_seed(seed)
    states = frames.states
    noise = states.mean() + states.std() * torch.randn(states.shape, generator=generator)
    return Frames(noise, frames.mask)


def fitted(**settings) -> M3erForEmotionClassification:
    """A network of word vectors, audio and vision that knows `related_frames`."""
    sizes = {f"{name}_feature_size": size for name, size in SIZES.items()}
    defaults = {"cca_components": SHARED, "check_threshold": 0.6, "num_neighbours": 100, "memory_rows": 200}
    config = M3erConfig(id2label=dict(enumerate("abc")), **sizes, **{**defaults, **settings})
    torch.manual_seed(0)
    model = M3erForEmotionClassification(config).eval()
    model.check.fit([related_frames(300, seed=1), related_frames(100, seed=2)], 400)
    return model


@pytest.mark.parametrize("proxy", ["linear", "nearest"])
@pytest.mark.parametrize("name", SIZES)
def test_modality_of_noise_is_found_and_replaced(name, proxy):
    """Nothing else is replaced, and the proxy is close to what the modality said before the noise."""
    model, truth = fitted(proxy=proxy), related_frames(100, seed=3)
    place = list(SIZES).index(name)
    noisy = {**truth, name: noise_like(truth[name])}
    checked, replaced = model.check(noisy)
    assert replaced[:, place].float().mean() > 0.9
    others = [index for index in range(3) if index != place]
    assert replaced[:, others].float().mean() < 0.05
    found, wanted = checked[name].mean(), truth[name].mean()
    here = replaced[:, place]
    unexplained = (found - wanted)[here].square().sum() / (wanted - wanted.mean(0))[here].square().sum()
    assert unexplained < 0.1
    assert torch.equal(checked[name].states[~here], noisy[name].states[~here])
    # Constant over the frames.
    assert (checked[name].states[here].diff(dim=1) == 0).all()


def test_modalities_that_agree_are_left_alone():
    model, truth = fitted(), related_frames(100, seed=3)
    checked, replaced = model.check(truth)
    assert replaced.float().mean() < 0.03
    kept = ~replaced[:, 0]
    assert torch.equal(checked["text"].states[kept], truth["text"].states[kept])


@pytest.mark.parametrize("proxy", ["linear", "nearest"])
def test_absent_modality_gets_a_proxy(proxy):
    model, truth = fitted(proxy=proxy, check_threshold=-1), related_frames(50, seed=3)
    absent = {**truth, "audio": Frames(truth["audio"].states, torch.zeros(50, 4, dtype=torch.bool))}
    checked, replaced = model.check(absent)
    assert replaced.tolist() == [[False, True, False]] * 50
    assert checked["audio"].mask.tolist() == [[True, False, False, False]] * 50
    found, wanted = checked["audio"].states[:, 0], truth["audio"].mean()
    assert (found - wanted).square().sum() < 0.1 * (wanted - wanted.mean(0)).square().sum()


def test_where_no_modalities_agree_nothing_is_replaced():
    """As one cannot tell which of two is wrong."""
    truth = related_frames(100, seed=3)
    model = fitted(modalities=["text", "audio"])
    assert not model.check({"text": truth["text"], "audio": noise_like(truth["audio"])})[1].any()
    model, unrelated = fitted(), {name: noise_like(found, seed) for seed, (name, found) in enumerate(truth.items())}
    _, replaced = model.check(unrelated)
    assert (replaced.sum(dim=1) == 0).float().mean() > 0.7
    assert (replaced.sum(dim=1) <= 1).all()


def test_without_statistics_nothing_is_replaced():
    model = M3erForEmotionClassification(fitted().config)
    _, replaced = model.check(related_frames(20, seed=3))
    assert not replaced.any()


def test_projections_are_those_of_canonical_correlation_analysis():
    """Of unit variance, uncorrelated but for pairs of components, whose correlations are the singular values."""
    model = fitted(ridge=1e-9)
    frames = [related_frames(300, seed=1), related_frames(100, seed=2)]
    text, audio = (torch.cat([part[name].mean() for part in frames]).double() for name in ("text", "audio"))
    pair = model.check.pairs["text_audio"]
    left = (text - text.mean(0)) @ pair.left_projection.double()
    right = (audio - audio.mean(0)) @ pair.right_projection.double()
    identity = torch.eye(SHARED, dtype=torch.float64)
    torch.testing.assert_close(left.T @ left / 400, identity, atol=1e-3, rtol=0)
    torch.testing.assert_close(right.T @ right / 400, identity, atol=1e-3, rtol=0)
    orthonormal = [torch.linalg.qr(side - side.mean(0))[0] for side in (text, audio)]
    correlations = torch.linalg.svdvals(orthonormal[0].T @ orthonormal[1])[:SHARED]
    torch.testing.assert_close(left.T @ right / 400, correlations.diag(), atol=1e-3, rtol=0)


def test_correlation_does_not_depend_on_the_signs_of_the_components():
    """Which singular value decompositions draw as they like: a correlation about the mean would."""
    pair, frames = fitted().check.pairs["text_audio"], related_frames(9, seed=3)
    vectors = frames["text"].mean(), frames["audio"].mean()
    before = pair.correlation(*vectors)
    signs = torch.tensor([1.0, -1, 1, -1]).repeat(4)
    pair.left_projection.mul_(signs)
    pair.right_projection.mul_(signs)
    torch.testing.assert_close(pair.correlation(*vectors), before)


def test_features_that_never_vary_are_no_trouble():
    model, frames = fitted(), related_frames(300, seed=1)
    frames["audio"].states[..., 2] = 7.0
    model.check.fit([frames], 300)
    assert all(buffer.isfinite().all() for buffer in model.check.buffers())


def test_pair_that_no_utterance_has_stays_silent():
    pair, model, frames = ModalityPair(2, 2, 1), fitted(), related_frames(30, seed=1)
    assert pair.correlation(torch.ones(1, 2), torch.ones(1, 2)) == 0
    halves = torch.arange(30)[:, None] < 15
    frames = {
        "text": frames["text"], "audio": Frames(frames["audio"].states, halves.expand(-1, 4)),
        "vision": Frames(frames["vision"].states, ~halves.expand(-1, 4)),
    }  # fmt: skip
    model.check.fit([frames], 30)
    assert model.check.pairs["audio_vision"].num_rows == 0
    checked, replaced = model.check(frames)
    assert torch.equal(replaced[:, 1:], torch.cat([~halves, halves], dim=1))
    assert checked["vision"].states.isfinite().all()


# The fusion network

_OFFICIAL = {
    "lstm_l": "fusion.lstms.text", "lstm_a": "fusion.lstms.audio", "lstm_v": "fusion.lstms.vision",
    "att1_fc1": "fusion.attention.0", "att1_fc2": "fusion.attention.3",
    "att2_fc1": "fusion.candidate.0", "att2_fc2": "fusion.candidate.3",
    "gamma1_fc1": "fusion.keep_gate.0", "gamma1_fc2": "fusion.keep_gate.3",
    "gamma2_fc1": "fusion.write_gate.0", "gamma2_fc2": "fusion.write_gate.3",
    "out_fc1": "classifier.0", "out_fc2": "classifier.3",
}  # fmt: skip


class FusedOnly(nn.Module):
    """The network as the fixture trains it: on one label, and on the fused score alone."""

    def __init__(self, model: M3erForEmotionClassification):
        super().__init__()
        self.model = model
        model.classifier.register_forward_pre_hook(lambda _, inputs: setattr(self, "fused", inputs[0]))

    def forward(self, labels, **inputs):
        output = self.model(labels=labels[:, 1:2], **inputs)
        return SimpleNamespace(loss=output.loss_terms["bce"], logits=output.logits, fused=self.fused)


def test_fusion_is_that_of_the_memory_fusion_network(shared_data):
    fixture = OfficialFixture(shared_data, "mfn")
    settings = fixture.expected["config"]
    inner = [settings[name] for name in ("att1", "att2", "gamma1", "gamma2", "out")]
    config = M3erConfig(
        id2label={0: "one"}, text_feature_size=10, audio_feature_size=7, vision_feature_size=5, num_frames=0,
        mask_padding=False, lstm_sizes=settings["lstm"], memory_size=settings["memory"], mlp_sizes=inner, dropout=0.0,
    )  # fmt: skip
    model = M3erForEmotionClassification(config)
    state = {}
    for name, value in fixture.initial.items():
        module, _, parameter = name.partition(".")
        state[f"{_OFFICIAL[module]}.{parameter}"] = value
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.partition(".")[0] for name in missing} == {"absent", "check", "modality_classifiers"}
    steps = fixture.train(FusedOnly(model))
    fixture.check_steps(steps)
    fixture.check_outputs("output", [output.logits for output, _ in steps])
    fixture.check_outputs("fused", [output.fused for output, _ in steps])


def test_lstm_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = M3erLstm(3, 4), nn.LSTM(3, 4, batch_first=True)
    theirs.load_state_dict({f"{name}_l0": value for name, value in ours.state_dict().items()})
    states = torch.randn(2, 5, 3)
    hidden, cells = ours(Frames(states, torch.ones(2, 5, dtype=torch.bool)))
    _, (last_hidden, last_cell) = theirs(states)
    torch.testing.assert_close(hidden, last_hidden[0])
    torch.testing.assert_close(cells[:, -1], last_cell[0])
    shorter, _ = ours(Frames(states, torch.arange(5).expand(2, 5) < 3))
    torch.testing.assert_close(shorter, theirs(states[:, :3])[1][0][0])


@pytest.mark.parametrize("length", [1, 4, 7, 20])
def test_resampled_frames_are_means_of_parts(length):
    torch.manual_seed(0)
    states, counts = torch.randn(4, 9, 3), [9, 5, 2, 1]
    mask = torch.arange(9) < torch.tensor(counts)[:, None]
    found = resampled(Frames(states, mask), length)
    assert found.mask.all() and found.mask.shape == (4, length)
    for row, count in enumerate(counts):
        expected = nn.functional.adaptive_avg_pool1d(states[row, :count].T, length).T
        torch.testing.assert_close(found.states[row], expected)


# The loss


def test_multiplicative_loss_is_that_of_the_table(shared_data):
    table = json.loads((shared_data / "parity" / "baselines" / "formulas" / "m3er_loss.json").read_text())["rows"]
    for row in table:
        p = torch.tensor(row["p"], dtype=torch.float64)
        for form in ("m3er", "original"):
            found = multiplicative_loss(p.log(), (1 - p).log(), row["beta"], form)
            assert found.item() == pytest.approx(row[form], rel=1e-6)


@pytest.mark.parametrize("form", ["m3er", "original"])
@pytest.mark.parametrize("detach", [True, False])
def test_multiplicative_term_is_a_mean_over_emotions_and_utterances(form, detach):
    """Value and gradient against a loop over single numbers."""
    config = M3erConfig(id2label=dict(enumerate("abc")), beta=1.5, loss_form=form, detach_weight=detach)
    torch.manual_seed(0)
    logits = (2 * torch.randn(3, 4, 3)).requires_grad_()
    labels = (torch.rand(4, 3) < 0.5).float()
    labels[0] = 0
    output = SimpleNamespace(logits=torch.zeros(4, 3), modality_logits=logits)
    found = M3erForEmotionClassification(config).loss_terms(output, labels, {})["multiplicative"]
    (gradient,) = torch.autograd.grad(found, logits)
    expected = torch.zeros(())
    for row in range(4):
        for emotion in range(3):
            p = logits[:, row, emotion].sigmoid()
            p = p if labels[row, emotion] else 1 - p
            for modality in range(3):
                others = [1 - p[other] for other in range(3) if other != modality]
                weight = p[modality] ** 0.75 if form == "m3er" else (others[0] * others[1]) ** 0.75
                weight = weight.detach() if detach else weight
                expected = expected - weight * p[modality].log() / 12
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_multiplicative_loss_of_very_sure_modalities_is_finite():
    logits = torch.tensor([[200.0], [-200.0], [90.0]], requires_grad=True)
    for form in ("m3er", "original"):
        signs = nn.functional.logsigmoid
        loss = multiplicative_loss(signs(logits), signs(-logits), 1.0, form, detach_weight=False).sum()
        assert loss.isfinite() and torch.autograd.grad(loss, logits)[0].isfinite().all()


def test_of_one_modality_the_multiplicative_loss_is_cross_entropy():
    log_p = torch.rand(1, 5).log()
    torch.testing.assert_close(multiplicative_loss(log_p, log_p, 2.0), -log_p[0])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lstm_sizes": [3, 3]}, "`lstm_sizes` needs 3 numbers"),
        ({"mlp_sizes": [3]}, "`mlp_sizes` needs 5 numbers"),
        ({"num_neighbours": 9, "memory_rows": 8}, "must be at most `memory_rows`"),
        ({"check_threshold": 2.0}, "`check_threshold` must lie"),
        ({"ridge": 0.0}, "`ridge` must be greater than 0"),
        ({"num_frames": -1}, "`num_frames`"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(StrictDataclassError, match=message):
        M3erConfig(**settings)
