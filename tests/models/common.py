# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What every system has to do, whatever it computes."""

import dataclasses
import json
import os
from typing import Any, ClassVar

import datasets
import pytest
import torch
from forks import run_forked
from testing_utils import (
    FEATURE_SIZES,
    MAX_TOKENS,
    REPOSITORY,
    Utterances,
    random_rows,
    subprocess_environment,
    text_config,
    tiny_processor,
    write_corpus,
    write_text_encoder,
)
from torch.utils.data import DataLoader
from transformers import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments
from transformers.testing_utils import require_torch_accelerator, torch_device

from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset, scaled_va
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.extractor_base_univa import exact_float32
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


ROUTES = ("bert", "words")


class CommonSystemTests:
    """
    Subclassed for each system, as in `test_systems.py`.

    Attributes:
        system: class of the network.
        tiny: fields of its own configuration that make it small.
        still: fields that turn off what is drawn at random in training.
    """

    system: ClassVar[Any]
    tiny: ClassVar[dict[str, Any]] = {}
    still: ClassVar[dict[str, Any]] = {}

    def config(self, route: str = "bert", **overrides: Any) -> Any:
        """A small configuration; `route` is "bert" (a text encoder) or "words" (word vectors)."""
        encoder = text_config(route)
        if encoder is not None:
            encoder.hidden_dropout_prob = encoder.attention_probs_dropout_prob = 0.0
        shared = {
            "text_config": encoder,
            **{f"{name}_feature_size": size for name, size in FEATURE_SIZES.items()},
            "max_text_length": 9 if route == "words" else MAX_TOKENS,
            "max_audio_length": 8,
            "max_vision_length": 7,
            "id2label": dict(enumerate(MOSEI_EMOTIONS)),
        }
        return self.system.config_class(**{**shared, **self.tiny, **overrides})

    def model(self, config: Any, seed: int = 0) -> Any:
        """A network of random weights in evaluation mode, none of them zero."""
        torch.manual_seed(seed)
        model = self.system(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        return model

    def scores(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits `(B, C)`."""
        with torch.no_grad():
            return model(**inputs).logits

    def rows(self, config: Any) -> datasets.Dataset:
        """Rows of five dialogues, some without a modality."""
        expressions = config.extracted_sizes.get("face_emotions", 0)
        what = {"modalities": list(config.feature_sizes), "face_emotion_size": expressions}
        return random_rows((3, 4, 2, 5, 2), label_names=config.label_names, **what)

    def dataset(self, config: Any, with_va: bool = True) -> UtteranceDataset:
        """Rows of five dialogues, some without a modality."""
        rows = self.rows(config)
        va = scaled_va(rows, "released", config.modalities) if with_va else None
        return UtteranceDataset(rows, tiny_processor(config), config.label_names, va)

    def batch(self, config: Any, rows: range = range(16)) -> dict[str, torch.Tensor]:
        """A training batch."""
        dataset = self.dataset(config)
        loader = DataLoader(dataset, batch_sampler=[list(rows)], collate_fn=UtteranceCollator(dataset, with_va=True))
        return dict(next(iter(loader)))

    @pytest.mark.parametrize("route", ROUTES)
    def test_saved_and_loaded_it_is_the_same(self, route, tmp_path):
        model, utterances = self.model(self.config(route)), Utterances(self.config(route), absent=0.2)
        model.save_pretrained(tmp_path)
        for auto in (self.system, AutoModel, AutoModelForSequenceClassification):
            loaded = auto.from_pretrained(tmp_path).eval()
            assert type(loaded) is self.system
            found = loaded.state_dict()
            for name, value in model.state_dict().items():
                torch.testing.assert_close(found[name], value, atol=0, rtol=0)
            expected = self.scores(model, utterances.inputs())
            torch.testing.assert_close(self.scores(loaded, utterances.inputs()), expected, atol=1e-5, rtol=1e-5)

    def test_a_missing_weight_is_refused(self, tmp_path):
        model = self.model(self.config())
        state = model.state_dict()
        state.pop(sorted(state)[-1])
        model.save_pretrained(tmp_path, state_dict=state)
        with pytest.raises(ValueError, match="weights"):
            self.system.from_pretrained(tmp_path)

    @pytest.mark.parametrize("route", ROUTES)
    def test_scores_do_not_depend_on_the_batch(self, route):
        """Alone or with others, in any order, and padded to any length."""
        config = self.config(route)
        model, utterances = self.model(config), Utterances(config, sizes=(3, 1, 4), absent=0.2)
        together = self.scores(model, utterances.inputs())
        places = utterances.places
        if self.system.reads_dialogues:
            groups = [[place for place in places if place[0] == dialogue] for dialogue in (2, 0, 1)]
        else:
            groups = [[place] for place in places] + [places[::-1]]
        for group in groups:
            found = self.scores(model, utterances.inputs(group))
            rows = [places.index(place) for place in group]
            torch.testing.assert_close(found, together[rows], atol=1e-5, rtol=1e-4)

    def test_states_of_a_frozen_text_encoder_score_as_its_tokens(self, monkeypatch, tmp_path):
        """But for the rounding of float16; the texts are encoded by themselves, before training."""
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        config = self.config()
        model = self.model(config)
        rows = self.rows(config)
        processor, found = tiny_processor(config), []
        for encoder in (None, model.text_encoder):
            dataset = UtteranceDataset(rows, processor, config.label_names, text_encoder=encoder)
            batch = UtteranceCollator(dataset)(dataset.__getitems__(list(range(16))))
            assert ("text_states" in batch) is (encoder is not None) is not ("input_ids" in batch)
            found.append(self.scores(model, batch))
        torch.testing.assert_close(found[1], found[0], atol=1e-2, rtol=0)
        decided = [config.probabilities(logits) > config.decision_threshold for logits in found]
        assert torch.equal(*decided)

    @pytest.mark.parametrize("route", ROUTES)
    def test_padding_is_not_read(self, route):
        config = self.config(route)
        model, utterances = self.model(config), Utterances(config, absent=0.2)
        inputs = utterances.inputs()
        changed = dict(inputs)
        for modality in config.feature_sizes:
            mask = inputs[f"{modality}_attention_mask"].bool()
            frames = inputs[f"{modality}_features"].clone()
            frames[~mask] = 7.0
            changed[f"{modality}_features"] = frames
        expected = self.scores(model, inputs)
        torch.testing.assert_close(self.scores(model, changed), expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("route", ROUTES)
    def test_absent_modalities_are_finite_and_count(self, route):
        config = self.config(route)
        model, utterances = self.model(config), Utterances(config, absent=0.0)
        inputs = utterances.inputs()
        for modality in config.feature_sizes:
            absent = dict(inputs)
            absent[f"{modality}_attention_mask"] = torch.zeros_like(inputs[f"{modality}_attention_mask"])
            found = self.scores(model, absent)
            assert torch.isfinite(found).all()
            assert not torch.allclose(found, self.scores(model, inputs), atol=1e-4)
        nothing = {**inputs}
        for modality in config.feature_sizes:
            nothing[f"{modality}_attention_mask"] = torch.zeros_like(inputs[f"{modality}_attention_mask"])
        assert torch.isfinite(self.scores(model, nothing)).all()

    def test_expressions_are_read_where_their_number_is_a_setting(self):
        has_field = "face_emotion_size" in {item.name for item in dataclasses.fields(self.system.config_class)}
        config = self.config(**({"face_emotion_size": 3} if has_field else {}))
        assert config.extracted_sizes.get("face_emotions", 0) == (3 if has_field else 0)

    @pytest.mark.parametrize("modality", ["text", "audio", "vision"])
    def test_a_model_may_have_one_modality(self, modality):
        config = self.config(modalities=[modality])
        logits = self.scores(self.model(config), Utterances(config, absent=0.2).inputs())
        assert logits.shape == (6, config.num_labels) and torch.isfinite(logits).all()

    @pytest.mark.parametrize("route", ROUTES)
    def test_every_weight_gets_a_gradient_from_the_whole_loss(self, route):
        config = self.config(route, **self.still)
        model = self.model(config).train()
        batch = self.batch(config)
        if "utterance_span" in batch:
            batch["utterance_span"][0] = 0  # an utterance without text
        output = model(**batch)
        assert output.loss_terms and all(term.ndim == 0 for term in output.loss_terms.values())
        torch.testing.assert_close(output.loss, torch.stack(list(output.loss_terms.values())).sum())
        output.loss.backward()
        none = {name for name, parameter in model.named_parameters() if parameter.grad is None}
        # That of a bias under a softmax is zero, whatever the loss.
        zero = {name for name, parameter in model.named_parameters() if name not in none and not parameter.grad.any()}
        assert not {name for name in none if "pooler" not in name}
        assert not {name for name in zero if not name.endswith("bias")}

    def test_in_evaluation_there_are_the_terms_of_the_labels(self):
        config = self.config()
        batch = {name: value for name, value in self.batch(config).items() if not name.endswith("_va")}
        output = self.model(config)(**batch)
        assert output.loss_terms and torch.isfinite(output.loss)

    def test_probabilities_lie_between_0_and_1(self):
        config = self.config()
        model = self.model(config)
        scores = model.config.probabilities(self.scores(model, Utterances(config).inputs()))
        assert ((scores >= 0) & (scores <= 1)).all()

    def test_under_autocast_scores_are_near(self):
        """Of bfloat16, and the loss is computed in float32."""
        config = self.config(**self.still)
        model, batch = self.model(config).train(), self.batch(config)
        expected = model(**batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(**batch)
        assert found.loss.dtype == torch.float32
        probabilities = config.probabilities(found.logits), config.probabilities(expected.logits)
        torch.testing.assert_close(*probabilities, atol=2e-2, rtol=0)
        torch.testing.assert_close(found.loss, expected.loss, atol=2e-2, rtol=2e-2)

    @require_torch_accelerator
    @pytest.mark.parametrize("route", ROUTES)
    def test_an_accelerator_computes_what_the_cpu_does(self, route):
        """Scores, terms of the loss and every gradient."""
        config = self.config(route, **self.still)
        batch = self.batch(config)
        outputs, gradients = {}, {}
        for device in ("cpu", torch_device):
            model = self.model(config).train().to(device)
            with exact_float32():
                outputs[device] = model(**{name: value.to(device) for name, value in batch.items()})
                outputs[device].loss.backward()
            with_gradient = [(name, value.grad) for name, value in model.named_parameters() if value.grad is not None]
            gradients[device] = {name: gradient.cpu() for name, gradient in with_gradient}
        expected, found = outputs["cpu"], outputs[torch_device]
        torch.testing.assert_close(found.logits.cpu(), expected.logits, atol=1e-5, rtol=1e-4)
        assert list(found.loss_terms) == list(expected.loss_terms)
        for name, term in expected.loss_terms.items():
            torch.testing.assert_close(found.loss_terms[name].cpu(), term, atol=1e-5, rtol=1e-4)
        assert list(gradients[torch_device]) == list(gradients["cpu"])
        for name, gradient in gradients["cpu"].items():
            size = 1e-3 * gradient.abs().max().item() + 1e-5
            torch.testing.assert_close(gradients[torch_device][name], gradient, atol=size, rtol=0)

    @require_torch_accelerator
    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
    def test_trained_on_an_accelerator_it_learns(self, precision, tmp_path):
        config = self.config(**self.still)
        dataset, model = self.dataset(config), self.model(config).to(torch_device)
        model.fit_statistics(dataset)
        precisions = {} if precision == "fp32" else {precision: True}
        arguments = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=16, max_steps=30, learning_rate=0.01, logging_steps=1,
            report_to=[], disable_tqdm=True, save_strategy="no", **precisions,
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=dataset, data_collator=UtteranceCollator(dataset, with_va=True)
        )
        trainer.train()
        assert trainer.model.device.type == torch_device
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert min(losses[-5:]) < 0.9 * losses[0]

    def loss_by_heart(self, steps: int) -> float:
        """The loss on sixteen rows after training on them alone, as a share of that before."""
        config = self.config(**self.still)
        model, batch = self.model(config).train(), self.batch(config)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        # Steps of Adam are large here, and now and then one leads away.
        return min(losses[-20:]) / losses[0]

    def test_a_plain_loop_learns(self):
        config = self.config(**self.still)
        model, batch = self.model(config).train(), self.batch(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_a_plain_trainer_minimises_the_whole_loss(self, tmp_path):
        config = self.config(**self.still)
        dataset, model = self.dataset(config), self.model(config)
        arguments = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=16, num_train_epochs=1, learning_rate=0.0, use_cpu=True,
            logging_steps=1, report_to=[], disable_tqdm=True, save_strategy="no",
        )  # fmt: skip
        trainer = Trainer(
            model, arguments, train_dataset=dataset, data_collator=UtteranceCollator(dataset, with_va=True)
        )
        trainer.train()
        logged = next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
        with torch.no_grad():
            expected = model.train()(**self.batch(config)).loss
        assert logged == pytest.approx(expected.item(), rel=2e-3)

    def test_lora(self, tmp_path):
        pytest.importorskip("peft")
        config = self.config()
        model, batch = self.model(config), self.batch(config)
        adapted = add_adapter(model, ModelArguments(lora_rank=2), tmp_path, write_base=False)
        before = self.scores(adapted.eval(), batch)
        optimizer = torch.optim.AdamW((p for p in adapted.parameters() if p.requires_grad), lr=0.05)
        for _ in range(3):
            adapted.train()(**batch).loss.backward()
            optimizer.step()
        after = self.scores(adapted.eval(), batch)
        assert not torch.allclose(before, after)
        merged = adapted.merge_and_unload().eval()
        assert type(merged) is self.system
        torch.testing.assert_close(self.scores(merged, batch), after, atol=1e-4, rtol=1e-3)

    def test_onnx_gives_the_logits(self, tmp_path):
        pytest.importorskip("onnxruntime")
        config = self.config()
        model, utterances = self.model(config), Utterances(config, absent=0.2)
        model.save_pretrained(tmp_path / "model")
        utterances.processor.save_pretrained(tmp_path / "model")
        export_onnx(tmp_path / "model", tmp_path / "onnx")
        graph = UnivaOnnxModel.from_pretrained(tmp_path / "onnx")
        inputs = utterances.inputs()
        torch.testing.assert_close(graph(**inputs).logits, self.scores(model, inputs), atol=1e-4, rtol=1e-3)

    def test_the_processor_fits(self, tmp_path):
        config = self.config()
        tiny_processor(config).save_pretrained(tmp_path)
        assert UnivaProcessor.from_pretrained(tmp_path).feature_sizes == config.feature_sizes

    @pytest.mark.processes
    def test_without_the_package_it_gives_the_same_scores(self, tmp_path):
        """By the code beside the weights, from the auto classes and from the pipeline."""
        if not self.system.__module__.startswith("modeling_univa."):
            pytest.skip("its file is not one of models/")
        speech = LogMelExtractor()
        config = self.config(audio_feature_size=speech.feature_size)
        model, utterances, folder = self.model(config), Utterances(config, absent=0.2), tmp_path / "model"
        model.save_pretrained(folder)
        tiny_processor(config, extractors={"audio": speech.to_dict()}).save_pretrained(folder)
        utterances.write(folder / "inputs.json", self.scores(model, utterances.inputs()))
        script = REPOSITORY / "tests" / "integration" / "load_remote_code.py"
        environment = subprocess_environment(tmp_path / "cache", with_package=False)
        (said,) = run_forked(script, [folder], environment, tmp_path, processes=1, alone=True)
        report = json.loads(said.splitlines()[-1])
        found = report[str(folder)]
        assert not report["imported"]
        assert all(found["near"].values())
        assert max(one["difference"] for one in found["pipeline"]) < 1e-5

    @pytest.mark.processes
    def test_two_processes_train_to_the_same_weights(self, tmp_path):
        if not self.system.__module__.startswith("modeling_univa."):
            pytest.skip("its file is not one of models/")
        sizes = {"train": (4, 3, 5, 2), "validation": (3, 4), "test": (2, 1)}
        splits = {name: random_rows(size, seed=len(name), prefix=name) for name, size in sizes.items()}
        options = {
            "dataset": write_corpus(tmp_path / "corpus", splits), "output_dir": tmp_path / "output",
            "text_model": write_text_encoder(tmp_path / "encoder"), "system": self.system.config_class.model_type,
            "use_cpu": "true", "num_train_epochs": 1, "per_device_train_batch_size": 3, **self.tiny,
        }  # fmt: skip
        if self.system.reads_dialogues:
            options["batching"] = "whole_dialogues"
        values = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
        arguments = [part for name, found in values.items() for part in (f"--{name}", *found)]
        driver = REPOSITORY / "tests" / "integration" / "recording_driver.py"
        environment = {**os.environ, "RECORD": str(tmp_path / "record")}
        run_forked(driver, arguments, environment, tmp_path)
        records = [json.loads((tmp_path / f"record-{rank}.json").read_text()) for rank in (0, 1)]
        assert [record["world_size"] for record in records] == [2, 2]
        assert records[0]["weights"] == records[1]["weights"]
        seen = sorted(name for record in records for batch in record["train"] for name in batch)
        assert seen == sorted(splits["train"]["utterance_id"])
