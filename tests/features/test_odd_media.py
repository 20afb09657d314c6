# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Every kind of file that people have: the right features or one line in `rejected.jsonl`, never a stop."""

import json
import os
import signal

import numpy as np
import pytest
from media_corpora import media_rows, write_image, write_media_corpus, write_sound
from video_files import levels, tone, write_video

from modeling_univa.data.loading import load_corpus
from modeling_univa.features.extraction import ABSENT_FILE, ExtractionJob, ExtractionOptions
from modeling_univa.features.shards import REJECTED_FILE, run_job
from modeling_univa.features.workers import Workers
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import read_audio


READER = FaceReader(detector="whole-frame", frame_rate=5.0)
SOUND = tone(48000, 2.0)


def quarter(turned: int = 0) -> np.ndarray:
    """A picture with one bright quarter; HOG sees where it is."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :16] = 240
    return np.rot90(image, turned)


def cut_off(path):
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(50)]
    write_video(path, images, sound=SOUND, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def unreadable(path):
    write_video(path, levels(5), sound=SOUND)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything but a folder
        path.unlink()
        path.mkdir()


# File, how it is made, and what is expected of it: frames of sound and pictures (None: absent), or the reason.
SPEECH = LogMelExtractor(frame_rate=1.0)
VIDEOS = {
    "plain.mp4": (lambda path: write_video(path, levels(50), sound=SOUND), (2, 10)),
    "web.webm": (lambda path: write_video(path, levels(50), sound=SOUND), (2, 10)),
    "truncated.mp4": (cut_off, "truncated.mp4: "),
    "silent.mp4": (lambda path: write_video(path, levels(50)), (None, 10)),
    "sound_only.mp4": (lambda path: write_video(path, sound=SOUND), (2, None)),
    "one_picture.mp4": (lambda path: write_video(path, levels(1), sound=SOUND), (2, 1)),
    "phone.mp4": (lambda path: write_video(path, [quarter(-1)] * 10, sound=SOUND, rotation=90), (2, 2)),
    "upright.mp4": (lambda path: write_video(path, [quarter()] * 10, sound=SOUND), (2, 2)),
    "variable.mp4": (
        lambda path: write_video(path, levels(8), times=[0.0, 0.04, 0.5, 0.52, 0.54, 1.2, 1.21, 1.9], sound=SOUND),
        (2, 10),
    ),
    "8khz.mkv": (lambda path: write_video(path, levels(50), sound=tone(8000, 2.0), sampling_rate=8000), (2, 10)),
    "stereo.mov": (lambda path: write_video(path, levels(50), sound=np.stack([SOUND, SOUND])), (2, 10)),
    "text.mp4": (lambda path: path.write_text("my holiday\n" * 99), "text.mp4: "),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty.mp4: the file is empty"),
    "missing.mp4": (lambda path: None, "missing.mp4: No such file"),
    "unreadable.mp4": (unreadable, "unreadable.mp4: "),
}
SOUNDS = {
    "zero.wav": (lambda path: write_sound(path, 0.0), "zero.wav: "),
    "8khz.wav": (lambda path: write_sound(path, 2.0, rate=8000), 2),
    "stereo.wav": (lambda path: write_sound(path, 2.0, rate=48000, channels=2), 2),
    "text.wav": (lambda path: path.write_text("hello"), "text.wav: "),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    for name, (make, _) in {**VIDEOS, **SOUNDS}.items():
        make(root / name)
    write_image(root / "face.png")
    return root


@pytest.fixture(scope="module")
def output(root, tmp_path_factory):
    """All files as the utterances of one dialogue, so that the rejected ones stand between the others."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = media_rows((len(VIDEOS) + len(SOUNDS),))
    for row, name in zip(rows, [*VIDEOS, *SOUNDS], strict=True):
        row |= {"utterance_id": name, "audio": None, "faces": None, "video": None}
        row |= {"video": name} if name in VIDEOS else {"audio": name, "faces": ["face.png"]}
    corpus = load_corpus(str(write_media_corpus(folder / "corpus", {"test": rows})))
    extractors = {"audio": SPEECH, "vision": HogExtractor()}
    job = ExtractionJob(corpus, extractors, ExtractionOptions(root, READER, batch_size=3, workers=3))
    return run_job(job, folder / "output")


@pytest.fixture(scope="module")
def found(output):
    return {row["utterance_id"]: row for row in load_corpus(str(output)).splits["test"]}


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("name", [*VIDEOS, *SOUNDS])
def test_features_or_one_line(output, found, root, name):
    expected = {**VIDEOS, **SOUNDS}[name][1]
    reasons = [line["reason"] for line in lines_of(output / REJECTED_FILE) if line["utterance_id"] == name]
    absent = {line["modality"] for line in lines_of(output / ABSENT_FILE) if line["utterance_id"] == name}
    if isinstance(expected, str):
        assert name not in found
        assert len(reasons) == 1
        assert reasons[0].startswith(expected)
        return
    assert not reasons
    counts = dict(zip(("audio", "vision"), expected if isinstance(expected, tuple) else (expected, 1), strict=True))
    for modality, count in counts.items():
        frames = found[name][f"{modality}_features"]
        assert (len(frames) if frames else None) == count
    if counts["audio"]:
        heard = SPEECH(read_audio(root / name), 16000).astype(np.float16)
        np.testing.assert_array_equal(found[name]["audio_features"], heard)
    assert absent == {modality for modality, count in counts.items() if count is None}


def test_all_files_are_accounted_for(output, found):
    rejected = [line["utterance_id"] for line in lines_of(output / REJECTED_FILE)]
    assert sorted([*found, *rejected]) == sorted([*VIDEOS, *SOUNDS])
    assert [row["position"] for row in found.values()] == list(range(len(found)))
    assert load_corpus(str(output)).extractors["faces"] == READER.to_dict()


def test_a_phone_video_has_the_features_of_the_upright_one(found):
    phone, upright = (np.array(found[name]["vision_features"]) for name in ("phone.mp4", "upright.mp4"))
    assert np.abs(phone - upright).mean() < 0.1 * np.abs(upright).mean()


def test_a_detector_that_cannot_be_loaded_ends_the_job(root, tmp_path):
    rows = media_rows((2,))
    for row in rows:
        row |= {"audio": None, "faces": None, "video": "plain.mp4"}
    corpus = load_corpus(str(write_media_corpus(tmp_path / "corpus", {"test": rows})))
    reader = FaceReader(detector="yunet", detector_model=str(tmp_path / "nothing.onnx"))
    job = ExtractionJob(corpus, {"vision": HogExtractor()}, ExtractionOptions(root, reader))
    with pytest.raises(OSError, match="nothing.onnx"):
        run_job(job, tmp_path / "output")


class Deadly(LogMelExtractor):
    """Its process is killed by a sound of three seconds, as the kernel does where memory runs out."""

    def extract_batch(self, items):
        if any(len(waveform) == 3 * rate for waveform, rate in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().extract_batch(items)


@pytest.mark.slow
def test_a_clip_that_kills_its_process_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    rows = media_rows((6,))
    for number, row in enumerate(rows):
        write_sound(tmp_path / "media" / f"{number}.wav", 3.0 if number == 2 else 1.0)
        row |= {"audio": f"{number}.wav", "faces": None}
    corpus = load_corpus(str(write_media_corpus(tmp_path / "corpus", {"test": rows})))
    # A process has two of these clips to read at a time: the one beside the deadly one is not lost.
    job = ExtractionJob(
        corpus, {"audio": Deadly(frame_rate=1.0)}, ExtractionOptions(tmp_path / "media", batch_size=4, workers=2)
    )
    output = run_job(job, tmp_path / "output")
    (line,) = lines_of(output / REJECTED_FILE)
    assert line["utterance_id"] == rows[2]["utterance_id"]
    assert line["reason"].startswith("2.wav: with it alone a worker process was killed, most likely because there")
    found = load_corpus(str(output)).splits["test"]
    assert found["utterance_id"] == [row["utterance_id"] for row in rows if row is not rows[2]]
    assert found["position"] == list(range(5))
