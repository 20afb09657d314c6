# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Faces of video: tracks, choice, crops and detectors; faces are coloured squares that a stand-in detector finds."""

import json
import logging
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.errors import HfHubHTTPError
from video_files import tone, write_video

from modeling_univa.models import faces_univa
from modeling_univa.models.faces_univa import Face, FaceReader
from modeling_univa.models.limits_univa import LIMITS
from modeling_univa.models.media_univa import MediaError


cv2 = pytest.importorskip("cv2")
pytest.importorskip("scipy")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The frame rates at which videos were gone through."""
    rates = []
    iter_frames = faces_univa.iter_frames

    def noting(source, frame_rate=None, *arguments, **options):
        rates.append(frame_rate)
        return iter_frames(source, frame_rate, *arguments, **options)

    monkeypatch.setattr(faces_univa, "iter_frames", noting)
    return rates


class ColourDetector:
    """Finds one red, one green and one blue square, each a face."""

    margin, min_confidence, lowest_score, takes_model, working_side = 0.0, 0.5, 0.1, True, 1000
    eyes = None

    def __init__(self, model: str | None, revision: str | None):
        pass

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        faces = []
        for channel in range(3):
            others = np.delete(image, channel, axis=2).max(axis=2)
            rows, columns = np.nonzero((image[:, :, channel] > 120) & (others < 100))
            if len(rows) > 40:
                box = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
                faces.append(Face(tuple(float(value) for value in box), 0.9, self.eyes))
        return faces


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(faces_univa._DETECTORS, "haar", ColourDetector)
    faces_univa._load_detector.cache_clear()
    yield lambda **fields: FaceReader(**{"detector": "haar", "frame_rate": 5, "size": 32, **fields})
    faces_univa._load_detector.cache_clear()


def scene(squares: dict[int, tuple[int, int, int]], background: int = 40, size: tuple[int, int] = (96, 160)):
    """A picture with a square for each colour channel: left, top, side."""
    image = np.full((*size, 3), background, np.uint8)
    for channel, (left, top, side) in squares.items():
        image[top : top + side, left : left + side] = np.eye(3)[channel] * 220
    return image


def colour(image: np.ndarray) -> int:
    return int(image.mean(axis=(0, 1)).argmax())


def test_largest_and_longest_track(reader, tmp_path: Path):
    small, large = (10, 40, 24), (90, 20, 56)
    images = [scene({0: small, 1: large})] * 25 + [scene({0: small})] * 25
    path = write_video(tmp_path / "two.mp4", images)
    largest, longest = reader()(path), reader(track="longest")(path)
    assert (largest.tracks_found, len(largest.images), {colour(image) for image in largest.images}) == (2, 5, {1})
    assert (longest.tracks_found, len(longest.images), {colour(image) for image in longest.images}) == (2, 10, {0})
    np.testing.assert_allclose(longest.times, np.arange(10) / 5)
    np.testing.assert_allclose(largest.boxes[0], (90, 20, 56, 56), atol=3)
    assert {(image.shape, image.dtype) for image in largest.images} == {((32, 32, 3), np.dtype(np.uint8))}
    assert largest.note is None
    part = reader()(path.read_bytes(), 0.4, 1.6)
    np.testing.assert_allclose(part.times, [0.4, 0.6, 0.8])
    np.testing.assert_array_equal(part.images[0], largest.images[2])


def test_whose_face_and_when(reader, tmp_path: Path):
    small, large = (10, 40, 24), (90, 20, 56)
    path = write_video(tmp_path / "two.mp4", [scene({0: small})] * 10 + [scene({0: small, 1: large})] * 40)
    track = reader()(path)
    assert (track.people, track.start, track.end, track.seconds) == ((2, 2), 0.4, 2.0, 2.0)
    assert track.whose == "face of 1 of 2 people, 0.4–2.0 s of 2.0 s" and track.is_partial
    # Of a part, and where the last picture looked at goes beyond the end.
    part = reader()(path, 0.6, 1.5)
    assert part.whose == "face of 1 of 2 people, 0.0–0.9 s of 0.9 s"
    # One who comes back after a cut may be another.
    shot, other = scene({0: (30, 30, 40)}), scene({0: (30, 30, 40)}, background=120)
    cut = reader()(write_video(tmp_path / "cut.mp4", [shot] * 30 + [other] * 20))
    assert cut.people == (1, 2) and cut.whose == "face of 1 of 1–2 people, 0.0–1.2 s of 2.0 s"


def test_one_face_all_the_time_is_not_worth_a_note(reader, tmp_path: Path):
    whole = reader()(write_video(tmp_path / "whole.mp4", [scene({0: (30, 30, 40)})] * 50))
    assert whole.whose == "face of the one person seen, 0.0–2.0 s of 2.0 s" and not whole.is_partial
    late = reader()(write_video(tmp_path / "late.mp4", [scene({})] * 10 + [scene({0: (30, 30, 40)})] * 40))
    assert late.whose == "face of the one person seen, 0.4–2.0 s of 2.0 s" and late.is_partial
    none = reader()(write_video(tmp_path / "none.mp4", [scene({})] * 10))
    assert none.whose is None and none.people == (0, 0)


def test_cut_ends_a_track_and_motion_does_not(reader, tmp_path: Path):
    moving = [scene({0: (10 + index, 30, 40)}) for index in range(50)]
    assert reader()(write_video(tmp_path / "moving.mp4", moving)).tracks_found == 1
    shot = [scene({0: (30, 30, 40)})] * 25
    other = [scene({0: (30, 30, 40)}, background=90)] * 25
    cut = reader()(write_video(tmp_path / "cut.mp4", shot + other))
    assert (cut.tracks_found, len(cut.images)) == (2, 5)


def test_missed_detections_do_not_end_a_track(reader, tmp_path: Path):
    images = [scene({} if 20 <= index < 30 else {0: (30, 30, 40)}, 60) for index in range(50)]
    track = reader()(write_video(tmp_path / "blink.mp4", images))
    assert (track.tracks_found, len(track.images)) == (1, 8)


def test_no_face_is_empty_and_says_so(reader, tmp_path: Path):
    empty = reader()(write_video(tmp_path / "empty.mp4", [scene({})] * 25))
    assert (empty.images, empty.times, empty.boxes, empty.tracks_found) == ([], [], [], 0)
    assert empty.note == "no face in 5 pictures"
    brief = reader()(write_video(tmp_path / "brief.mp4", [scene({0: (30, 30, 40)})] * 5 + [scene({})] * 20))
    assert brief.note == "no face in 5 pictures (1 seen too briefly or unclearly)"
    tiny = reader(min_face_size=0.5)(write_video(tmp_path / "tiny.mp4", [scene({0: (30, 30, 40)})] * 5))
    assert not tiny.images


def test_picture_that_stays_is_searched_once(reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    searched = []
    find = ColourDetector.find
    monkeypatch.setattr(ColourDetector, "find", lambda *args: searched.append(1) or find(*args))
    still, moved = scene({0: (10, 40, 40)}), scene({0: (14, 40, 40)})
    # One that is shown for long, and the same one again (H.264 in its lossless mode).
    path = write_video(tmp_path / "still.mkv", [still, still, moved], times=[0, 2, 4])
    track = reader()(path)
    assert len(track.images) == 21
    assert len(searched) <= 3
    monkeypatch.setattr(faces_univa, "iter_frames", lambda *args, **part: (
        faces_univa.VideoFrame(index / 5, still.copy()) for index in range(9)))  # fmt: skip
    searched.clear()
    assert (len(reader()(path).images), len(searched)) == (9, 1)


def test_faces_and_crops_are_bounded(reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_video(tmp_path / "clip.mp4", [scene({0: (10, 40, 40)})] * 25)
    monkeypatch.setitem(LIMITS, "faces", replace(LIMITS["faces"], most=4))
    with pytest.raises(MediaError, match=r"clip\.mp4: the number of faces found must lie between 0 and 4"):
        reader()(path)
    monkeypatch.undo()
    monkeypatch.setitem(faces_univa._DETECTORS, "haar", ColourDetector)
    monkeypatch.setitem(LIMITS, "pixels", replace(LIMITS["pixels"], most=160 * 96))
    with pytest.raises(MediaError, match=r"clip\.mp4: a crop of 1\d\d x 1\d\d around the face at 0\.00 s must lie"):
        reader(margin=3)(path)


def test_one_picture_is_enough(reader, tmp_path: Path):
    assert len(reader()(write_video(tmp_path / "one.mp4", [scene({0: (30, 30, 40)})])).images) == 1


def test_cap_takes_faces_at_even_distances(reader, tmp_path: Path):
    path = write_video(tmp_path / "long.mp4", [scene({0: (30, 30, 40)})] * 75)
    track = reader(max_faces=4)(path)
    np.testing.assert_allclose(track.times, [0.0, 1.0, 1.8, 2.8])
    assert track.note == "4 of 15 faces are used, at even distances"


def speaking_images(loudness: np.ndarray, quiet: np.ndarray) -> list[np.ndarray]:
    """Two faces whose mouths (dark bars) open and close: the red one with the sound, the larger green one apart."""
    images = []
    for index, (one, other) in enumerate(zip(loudness, quiet, strict=True)):
        image = scene({0: (10, 20, 50), 1: (80, 10, 70)})
        for left, top, side, level in ((10, 20, 50, one), (80, 10, 70, other)):
            opening = round(0.25 * side * level * (index % 2))
            mouth = top + round(0.8 * side)
            image[mouth - opening // 2 : mouth + opening - opening // 2, left + side // 3 : left + 2 * side // 3] = 0
        images.append(image)
    return images


def test_speaking_track_moves_its_mouth_with_the_sound(reader, tmp_path: Path):
    talks = (np.arange(75) // 15) % 2
    envelope = np.repeat(talks, 640)
    sound = (tone(16000, 3.0) * envelope).astype(np.float32)
    images = speaking_images(talks, 1 - talks)
    path = write_video(tmp_path / "talk.mkv", images, sound=sound, sampling_rate=16000)
    assert {colour(image) for image in reader()(path).images} == {1}
    spoken = reader(track="speaking")(path)
    assert ({colour(image) for image in spoken.images}, spoken.tracks_found, spoken.note) == ({0}, 2, None)
    silent = reader(track="speaking")(write_video(tmp_path / "silent.mkv", images))
    assert {colour(image) for image in silent.images} == {1}
    assert silent.note == "there is no sound to tell who speaks: the largest face was taken"


def test_aligned_crops_have_level_eyes(reader, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ColourDetector, "eyes", ((40.0, 30.0), (60.0, 50.0)))
    image = np.zeros((96, 160, 3), np.uint8)
    for x, y in ColourDetector.eyes:
        cv2.circle(image, (int(x), int(y)), 4, (255, 255, 255), -1)
    face = Face((30.0, 20.0, 40.0, 40.0), 1.0, ColourDetector.eyes)
    crop = reader(size=80)._crop_face(image, face)
    rows = np.nonzero(crop[:, :40].mean(axis=2) > 128)[0].mean(), np.nonzero(crop[:, 40:].mean(axis=2) > 128)[0].mean()
    assert rows[0] == pytest.approx(rows[1], abs=1.0)
    turned = reader(size=80, aligned=False)._crop_face(image, face)
    assert turned[20:24, 20:24].mean() > 250


def test_crop_repeats_the_edge_beyond_the_picture(reader):
    image = np.full((60, 60, 3), 200, np.uint8)
    crop = reader(margin=0.5)._crop_face(image, Face((-10.0, -10.0, 40.0, 40.0), 1.0))
    assert (crop == 200).all()


def test_whole_frame_is_the_middle_square(tmp_path: Path):
    image = np.zeros((96, 160, 3), np.uint8)
    image[:, 32:128] = 200
    path = write_video(tmp_path / "face.mp4", [image] * 20 + [np.zeros_like(image)] * 20)
    track = FaceReader(detector="whole-frame", size=40)(path)
    assert (len(track.images), track.tracks_found, track.boxes[0]) == (8, 1, (32.0, 0.0, 96.0, 96.0))
    assert np.abs(track.images[0].astype(int) - 200).max() < 20


# Settings


def test_reader_is_rebuilt_from_its_settings():
    reader = FaceReader(detector="haar", track="speaking", max_faces=9)
    settings = json.loads(json.dumps(reader.to_dict()))
    assert settings["reader_type"] == "faces"
    assert (settings["margin"], settings["min_confidence"]) == (0.0, 3.0)
    assert FaceReader.from_dict(settings) == reader
    assert FaceReader().detector == "yunet"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"detector": "magic"}, "`detector` must be one of yunet, haar, mtcnn, whole-frame, got 'magic'"),
        ({"track": "best"}, "`track` must be one of"),
        ({"frame_rate": 0}, "`frame_rate` must be a number"),
        ({"max_faces": 0}, "`max_faces` must be"),
        ({"detector": "mtcnn", "detector_model": "x"}, "takes no `detector_model`"),
    ],
)
def test_wrong_settings_are_refused(fields: dict, message: str):
    with pytest.raises(ValueError, match=message):
        FaceReader(**fields)


def test_foreign_settings_are_refused():
    with pytest.raises(ValueError, match="unknown reader_type 'hands'; known: faces"):
        FaceReader.from_dict({"reader_type": "hands"})
    with pytest.raises(ValueError, match="a face reader has no colour"):
        FaceReader.from_dict({"reader_type": "faces", "colour": 1})


# Detectors


def test_a_video_is_decoded_once_unless_there_are_many_faces(reader, decoded, tmp_path: Path, monkeypatch):
    images = [scene({0: (20 + step // 2, 20, 30), 1: (80, 20, 20)}) for step in range(50)]
    path = write_video(tmp_path / "two.mp4", images)
    once = reader()(path)
    assert decoded == [5] and len(once.images) == 10 and once.tracks_found == 2
    # 20 faces of 32 x 32 x 3 bytes.
    for kept, passes in ((20 * 3072, [5]), (20 * 3072 - 1, [5, 5]), (0, [5, 5])):
        decoded.clear()
        monkeypatch.setattr(faces_univa, "_KEPT_CROPS", kept)
        np.testing.assert_array_equal(reader()(path).images, once.images)
        assert decoded == passes


def test_yunet_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked, made = [], []
    file = tmp_path / "downloaded.onnx"
    file.write_bytes(b"x")

    def download(repository: str, name: str, revision: str | None = None, **where: bool) -> str:
        assert where == {"local_files_only": False}
        asked.append((repository, name, revision))
        return str(file)

    class Network:
        def setInputSize(self, size):
            self.size = size

        def detect(self, image):
            assert (self.size, image[0, 0].tolist()) == ((80, 60), [3, 2, 1])  # blue, green, red
            row = [10, 12, 30, 32, 18, 20, 32, 21, 25, 30, 20, 36, 30, 36, 0.93]
            return 1, np.array([row], np.float32)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda address, timeout: address)
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda path, *rest, **more: made.append(path) or Network())
    faces_univa._load_detector.cache_clear()
    image = np.zeros((60, 80, 3), np.uint8)
    image[0, 0] = 1, 2, 3
    face = FaceReader(detector_revision="abc").detect(image)[0]
    assert face.box == (10, 12, 30, 32)
    assert face.eyes == ((18, 20), (32, 21))
    assert face.score == pytest.approx(0.93)
    FaceReader(detector_model="someone/faces/deep/net.onnx").detect(image)
    FaceReader(detector_model=str(file)).detect(image)
    faces_univa._load_detector.cache_clear()
    assert asked == [("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx", "abc"),
                     ("someone/faces", "deep/net.onnx", None)]  # fmt: skip
    assert made == [str(file)] * 3


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """No Hub; the waiting times that were asked for."""
    waited = []

    def refuse(address: str, timeout: float):
        waited.append(timeout)
        raise RuntimeError("[Errno -2] Name or service not known")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for cached in (faces_univa._from_hub, faces_univa._load_detector):
        cached.cache_clear()
    return waited


def test_yunet_without_network_says_what_to_do(no_network):
    image = np.zeros((60, 80, 3), np.uint8)
    expected = r"opencv/face_detection_yunet.*could not be reached.*detector_model.*haar detector"
    with pytest.raises(OSError, match=expected):
        FaceReader().detect(image)
    # It is asked once, and not for long.
    assert len(no_network) == 1 and no_network[0] <= 5
    with pytest.raises(FileNotFoundError, match=r"no such file: models/yunet\.onnx; pass `detector_model`"):
        FaceReader(detector_model="models/yunet.onnx").detect(image)
    with pytest.raises(FileNotFoundError, match="no cascade file"):
        FaceReader(detector="haar", detector_model="nowhere.xml").detect(image)


def test_yunet_of_the_cache_needs_no_network(no_network, tmp_path: Path):
    folder = tmp_path / "hub" / "models--opencv--face_detection_yunet"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("1" * 40)
    file = folder / "snapshots" / ("1" * 40) / "face_detection_yunet_2023mar.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert faces_univa._yunet_path("opencv/face_detection_yunet", None) == str(file)
    assert faces_univa.reader_at_hand() == FaceReader()


def test_answers_of_the_hub_are_told_by_the_download(monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments, **more):
        raise HfHubHTTPError("404: there is no such file", response=Response())

    class Response:
        headers, request = {}, None

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(OSError, match=r"could not be downloaded from lab/faces on the Hub \(404: there is no"):
        faces_univa._yunet_path("lab/faces", None)


def test_new_features_are_made_with_a_detector_that_is_at_hand(no_network, caplog: pytest.LogCaptureFixture):
    logging.getLogger("transformers").addHandler(caplog.handler)
    found = faces_univa.reader_at_hand(FaceReader(track="speaking", frame_rate=3))
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert found == FaceReader(detector="haar", track="speaking", frame_rate=3)
    assert (found.margin, found.min_confidence) == (0.0, 3.0)
    (record,) = caplog.records
    assert "found by the haar detector" in record.message and "could not be reached" in record.message
    assert len(record.message) < 180
    assert faces_univa.reader_at_hand(FaceReader()).detector == "haar" and len(caplog.records) == 1
    for other in (FaceReader(detector="haar", size=40), FaceReader(detector="whole-frame")):
        assert faces_univa.reader_at_hand(other) is other
    # A reader that is named stays what it is.
    with pytest.raises(OSError, match="yunet"):
        FaceReader.from_dict({"detector": "yunet"}).detect(np.zeros((60, 80, 3), np.uint8))


def test_mtcnn_of_facenet_pytorch(monkeypatch: pytest.MonkeyPatch):
    class Mtcnn:
        def __init__(self, **options):
            assert options["keep_all"]

        def detect(self, image, landmarks):
            points = np.array([[[18, 20], [32, 21], [25, 30], [20, 36], [30, 36]]], np.float32)
            return np.array([[10, 12, 40, 44]], np.float32), np.array([0.99], np.float32), points

    faces_univa._load_detector.cache_clear()
    image = np.zeros((60, 80, 3), np.uint8)
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(ImportError, match="pip install --no-deps facenet-pytorch"):
        FaceReader(detector="mtcnn").detect(image)
    monkeypatch.setitem(sys.modules, "facenet_pytorch", types.SimpleNamespace(MTCNN=Mtcnn))
    face = FaceReader(detector="mtcnn").detect(image)[0]
    faces_univa._load_detector.cache_clear()
    assert (face.box, face.eyes) == ((10, 12, 30, 32), ((18, 20), (32, 21)))


@pytest.mark.parametrize(
    ("name", "start", "end", "least"),
    [("face_noface.mov", 0.0, 1.0, 4), ("face_noface.mov", 2.6, 3.6, 0), ("noface_face.mov", 2.0, 3.0, 0)],
)
def test_haar_on_real_clips(shared_data: Path, name: str, start: float, end: float, least: int):
    reader = FaceReader(detector="haar")
    track = reader(shared_data / "clips" / name, start, end)
    assert len(track.images) >= least
    if not least:
        assert (track.images, track.note) == ([], "no face in 5 pictures")
        return
    again = reader(shared_data / "clips" / name, start, end)
    assert track.boxes == again.boxes
    for image, other in zip(track.images, again.images, strict=True):
        assert image.shape == (160, 160, 3)
        np.testing.assert_array_equal(image, other)
