# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the Space tells visitors, who name models of strangers and upload whatever they like: nothing of the server."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from testing_utils import tiny_config, tiny_model, tiny_processor
from video_files import write_clip

from modeling_univa.models.faces_univa import FaceReader, FaceTrack
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor


sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "space"))

import labelling


TOKEN = "hf_SeCrEtToKeN0123456789"
SPEECH, FACES = LogMelExtractor(frame_rate=5.0), HogExtractor(image_size=16, cell_size=16, block_size=1, num_bins=4)
GOOD = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict(), "faces": FaceReader(detector="whole-frame").to_dict()}
EVIL: dict[str, dict[str, Any]] = {
    "text": {"extractor_type": "word-vectors", "model": "/proc/self/environ", "feature_size": 6},
    "audio": {"extractor_type": "speech-encoder", "model": "/proc/self", "feature_size": SPEECH.feature_size},
    "vision": {"extractor_type": "face-embedding", "model": "/proc/self", "feature_size": FACES.feature_size},
    "faces": {"reader_type": "faces", "detector": "haar", "detector_model": "/proc/self/environ"},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    config = tiny_config("words", audio_feature_size=SPEECH.feature_size, vision_feature_size=FACES.feature_size)
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config, extractors=GOOD).save_pretrained(folder)
    return folder


@pytest.fixture
def hub_model(saved, hub_client, monkeypatch):
    """Push the model with other settings of extractors; the name that a visitor types."""
    from huggingface_hub import HfApi

    monkeypatch.setenv("SECRET_OF_THE_SERVER", TOKEN)
    monkeypatch.setattr(labelling, "MODEL", "")
    labelling.load.cache_clear()

    def push(extractors: dict[str, Any], **others: bytes) -> str:
        content = json.loads((saved / "processor_config.json").read_text())
        api = HfApi(token="hf_me")
        api.create_repo("lab/model", exist_ok=True)
        api.upload_folder(repo_id="lab/model", folder_path=saved)
        others["processor_config.json"] = json.dumps({**content, "extractors": extractors}).encode()
        for name, data in others.items():
            api.upload_file(repo_id="lab/model", path_in_repo=name.replace("__", "."), path_or_fileobj=data)
        return "lab/model"

    yield push
    labelling.load.cache_clear()


@pytest.fixture
def clip(tmp_path) -> str:
    return str(write_clip(tmp_path / "clip.mp4", 0.6))


@pytest.mark.parametrize("modality", EVIL)
def test_a_strangers_model_tells_nothing_of_the_environment(hub_model, clip, modality, capsys):
    name = hub_model({**GOOD, modality: EVIL[modality]})
    from workers import _outcome

    kind, said = _outcome(labelling, labelling.answer, name, clip, None, "yes no")
    assert kind in ("refused", "fault") and "cannot be loaded from the Hub" not in said
    # A fault is a number; its reason is in the log, and it has no content of files either.
    assert TOKEN not in said and "/proc" not in said and (kind == "refused" or len(said) == 8)
    assert TOKEN not in "".join(capsys.readouterr())


def test_a_visitors_model_that_is_in_order_works(hub_model, clip):
    shown = labelling.answer(hub_model(GOOD), clip, None, "")
    assert "data-emotion" in shown[0] and len(shown[3]) > 0
    with pytest.raises(labelling.VisitorError, match="There is nothing to label: the model takes words, sound, a vid"):
        labelling.answer("lab/model", None, None, " \n")


def test_models_have_a_size_and_safetensors(hub_model, monkeypatch):
    name = hub_model(GOOD)
    monkeypatch.setattr(labelling, "LARGEST_MODEL", 1e-6)
    with pytest.raises(labelling.VisitorError, match="lab/model has more than 1e-06 GB"):
        labelling.load(name)
    from huggingface_hub import HfApi

    HfApi(token="hf_me").delete_file("model.safetensors", "lab/model")
    with pytest.raises(labelling.VisitorError, match="has no safetensors"):
        labelling.load(name)


def test_an_encoder_that_a_model_names_has_limits_too(hub_model):
    from huggingface_hub import HfApi

    api = HfApi(token="hf_me")
    api.create_repo("lab/encoder")
    api.upload_file(repo_id="lab/encoder", path_in_repo="pytorch_model.bin", path_or_fileobj=b"pickle")
    encoder = {**EVIL["audio"], "model": "lab/encoder", "sampling_rate": 16000}
    with pytest.raises(labelling.VisitorError, match="lab/encoder has no safetensors"):
        labelling.load(hub_model({**GOOD, "audio": encoder}))


@pytest.mark.parametrize("name", ["/etc", "..", "tests", "", "a/b/c", "lab/x@../..", "<script>/x", "./model", "-/-"])
def test_what_is_not_a_name_is_told_so(name, monkeypatch, saved):
    monkeypatch.setattr(labelling, "MODEL", "")
    with pytest.raises(labelling.VisitorError, match="Name a model on the Hub|cannot be loaded from the Hub"):
        labelling.load(name)


def test_uploads_are_called_your_own(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "MODEL", str(saved))
    bad = tmp_path / "uploads" / "a.wav"
    bad.parent.mkdir()
    bad.write_bytes(b"text")
    for given, what in (((None, str(bad)), "sound"), ((str(bad), None), "video")):
        with pytest.raises(labelling.VisitorError, match=f"^Your {what} cannot be used: ") as error:
            labelling.answer(str(saved), *given, "")
        assert str(tmp_path) not in str(error.value) and "uploads" not in str(error.value)


def test_what_is_decoded_counts_and_not_what_is_claimed(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "MODEL", str(saved))
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(8000 * 130, np.float32), 8000, subtype="PCM_U8")
    with pytest.raises(labelling.VisitorError, match="The clip lasts 130 s; this demo takes at most 120 s"):
        labelling.answer(str(saved), None, str(path), "")
    monkeypatch.setattr(labelling, "media_duration", lambda file: 1.0)
    with pytest.raises(labelling.VisitorError, match="Your sound cannot be used: .*longer than 121 s"):
        labelling.answer(str(saved), None, str(path), "")
    with pytest.raises(labelling.VisitorError, match="The text has 6000 characters"):
        labelling.answer(str(saved), None, None, "a" * 6000)


def test_the_gallery_has_the_crops_that_the_model_saw(saved, tmp_path, monkeypatch):
    """And whose they are is told, of how many people, and when."""
    monkeypatch.setattr(labelling, "MODEL", str(saved))
    clip = str(write_clip(tmp_path / "clip.mp4", 1.4))
    read, kept = FaceReader.__call__, []

    def among_others(self, *part):
        kept.append(replace(read(self, *part), people=(2, 2), start=0.4, end=1.0, seconds=1.4))
        return kept[-1]

    monkeypatch.setattr(FaceReader, "__call__", among_others)
    _, _, attention, pictures = labelling.answer(str(saved), clip, None, "")
    assert len(pictures) == labelling.FRAMES_SHOWN
    times = [float(caption.split(" s: ")[0]) for _, caption in pictures]
    assert times == sorted(times)
    for (image, _), time in zip(pictures, times, strict=True):
        place = int(np.argmin(np.abs(np.array(kept[0].times) - time)))
        np.testing.assert_array_equal(image, kept[0].images[place])
    assert "face of 1 of 2 people, 0.4–1.0 s of 1.4 s" in attention


def test_a_video_without_a_face_says_so(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling, "MODEL", str(saved))
    monkeypatch.setattr(
        FaceReader, "__call__", lambda self, *part: FaceTrack([], [], [], 0, "no face in 7 pictures of /srv/x.mp4")
    )
    _, _, attention, pictures = labelling.answer(str(saved), str(write_clip(tmp_path / "clip.mp4", 1.4)), None, "")
    assert pictures == [] and "no face in 7 pictures of …" in attention and "/srv" not in attention
