# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""How to use a model, as code that runs: for its card."""

from collections.abc import Mapping
from typing import Any

from ..models.configuration_emotion import EmotionConfig, feature_column
from ..models.processing_univa import PRECOMPUTED


__all__ = ["MODEL_ID", "usage_snippets"]

# Stands for the model until a push knows its id.
MODEL_ID = "ORG/NAME"

# As in pyproject.toml: with another version the code beside the weights ends in an ImportError.
_TRANSFORMERS = '"transformers>=5.20,<6"'
_DIALOGUE = '[["How was it?", "I loved it!"]], [(0, 1)]'


def usage_snippets(
    config: EmotionConfig, extractors: Mapping[str, Mapping[str, Any]], model_id: str, adapter: bool = False
) -> list[dict[str, str]]:
    """
    Snippets with the inputs that this very model takes.

    Files in them are `clip.mp4`, or `clip.wav` and `face.png` where the model cannot find faces in videos.

    Args:
        config: of the model.
        extractors: of its processor.
        model_id: Hub id or folder.
        adapter: whether that holds a LoRA adapter instead of a whole model.

    Returns:
        `introduction`, `language` and `code` of each.
    """
    raw = {modality for modality in config.extracted_sizes if _is_raw(extractors.get(modality))}
    has_video = "vision" in raw and bool(extractors.get("faces"))
    snippets = [_python(config, raw, has_video, model_id, adapter)]
    if getattr(config, "custom_pipelines", None) and not adapter:
        snippets.append(_pipeline(config, raw, has_video, model_id))
    return snippets + _command(config, raw, has_video, model_id)


def _is_raw(extractor: Mapping[str, Any] | None) -> bool:
    return bool(extractor) and extractor is not None and extractor.get("extractor_type") != PRECOMPUTED


def _takes_text(config: EmotionConfig, raw: set[str]) -> bool:
    return "text" in config.modalities and (config.text_config is not None or "text" in raw)


def _python(config: EmotionConfig, raw: set[str], has_video: bool, model_id: str, adapter: bool) -> dict[str, str]:
    arguments, lines = [], []
    if _takes_text(config, raw):
        lines.append("# The second utterance of the first dialogue; the other one is its context.")
        arguments.append(_DIALOGUE)
    if has_video:
        arguments.append('video=["clip.mp4"]')
    elif "vision" in raw:
        arguments.append('faces=[["face.png"]]')
    if "audio" in raw and not has_video:
        arguments.append('audio=["clip.wav"]')
    ready = {modality: size for modality, size in config.extracted_sizes.items() if modality not in raw}
    if ready:
        lines.append("# Put the features of the utterance, (frames, width), in the place of the zeros.")
        arguments += [f"{feature_column(name)}=[np.zeros((8, {size}), np.float32)]" for name, size in ready.items()]
    code = [
        *(["import numpy as np"] if ready else []),
        "import torch",
        *(["from peft import PeftConfig, PeftModel"] if adapter else []),
        "from transformers import AutoModel, AutoProcessor",
        "",
        *_loading(model_id, adapter),
        f'processor = AutoProcessor.from_pretrained("{model_id}", trust_remote_code=True)',
        *lines,
        "inputs = processor(",
        *(f"    {argument}," for argument in arguments),
        ")",
        "with torch.inference_mode():",
        "    probabilities = model.config.probabilities(model(**inputs).logits)[0]",
        "for index, probability in enumerate(probabilities.tolist()):",
        '    print(f"{model.config.id2label[index]:<10} {probability:.3f}")',
    ]
    introduction = f"With transformers (`pip install {_packages(raw, adapter)}`):"
    return {"introduction": introduction, "language": "python", "code": "\n".join(code)}


def _packages(raw: set[str], adapter: bool) -> str:
    """What pip has to install for all that the model takes, videos among it."""
    packages = ["torch", _TRANSFORMERS, *(["peft"] if adapter else [])]
    if raw & {"audio", "vision"}:
        packages += ["av", "scipy"]
    packages += ["soundfile"] if "audio" in raw else []
    return " ".join([*packages, *(['"opencv-python-headless<5"'] if "vision" in raw else [])])


def _loading(model_id: str, adapter: bool) -> list[str]:
    if not adapter:
        return [f'model = AutoModel.from_pretrained("{model_id}", trust_remote_code=True).eval()']
    return [
        f'adapter = PeftConfig.from_pretrained("{model_id}")',
        "base = AutoModel.from_pretrained(",
        '    adapter.base_model_name_or_path, revision=adapter.revision or "main", trust_remote_code=True',
        ")",
        f'model = PeftModel.from_pretrained(base, "{model_id}").eval()',
    ]


def _pipeline(config: EmotionConfig, raw: set[str], has_video: bool, model_id: str) -> dict[str, str]:
    inputs = ['"text": ["How was it?", "I loved it!"]'] if _takes_text(config, raw) else []
    if has_video:
        inputs.append('"video": "clip.mp4"')
    else:
        inputs += ['"audio": "clip.wav"'] if "audio" in raw else []
        inputs += ['"faces": ["face.png"]'] if "vision" in raw else []
    ready = not inputs
    if ready:
        sizes = config.extracted_sizes.items()
        inputs = [f'"{feature_column(name)}": np.zeros((8, {size}), np.float32)' for name, size in sizes]
    code = [
        *(["import numpy as np"] if ready else []),
        "from transformers import pipeline",
        "",
        f'classifier = pipeline(model="{model_id}", trust_remote_code=True)',
        "utterance = {",
        *(f"    {item}," for item in inputs),
        "}",
        "print(classifier(utterance, threshold=None))",
    ]
    return {"introduction": "As a pipeline:", "language": "python", "code": "\n".join(code)}


def _command(config: EmotionConfig, raw: set[str], has_video: bool, model_id: str) -> list[dict[str, str]]:
    arguments = ["clip.mp4"] if has_video else []
    arguments += ['--text "I loved it!"'] if _takes_text(config, raw) else []
    if not has_video:
        arguments += ["--audio clip.wav"] if "audio" in raw else []
        arguments += ["--faces face.png"] if "vision" in raw else []
    if not arguments:
        return []
    code = f"univa predict {model_id} {' '.join(arguments)}"
    return [{"introduction": "On the command line (`pip install univa`):", "language": "bash", "code": code}]
