# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A model trained on precomputed features is given its extractors: they travel with it, by folder and by the Hub."""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from testing_utils import (
    pretrained_speech_encoder,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
)

from modeling_univa.cli import main
from modeling_univa.data.corpus import Corpus
from modeling_univa.data.loading import check_extractors
from modeling_univa.models import face_networks_univa, speech_encoder_univa, word_vectors_univa
from modeling_univa.models.face_networks_univa import FaceEmbeddingExtractor
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from modeling_univa.models.processing_univa import PRECOMPUTED, UnivaProcessor
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor
from modeling_univa.models.word_vectors_univa import WordVectorExtractor
from modeling_univa.sharing.embedding import complete_model, embed_small_networks


RATE = 16000
MADE_BY = {"audio": "lab/some-speech-encoder", "vision": "some-faces", "text": "glove.test"}
SIZES = {"text": 4, "audio": 32, "vision": 512}


@pytest.fixture(scope="session")
def encoders(tmp_path_factory) -> dict[str, Path]:
    """Folders and files that only this machine has."""
    base = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    config = InceptionResnetV1Config(num_blocks_35=1, num_blocks_17=1, num_blocks_8=1)
    InceptionResnetV1Model(config).eval().save_pretrained(base / "faces")
    (base / "faces" / "README.md").write_text("Not for sale.")
    words = base / "glove.txt"
    words.write_text("".join(f"{word} {i} {i}.5 -{i} 0\n" for i, word in enumerate(["the", "a", "it", "works", "."])))
    speech = pretrained_speech_encoder(base / "speech", "wav2vec2", feat_extract_norm="layer")
    return {"audio": speech, "vision": base / "faces", "text": words}


def trained(folder: Path, route: str = "bert") -> Path:
    """A model that was trained on precomputed features."""
    config = tiny_config(route, **{f"{name}_feature_size": size for name, size in SIZES.items()})
    made_by = {
        name: {"extractor_type": PRECOMPUTED, "name": MADE_BY[name], "feature_size": size}
        for name, size in config.feature_sizes.items()
    }
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config, extractors=made_by).save_pretrained(folder)
    return folder


@pytest.fixture(params=["bert", "words"])
def model(request, tmp_path) -> Path:
    return trained(tmp_path / "model", request.param)


def raw(seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    waves = [generator.normal(0, 0.1, length).astype(np.float32) for length in (2000, 900)]
    return {
        "audio": [(waves[0], RATE), None, (waves[1], RATE)],
        "faces": [list(generator.integers(0, 255, (2, 50, 40, 3), dtype=np.uint8)), [], None],
    }


TEXTS = [["It works.", "a"], ["the zebra"]]


def complete(model: Path, encoders: dict[str, Path], *options: Any) -> int:
    arguments = ["complete", model, "--audio-extractor", encoders["audio"], "--vision-extractor", encoders["vision"]]
    if "text" in UnivaProcessor.from_pretrained(model).feature_sizes:
        arguments += ["--text-extractor", encoders["text"], "--text-words", 4]
    return main([str(argument) for argument in [*arguments, *options]])


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    word_vectors_univa._word_vectors.cache_clear()


pytestmark = pytest.mark.usefixtures("cache")


def test_small_networks_go_into_the_folder_by_themselves(model, encoders, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    processor = UnivaProcessor.from_pretrained(model)
    speech, faces = SpeechEncoderExtractor(str(encoders["audio"])), FaceEmbeddingExtractor(str(encoders["vision"]))
    processor.extractors |= {"audio": {**speech.to_dict(), "sha256": "0" * 64}, "vision": faces.to_dict()}
    embed_small_networks(model, processor, max_bytes=1000)
    assert not (model / "extractors").exists()
    embed_small_networks(model, processor, max_bytes=2**30)
    assert "The audio extractor is not copied" in caplog.text and "is not the folder of the network" in caplog.text
    for found in (processor, UnivaProcessor.from_pretrained(model)):
        assert found.extractors["vision"] == {**faces.to_dict(), "model": "./extractors/vision"}
        assert found.extractors["audio"]["model"] == str(encoders["audio"])
        images = raw()["faces"][0]
        np.testing.assert_allclose(found.extract_vision(images), faces(images), rtol=1e-5, atol=1e-6)
    embed_small_networks(model, processor, max_bytes=2**30)
    assert [path.name for path in (model / "extractors").iterdir()] == ["vision"]


def test_completed_model_takes_raw_media(model, encoders, capsys):
    with pytest.raises(ValueError, match="made by 'lab/some-speech-encoder' and this processor cannot make them"):
        UnivaProcessor.from_pretrained(model)(TEXTS, **raw())
    assert complete(model, encoders) == 0
    assert str(model) in capsys.readouterr().out
    inputs = UnivaProcessor.from_pretrained(model)(TEXTS, **raw())
    media = raw()
    speech, faces = SpeechEncoderExtractor(str(encoders["audio"])), FaceEmbeddingExtractor(str(encoders["vision"]))
    expected = torch.from_numpy(speech(*media["audio"][0])[:8])
    torch.testing.assert_close(inputs["audio_features"][0], expected)
    assert inputs["audio_attention_mask"].sum(dim=1).tolist()[1] == 0
    torch.testing.assert_close(inputs["vision_features"][0], torch.from_numpy(faces(media["faces"][0])))
    if "text_features" in inputs:
        assert inputs["text_features"].tolist() == [
            [[2, 2.5, -2, 0], [3, 3.5, -3, 0], [0, 0, 0, 0]],
            [[1, 1.5, -1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
            [[0, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        ]
        assert inputs["text_attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]


def test_extractors_go_wherever_the_folder_goes(model, encoders, tmp_path):
    complete(model, encoders)
    expected = UnivaProcessor.from_pretrained(model)(TEXTS, **raw())
    moved = model.rename(tmp_path / "moved")
    processor = UnivaProcessor.from_pretrained(moved)
    assert_same(processor(TEXTS, **raw()), expected)
    processor.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    shutil.rmtree(moved)
    speech_encoder_univa._speech_encoder.cache_clear()
    face_networks_univa._face_network.cache_clear()
    assert_same(UnivaProcessor.from_pretrained(tmp_path / "saved")(TEXTS, **raw()), expected)
    assert {path.name for path in (tmp_path / "saved" / "extractors").iterdir()} >= {"audio", "vision"}


def test_saved_config_names_no_place_of_this_machine(model, encoders):
    complete(model, encoders)
    content = (model / "processor_config.json").read_text()
    assert str(encoders["audio"].parent) not in content
    assert str(model) not in content
    extractors = json.loads(content)["extractors"]
    assert extractors["audio"]["model"] == "./extractors/audio"
    assert extractors["audio"]["replaces"]["name"] == MADE_BY["audio"]
    assert sorted(path.name for path in (model / "extractors" / "vision").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    assert not list(model.rglob("tmp*"))


def test_output_leaves_the_model_as_it_was(model, encoders, tmp_path, capsys):
    before = {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    (model / "checkpoint-9").mkdir()
    assert complete(model, encoders, "--output", tmp_path / "new" / "whole") == 0
    assert {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "new" / "whole" / "checkpoint-9").exists()
    assert (tmp_path / "new" / "whole" / "model.safetensors").read_bytes() == before[Path("model.safetensors")]
    UnivaProcessor.from_pretrained(tmp_path / "new" / "whole")(TEXTS, **raw())
    assert complete(model, encoders, "--output", tmp_path / "new" / "whole") == 2
    assert "already exists" in capsys.readouterr().err


def test_one_modality_after_the_other(tmp_path, encoders):
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    complete_model(str(model), {"vision": FaceEmbeddingExtractor(str(encoders["vision"]))})
    # The same weights once more, from the folder or from the model's own copy of it.
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(model / "extractors" / "audio"))})
    UnivaProcessor.from_pretrained(model)(TEXTS, **raw())


def test_word_vectors_may_stay_outside(tmp_path, encoders):
    model = trained(tmp_path / "model", "words")
    words = Path(shutil.copy(encoders["text"], tmp_path / "glove.txt"))
    complete_model(str(model), {"text": WordVectorExtractor(str(words))})
    assert not (model / "extractors").exists()
    processor = UnivaProcessor.from_pretrained(model)
    assert processor.extractors["text"]["model"] == str(words)
    words.write_text("the 1 2 3 4\n")
    nothing = {"audio_features": [None] * 3, "vision_features": [None] * 3}
    with pytest.raises(ValueError, match="is not the file of SHA-256"):
        processor(TEXTS, **nothing)
    # Put elsewhere, the right file is named by completing once more.
    complete_model(str(model), {"text": WordVectorExtractor(str(encoders["text"]))})
    assert UnivaProcessor.from_pretrained(model)(TEXTS, **nothing)["text_attention_mask"].sum() == 6


def test_weights_that_are_no_safetensors_are_converted(tmp_path, encoders):
    from safetensors.torch import load_file

    old = Path(shutil.copytree(encoders["audio"], tmp_path / "old"))
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(old))})
    assert [path.name for path in (model / "extractors" / "audio").iterdir() if path.suffix != ".json"] == [
        "model.safetensors"
    ]
    features = UnivaProcessor.from_pretrained(model).extract_audio(raw()["audio"][0])
    expected = SpeechEncoderExtractor(str(encoders["audio"]))(*raw()["audio"][0])
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_settings_of_sound_may_stand_in_the_processor(tmp_path, encoders):
    speech = Path(shutil.copytree(encoders["audio"], tmp_path / "speech"))
    settings = json.loads((speech / "preprocessor_config.json").read_text())
    (speech / "preprocessor_config.json").unlink()
    nested = {"feature_extractor": settings, "processor_class": "Wav2Vec2Processor"}
    (speech / "processor_config.json").write_text(json.dumps(nested))
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(speech))})
    shutil.rmtree(speech)
    features = UnivaProcessor.from_pretrained(model).extract_audio(raw()["audio"][0])
    expected = SpeechEncoderExtractor(str(encoders["audio"]))(*raw()["audio"][0])
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_training_goes_on_with_the_same_features(tmp_path, encoders):
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    processor = UnivaProcessor.from_pretrained(model)
    before = {"extractor_type": PRECOMPUTED, "name": MADE_BY["audio"], "feature_size": 32}
    extracted = SpeechEncoderExtractor(str(encoders["audio"])).to_dict()
    for same in (before, extracted, processor.extractors["audio"]):
        check_extractors(Corpus("corpus", {}, {"audio": same}), processor)
    for other in ({**before, "name": "another"}, {**extracted, "pooling_frames": 2}, {**extracted, "sha256": "0"}):
        with pytest.raises(ValueError, match="build the corpus with the model's extractor"):
            check_extractors(Corpus("corpus", {}, {"audio": other}), processor)


def test_face_detector_goes_with_the_model(tmp_path):
    model = trained(tmp_path / "model")
    detector = tmp_path / "yunet.onnx"
    detector.write_bytes(b"a network")
    reader = FaceReader(detector="yunet", detector_model=str(detector), frame_rate=2.0)
    complete_model(str(model), {}, faces=reader.to_dict())
    detector.unlink()
    model = model.rename(tmp_path / "moved")
    found = UnivaProcessor.from_pretrained(model).resolved_extractor("faces")
    assert Path(found["detector_model"]).read_bytes() == b"a network"
    assert found == {**reader.to_dict(), "detector_model": str(model / "extractors" / "faces" / "yunet.onnx")}
    assert main(["complete", str(model), "--face-detector", "haar"]) == 0
    assert UnivaProcessor.from_pretrained(model).extractors["faces"] == FaceReader(detector="haar").to_dict()


# Refusals


def test_wrong_width_is_refused_with_both_names(tmp_path, capsys):
    model = trained(tmp_path / "model")
    wide = pretrained_speech_encoder(tmp_path / "wide", "wav2vec2", hidden_size=64)
    assert main(["complete", str(model), "--audio-extractor", str(wide)]) == 2
    message = capsys.readouterr().err
    assert f"{wide} makes audio features of width 64, and {model} was trained on width 32" in message
    assert not (model / "extractors").exists()


def test_what_cannot_be_completed_is_refused(tmp_path, encoders):
    model = trained(tmp_path / "model")
    speech = SpeechEncoderExtractor(str(encoders["audio"]))
    with pytest.raises(ValueError, match="takes no text features"):
        complete_model(str(model), {"text": WordVectorExtractor(str(encoders["text"]))})
    complete_model(str(model), {"audio": speech})
    other = SpeechEncoderExtractor(str(pretrained_speech_encoder(tmp_path / "other", "wav2vec2", seed=1)))
    with pytest.raises(ValueError, match="was trained on audio features by"):
        complete_model(str(model), {"audio": other})
    with pytest.raises(ValueError, match="neither a folder nor a model id"):
        complete_model(str(tmp_path / "none"), {"audio": speech})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no processor that can be loaded"):
        complete_model(str(tmp_path / "empty"), {"audio": speech})
    assert main(["complete", str(model)]) == 2


@pytest.mark.parametrize("path", ["./../secret", "./extractors/../../secret", "./elsewhere/audio", "./extractors"])
def test_path_out_of_the_model_is_refused(tmp_path, encoders, path):
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    processor = UnivaProcessor.from_pretrained(model)
    processor.extractors["audio"]["model"] = path
    with pytest.raises(ValueError, match="is not a path of an extractor"):
        processor.extract_audio(raw()["audio"][0])
    with pytest.raises(ValueError, match="is not a path of an extractor"):
        processor.save_pretrained(tmp_path / "copy")


def test_missing_copy_is_named(tmp_path, encoders):
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    shutil.rmtree(model / "extractors")
    speech_encoder_univa._speech_encoder.cache_clear()
    processor = UnivaProcessor.from_pretrained(model)
    with pytest.raises(ValueError, match=r"extractors/audio is not the folder of the network"):
        processor.extract_audio(raw()["audio"][0])
    with pytest.raises(ValueError, match=r"extractors/audio is missing"):
        processor.save_pretrained(tmp_path / "copy")


def test_processor_that_was_not_loaded_has_no_folder_to_look_in(tmp_path, encoders):
    model = trained(tmp_path / "model")
    complete_model(str(model), {"audio": SpeechEncoderExtractor(str(encoders["audio"]))})
    loaded = UnivaProcessor.from_pretrained(model)
    made = UnivaProcessor(
        loaded.tokenizer, loaded.extractors, loaded.modalities, loaded.feature_sizes, loaded.max_lengths
    )
    with pytest.raises(ValueError, match="load the processor from there"):
        made.extract_audio(raw()["audio"][0])


# On the Hub


def test_pushed_processor_brings_its_extractors(tmp_path, encoders, hub_client):
    model = trained(tmp_path / "model")
    complete(model, encoders)
    processor = UnivaProcessor.from_pretrained(model)
    expected = processor(TEXTS, **raw())
    commit = processor.push_to_hub("me/completed")
    shutil.rmtree(model)
    speech_encoder_univa._speech_encoder.cache_clear()
    face_networks_univa._face_network.cache_clear()
    pulled = UnivaProcessor.from_pretrained("me/completed", revision=commit.oid)
    assert_same(pulled(TEXTS, **raw()), expected)
    pulled.save_pretrained(tmp_path / "again")
    assert_same(UnivaProcessor.from_pretrained(tmp_path / "again")(TEXTS, **raw()), expected)


def test_encoder_on_the_hub_stays_a_name_and_a_commit(tmp_path, encoders, hub_client):
    from huggingface_hub import HfApi

    HfApi().create_repo("lab/some-speech-encoder")
    commit = HfApi().upload_folder(repo_id="lab/some-speech-encoder", folder_path=encoders["audio"]).oid
    model = trained(tmp_path / "model")
    assert main(["complete", str(model), "--audio-extractor", "lab/some-speech-encoder"]) == 0
    processor = UnivaProcessor.from_pretrained(model)
    named = {name: processor.extractors["audio"][name] for name in ("model", "revision", "sha256", "feature_size")}
    assert named == {"model": "lab/some-speech-encoder", "revision": commit, "sha256": None, "feature_size": 32}
    assert not (model / "extractors").exists()
    # Whatever becomes of the branch, the commit is used.
    other = pretrained_speech_encoder(tmp_path / "other", "wav2vec2", seed=1)
    HfApi().upload_folder(repo_id="lab/some-speech-encoder", folder_path=other)
    found = processor.extract_audio(raw()["audio"][0])
    expected = SpeechEncoderExtractor(str(encoders["audio"]))(*raw()["audio"][0])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# Where the package is not installed


WITHOUT_PACKAGE = """
import sys
class Filter:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        blocked = name.partition(".")[0] in ("modeling_univa", "cv2", "soundfile", "av", "scipy")
        return None if blocked else self.finder.find_spec(name, path, target)
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path = [Filter(finder) for finder in sys.meta_path]
import numpy as np, torch
from transformers import AutoModel, AutoProcessor
folder = sys.argv[1]
media = np.load(folder + "/media.npz")
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor([["It works."]], audio=[(media["wave"], 16000)], faces=[list(media["faces"])])
with torch.no_grad():
    logits = AutoModel.from_pretrained(folder, trust_remote_code=True)(**inputs).logits
np.save(folder + "/logits.npy", logits.numpy())
"""


@pytest.mark.processes
def test_raw_media_without_the_package(tmp_path, encoders):
    model = trained(tmp_path / "model", "words")
    complete(model, encoders)
    media = raw()
    np.savez(model / "media.npz", wave=media["audio"][0][0], faces=np.stack(media["faces"][0]))
    (tmp_path / "script.py").write_text(WITHOUT_PACKAGE)
    environment = subprocess_environment(tmp_path / "elsewhere", with_package=False)
    result = run_command([sys.executable, "-I", tmp_path / "script.py", model], environment, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]

    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification

    inputs = UnivaProcessor.from_pretrained(model)(
        [["It works."]], audio=[media["audio"][0]], faces=[media["faces"][0]]
    )
    with torch.no_grad():
        expected = UnivaForEmotionClassification.from_pretrained(model)(**inputs).logits
    torch.testing.assert_close(torch.from_numpy(np.load(model / "logits.npy")), expected)
