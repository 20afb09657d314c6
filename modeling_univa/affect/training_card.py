# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The model card of a scorer that `univa train-affect` trained."""

from typing import Any

import torch
import transformers
from huggingface_hub import ModelCardData

from ..models.trusted_paths_univa import has_hub_form
from .agreement import DIMENSIONS


_WHAT = {
    "text": "a sentence, by a regression head on a text encoder",
    "audio": "a clip of speech, by a small network over speech features",
    "vision": "a sequence of faces, by a small network over face features",
}
_TASKS = {"text": "text-classification", "audio": "audio-classification", "vision": "image-classification"}

_CARD = """
# Valence and arousal of {modality}

Scores {what}: two outputs, valence and arousal, on [-1, 1] (values beyond are clipped).

```python
from modeling_univa.models.affect_scorers_univa import load_scorer

scorer = load_scorer("{modality}", "FOLDER_OR_HUB_ID")
```

## Agreement with the ratings

{table}

`scored` is what the measures rest on, `rows` the rows of the split{clips}. The weights are those of the epoch with the
highest mean CCC on {eval_split}.

## Training

Data: {data}. {model}Its licence holds for what is made of it, this model included, as far as it says so.

{options}

{seconds} s in all; torch {torch}, transformers {transformers}.
"""
_CLIPS = (
    "; a clip that is in several rows is scored once, against the mean of what they say, and clips of which the "
    "training split has a file are left out"
)


def scorer_card(results: dict[str, Any]) -> str:
    """
    README.md of a scorer, with the Hub's metadata on top.

    Args:
        results: What `train_affect` returns.
    """
    options = results["options"]
    modality, model = options["modality"], options["model"]
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag=_TASKS[modality],
        base_model=model if has_hub_form(model) else None,
        tags=["valence-arousal", "emotion-recognition"],
        metrics=["pearsonr", "mae"],
    ).to_yaml()
    shown = {name: value for name, value in options.items() if name not in ("data", "model")}
    body = _CARD.format(
        modality=modality,
        what=_WHAT[modality],
        table=_table(results["splits"]),
        clips="" if modality == "text" else _CLIPS,
        eval_split=options["eval_split"],
        data=options["data"],
        model=f"Encoder: {model}. " if model else "",
        options="\n".join(f"- {name}: {value}" for name, value in shown.items() if value is not None),
        seconds=results["seconds"],
        torch=torch.__version__,
        transformers=transformers.__version__,
    )
    return f"---\n{metadata}\n---\n{body}"


def _table(splits: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| split | dimension | Pearson r | CCC | MAE | scored | rows |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split, measures in splits.items():
        for name in DIMENSIONS:
            values = " | ".join(f"{measures[f'{name}_{measure}']:.3f}" for measure in ("pearson_r", "ccc", "mae"))
            lines.append(f"| {split} | {name} | {values} | {measures['num_rows']} | {measures['num_rows_of_split']} |")
    return "\n".join(lines)
