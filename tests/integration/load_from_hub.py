# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Loads from the Hub what was pushed, where the package cannot be imported: `load_from_hub.py TASKS.json`."""

import json
import sys
from pathlib import Path


# An import of it fails as if it were not installed.
sys.modules["modeling_univa"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor, pipeline  # noqa: E402


def load_model(name: str, inputs: dict, revision: str = "main") -> dict:
    options = {"revision": revision, "trust_remote_code": True}
    processor = AutoProcessor.from_pretrained(name, **options)
    features = {
        key: [None if clip is None else np.array(clip, dtype=np.float32) for clip in clips]
        for key, clips in inputs["features"].items()
    }
    found = {}
    for auto_class in (AutoModel, AutoModelForSequenceClassification):
        model = auto_class.from_pretrained(name, **options)
        with torch.no_grad():
            found[auto_class.__name__] = model(**processor(inputs["dialogues"], **features)).logits.tolist()
    return {"logits": found, "module": type(model).__module__}


def load_pipeline(name: str, inputs: dict, revision: str = "main") -> dict:
    classifier = pipeline(model=name, revision=revision, trust_remote_code=True, threshold=None)
    first = {key: clips[0] for key, clips in inputs["features"].items()}
    found = classifier({"text": inputs["dialogues"][0], "utterance": 0, **first})
    return {"scores": {one["label"]: one["score"] for one in found}, "module": type(classifier).__module__}


def load_rows(name: str) -> dict:
    from datasets import load_dataset

    rows = load_dataset(name, split="train", streaming=True)
    return {"ids": [row["utterance_id"] for row in rows], "labels": rows.features["emotions"].feature.names}


def load_metric(name: str) -> dict:
    import evaluate

    metric = evaluate.load(name)
    return metric.compute(predictions=[[1, 1, 0], [0, 1, 0]], references=[[1, 0, 0], [0, 1, 0]])


KINDS = {"model": load_model, "pipeline": load_pipeline, "rows": load_rows, "metric": load_metric}


def run(task: dict) -> dict:
    try:
        return KINDS[task.pop("kind")](**task)
    # What is raised is what the test asks for.
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


tasks = json.loads(Path(sys.argv[1]).read_text())
print("\n" + json.dumps({name: run(task) for name, task in tasks.items()}))
