# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Loads networks where the package and the media libraries cannot be imported: `load_remote_networks.py FOLDER …`.

Every folder holds a saved network, and `case.pt` with raw inputs and the outputs that they give.
"""

import json
import sys
from pathlib import Path


for name in ("modeling_univa", "cv2", "soundfile", "av"):
    sys.modules[name] = None

import torch  # noqa: E402
from transformers import AutoConfig, AutoModel  # noqa: E402


def load(folder: Path) -> dict:
    case = torch.load(folder / "case.pt", weights_only=True)
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    model.save_pretrained(folder / "again")
    again = AutoModel.from_pretrained(folder / "again", trust_remote_code=True)
    found = {
        "class": f"{type(model).__module__}.{type(model).__name__}",
        "config": type(AutoConfig.from_pretrained(folder, trust_remote_code=True)).__name__,
        "copied": sorted(path.name for path in (folder / "again").glob("*.py")),
        "near": [],
        "refused": "",
    }
    for network in (model, again):
        with torch.no_grad():
            outputs = network(**network.preprocess([item.numpy() for item in case["inputs"]]))
        # Nearly: kernels may round otherwise where weights are mapped from a file.
        near = (torch.allclose(outputs[name], value, atol=1e-5) for name, value in case["outputs"].items())
        found["near"].append(all(near))
    try:
        AutoModel.from_pretrained(folder)
    except ValueError as error:
        found["refused"] = str(error)
    return found


report = {folder: load(Path(folder)) for folder in sys.argv[1:]}
# transformers leaves its question whether to trust the code without an end of line.
print("\n" + json.dumps(report))
