# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Official checkpoints of systems: what they call our parameters, and folders that `from_pretrained` loads."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ..models.checked_loading_univa import read_config
from ..models.configuration_univa import MOSEI_EMOTIONS
from ..models.files_univa import scratch_folder
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import PRECOMPUTED, UnivaProcessor
from .networks import read_state_dict


State = Mapping[str, torch.Tensor]

# What made the features of the word-aligned MOSEI file that these systems were published on.
_ALIGNED_FEATURES = {"text": "glove.840B.300d", "audio": "covarep", "vision": "facet-4.2"}


@dataclass(frozen=True)
class OfficialCheckpoint:
    """
    A system with official code.

    Args:
        model_class: our network of it.
        configure: fields of its configuration that the shapes of the official tensors tell.
        renames: pairs of a pattern at the start of an official name and what takes its place; the first that fits.
            `None` stands for parameters that the official code never uses. The rest of the name stays.
        reshape: the official tensor of a parameter of ours as ours has it, by our name.
        features: what made the features that it was published on, by modality.
        reads_tokens: whether the official parameters have a text encoder's among them.
    """

    model_class: type[EmotionModel]
    configure: Callable[[State], dict[str, Any]]
    renames: Sequence[tuple[str, str | None]]
    reshape: Callable[[str, torch.Tensor], torch.Tensor] = lambda name, tensor: tensor
    features: Mapping[str, str] = field(default_factory=lambda: _ALIGNED_FEATURES)
    reads_tokens: bool = False

    def converted(self, state: State) -> dict[str, torch.Tensor]:
        """
        The official parameters under our names, without what the official code never uses.

        Raises:
            `ValueError`: a name is not one of the official code.
        """
        names = {name: self._renamed(name) for name in state}
        unknown = [name for name, ours in names.items() if ours == ""]
        if unknown:
            raise ValueError(f"The checkpoint has parameters that the official code lacks: {', '.join(unknown[:5])}.")
        return {ours: self.reshape(ours, state[name]) for name, ours in names.items() if ours}

    def _renamed(self, name: str) -> str | None:
        """Our name; `None` of what is never used, and nothing of what is unknown."""
        for pattern, ours in self.renames:
            if re.match(pattern, name):
                return None if ours is None else re.sub(f"^(?:{pattern})", ours, name)
        return ""

    def build(self, state: State, defaults: Mapping[str, Any] | None = None, **settings: Any) -> EmotionModel:
        """
        Our network with the official weights.

        Args:
            state: tensors by their official names.
            defaults: fields of the configuration that the shapes may tell otherwise.
            settings: further fields of the configuration, and such that the shapes do not tell.

        Raises:
            `ValueError`: a parameter is missing, unknown or of another shape.
        """
        config_class: Any = self.model_class.config_class
        try:
            config = config_class(**{**(defaults or {}), **self.configure(state), **settings})
        except KeyError as error:
            raise ValueError(
                f"The checkpoint lacks {error}: is it one of the code of {config_class.title}?"
            ) from error
        model = self.model_class(config).eval()
        try:
            missing, unexpected = model.load_state_dict(self.converted(state), strict=False)
        except RuntimeError as error:
            raise ValueError(f"The checkpoint does not fit {type(model).__name__}. {error}") from error
        # What stands for an absent modality is ours.
        missing = [name for name in missing if not name.startswith("absent.")]
        if missing or unexpected:
            raise ValueError(
                f"The checkpoint lacks {len(missing)} parameters {missing[:5]} and has {len(unexpected)} unknown ones "
                f"{unexpected[:5]}."
            )
        return model


class PackedAttentionCheckpoint(OfficialCheckpoint):
    """Of a system whose query, key and value projections are one official tensor, as in torch's own attention."""

    def converted(self, state: State) -> dict[str, torch.Tensor]:
        """As [`OfficialCheckpoint.converted`], with the three projections apart."""
        apart = {}
        for name, tensor in state.items():
            found = re.fullmatch(r"(.*attn)\.in_proj_(weight|bias)", name)
            if found is None:
                apart[name] = tensor
                continue
            # A tensor that is too short is refused where it is loaded.
            for part, chunk in zip(("query", "key", "value"), tensor.chunk(3), strict=False):
                apart[f"{found[1]}.{part}.{found[2]}"] = chunk.contiguous()
        return super().converted(apart)


def layer_count(state: State, stack: str) -> int:
    """How many layers a stack of an official name has."""
    pattern = re.compile(rf"{re.escape(stack)}\.layers?\.(\d+)\.")
    return len({found[1] for name in state if (found := pattern.match(name))})


def convert_official(
    official: OfficialCheckpoint,
    checkpoint: str | Path,
    output: str | Path,
    text_model: str | None = None,
    **settings: Any,
) -> Path:
    """
    Convert an official checkpoint to a model folder: weights, config, code and processor.

    Args:
        official: the system.
        checkpoint: its state dict, a file of `torch.save` or safetensors; read without running any code that it may
            hold.
        output: folder to make; nothing is left of it when the conversion fails.
        text_model: folder or Hub id of the text encoder's configuration and tokenizer, of a system that has one.
        settings: fields of the configuration that the shapes of the parameters do not tell. By default the labels are
            those of MOSEI, and padding is read as data, as the official code does.

    Returns:
        `output`.

    Raises:
        `ValueError`: the file cannot be read or does not hold the system, `output` is not empty, or there has to be a
            `text_model` or must not be one.
        `OSError`: there is no such text encoder.
    """
    output = Path(output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"{output} already exists and is not empty: choose another `output`.")
    if official.reads_tokens is (text_model is None):
        kind = "has a" if official.reads_tokens else "has no"
        raise ValueError(
            f"{official.model_class.config_class.title} {kind} text encoder, got `text_model`={text_model}."
        )
    defaults: dict[str, Any] = {
        "id2label": dict(enumerate(MOSEI_EMOTIONS)), "mask_padding": False, "fixed_length": 60,
        "text_config": None if text_model is None else read_config(text_model),
    }  # fmt: skip
    model = official.build(read_state_dict(Path(checkpoint)), defaults, **settings)
    tokenizer = None if text_model is None else AutoTokenizer.from_pretrained(text_model, trust_remote_code=False)
    extractors = {
        modality: {"extractor_type": PRECOMPUTED, "name": official.features[modality], "feature_size": size}
        for modality, size in model.config.feature_sizes.items()
    }
    with scratch_folder(output) as scratch:
        folder = Path(scratch, "model")
        model.save_pretrained(folder)
        UnivaProcessor.from_config(model.config, tokenizer, extractors).save_pretrained(folder)
        folder.rename(output)
    return output


__all__ = ["OfficialCheckpoint", "PackedAttentionCheckpoint", "State", "convert_official", "layer_count"]
