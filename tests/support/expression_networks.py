# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Networks of random weights that tell expressions in faces."""

from pathlib import Path

import torch
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel


__all__ = ["VIT_LABELS", "write_expression_network"]

VIT_LABELS = ("joy", "rage", "calm", "other")


def write_expression_network(folder: Path, kind: str = "vit", seed: int = 0) -> Path:
    """A folder with a "mini-xception" (7 expressions), an "emonet" (5) or a "vit", an image classifier (4)."""
    torch.manual_seed(seed)
    if kind == "vit":
        config = ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32,
            patch_size=16, id2label=dict(enumerate(VIT_LABELS)),
        )  # fmt: skip
        network = ViTForImageClassification(config)
        torch.nn.init.normal_(network.classifier.weight)
        ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    elif kind == "emonet":
        network = EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=6, num_labels=5))
    else:
        network = MiniXceptionModel(MiniXceptionConfig())
    network.eval().save_pretrained(folder)
    return folder
