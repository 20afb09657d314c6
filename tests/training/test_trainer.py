# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: what it logs, chooses, saves and refuses."""

import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor
from toy_system import ToyConfig, ToyModel
from training_runs import tiny_split, tiny_trainer
from transformers import AutoModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from modeling_univa.data.streaming import StreamedUtterances
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.models.losses_univa import UnivaObjective
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.scores.metrics import metric_path
from modeling_univa.training.checkpoints import RESUME_STATE_NAME
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


TERMS = {"kl", "prior", "contrastive_text", "contrastive_audio", "contrastive_vision"}
NO_DROPOUT = dict.fromkeys(
    ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> UnivaTrainer:
    trainer = tiny_trainer(tmp_path_factory.mktemp("run"), num_train_epochs=4, learning_rate=0.05)
    trainer.train()
    return trainer


def weights_of(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder, "model.safetensors"))


def logged(trainer: UnivaTrainer, name: str = "loss") -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if name in entry]


# Logs


def test_every_term_is_logged_each_epoch(trained):
    entries = logged(trained)
    assert len(entries) == 4
    for entry in entries:
        assert set(entry) >= TERMS
        assert np.isfinite([entry[name] for name in TERMS]).all()
    assert not any(TERMS & set(entry) for entry in trained.state.log_history if "eval_loss" in entry)


def test_logged_terms_make_up_the_loss(tmp_path):
    config = tiny_config()
    trainer = tiny_trainer(tmp_path, config, logging_strategy="steps", logging_steps=1, num_train_epochs=1)
    trainer.train()
    assert len(logged(trainer)) == 4
    for entry in logged(trainer):
        assert entry["loss"] == pytest.approx(sum(entry[name] for name in TERMS), rel=1e-4)


def test_logit_adjustment_tells_the_loss_how_frequent_labels_are(tmp_path):
    config = tiny_config()
    plain, adjusted = (tiny_trainer(tmp_path / str(amount), config, logit_adjustment=amount) for amount in (0.0, 0.5))
    batch = next(iter(adjusted.get_train_dataloader()))
    adjusted.model.train(), plain.model.train()
    with torch.no_grad():
        torch.manual_seed(0)
        loss, outputs = adjusted.compute_loss(adjusted.model, dict(batch), return_outputs=True)
    # 14 rows, and a label counts at least once.
    frequencies = np.maximum(adjusted.train_dataset.labels.sum(axis=0), 1) / 14
    offsets = torch.tensor(0.5 * np.log(frequencies), dtype=torch.float32)
    affect = {name: batch[name] for name in batch if name.endswith("_va")}
    moved = type(outputs)(**{**outputs, "logits": outputs.logits + offsets})
    expected = UnivaObjective.from_config(config)(moved, labels=batch["labels"], **affect)["loss"]
    torch.testing.assert_close(loss, expected)
    unmoved = UnivaObjective.from_config(config)(outputs, labels=batch["labels"], **affect)["loss"]
    assert abs(loss - unmoved) > 1e-3
    # In evaluation nothing is added.
    adjusted.model.eval(), plain.model.eval()
    plain.model.load_state_dict(adjusted.model.state_dict())
    torch.testing.assert_close(*(run.compute_loss(run.model, dict(batch)) for run in (adjusted, plain)))


def test_logit_adjustment_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="`logit_adjustment` must be at least 0, got -1"):
        tiny_trainer(tmp_path, logit_adjustment=-1.0)
    trainer = tiny_trainer(tmp_path, logit_adjustment=0.2)
    trainer.train_dataset = object.__new__(StreamedUtterances)
    with pytest.raises(ValueError, match="frequencies of the labels, which a stream does not tell"):
        trainer._make_label_offsets()


def test_logit_adjustment_of_a_loss_that_is_not_of_the_logits_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(UnivaForEmotionClassification, "loss_reads_logits", False)
    with pytest.raises(ValueError, match="the loss of UnivaForEmotionClassification is not made of them"):
        tiny_trainer(tmp_path, logit_adjustment=0.2)


@pytest.mark.slow
def test_logit_adjustment_makes_rare_labels_likelier(tmp_path):
    options = {"num_train_epochs": 15, "learning_rate": 0.02, "load_best_model_at_end": False}
    config = tiny_config(contrastive_loss="none", correlation_prior_weight=0, **NO_DROPOUT)
    probabilities = {}
    for amount in (0.0, 1.0):
        trainer = tiny_trainer(tmp_path / str(amount), config, logit_adjustment=amount, **options)
        labels = np.zeros_like(trainer.train_dataset.labels)
        # One label in two rows of fourteen, one in all others, whatever is in them.
        labels[:2, 0], labels[2:, 1] = 1, 1
        trainer.train_dataset.labels = labels
        trainer._label_offsets = trainer._make_label_offsets()
        trainer.train()
        logits = trainer.predict(trainer.eval_dataset).predictions
        probabilities[amount] = torch.from_numpy(logits).softmax(dim=-1).mean(dim=0)
    assert probabilities[1.0][0] / probabilities[1.0][1] > 2 * probabilities[0.0][0] / probabilities[0.0][1]


@pytest.mark.slow
def test_terms_between_two_logs_are_averaged(tmp_path):
    options = {"logging_strategy": "steps", "num_train_epochs": 1}
    runs = {}
    for steps in (1, 4):
        trainer = tiny_trainer(tmp_path / str(steps), logging_steps=steps, **options)
        trainer.train()
        runs[steps] = logged(trainer)
    for name in TERMS:
        assert runs[4][0][name] == pytest.approx(np.mean([entry[name] for entry in runs[1]]), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"contrastive_loss": "none"}, {"kl", "prior"}),
        ({"correlation_prior_weight": 0}, TERMS - {"prior"}),
        ({"modalities": ["audio"], "objective": "paper"}, {"kl", "prior", "contrastive_audio"}),
    ],
)
def test_terms_that_are_off_are_not_logged(options, terms, tmp_path):
    trainer = tiny_trainer(tmp_path, tiny_config(**options), num_train_epochs=1)
    trainer.train()
    assert set(logged(trainer)[0]) & TERMS == terms


# Models that the trainer makes itself


def trainer_of(model_init, folder: Path, config=None, **options) -> UnivaTrainer:
    config = config or tiny_config()
    settings = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "num_train_epochs": 2, "use_cpu": True}
    return UnivaTrainer(
        model_init=model_init,
        args=UnivaTrainingArguments(str(folder), **{**settings, "disable_tqdm": True, **options}),
        train_dataset=tiny_split(config, (3, 4, 2, 5), seed=1, with_va=True),
        eval_dataset=tiny_split(config, (3, 2, 4), seed=2),
        processing_class=tiny_processor(config),
    )


@pytest.mark.slow
def test_trainer_that_makes_its_model_trains_as_one_that_is_given_it(tmp_path):
    config = tiny_config()
    given = tiny_trainer(tmp_path / "given", config)
    made = trainer_of(lambda: tiny_model(config), tmp_path / "made", config, per_device_eval_batch_size=4)
    scores = []
    for trainer in (given, made):
        config.decision_threshold = 0.18
        trainer.train()
        scores.append([entry for entry in trainer.state.log_history if "kl" in entry or "eval_loss" in entry])
    for one, other in zip(*scores, strict=True):
        for name in set(one) - {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}:
            assert one[name] == pytest.approx(other[name], rel=1e-4), name
    assert made.model.config.decision_threshold == given.model.config.decision_threshold
    with pytest.raises(ValueError, match="`metric_for_best_model` must be one of"):
        trainer_of(lambda: tiny_model(config), tmp_path / "wrong", config, metric_for_best_model="micro")


@pytest.mark.slow
def test_search_starts_every_trial_from_a_new_model_and_its_threshold(tmp_path):
    pytest.importorskip("optuna")
    config, begun, chosen = tiny_config(), [], []
    trainer = trainer_of(lambda: tiny_model(config), tmp_path, config)
    train = trainer.get_train_dataloader

    def beginning():
        weights = trainer.model.classifier.weight.detach().clone()
        begun.append((id(trainer.model), trainer.model.config.decision_threshold, weights))
        return train()

    trainer.get_train_dataloader = beginning
    scores = []
    evaluate = trainer.evaluate

    def evaluated(*args, **kwargs):
        metrics = evaluate(*args, **kwargs)
        scores.append(metrics["eval_micro_f1"])
        chosen.append(trainer.model.config.decision_threshold)
        return metrics

    trainer.evaluate = evaluated
    best = trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", [0.001, 0.05])},
        backend="optuna",
        n_trials=2,
    )
    assert len({model for model, *_ in begun}) == 2
    assert [threshold for _, threshold, _ in begun] == [0.18, 0.18]
    assert torch.equal(begun[0][2], begun[1][2])
    assert chosen[1] != 0.18
    # Of a trial counts the checkpoint that it keeps, which validation chose.
    assert best.objective == max(scores) and len(scores) == 4
    assert set(best.hyperparameters) == {"learning_rate"}
    assert sorted(path.name for path in tmp_path.glob("run-*")) == ["run-0", "run-1"]


@pytest.mark.slow
def test_search_changes_what_the_trainer_made_of_the_arguments(tmp_path):
    pytest.importorskip("optuna")
    config = tiny_config()
    trainer = trainer_of(lambda: tiny_model(config), tmp_path, config, num_train_epochs=1)
    assert trainer.averaging is None and trainer._label_offsets is None
    space = {"ema_decay": 0.5, "logit_adjustment": 0.4}
    trainer.hyperparameter_search(
        lambda trial: {name: trial.suggest_float(name, value, value) for name, value in space.items()}, n_trials=1
    )
    assert trainer.averaging.decay == 0.5
    assert trainer.averaging in trainer.callback_handler.callbacks
    trainer.args.logit_adjustment = 0.8
    offsets = trainer._label_offsets
    trainer._follow_arguments()
    torch.testing.assert_close(trainer._label_offsets, 2 * offsets)


def test_search_without_what_it_needs(tmp_path):
    with pytest.raises(RuntimeError, match="model_init"):
        tiny_trainer(tmp_path).hyperparameter_search(n_trials=1)
    trainer = trainer_of(lambda: tiny_model(tiny_config()), tmp_path)
    trainer.eval_dataset = None
    with pytest.raises(ValueError, match="A search chooses by the scores on `eval_dataset`: pass one."):
        trainer.hyperparameter_search(n_trials=1)


# Statistics of the training split


class Counter(UnivaForEmotionClassification):
    """Keeps how often each label occurs."""

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("label_counts", torch.zeros(config.num_labels))
        self.fitted = 0

    def fit_statistics(self, dataset):
        self.label_counts += torch.from_numpy(dataset.labels.sum(axis=0)).float()
        self.fitted += 1


@pytest.mark.slow
def test_model_takes_its_statistics_before_the_first_step_and_once(tmp_path):
    config = tiny_config()
    trainer = tiny_trainer(tmp_path, config, Counter(config), load_best_model_at_end=False)
    expected = trainer.train_dataset.labels.sum(axis=0).tolist()
    trainer.train()
    assert (trainer.model.fitted, trainer.model.label_counts.tolist()) == (1, expected)
    assert load_file(tmp_path / "checkpoint-4" / "model.safetensors")["label_counts"].tolist() == expected
    resumed = tiny_trainer(tmp_path, config, Counter(config), load_best_model_at_end=False)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert (resumed.model.fitted, resumed.model.label_counts.tolist()) == (0, expected)


@pytest.mark.slow
def test_every_model_that_the_trainer_makes_takes_its_own_statistics(tmp_path):
    config = tiny_config()
    trainer = trainer_of(lambda: Counter(config), tmp_path, config, num_train_epochs=1)
    for _ in range(2):
        trainer.train()
        assert trainer.model.fitted == 1
        assert trainer.model.label_counts.tolist() == trainer.train_dataset.labels.sum(axis=0).tolist()


def test_statistics_of_a_stream_are_refused(tmp_path):
    config = tiny_config()
    trainer = tiny_trainer(tmp_path, config, Counter(config))
    callback = next(item for item in trainer.callback_handler.callbacks if type(item).__name__ == "_FitStatistics")
    trainer.train_dataset = object.__new__(StreamedUtterances)
    with pytest.raises(ValueError, match="Counter takes statistics of the whole training split, which a stream does"):
        callback.on_train_begin(trainer.args, trainer.state, trainer.control)


# A trainer of transformers


@pytest.mark.slow
def test_plain_trainer_minimises_and_logs_the_same_loss(tmp_path):
    config = tiny_config(**NO_DROPOUT)
    config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    settings = {"num_train_epochs": 3, "logging_strategy": "epoch", "learning_rate": 1e-2, "save_strategy": "no"}
    settings |= {"per_device_train_batch_size": 14, "use_cpu": True, "disable_tqdm": True, "warmup_steps": 0}
    ours = tiny_trainer(tmp_path / "ours", config, eval_strategy="no", **settings)
    data = ours.train_dataset
    plain = Trainer(
        tiny_model(config),
        TrainingArguments(str(tmp_path / "plain"), adam_epsilon=1e-6, report_to=[], **settings),
        train_dataset=data,
        data_collator=UtteranceCollator(data, with_va=True),
    )
    losses = []
    for trainer in (ours, plain):
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][-1] < losses[0][0]


# Models that read across the utterances of a dialogue


class Reader(UnivaForEmotionClassification):
    """The scores of an utterance are those of its whole dialogue."""

    reads_dialogues = True

    def forward(self, labels=None, dialogue_index=None, **inputs):
        output = super().forward(dialogue_index=dialogue_index, **inputs)
        alike = (dialogue_index[:, None] == dialogue_index).float()
        output = dataclasses.replace(output, logits=alike @ output.logits)
        return output if labels is None else self.with_loss(output, labels)


def reading_trainer(folder: Path, **options) -> UnivaTrainer:
    config = tiny_config()
    torch.manual_seed(0)
    return tiny_trainer(folder, config, Reader(config).eval(), batching="whole_dialogues", **options)


def test_dialogues_stay_whole_where_a_model_reads_across_them(tmp_path):
    trainer = reading_trainer(tmp_path, per_device_eval_batch_size=2)
    # Dialogues of 3, 2 and 4 utterances.
    sizes = [len(batch["labels"]) for batch in trainer.get_eval_dataloader()]
    assert sizes == [3, 2, 4]
    small = trainer.predict(trainer.eval_dataset)
    whole = reading_trainer(tmp_path, per_device_eval_batch_size=100).predict(trainer.eval_dataset)
    np.testing.assert_allclose(small.predictions, whole.predictions, rtol=1e-4, atol=1e-5)
    assert small.label_ids.tolist() == trainer.eval_dataset.labels.tolist()
    assert np.array_equal(small.predictions[0], small.predictions[2])
    trainer.train()
    assert trainer.evaluate()["eval_num_rows"] == 9


def test_batches_that_cut_dialogues_are_refused_where_a_model_reads_across_them(tmp_path):
    with pytest.raises(ValueError, match="`batching` must be whole_dialogues, since Reader reads across .* got 'leng"):
        tiny_trainer(tmp_path, model=Reader(tiny_config()))


def test_training_batches_of_whole_dialogues(tmp_path):
    trainer = tiny_trainer(tmp_path, batching="whole_dialogues", per_device_train_batch_size=6)
    # Dialogues of 3, 4, 2 and 5 utterances.
    sizes = sorted(len(batch["labels"]) for batch in trainer.get_train_dataloader())
    assert sizes == [4, 5, 5]
    trainer.train()
    assert len(logged(trainer)) == 2


# Choice of the checkpoint


@pytest.mark.slow
def test_checkpoint_of_best_micro_f1_is_loaded_at_the_end(tmp_path):
    trainer = tiny_trainer(tmp_path, num_train_epochs=4, save_total_limit=2)
    scores = iter([10.0, 30.0, 20.0, 5.0])
    trainer.compute_metrics = lambda prediction: {"micro_f1": next(scores), "macro_f1": 100.0 - trainer.state.epoch}
    trainer.train()
    assert trainer.state.best_metric == 30.0
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-16", "checkpoint-8"]
    best, last = weights_of(tmp_path / "checkpoint-8"), weights_of(tmp_path / "checkpoint-16")
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, best[name]), name
    assert not torch.equal(best["classifier.weight"], last["classifier.weight"])


def test_metrics_at_the_end_are_those_of_the_best_epoch(trained):
    scores = [entry["eval_micro_f1"] for entry in logged(trained, "eval_micro_f1")]
    assert len(set(scores)) > 1
    assert trained.evaluate()["eval_micro_f1"] == max(scores)


def test_similarity_is_trained(trained):
    initial = tiny_model(tiny_config()).correlation_prior.label_similarity
    assert not torch.equal(trained.model.correlation_prior.label_similarity, initial)


def test_fixed_similarity_stays(tmp_path):
    config = tiny_config(learn_label_similarity=False)
    trainer = tiny_trainer(tmp_path, config, num_train_epochs=1)
    trainer.train()
    initial = tiny_model(config).correlation_prior.label_similarity
    assert torch.equal(trainer.model.correlation_prior.label_similarity, initial)


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "best"), [("eval_loss", 8), ("hamming_loss", 8), ("micro_f1", 12)])
def test_best_is_what_the_metric_says(metric, best, tmp_path):
    """A metric that ends in "loss" is better when lower."""
    values = iter([30.0, 10.0, 40.0, 20.0])
    trainer = tiny_trainer(tmp_path, num_train_epochs=4, metric_for_best_model=metric)
    evaluate = trainer.evaluate

    def with_value(*args, **kwargs):
        return evaluate(*args, **kwargs) | {f"eval_{metric.removeprefix('eval_')}": next(values)}

    trainer.evaluate = with_value
    trainer.train()
    assert Path(trainer.state.best_model_checkpoint).name == f"checkpoint-{best}"
    kept = weights_of(tmp_path / f"checkpoint-{best}")
    assert all(torch.equal(value, kept[name]) for name, value in trainer.model.state_dict().items())


def test_last_checkpoint_is_kept_where_nothing_is_evaluated(tmp_path):
    trainer = tiny_trainer(tmp_path, eval_strategy="no")
    assert (trainer.args.save_strategy, trainer.args.load_best_model_at_end) == ("epoch", False)
    trainer.train()
    assert not logged(trainer, "eval_loss")
    last = weights_of(tmp_path / "checkpoint-8")
    assert all(torch.equal(value, last[name]) for name, value in trainer.model.state_dict().items())
    # Chosen now, since no evaluation has; and once.
    first = trainer.evaluate()
    assert first["eval_threshold"] == trainer.model.config.decision_threshold != 0.18
    trainer.model.config.decision_threshold = 0.5
    assert trainer.evaluate()["eval_threshold"] == 0.5


@pytest.mark.parametrize(("metric", "mode"), [("micro_f1", "max"), ("eval_loss", "min")])
@pytest.mark.parametrize("scheduler", ["reduce_lr_on_plateau", "greedy"])
def test_learning_rate_that_follows_the_score_knows_which_is_better(scheduler, metric, mode, tmp_path):
    options = {"lr_scheduler_type": scheduler, "metric_for_best_model": metric}
    trainer = tiny_trainer(tmp_path, **options)
    assert trainer.create_scheduler(8, trainer.create_optimizer()).mode == mode
    args = tiny_trainer(tmp_path, **options, lr_scheduler_kwargs={"mode": "min", "patience": 2}).args
    assert args.lr_scheduler_kwargs == {"mode": "min", "patience": 2}


@pytest.mark.slow
def test_damaged_best_checkpoint_is_told(tmp_path):
    trainer = tiny_trainer(tmp_path)
    scores = iter([30.0, 20.0])
    trainer.compute_metrics = lambda prediction: {"micro_f1": next(scores)}
    load = trainer._load_best_model

    def load_damaged():
        file = tmp_path / "checkpoint-4" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:5000])
        load()

    trainer._load_best_model = load_damaged
    with pytest.raises(ValueError, match="checkpoint-4, the best checkpoint, cannot be loaded: model.safetensors is"):
        trainer.train()
    shutil.rmtree(tmp_path / "checkpoint-4")
    again = tiny_trainer(tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    last = weights_of(tmp_path / "checkpoint-8")
    assert all(torch.equal(value, last[name]) for name, value in again.model.state_dict().items())
    assert (
        again.model.config.decision_threshold
        == json.loads((tmp_path / "checkpoint-8" / "config.json").read_text())["decision_threshold"]
    )


def test_checkpoints_are_written_when_the_run_is_evaluated(tmp_path):
    args = UnivaTrainingArguments(str(tmp_path), eval_strategy="steps", eval_steps=20)
    assert (args.save_strategy, args.save_steps, args.load_best_model_at_end) == ("steps", 20, True)
    assert UnivaTrainingArguments(str(tmp_path)).save_strategy == "epoch"


# Threshold


def perfect(labels: np.ndarray, noise: float = 0.02) -> np.ndarray:
    """Logits of a model that has learned the target, softmax of the multi-hot labels, to a small noise."""
    return labels + np.random.default_rng(0).normal(0, noise, labels.shape)


@pytest.mark.parametrize("num_labels", [3, 6, 12, 20])
def test_perfect_ranking_scores_perfectly_whatever_the_number_of_labels(num_labels, tmp_path, monkeypatch):
    """Point of `choose_threshold`: with 0.18, 12 labels score 19 and 20 labels 0, and of 3 all are predicted."""
    config = tiny_config(id2label={index: f"e{index}" for index in range(num_labels)}, correlation_prior_weight=0)
    generator = np.random.default_rng(num_labels)
    rows = random_rows((30, 30), label_names=config.label_names, modalities=["audio", "vision"])
    trainer = tiny_trainer(tmp_path, config, num_train_epochs=1)
    trainer.eval_dataset = UtteranceDataset(rows, tiny_processor(config), config.label_names)
    labels = trainer.eval_dataset.labels
    labels[:] = 0
    for row in labels:
        row[generator.permutation(num_labels)[: generator.integers(1, min(4, num_labels))]] = 1
    step = trainer.prediction_step

    def perfect_step(model, inputs, *args, **kwargs):
        loss, logits, found = step(model, inputs, *args, **kwargs)
        return loss, torch.from_numpy(perfect(found.numpy())).float(), found

    monkeypatch.setattr(trainer, "prediction_step", perfect_step)
    trainer.train()
    chosen = logged(trainer, "eval_micro_f1")[0]
    assert chosen["eval_micro_f1"] >= 98
    assert trainer.model.config.decision_threshold == chosen["eval_threshold"]
    # As saved in the checkpoint, and as other rows are then scored at.
    saved = json.loads((tmp_path / "checkpoint-4" / "config.json").read_text())
    assert saved["decision_threshold"] == chosen["eval_threshold"]
    found = trainer.evaluate(trainer.eval_dataset, metric_key_prefix="eval")
    assert (found["eval_threshold"], found["eval_micro_f1"]) == (chosen["eval_threshold"], chosen["eval_micro_f1"])


def test_threshold_belongs_to_the_checkpoint_that_is_kept(trained):
    # While training; what other tests have evaluated comes after it.
    entries = logged(trained, "eval_threshold")[:4]
    assert len({entry["eval_threshold"] for entry in entries}) > 1
    best = next(entry for entry in entries if entry["step"] == trained.state.best_global_step)
    assert trained.model.config.decision_threshold == best["eval_threshold"]
    for entry in entries:
        file = Path(trained.args.output_dir, f"checkpoint-{entry['step']}", "config.json")
        if file.is_file():
            assert json.loads(file.read_text())["decision_threshold"] == entry["eval_threshold"]
    # Neither another evaluation of it, nor that of other rows, changes it.
    trained.evaluate()
    trained.evaluate(tiny_split(trained.model.config, (5, 6), seed=7))
    assert trained.model.config.decision_threshold == best["eval_threshold"]


def test_resumed_run_has_the_threshold_of_its_best_checkpoint(trained, tmp_path):
    trainer = tiny_trainer(tmp_path, num_train_epochs=4, learning_rate=0.05)
    trainer.train(resume_from_checkpoint=str(Path(trained.args.output_dir, "checkpoint-16")))
    assert trainer.state.best_global_step == trained.state.best_global_step
    assert trainer.model.config.decision_threshold == trained.model.config.decision_threshold


def test_threshold_of_each_label_belongs_to_the_checkpoint_too(tmp_path):
    trainer = tiny_trainer(tmp_path, num_train_epochs=4, learning_rate=0.05)
    trainer.choose_threshold = "per-label"
    trainer.train()
    names = trainer.model.config.label_names
    entries = [[entry[f"eval_threshold_{name}"] for name in names] for entry in logged(trainer, "eval_threshold_sad")]
    assert len({tuple(entry) for entry in entries}) > 1 and not logged(trainer, "eval_threshold")
    kept = trainer.state.best_global_step
    best = next(entry for entry in logged(trainer, "eval_threshold_sad") if entry["step"] == kept)
    chosen = trainer.model.config.decision_threshold
    assert chosen == [best[f"eval_threshold_{name}"] for name in names]
    # The scores of the log are those at these thresholds, which another evaluation leaves.
    assert trainer.evaluate()["eval_macro_f1"] == best["eval_macro_f1"]
    assert trainer.model.config.decision_threshold == chosen
    trainer.save_model()
    assert type(trainer.model).from_pretrained(tmp_path).config.decision_threshold == chosen
    # A run that goes on from the last checkpoint ends with those of the best one.
    again = tiny_trainer(tmp_path, num_train_epochs=4, learning_rate=0.05)
    again.choose_threshold = "per-label"
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-16"))
    assert again.model.config.decision_threshold == chosen


class Stop(TrainerCallback):
    """Ends training after a step, as an interruption does after a checkpoint."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_run_with_a_memory_is_resumed_to_the_bit(ema_decay, tmp_path):
    config = tiny_config(contrastive_memory=9, contrastive_chunk_size=3)
    options = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "no", "save_total_limit": None}
    options |= {"ema_decay": ema_decay}
    whole = tiny_trainer(tmp_path / "whole", config, **options)
    whole.train()
    first = tiny_trainer(tmp_path / "first", config, **options)
    first.add_callback(Stop(3))
    first.train()
    checkpoint = tmp_path / "first" / "checkpoint-3"
    assert 3 == first.state.global_step < whole.state.global_step
    assert torch.equal(load_file(checkpoint / RESUME_STATE_NAME)["contrast_memory"], first.model.contrast_memory.rows)
    second = tiny_trainer(tmp_path / "second", config, tiny_model(config, seed=1), **options)
    second.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(second.model.contrast_memory.rows, whole.model.contrast_memory.rows)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name
    # The memory decides about it.
    (checkpoint / RESUME_STATE_NAME).unlink()
    third = tiny_trainer(tmp_path / "third", config, **options)
    with pytest.raises(ValueError, match=r"checkpoint-3 is not a checkpoint.*without `contrastive_memory`"):
        third.train(resume_from_checkpoint=str(checkpoint))


def test_checkpoints_and_models_without_a_memory_are_as_ever(tmp_path):
    trainer = tiny_trainer(tmp_path)
    trainer.train()
    trainer.save_model()
    assert not list(tmp_path.rglob(RESUME_STATE_NAME))


def test_unknown_way_of_choosing_a_threshold_is_refused(tmp_path):
    trainer = tiny_trainer(tmp_path)
    with pytest.raises(ValueError, match="must be True, False or one of auto, per-label, got 'best'"):
        UnivaTrainer(trainer.model, trainer.args, choose_threshold="best")


def test_fixed_threshold_stays(tmp_path):
    trainer = tiny_trainer(tmp_path, tiny_config(decision_threshold=0.2), num_train_epochs=1)
    trainer.choose_threshold = False
    trainer.train()
    assert logged(trainer, "eval_threshold")[0]["eval_threshold"] == 0.2 == trainer.evaluate()["eval_threshold"]


def test_run_that_predicts_nothing_says_why(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        tiny_trainer(tmp_path, tiny_config(decision_threshold=0.9)).evaluate()
    assert "For 9 of 9 rows no label is predicted: `decision_threshold` is 0.9. With 6 labels, " in caplog.text


# Evaluation


def test_metrics_are_those_of_the_metric_module(trained):
    prediction = trained.predict(trained.eval_dataset)
    assert prediction.predictions.shape == (9, 6)
    np.testing.assert_array_equal(prediction.label_ids, trained.eval_dataset.labels)
    metric = evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)
    expected = metric.compute(
        predictions=torch.from_numpy(prediction.predictions).softmax(-1).tolist(),
        references=trained.eval_dataset.labels.astype(int).tolist(),
        threshold=trained.model.config.decision_threshold,
        label_names=trained.model.config.label_names,
    )
    found = trained.evaluate()
    for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1", "num_rows", "num_rows_without_label"):
        assert found[f"eval_{name}"] == expected[name]
    assert found["eval_num_rows"] == 9
    for label in trained.model.config.label_names:
        assert found[f"eval_f1_{label}"] == expected["label_f1"][label]
        assert found[f"eval_support_{label}"] == expected["label_support"][label]


def test_threshold_of_the_model_decides(tmp_path):
    config = tiny_config(decision_threshold=0.9)
    metrics = tiny_trainer(tmp_path, config).evaluate()
    assert metrics["eval_num_rows_without_prediction"] == 9


def test_predictions_come_in_the_order_of_the_corpus(trained):
    dataset = trained.eval_dataset
    found = trained.predict(dataset).predictions
    for index in range(len(dataset)):
        batch = trained.get_test_dataloader(dataset).collate_fn([dataset[index]])
        with torch.no_grad():
            logits = trained.model.eval()(**batch).logits[0]
        np.testing.assert_allclose(found[index], logits.numpy(), atol=1e-5)


def test_evaluation_loss_is_the_mean_over_rows(trained):
    dataset = trained.eval_dataset
    batch = trained.get_test_dataloader(dataset).collate_fn(dataset.__getitems__(list(range(9))))
    with torch.no_grad():
        expected = trained.model.eval()(**batch).loss.item()
    assert trained.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluation_batches_have_no_va_and_training_batches_do(trained):
    names = set(next(iter(trained.get_eval_dataloader())))
    assert not {name for name in names if name.endswith("_va")}
    assert set(next(iter(trained.get_train_dataloader()))) == names | {"text_va", "audio_va", "vision_va"}


# Updates


def updated_weights(folder: Path, rows: int, **options) -> dict[str, torch.Tensor]:
    config = tiny_config(contrastive_loss="none", correlation_prior_weight=0, **NO_DROPOUT)
    # The text encoder has dropout of its own.
    config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    trainer = tiny_trainer(
        folder, config, num_train_epochs=1, warmup_steps=0, optim="sgd", max_grad_norm=1e9, **options
    )
    trainer.train_dataset = tiny_split(config, (rows // 2, rows // 2), seed=3, with_va=True)
    trainer.train()
    return trainer.model.state_dict()


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_one_big_batch(tmp_path):
    one = updated_weights(tmp_path / "1", 8, per_device_train_batch_size=8)
    four = updated_weights(tmp_path / "4", 8, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    initial = tiny_model(tiny_config()).state_dict()
    assert any(not torch.equal(one[name], value) for name, value in initial.items())
    for name, value in one.items():
        torch.testing.assert_close(four[name], value, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_activation_checkpointing_trains_to_the_same_weights(tmp_path):
    results = []
    for checkpointing in (False, True):
        trainer = tiny_trainer(
            tmp_path / str(checkpointing), num_train_epochs=1, activation_checkpointing=checkpointing
        )
        trainer.train()
        assert trainer.model.is_activation_checkpointing is checkpointing
        results.append(trainer.model.state_dict())
    for name, value in results[0].items():
        assert torch.equal(results[1][name], value), name


@pytest.mark.parametrize("system", ["univa", "toy"])
def test_heads_may_have_a_learning_rate_of_their_own(system, tmp_path):
    """Whatever a system calls its text encoder."""
    config, model = tiny_config(), None
    if system == "toy":
        sizes = {f"{name}_feature_size": size for name, size in config.feature_sizes.items()}
        config = ToyConfig(text_config=config.text_config, id2label=config.id2label, **sizes)
        model = ToyModel(config)
    rates = {"heads_learning_rate": 0.5, "learning_rate": 0.25}
    trainer = tiny_trainer(tmp_path, config, model, weight_decay=0.1, **rates)
    optimizer = trainer.create_optimizer()
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in optimizer.param_groups)
    for name, value in trainer.model.named_parameters():
        is_encoder = name.startswith(("univa.encoders.text.encoder.", "text_encoder."))
        assert rates[id(value)] == (0.25 if is_encoder else 0.5)
    assert 0.25 in rates.values()
    decayed = {id(value) for group in optimizer.param_groups if group["weight_decay"] for value in group["params"]}
    parameters = dict(trainer.model.named_parameters())
    assert id(parameters["classifier.weight"]) in decayed
    assert id(parameters["classifier.bias"]) not in decayed


def test_batches_of_an_epoch_depend_on_the_data_seed(tmp_path):
    orders = []
    for seed in (1, 1, 2):
        trainer = tiny_trainer(tmp_path, data_seed=seed)
        orders.append([batch["labels"].tolist() for batch in trainer.get_train_dataloader()])
    assert orders[0] == orders[1] != orders[2]


def test_unused_parameters_are_looked_for_with_activation_checkpointing_too(tmp_path):
    for checkpointing in (False, True):
        trainer = tiny_trainer(tmp_path, activation_checkpointing=checkpointing)
        handler = trainer.accelerator.ddp_handler
        assert handler.find_unused_parameters


# Files


def test_saved_folder_holds_no_pickle(trained, tmp_path):
    trained.save_model(str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "processor_config.json", "training_args.json"} <= names
    assert not {name for name in names if Path(name).suffix in (".bin", ".pt", ".pth", ".pkl")}
    assert json.loads((tmp_path / "training_args.json").read_text())["learning_rate"] == 0.05


def test_saved_folder_loads_through_the_auto_class(trained, tmp_path):
    trained.save_model(str(tmp_path))
    loaded = AutoModel.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(loaded).__name__ == "UnivaForEmotionClassification"
    for name, value in trained.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_word_vector_model_is_trained_and_saved_with_its_processor(tmp_path):
    config = tiny_config("words")
    trainer = tiny_trainer(tmp_path, config, num_train_epochs=1)
    trainer.train()
    trainer.save_model()
    processor = UnivaProcessor.from_pretrained(tmp_path)
    assert (processor.tokenizer, processor.feature_sizes) == (None, config.feature_sizes)
    assert (next(tmp_path.glob("checkpoint-*")) / "processor_config.json").is_file()


def test_state_is_the_last_file_of_a_checkpoint(tmp_path, monkeypatch):
    """What `last_complete_checkpoint` rests on."""
    trainer = tiny_trainer(tmp_path, num_train_epochs=1)
    trainer.train()
    folder = next(tmp_path.glob("checkpoint-*"))
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert max(times, key=times.get) == TRAINER_STATE_NAME
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"} <= set(times)


@pytest.mark.slow
def test_resuming_in_the_middle_of_an_epoch_gives_the_same_weights(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    options |= {"save_total_limit": None, "load_best_model_at_end": False}
    whole = tiny_trainer(tmp_path / "whole", **options)
    whole.train()
    for step in (1, 3, 4, 6):
        trainer = tiny_trainer(tmp_path / "resumed", model=tiny_model(tiny_config(), seed=9), **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert trainer.state.global_step == whole.state.global_step == 8
        for name, value in whole.model.state_dict().items():
            assert torch.equal(trainer.model.state_dict()[name], value), (step, name)


# Refusals


def test_several_gpus_in_one_process_are_refused(tmp_path):
    trainer = tiny_trainer(tmp_path)
    args = copy.copy(trainer.args)
    args._n_gpu = 2
    with pytest.raises(ValueError, match="One process sees 2 GPUs, and DataParallel would split .*`torchrun"):
        UnivaTrainer(trainer.model, args, trainer.train_dataset, trainer.eval_dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batching": "x"}, "`batching` must be one of length, dialogue, whole_dialogues, random, got 'x'"),
        ({"va_scaling": "x"}, "`va_scaling` must be one of none, released, standardize, got 'x'"),
        ({"per_device_eval_batch_size": 0}, "`per_device_eval_batch_size` must be at least 1, got 0"),
        ({"num_train_epochs": 0}, "`num_train_epochs` must be greater than 0"),
        ({"label_smoothing_factor": 0.3}, "`label_smoothing_factor` has no effect here, so leave it out: the target"),
        ({"fp16": True, "use_cpu": True}, "`fp16` has no effect on a CPU: leave it out, or use `bf16`"),
        ({"fp16_full_eval": True, "use_cpu": True}, "`fp16_full_eval` has no .* or use `bf16_full_eval`"),
        ({"train_sampling_strategy": "group_by_length"}, "`train_sampling_strategy` has no effect .* `batching`"),
        ({"dataloader_drop_last": True}, "`dataloader_drop_last` has no effect here"),
        ({"include_for_metrics": ["loss"]}, "`include_for_metrics` has no effect here"),
        ({"prediction_loss_only": True}, "`prediction_loss_only` has no effect here.* the metrics need"),
        ({"accelerator_config": {"split_batches": True}}, "`split_batches` of `accelerator_config` has no effect"),
        ({"optim_target_modules": "all-linear"}, "`optim_target_modules` has no effect with `optim` = adamw_torch"),
        ({"debug": "underflow_overflow"}, "`debug` = underflow_overflow cannot read"),
    ],
)
def test_wrong_training_arguments_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        UnivaTrainingArguments(str(tmp_path), **options)


@pytest.mark.processes
@pytest.mark.parametrize("name", ["bf16", "bf16_full_eval"])
def test_bfloat16_is_refused_where_the_processor_can_only_imitate_it(name, tmp_path):
    script = (
        "from modeling_univa.training.training_arguments import UnivaTrainingArguments\n"
        f"UnivaTrainingArguments({str(tmp_path)!r}, use_cpu=True, {name}=True)\n"
    )
    # As on a processor without AVX-512; the library reads it when it is loaded.
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"ValueError: `{name}` needs a processor that multiplies in bfloat16 (AVX-512 on x86)" in run.stderr


def test_metric_that_there_is_not_is_named_before_the_first_step(tmp_path):
    message = "`metric_for_best_model` must be one of micro_f1, .*f1_fear, .*got 'micro-f1'"
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, metric_for_best_model="micro-f1")
    for name in ("eval_f1_fear", "accuracy", "eval_loss"):
        assert tiny_trainer(tmp_path, metric_for_best_model=name).args.metric_for_best_model == name


def test_noise_on_embeddings_needs_some(tmp_path):
    assert tiny_trainer(tmp_path, neftune_noise_alpha=5.0).neftune_noise_alpha == 5
    with pytest.raises(ValueError, match="`neftune_noise_alpha` needs a pretrained text encoder"):
        tiny_trainer(tmp_path, tiny_config("words"), neftune_noise_alpha=5.0)


def test_scores_that_are_not_finite_end_the_run(tmp_path):
    trainer = tiny_trainer(tmp_path)
    trainer.model.classifier.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="not finite: training has diverged"):
        trainer.evaluate()


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="the processor has no bfloat16")
def test_evaluation_in_half_precision_leaves_the_weights(tmp_path):
    trainer = tiny_trainer(tmp_path, bf16_full_eval=True)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    exact = tiny_trainer(tmp_path).evaluate()["eval_loss"]
    assert 0 < abs(trainer.evaluate()["eval_loss"] - exact) < 0.1 * exact
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
