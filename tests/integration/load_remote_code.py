# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Loads saved folders where the package and the media libraries cannot be imported: `load_remote_code.py FOLDER …`.

Every folder holds a saved model, and `inputs.json` with dialogues, features and the logits that they give.
"""

import json
import sys
from pathlib import Path


BLOCKED = ("modeling_univa", "cv2", "soundfile", "av", "scipy")


class Filter:
    """A finder to which some packages look as if they were not installed."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path = [Filter(finder) for finder in sys.meta_path]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
    pipeline,
)


def logits_of(model, processor, inputs: dict) -> torch.Tensor:
    features = {
        name: [None if clip is None else np.array(clip, dtype=np.float32) for clip in clips]
        for name, clips in inputs["features"].items()
    }
    with torch.no_grad():
        return model(**processor(inputs["dialogues"], speakers=inputs["speakers"], **features)).logits


def near(logits: torch.Tensor, expected: list) -> bool:
    """Nearly: kernels may round otherwise where weights are mapped from a file."""
    return torch.allclose(logits, torch.tensor(expected), atol=1e-5)


def probabilities_of(folder: Path, inputs: dict) -> dict:
    """What the pipeline makes of every utterance, in batches, and what loading it was refused with."""
    classifier = pipeline(model=str(folder), trust_remote_code=True, threshold=None)
    names = inputs["speakers"]
    dialogues = inputs["dialogues"] or [[""] * len(speakers) for speakers in names]
    items = [
        {"text": texts, "utterance": place, "speaker": speakers}
        for texts, speakers in zip(dialogues, names, strict=True)
        for place in range(len(texts))
    ]
    for name, clips in inputs["features"].items():
        for item, clip in zip(items, clips, strict=True):
            item[name] = clip
    # Nothing at all is an error for the pipeline.
    places = [
        index
        for index, item in enumerate(items)
        if item["text"][item["utterance"]] or any(item[name] is not None for name in inputs["features"])
    ]
    results = classifier([items[index] for index in places], batch_size=2)
    expected = classifier.model.config.probabilities(torch.tensor(inputs["logits"])[places])
    found = [[{one["label"]: one["score"] for one in result}[name] for name in classifier.model.config.label_names]
             for result in results]  # fmt: skip
    return {
        "class": type(classifier).__module__,
        "task": classifier.task,
        "utterances": len(found),
        "difference": (torch.tensor(found) - expected).abs().max().item(),
    }


def load(folder: Path) -> dict:
    trusted = {"trust_remote_code": True}
    inputs = json.loads((folder / "inputs.json").read_text())
    found = {"classes": {}, "near": {}, "refused": {}}
    processor = AutoProcessor.from_pretrained(folder, **trusted)
    for auto_class in (AutoModel, AutoModelForSequenceClassification):
        model = auto_class.from_pretrained(folder, **trusted)
        found["near"][auto_class.__name__] = near(logits_of(model, processor, inputs), inputs["logits"])
        found["classes"][auto_class.__name__] = f"{type(model).__module__}.{type(model).__name__}"
    found["classes"]["AutoConfig"] = type(AutoConfig.from_pretrained(folder, **trusted)).__name__
    found["classes"]["AutoProcessor"] = type(processor).__name__

    again = folder / "again"
    model.save_pretrained(again)
    processor.save_pretrained(again)
    found["pipeline"] = [probabilities_of(folder, inputs), probabilities_of(again, inputs)]
    found["copied"] = sorted(path.name for path in again.glob("*.py"))
    model, processor = (kind.from_pretrained(again, **trusted) for kind in (AutoModel, AutoProcessor))
    found["near"]["again"] = near(logits_of(model, processor, inputs), inputs["logits"])

    for auto_class in (AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor):
        try:
            auto_class.from_pretrained(folder)
            found["refused"][auto_class.__name__] = ""
        except ValueError as error:
            found["refused"][auto_class.__name__] = str(error)
    try:
        pipeline(model=str(folder), trust_remote_code=False)
    except (ValueError, RuntimeError) as error:
        found["refused"]["pipeline"] = str(error)
    tasks = ("video-classification", "audio-classification", "text-classification")
    found["tasks"] = {task: type(pipeline(task, model=str(folder), trust_remote_code=True)).__name__ for task in tasks}
    found["media_errors"] = {}
    classifier = pipeline(model=str(folder), trust_remote_code=True)
    for name in ("audio", "video"):
        try:
            classifier({name: b"RIFF"})
        except ImportError as error:
            found["media_errors"][name] = str(error)
    return found


report = {folder: load(Path(folder)) for folder in sys.argv[1:]}
report["imported"] = sorted(name for name in sys.modules if name.partition(".")[0] in BLOCKED)
# transformers leaves its question whether to trust the code without an end of line.
print("\n" + json.dumps(report))
