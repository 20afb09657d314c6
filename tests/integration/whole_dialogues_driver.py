# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Trains a model that reads across utterances on as many processes as there are; writes `{RECORD}-{rank}.json`."""

import dataclasses
import json
import os
import sys

import torch
from testing_utils import tiny_config, tiny_processor
from training_runs import tiny_split

from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


class Reader(UnivaForEmotionClassification):
    """The scores of an utterance are those of its whole dialogue; each process finds other statistics."""

    reads_dialogues = True

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("statistic", torch.zeros(()))

    def fit_statistics(self, dataset):
        self.statistic.fill_(10 + int(os.environ.get("RANK", 0)))

    def forward(self, labels=None, dialogue_index=None, **inputs):
        output = super().forward(dialogue_index=dialogue_index, **inputs)
        alike = (dialogue_index[:, None] == dialogue_index).float()
        output = dataclasses.replace(output, logits=alike @ output.logits)
        va = {name: inputs.get(name) for name in ("text_va", "audio_va", "vision_va")}
        return output if labels is None else self.with_loss(output, labels, va if self.training else None)


def main(folder: str) -> None:
    config = tiny_config()
    torch.manual_seed(0)
    args = UnivaTrainingArguments(
        folder, batching="whole_dialogues", per_device_train_batch_size=5, per_device_eval_batch_size=4, use_cpu=True,
        num_train_epochs=1, disable_tqdm=True,
    )  # fmt: skip
    model, validation = Reader(config), tiny_split(config, (3, 2, 4, 5, 1, 2, 2), seed=2)
    # Three batches: with two processes the last round has one of them and a repeated one.
    test = tiny_split(config, (4, 3, 4), seed=3)
    trainer = UnivaTrainer(
        model, args, tiny_split(config, (3, 4, 2, 5, 7), seed=1, with_va=True), validation, tiny_processor(config)
    )
    found = {"world_size": args.world_size}
    for name, rows in (("validation", validation), ("test", test)):
        output = trainer.predict(rows)
        found[name] = {"logits": output.predictions.tolist(), "labels": output.label_ids.tolist()}
        found[name]["expected"] = rows.labels.tolist()
    found["batches"] = [len(batch["labels"]) for batch in trainer.get_train_dataloader()]
    trainer.train()
    found["statistic"] = trainer.model.statistic.item()
    found["metrics"] = trainer.evaluate()
    with open(f"{os.environ['RECORD']}-{args.process_index}.json", "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
