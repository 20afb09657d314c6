# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""train_hf.py, with a record of what each process sees, in `{RECORD}-{rank}.json` and `.npz`; rows by their ids."""

import hashlib
import json
import os
import sys

import numpy as np

import train_hf
from modeling_univa.data.utterances import UtteranceCollator
from modeling_univa.scores.metrics import MultilabelMetrics
from modeling_univa.training import run as training
from modeling_univa.training.trainer import UnivaTrainer


record = {"train": [], "evaluate": [], "world_size": None}
predictions: list[np.ndarray] = []


def recording_collator(self, parts, call=UtteranceCollator.__call__):
    ids = self.dataset.utterance_ids
    seen = [ids[index] for part in parts for index in part.indices]
    record["train" if self.with_va else "evaluate"].append(seen)
    return call(self, parts)


def recording_metrics(self, prediction, call=MultilabelMetrics.__call__):
    predictions.append(np.asarray(prediction.predictions))
    return call(self, prediction)


def recording_build(*arguments, call=training.build_trainer) -> UnivaTrainer:
    record["trainer"] = call(*arguments)
    return record["trainer"]


UtteranceCollator.__call__ = recording_collator
MultilabelMetrics.__call__ = recording_metrics
training.build_trainer = recording_build

status = train_hf.main()
trainer = record.pop("trainer")
digest = hashlib.sha256()
for value in trainer.model.state_dict().values():
    digest.update(value.numpy().tobytes())
record |= {
    "world_size": trainer.args.world_size,
    "weights": digest.hexdigest(),
    "log": trainer.state.log_history,
    "steps": trainer.state.global_step,
}
target = f"{os.environ['RECORD']}-{trainer.args.process_index}"
with open(f"{target}.json", "w") as file:
    json.dump(record, file)
np.savez(f"{target}.npz", *predictions)
sys.exit(status)
