# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Every system by the commands of a user: trained on raw clips, resumed, pushed, downloaded, and asked about clips."""

import json
from pathlib import Path

import numpy as np
import pytest
from csv_files import write_csv
from media_corpora import LABELS, media_rows, write_media
from testing_utils import write_text_encoder

import train_hf
from modeling_univa import cli
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.scores.predictions import PREDICTIONS_FILE, read_predictions
from modeling_univa.training.trainer import UnivaTrainer


pytestmark = pytest.mark.slow

STEPS, SAVE_STEPS, INTERRUPTED_AT = 8, 3, 5
SIZES = {"hidden_size": 8, "num_attention_heads": 2}
LAYERS = {f"{modality}_num_hidden_layers": 1 for modality in ("audio", "vision")}
ENCODERS = {**LAYERS, "text_num_hidden_layers": 1, "intermediate_size": 16}
SMALL = {
    "univa": {**LAYERS, "intermediate_size": 16},
    "mult": {"num_hidden_layers": 1},
    "tailor": {**ENCODERS, "cross_num_hidden_layers": 1, "aligned_length": 10},
    "carat": {**ENCODERS, "projection_size": 5, "queue_size": 40},
    "lddu": {**ENCODERS, "label_size": 6, "attention_size": 8, "latent_size": 4, "queue_size": 40},
    "robmmr": {**ENCODERS, "tri_modal_num_hidden_layers": 1},
    "hhmpn": {"num_hidden_layers": 1, "num_label_layers": 1, "num_label_heads": 2, "label_intermediate_size": 6},
    "facialmmt": {**LAYERS, "intermediate_size": 16, "text_audio_num_layers": 1, "text_audio_vision_num_layers": 1},
    "m3er": {"num_frames": 4, "memory_size": 8, "modality_head_size": 6, "cca_components": 3},
    "mdi": {
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 16,
        "batching": "whole_dialogues",
    },
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Sound, faces and metadata of a small corpus, and a text encoder."""
    root = write_media(tmp_path_factory.mktemp("source") / "media")
    for split, sizes in {"train": (4, 3, 5, 2, 4), "validation": (3, 2), "test": (4, 2)}.items():
        rows = media_rows(sizes, prefix=split)
        for row in rows:
            row["emotions"] = LABELS[row["emotions"][0]]
            row["faces"] = ";".join(row["faces"] or ())
            row["speaker"] = "AB"[row["position"] % 2]
            row |= {f"{modality}_emotion": row["emotions"] for modality in ("text", "audio", "vision")}
        write_csv(root / f"{split}.csv", rows)
    write_text_encoder(root.parent / "encoder")
    return root


def recipe(system: str, source: Path, output: Path) -> Path:
    """Of a tiny system; JSON is YAML too."""
    options = {
        "dataset": source.parent / "corpus", "corpus_script": "utterance_folder", "corpus_source": source,
        "corpus_options": ["--va=from-emotion", f"--labels={','.join(LABELS)}"], "output_dir": output,
        "system": system, "text_model": source.parent / "encoder", **SMALL[system], "use_cpu": True,
        "max_steps": STEPS, "per_device_train_batch_size": 6, "learning_rate": 1e-2, "save_strategy": "steps",
        "save_steps": SAVE_STEPS, "eval_strategy": "steps", "eval_steps": SAVE_STEPS, "disable_tqdm": True,
    }  # fmt: skip
    known = SYSTEMS[system].config_class.__dataclass_fields__
    sizes = {name: size for name, size in SIZES.items() if name in known}
    file = output.with_suffix(".yaml")
    file.write_text(json.dumps({**sizes, **options}, default=str))
    return file


def train(monkeypatch: pytest.MonkeyPatch, file: Path, interrupted_at: int | None = None) -> int:
    step = UnivaTrainer.training_step

    def training_step(trainer, *inputs):
        if trainer.state.global_step == interrupted_at:
            raise KeyboardInterrupt
        return step(trainer, *inputs)

    with monkeypatch.context() as patched:
        patched.setattr(UnivaTrainer, "training_step", training_step)
        return train_hf.main([str(file)])


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("system", SYSTEMS)
def test_by_the_commands_of_a_user(system, source, tmp_path, monkeypatch, hub_client, capsys):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert train(monkeypatch, recipe(system, source, whole)) == 0
    assert train(monkeypatch, recipe(system, source, resumed), INTERRUPTED_AT) == 130
    assert (resumed / f"checkpoint-{SAVE_STEPS}").exists() and not (resumed / "model.safetensors").exists()
    assert train(monkeypatch, recipe(system, source, resumed)) == 0
    assert weights(resumed) == weights(whole)
    assert json.loads((resumed / "all_results.json").read_text()).keys() == {"validation", "test"}

    assert cli.main(["push", str(whole), "me/emotions"]) == 0
    assert cli.main(["evaluate", "me/emotions", str(source.parent / "corpus"), "--split", "test"]) == 0
    capsys.readouterr()
    assert cli.main(["predict", str(whole), str(source / "test.csv"), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    splits, names, threshold = read_predictions(whole / PREDICTIONS_FILE)
    expected = splits["test"]
    assert [line["utterance"]["utterance_id"] for line in found] == list(expected.utterance_ids)
    scores = np.array([[line["scores"][name] for name in names] for line in found])
    assert np.allclose(scores, expected.scores, atol=2e-3)
