# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Uses a model, a corpus and a metric of the Hub by their ids, with no package of ours: `hub_visitor.py GIVEN.json`.

hub_round_trip.py runs it, and takes from it what both sides do.
"""

import importlib
import json
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def named_packages(card: str) -> list[str]:
    """Packages of the first `pip install …` on a model card."""
    found = re.search(r"`pip install ([^`]+)`", card)
    return shlex.split(found[1]) if found else []


def inputs_of(processor: Any, clip: str, text: str) -> Any:
    """Model inputs from a clip, of all that the processor makes of raw media."""
    made_by = {name: settings.get("extractor_type") for name, settings in processor.extractors.items()}
    raw = {name for name in ("audio", "vision") if made_by.get(name) not in (None, "precomputed")}
    dialogues = [[["How was it?", text]], [(0, 1)]] if processor.tokenizer is not None else []
    media: dict[str, list[str]] = {"video": [clip]} if "vision" in raw and "faces" in processor.extractors else {}
    if "audio" in raw and not media:
        media = {"audio": [clip]}
    return processor(*dialogues, **media)


def pipeline_options(processor: Any) -> dict[str, Any]:
    """A detector that needs no file, for models that do not say how faces are found in videos."""
    needs = "vision" in processor.feature_sizes and "faces" not in processor.extractors
    return {"threshold": None} | ({"face_reader": {"reader_type": "faces", "detector": "haar"}} if needs else {})


def pipeline_result(classifier: Any, clip: str, text: str) -> list[dict[str, Any]]:
    """Emotions of the clip, likeliest first."""
    return classifier({"text": ["How was it?", text], "video": clip})


def versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", "transformers", "numpy")}


def visit(model: str, corpus: str, metric: str, clip: str, text: str, features: str) -> dict[str, Any]:
    """Load everything by id and use it."""
    import evaluate
    import numpy as np
    import torch
    from datasets import load_dataset
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor, pipeline

    processor = AutoProcessor.from_pretrained(model, trust_remote_code=True)
    with np.load(features) as arrays:
        inputs = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    logits = {}
    with torch.inference_mode():
        for auto_class in (AutoModelForSequenceClassification, AutoModel):
            loaded = auto_class.from_pretrained(model, trust_remote_code=True).eval()
            logits[auto_class.__name__] = loaded(**inputs).logits.tolist()
        clip_logits = loaded(**inputs_of(processor, clip, text)).logits.tolist()
    classifier = pipeline(model=model, trust_remote_code=True, **pipeline_options(processor))
    parts = {"model": loaded, "processor": processor, "pipeline": classifier}
    return {
        "logits": logits,
        "clip_logits": clip_logits,
        "pipeline": pipeline_result(classifier, clip, text),
        "rows": {split: len(rows) for split, rows in load_dataset(corpus).items()},
        "metric": _metric_result(evaluate.load(metric)),
        "modules": {name: type(part).__module__ for name, part in parts.items()},
        "installed": dict(sorted((item.metadata["Name"].lower(), item.version) for item in metadata.distributions())),
        "package": _is_importable("modeling_univa"),
        "versions": versions(),
    }


def _is_importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _metric_result(metric: Any) -> dict[str, float]:
    scores = metric.compute(predictions=[[1, 1, 0], [0, 1, 0]], references=[[1, 0, 0], [0, 1, 0]])
    return {name: scores[name] for name in ("accuracy", "num_rows")}


if __name__ == "__main__":
    # An import of it fails as if it were not installed, also in an environment where it is.
    sys.modules["modeling_univa"] = None  # type: ignore[assignment]
    found = visit(**json.loads(Path(sys.argv[1]).read_text()))
    print("\n" + json.dumps(found))
