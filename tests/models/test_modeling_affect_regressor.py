# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from modeling_univa.models.processing_univa import UnivaProcessor


LOAD = """
import sys, torch
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
assert "modeling_univa" not in sys.modules
torch.manual_seed(0)
inputs = processor(vision_features=[torch.randn(3, 5).numpy(), None])
print(model(**inputs).logits.flatten().tolist())
"""


def tiny_regressor(modality: str = "vision", feature_size: int = 5) -> UnivaAffectRegressor:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "max_length": 6}
    config = UnivaAffectRegressorConfig(modality=modality, feature_size=feature_size, **sizes)
    return UnivaAffectRegressor(config).eval()


def _inputs(modality: str = "vision") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    return {f"{modality}_features": torch.randn(3, 4, 5), f"{modality}_attention_mask": mask}


@pytest.mark.parametrize("modality", ["audio", "vision"])
def test_forward_and_loss(modality):
    model, labels = tiny_regressor(modality), torch.rand(3, 2)
    output = model(**_inputs(modality), labels=labels)
    assert output.logits.shape == (3, 2)
    torch.testing.assert_close(output.loss, ((output.logits - labels) ** 2).mean())
    output.loss.backward()
    assert all(value.grad is not None for value in model.parameters())
    assert model(**_inputs(modality), return_dict=False)[0].shape == (3, 2)


def test_padding_changes_nothing_and_absent_rows_are_finite():
    model, inputs = tiny_regressor(), _inputs()
    together = model(**inputs).logits
    alone = model(vision_features=inputs["vision_features"][1:2, :2], vision_attention_mask=torch.ones(1, 2))
    torch.testing.assert_close(together[1:2], alone.logits)
    assert torch.isfinite(together).all()


def test_missing_inputs_and_configuration_are_refused():
    with pytest.raises(ValueError, match="needs `vision_features` and `vision_attention_mask`"):
        tiny_regressor()(**_inputs("audio"))
    with pytest.raises(StrictDataclassError, match="modality"):
        UnivaAffectRegressorConfig(modality="smell")
    with pytest.raises(StrictDataclassError, match="multiple of `num_attention_heads`"):
        UnivaAffectRegressorConfig(hidden_size=10, num_attention_heads=4)


@pytest.mark.slow
def test_saved_folder_loads_with_and_without_the_package(tmp_path):
    model = tiny_regressor()
    model.save_pretrained(tmp_path / "model")
    UnivaProcessor.from_config(model.config).save_pretrained(tmp_path / "model")
    loaded = UnivaAffectRegressor.from_pretrained(tmp_path / "model").eval()
    torch.testing.assert_close(loaded(**_inputs()).logits, model(**_inputs()).logits)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["id2label"] == {"0": "valence", "1": "arousal"}

    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    command = [sys.executable, "-c", LOAD, str(tmp_path / "model")]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    torch.manual_seed(0)
    features = [torch.randn(3, 5).numpy(), None]
    expected = model(**UnivaProcessor.from_config(model.config)(vision_features=features)).logits
    torch.testing.assert_close(torch.tensor(json.loads(result.stdout)), expected.flatten())
