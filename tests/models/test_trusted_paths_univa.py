# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a stranger's processor or corpus may name on this machine: nothing, and no message tells what is there."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing_utils import (
    pretrained_speech_encoder,
    run_command,
    subprocess_environment,
    tiny_config,
    tiny_model,
    tiny_processor,
)
from video_files import write_clip

from modeling_univa.cli import main
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.affect_scorers_univa import AudioAffectScorer
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor
from modeling_univa.models.trusted_paths_univa import check_settings, has_hub_form, is_hub_id, without_places
from modeling_univa.models.word_vectors_univa import WordVectorExtractor
from modeling_univa.sharing.embedding import embed_small_networks


TOKEN = "hf_SeCrEtToKeN0123456789"
SPEECH, FACES = LogMelExtractor(frame_rate=5.0), HogExtractor(image_size=16, cell_size=16, block_size=1, num_bins=4)
SIZES = {"text": 6, "audio": SPEECH.feature_size, "vision": FACES.feature_size}
# What is not attacked does its work.
GOOD = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict(), "faces": FaceReader(detector="whole-frame").to_dict()}
KINDS: dict[str, dict[str, Any]] = {
    "text": {"extractor_type": "word-vectors"},
    "audio": {"extractor_type": "speech-encoder", "sampling_rate": 16000},
    "vision": {"extractor_type": "face-embedding"},
    "yunet": {"reader_type": "faces", "detector": "yunet"},
    "haar": {"reader_type": "faces", "detector": "haar"},
}
INPUTS: dict[str, dict[str, Any]] = {
    "text": {"text": "yes no"},
    "audio": {"audio": np.zeros(16000, np.float32), "sampling_rate": 16000},
    "vision": {"faces": [np.zeros((64, 64, 3), np.uint8)]},
}


@pytest.fixture(autouse=True)
def secrets(tmp_path, monkeypatch) -> Path:
    """A token in the environment, and files with a secret that parsers get to see."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "words.txt").write_text(f"{TOKEN} a b c d e f\nmore x y z\n")
    (folder / "face.onnx").write_text(TOKEN)
    (folder / "face.xml").write_text(f'<?xml version="1.0"?><opencv_storage><x>{TOKEN}</x></opencv_storage>')
    network = folder / "network"
    network.mkdir()
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (network / name).write_text(json.dumps({"model_type": TOKEN, TOKEN: TOKEN}))
    return folder


def attack(name: str, place: Any, **settings: Any) -> dict[str, dict[str, Any]]:
    """Extractors of a processor that name a place."""
    if name in ("yunet", "haar"):
        return {**GOOD, "faces": {**KINDS[name], "detector_model": place, **settings}}
    return {**GOOD, name: {**KINDS[name], "model": place, "feature_size": SIZES[name], **settings}}


def write_model(folder: Path, extractors: dict[str, dict[str, Any]]) -> Path:
    """A saved model whose processor says so, as its author may write it by hand."""
    config = tiny_config("words", audio_feature_size=SIZES["audio"], vision_feature_size=SIZES["vision"])
    if not folder.exists():
        tiny_model(config).save_pretrained(folder)
        tiny_processor(config).save_pretrained(folder)
    file = folder / "processor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "extractors": extractors}))
    return folder


@pytest.fixture(scope="module")
def good_model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model", {})


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 0.6)


@pytest.fixture
def stranger(good_model, tmp_path) -> Path:
    return Path(shutil.copytree(good_model, tmp_path / "stranger"))


def use(processor: UnivaProcessor, name: str, clip: Path) -> Any:
    if name in ("yunet", "haar"):
        return processor.extract_faces(clip)
    if name == "text":
        return processor([["yes no"]], audio_features=[None], vision_features=[None])
    if name == "audio":
        return processor.extract_audio((np.zeros(16000, np.float32), 16000))
    return processor.extract_vision([np.zeros((64, 64, 3), np.uint8)])


def places(secrets: Path, name: str) -> list[Any]:
    """What a stranger may try."""
    file = {"text": "words.txt", "yunet": "face.onnx", "haar": "face.xml"}.get(name, "network")
    return [
        "/proc/self/environ", "/proc/self", "/dev/zero", str(secrets / file), str(secrets / "nothing"),
        "../secrets/" + file, f"./../secrets/{file}", f"./extractors/../../secrets/{file}", f"~/{file}", "network",
        f"file://{secrets / file}", "proc/self", "a/b/c", "", 7, ["/proc/self/environ"], {"path": "x"},
    ]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_no_place_of_this_machine_is_opened(stranger, secrets, clip, name, monkeypatch, capsys, caplog):
    opened = []
    for reader in ("faces_univa", "extractor_base_univa", "word_vectors_univa", "trusted_paths_univa"):
        monkeypatch.setattr(f"modeling_univa.models.{reader}.content_digest", lambda paths: opened.append(paths))
    # From here `proc/self` is both a path and what looks like a Hub id.
    monkeypatch.chdir("/")
    for place in places(secrets, name):
        processor = UnivaProcessor.from_pretrained(write_model(stranger, attack(name, place)))
        with pytest.raises(ValueError) as error:
            use(processor, name, clip)
        message = str(error.value) + caplog.text + "".join(capsys.readouterr())
        assert TOKEN not in message and "Traceback" not in message, place
        if isinstance(place, str) and place not in ("proc/self",) and not place.startswith("./"):
            assert "in settings of a saved file, which may name what lies beside them" in message, place
    assert not opened


@pytest.mark.parametrize("name", KINDS)
def test_all_that_is_wrong_with_a_place_has_one_message(stranger, secrets, clip, name):
    """Whether something is there, may be read or is another file cannot be found out."""
    key = "detector_sha256" if name in ("yunet", "haar") else "sha256"
    locked = secrets / "locked"
    locked.mkdir(mode=0o000)
    messages = set()
    for place in [*places(secrets, name)[:5], str(locked / "file"), "/root/.ssh/id_rsa", "/dev/stdin"]:
        processor = UnivaProcessor.from_pretrained(write_model(stranger, attack(name, place, **{key: "0" * 64})))
        with pytest.raises(ValueError) as error:
            use(processor, name, clip)
        messages.add(str(error.value).replace(place, "PLACE"))
        assert TOKEN not in str(error.value)
    assert len(messages) == 1, messages
    assert "it is not there, cannot be read or holds something else" in messages.pop()


@pytest.mark.parametrize("name", KINDS)
def test_links_in_a_model_lead_nowhere_else(stranger, secrets, clip, name):
    file = {"text": "words.txt", "yunet": "face.onnx", "haar": "face.xml"}.get(name, "network")
    target = stranger / "extractors" / file
    target.parent.mkdir()
    # The folder itself, and a file in it.
    if file == "network":
        target.mkdir()
        for one in (secrets / file).iterdir():
            (target / one.name).symlink_to(one)
    else:
        target.symlink_to(secrets / file)
    folder = stranger / "extractors" / "linked"
    folder.symlink_to(secrets)
    for place in (f"./extractors/{file}", f"./extractors/linked/{file}"):
        processor = UnivaProcessor.from_pretrained(write_model(stranger, attack(name, place)))
        with pytest.raises(ValueError, match="leads out of the folder of its model"):
            use(processor, name, clip)
        with pytest.raises(ValueError, match="leads out of the folder of its model"):
            processor.save_pretrained(stranger.parent / "copy")
    assert not [path for path in (stranger.parent / "copy").rglob("*") if path.is_file()]


def test_pipes_and_devices_in_a_model_are_not_read(stranger, clip):
    (stranger / "extractors" / "text").mkdir(parents=True)
    os.mkfifo(stranger / "extractors" / "text" / "words.txt")
    processor = UnivaProcessor.from_pretrained(write_model(stranger, attack("text", "./extractors/text/words.txt")))
    with pytest.raises(ValueError):
        use(processor, "text", clip)


@pytest.mark.parametrize("sha256", ["../../../secrets", "0" * 63, "A" * 64, "", 7, "0" * 65, "/etc"])
def test_a_sha256_is_one_and_nothing_else(stranger, secrets, clip, sha256):
    """It names a folder of the cache."""
    settings = attack("text", str(secrets / "words.txt"), sha256=sha256)
    processor = UnivaProcessor.from_pretrained(write_model(stranger, settings))
    with pytest.raises(ValueError, match="`sha256` must be a SHA-256, 64 hexadecimal digits"):
        use(processor, "text", clip)
    for make in (WordVectorExtractor, SpeechEncoderExtractor):
        with pytest.raises(ValueError, match="`sha256` must be a SHA-256, 64 hexadecimal digits"):
            make(str(secrets / "words.txt"), sha256=sha256, feature_size=6)


@pytest.mark.parametrize("revision", ["../../../etc/passwd", "/etc/passwd", 7, "a b", "-x", ""])
def test_a_revision_is_one_and_nothing_else(stranger, clip, revision):
    settings = attack("audio", "lab/encoder", revision=revision)
    with pytest.raises(ValueError, match="`revision` must be a branch, tag or commit"):
        use(UnivaProcessor.from_pretrained(write_model(stranger, settings)), "audio", clip)


def test_what_this_user_named_with_its_checksum_is_opened(stranger, secrets, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hf_home"))
    words = tmp_path / "glove.txt"
    words.write_text("yes 1 2 3 4 5 6\nno 6 5 4 3 2 1\n")
    settings = {"text": WordVectorExtractor(str(words)).to_dict()}
    inputs = use(UnivaProcessor.from_pretrained(write_model(stranger, settings)), "text", clip)
    assert inputs["text_features"][0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    # In the cache by then; another process that has to read the file finds another one.
    words.write_text(f"{TOKEN} 2 3 4 5 6 7\n")
    shutil.rmtree(tmp_path / "hf_home")
    from modeling_univa.models.word_vectors_univa import _word_vectors

    _word_vectors.cache_clear()
    with pytest.raises(ValueError, match="is not the file of SHA-256") as error:
        use(UnivaProcessor.from_pretrained(stranger), "text", clip)
    assert TOKEN not in str(error.value) and hashlib.sha256(words.read_bytes()).hexdigest()[:12] not in str(
        error.value
    )


def test_a_detector_of_this_user_carries_its_checksum(stranger, clip, tmp_path, capsys):
    import cv2

    cascade = tmp_path / "own.xml"
    shutil.copy(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml", cascade)
    reader = FaceReader(detector="haar", detector_model=str(cascade))
    assert reader.detector_sha256 == hashlib.sha256(cascade.read_bytes()).hexdigest()
    processor = UnivaProcessor.from_pretrained(write_model(stranger, {"faces": reader.to_dict()}))
    assert processor.extract_faces(clip).note.startswith("no face in")
    # What an older version saved has none, and the message says what to do.
    old = {name: value for name, value in reader.to_dict().items() if name != "detector_sha256"}
    processor = UnivaProcessor.from_pretrained(write_model(stranger, {"faces": old}))
    with pytest.raises(ValueError, match="univa complete"):
        processor.extract_faces(clip)
    settings = json.dumps({"detector": "haar", "detector_model": str(cascade)})
    assert main(["complete", str(stranger), "--face-detector", settings]) == 0
    cascade.unlink()
    assert UnivaProcessor.from_pretrained(stranger).extract_faces(clip).note.startswith("no face in")


def test_settings_of_users_need_no_kind(stranger, clip):
    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification

    processor = UnivaProcessor.from_pretrained(write_model(stranger, {**GOOD, "faces": None}))
    model = UnivaForEmotionClassification.from_pretrained(stranger)
    classifier = UnivaPipeline(model=model, processor=processor, face_reader={"detector": "whole-frame"})
    assert classifier({"video": clip}, threshold=None)
    processor.extractors["faces"] = {"detector": "whole-frame", "frame_rate": 2.0}
    assert len(processor.extract_faces(clip).images) >= 1
    assert FaceReader.from_dict({"detector": "haar"}) == FaceReader(detector="haar")
    with pytest.raises(ValueError, match="reader_type"):
        FaceReader.from_dict({"detector": "haar", "reader_type": "ears"})


@pytest.mark.parametrize("name", KINDS)
def test_from_the_hub_not_even_with_the_checksum(good_model, secrets, clip, tmp_path, hub_client, name):
    """Who knows a checksum may still not find out whether this machine has the file."""
    from huggingface_hub import HfApi, snapshot_download

    words = tmp_path / "glove.txt"
    words.write_text("yes 1 2 3 4 5 6\n")
    key = "detector_sha256" if name in ("yunet", "haar") else "sha256"
    settings = attack(name, str(words), **{key: hashlib.sha256(words.read_bytes()).hexdigest()})
    folder = write_model(Path(shutil.copytree(good_model, tmp_path / "pushed")), settings)
    HfApi().create_repo("lab/model")
    HfApi().upload_folder(repo_id="lab/model", folder_path=folder)
    for source in ("lab/model", snapshot_download("lab/model")):
        with pytest.raises(ValueError, match="in settings from the Hub, which may name what lies beside them"):
            use(UnivaProcessor.from_pretrained(source), name, clip)


@pytest.mark.parametrize("name", KINDS)
def test_predict_tells_nothing(stranger, secrets, clip, name, capsys):
    for place in places(secrets, name)[:5]:
        write_model(stranger, {**attack(name, place)})
        status = main(["predict", str(stranger), *(["--text", "yes no"] if name == "text" else [str(clip)])])
        said = "".join(capsys.readouterr())
        assert status in (1, 2) and "Traceback" not in said
        assert TOKEN not in said and "univa complete" in said


@pytest.mark.parametrize("name", KINDS)
def test_pipeline_tells_nothing(stranger, secrets, clip, name, caplog):
    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification

    item = INPUTS.get(name, {"video": clip})
    model = UnivaForEmotionClassification.from_pretrained(stranger)
    for place in places(secrets, name)[:5]:
        processor = UnivaProcessor.from_pretrained(write_model(stranger, attack(name, place)))
        with pytest.raises(ValueError) as error:
            UnivaPipeline(model=model, processor=processor)(item)
        assert TOKEN not in str(error.value) + caplog.text and "univa complete" in str(error.value)


REMOTE = """
import json, sys
from pathlib import Path
import numpy as np
from transformers import AutoProcessor
for folder in sys.argv[1:]:
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    assert "modeling_univa" not in sys.modules
    given = {
        "text": lambda: processor([["yes no"]], audio_features=[None], vision_features=[None]),
        "audio": lambda: processor.extract_audio((np.zeros(16000, np.float32), 16000)),
        "vision": lambda: processor.extract_vision([np.zeros((64, 64, 3), np.uint8)]),
        "yunet": lambda: processor.extract_faces("clip.mp4"),
    }
    try:
        given[Path(folder).name]()
    except ValueError as error:
        print(json.dumps(str(error)))
"""


@pytest.mark.slow
def test_remote_code_tells_nothing(good_model, secrets, tmp_path):
    folders = []
    for name in ("text", "audio", "vision", "yunet"):
        folder = Path(shutil.copytree(good_model, tmp_path / name))
        folders.append(write_model(folder, attack(name, "/proc/self/environ")))
    (tmp_path / "remote.py").write_text(REMOTE)
    environment = subprocess_environment(tmp_path / "cache", with_package=False)
    result = run_command([sys.executable, "-I", tmp_path / "remote.py", *folders], environment, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert TOKEN not in result.stdout + result.stderr
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(messages) == 4 and all("may name what lies beside them" in message for message in messages)


def test_a_scorer_of_affect_tells_nothing(secrets, tmp_path):
    config = UnivaAffectRegressorConfig(modality="audio", feature_size=SIZES["audio"], hidden_size=8)
    processor = UnivaProcessor.from_config(config, None, {"audio": attack("audio", "/proc/self")["audio"]})
    UnivaAffectRegressor(config).save_pretrained(tmp_path / "scorer")
    processor.save_pretrained(tmp_path / "scorer")
    with pytest.raises(ValueError, match="in settings of a saved file"):
        AudioAffectScorer.from_pretrained(str(tmp_path / "scorer"))


# Corpora


def test_a_corpus_puts_no_folder_into_a_model_that_will_be_shared(tmp_path, caplog):
    """`feature_extractors.json` of a stranger may name any folder: only who knows its content may name it."""
    network = pretrained_speech_encoder(tmp_path / "mine", "wav2vec2", hidden_size=5, num_attention_heads=1,
                                        num_conv_pos_embedding_groups=1)  # fmt: skip
    known = SpeechEncoderExtractor(str(network)).to_dict()
    for sha256, copied in ((None, False), ("0" * 64, False), (known["sha256"], True)):
        folder = tmp_path / f"model-{copied}-{sha256}"
        folder.mkdir()
        processor = tiny_processor(tiny_config(), extractors={"audio": {**known, "sha256": sha256}})
        embed_small_networks(folder, processor)
        assert (folder / "extractors").exists() == copied


def test_a_corpus_of_the_hub_names_no_path(tmp_path, hub_client, monkeypatch):
    for name, value in {"HF_ENDPOINT": hub_client.url, "HF_HUB_OFFLINE": False}.items():
        monkeypatch.setattr(f"datasets.config.{name}", value)
    from huggingface_hub import HfApi
    from testing_utils import random_rows, write_corpus

    folder = write_corpus(tmp_path / "corpus", {"train": random_rows([2, 1])})
    settings = {"audio": attack("audio", "/home/author/secret-project/encoder", sha256="0" * 64)["audio"]}
    settings["audio"]["feature_size"] = 5
    settings["faces"] = {"reader_type": "faces", "detector": "yunet", "detector_model": "/home/author/face.onnx"}
    (folder / "feature_extractors.json").write_text(json.dumps(settings))
    assert load_corpus(str(folder)).extractors == settings
    HfApi().create_repo("lab/corpus", repo_type="dataset")
    HfApi().upload_folder(repo_id="lab/corpus", repo_type="dataset", folder_path=folder)
    found = load_corpus("lab/corpus").extractors
    assert found["audio"] == {**settings["audio"], "model": "encoder"}
    assert found["faces"]["detector_model"] == "face.onnx"
    processor = tiny_processor(tiny_config(), extractors=found, source="lab/corpus")
    with pytest.raises(ValueError, match="in settings from the Hub"):
        processor.extract_audio((np.zeros(16000, np.float32), 16000))


# The door itself


def test_hub_ids_pass(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def check(**settings: Any) -> dict[str, Any]:
        return check_settings(settings, lambda path: tmp_path, on_hub=True)

    assert check(model="lab/encoder", revision="main") == {"model": "lab/encoder", "revision": "main"}
    for model in ("opencv/face_detection_yunet", "lab/repo/folder/face.onnx", None):
        assert check(detector_model=model) == {"detector_model": model}
    for model in ("lab/repo/face.xml", "lab/../face.onnx", "lab/repo/../../face.onnx", "lab/repo/.hidden.onnx"):
        with pytest.raises(ValueError, match="may name what lies beside them"):
            check(detector_model=model)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "encoder").mkdir()
    with pytest.raises(ValueError, match="of that name is in the current directory"):
        check(model="lab/encoder")


def test_the_last_part_of_a_path_is_left():
    settings = {"model": "/home/me/encoder", "sha256": "0" * 64, "feature_size": 3}
    assert without_places(settings) == {**settings, "model": "encoder"}
    assert without_places({"model": "lab/encoder", "name": "/home"}) == {"model": "lab/encoder", "name": "/home"}
    assert without_places({}) == {}


def test_one_test_of_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "here").mkdir(parents=True)
    for value in ("org/name", "org/here", "o_1/na.me-2"):
        assert has_hub_form(value)
    for value in ("name", "/org/name", "org/name/file", ".org/name", "org/", "./org", "a b/c", "", None, 7):
        assert not has_hub_form(value) and not is_hub_id(value)
    assert is_hub_id("org/name") and not is_hub_id("org/here")
    assert is_hub_id("bert-base-uncased", without_owner=True) and not is_hub_id("org", without_owner=True)
