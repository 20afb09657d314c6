# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A model that `univa export` wrote, run by ONNX Runtime on the CPU."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import cached_file

from ..models.configuration_emotion import EmotionConfig
from ..models.files_univa import one_line
from ..models.modeling_emotion import EmotionOutput
from ..models.systems import system_named, system_of
from ..sharing.folder import ONNX_FILE
from .onnx_parts import batch_parts


__all__ = ["UnivaOnnxModel", "input_names", "require_onnx"]


def require_onnx(*packages: str) -> None:
    """Raise an `ImportError` that says what to install where one of the packages is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ImportError(f'ONNX needs the Python package {missing[0]}: pip install "univa[onnx]"')


def input_names(config: EmotionConfig) -> list[str]:
    """Inputs of a model, in the order of a batch."""
    system = system_named(config.model_type)
    names = ["dialogue_index"] if system.reads_dialogues else []
    if config.reads_tokens:
        names = ["dialogue_index", "utterance_span", "input_ids", "attention_mask"]
    return [*names, *config.extra_inputs] + [
        f"{modality}_{kind}" for modality in config.feature_sizes for kind in ("features", "attention_mask")
    ]


class UnivaOnnxModel:
    """
    Stands in for an [`EmotionModel`] in [`predict`]: the same inputs, and logits only.

    Args:
        config: the model's.
        file: `model.onnx`. ONNX Runtime works with as many threads as torch does.

    Raises:
        ValueError: the file is not an ONNX model, or one with other inputs than the configuration's.
        ImportError: onnxruntime is missing.
    """

    device = torch.device("cpu")

    def __init__(self, config: EmotionConfig, file: str | Path):
        require_onnx("onnxruntime")
        from onnxruntime import InferenceSession, SessionOptions

        self.config = config
        #: As of the model.
        self.reads_dialogues = system_named(config.model_type).reads_dialogues
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions have no common base of theirs.
            raise ValueError(f"{file} cannot be loaded by ONNX Runtime: {one_line(error)}") from error
        self.input_names = [node.name for node in self.session.get_inputs()]
        if self.input_names != input_names(config):
            raise ValueError(
                f"{file} takes {', '.join(self.input_names)}, and its configuration says "
                f"{', '.join(input_names(config))}: export the model again."
            )

    @classmethod
    def from_pretrained(cls, name: str | Path, revision: str | None = None) -> "UnivaOnnxModel":
        """
        Load what `univa export` wrote.

        Args:
            name: folder or Hub id.
            revision: branch, tag or commit on the Hub.

        Raises:
            ValueError, ImportError: as of the class; also a folder or repository without `model.onnx`.
            OSError: it could not be downloaded from the Hub.
        """
        require_onnx("onnxruntime")
        hub = {"revision": revision or "main"}
        file = cached_file(name, ONNX_FILE, **hub, _raise_exceptions_for_missing_entries=False)
        if file is None:
            raise ValueError(
                f"{name} has no {ONNX_FILE}: make it with `univa export {name} --output FOLDER`, and use that folder."
            )
        return cls(system_of(name, **hub).config_class.from_pretrained(name, **hub), file)

    def eval(self) -> "UnivaOnnxModel":
        """Itself: the graph knows no training mode."""
        return self

    def to(self, device: Any) -> "UnivaOnnxModel":
        """Itself: ONNX Runtime works on the CPU here, wherever the inputs are."""
        return self

    def __call__(self, **inputs: Any) -> Any:
        """
        [`EmotionOutput`] with `logits` `(B, C)` alone, for the inputs of [`EmotionModel.forward`].

        Raises:
            ValueError: an input is missing, or the graph refuses their shapes.
        """
        missing = [name for name in self.input_names if inputs.get(name) is None]
        if missing:
            raise ValueError(f"This model needs {', '.join(f'`{name}`' for name in missing)}.")
        arrays = {name: inputs[name].cpu().numpy() for name in self.input_names}
        # Where padding is data, scores depend on how far the whole batch is padded.
        logits = self._in_parts(arrays) if self.config.mask_padding else self._run(arrays)
        if not np.isfinite(logits).all():
            raise ValueError("ONNX Runtime gives scores that are not finite: export the model again.")
        return EmotionOutput(logits=torch.from_numpy(logits))

    def _in_parts(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        utterances, logits = zip(*((rows, self._run(part)) for rows, part in batch_parts(arrays)), strict=True)
        return np.concatenate(logits)[np.argsort(np.concatenate(utterances))]

    def _run(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        try:
            (logits,) = self.session.run(["logits"], arrays)
        except Exception as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ValueError(f"ONNX Runtime refuses {shapes}: {one_line(error)}") from error
        return logits
