# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The demo corpus: what is drawn, what it sounds and looks like, and what is written."""

import csv
import re
import wave
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modeling_univa.corpora.demo import corpus as demo_corpus
from modeling_univa.corpora.demo.corpus import DEFAULT_SEED, Demo, write_demo_corpus
from modeling_univa.corpora.demo.dialogues import SPLITS, DemoUtterance, write_dialogues
from modeling_univa.corpora.demo.drawing import IMAGE_SIZE
from modeling_univa.corpora.demo.face import Appearance, Expression, draw_faces
from modeling_univa.corpora.demo.voice import SAMPLING_RATE, Delivery, Voice, speak
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.configuration_univa import EMOTION_VALENCE_AROUSAL, MOSEI_EMOTIONS
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor


EMOTIONS = tuple(EMOTION_VALENCE_AROUSAL)
SENTENCE = "Listen, I can't believe it, we meet tomorrow."


@pytest.fixture(scope="module")
def dialogues() -> dict[str, list[DemoUtterance]]:
    return write_dialogues(DEFAULT_SEED, 60)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "media"
    write_demo_corpus(folder, seed=5, num_dialogues=6)
    return folder


def read_rows(folder: Path) -> list[dict[str, str]]:
    rows = []
    for split in SPLITS:
        with open(folder / "metadata" / f"{split}.csv", encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def speaker(number: int) -> tuple[Voice, Appearance]:
    rng = np.random.default_rng([77, number])
    return Voice.draw(rng, high=number % 2 == 1), Appearance.draw(rng, bearded=number % 2 == 0)


# Dialogues


def test_size_and_splits(dialogues):
    num_dialogues = {split: len({u.dialogue_id for u in utterances}) for split, utterances in dialogues.items()}
    assert num_dialogues == {"train": 44, "validation": 8, "test": 8}
    assert 340 <= sum(map(len, dialogues.values())) <= 380
    for name in ("dialogue_id", "utterance_id", "person"):
        found = [{getattr(u, name) for u in utterances} for utterances in dialogues.values()]
        assert sum(map(len, found)) == len(set.union(*found)), f"a {name} is in two splits"


def test_dialogues_are_contiguous_and_between_two_people(dialogues):
    for utterances in dialogues.values():
        seen: dict[str, list[DemoUtterance]] = {}
        for utterance in utterances:
            seen.setdefault(utterance.dialogue_id, []).append(utterance)
        assert [u for dialogue in seen.values() for u in dialogue] == utterances
        for dialogue in seen.values():
            assert [u.position for u in dialogue] == list(range(len(dialogue)))
            assert 4 <= len(dialogue) <= 8
            assert len({u.speaker for u in dialogue}) <= 2


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 0, 1])
def test_every_emotion_is_frequent_in_training(seed):
    counts = Counter(emotion for u in write_dialogues(seed, 60)["train"] for emotion in u.emotions)
    assert set(counts) == set(MOSEI_EMOTIONS)
    assert min(counts.values()) >= 25


def test_default_seed_has_every_emotion_in_every_split(dialogues):
    for split in ("validation", "test"):
        counts = Counter(emotion for u in dialogues[split] for emotion in u.emotions)
        assert min(counts[emotion] for emotion in MOSEI_EMOTIONS) >= 5


def test_target_is_the_set_of_shown_emotions(dialogues):
    sizes = Counter()
    for u in (u for utterances in dialogues.values() for u in utterances):
        shown = {u.text_emotion, u.audio_emotion, u.vision_emotion} - {None, "neutral"}
        assert u.emotions == tuple(sorted(shown, key=MOSEI_EMOTIONS.index))
        sizes[len(u.emotions)] += 1
    assert sizes[0] >= 10, "rows without any emotion are legal and shall occur"
    assert sizes[1] > sizes[2] > sizes[3] > 0
    assert sizes[2] + sizes[3] >= 0.2 * sum(sizes.values())


def test_modalities_agree_most_of_the_time(dialogues):
    rows = [u for utterances in dialogues.values() for u in utterances if u.audio_emotion and u.vision_emotion]
    for name in ("audio_emotion", "vision_emotion"):
        agreeing = np.mean([getattr(u, name) == u.text_emotion for u in rows])
        assert 0.5 < agreeing < 0.85


def test_a_few_percent_of_rows_lack_sound_or_faces():
    rows = [u for seed in range(5) for utterances in write_dialogues(seed, 60).values() for u in utterances]
    for name in ("audio_emotion", "vision_emotion"):
        assert 0.02 < np.mean([getattr(u, name) is None for u in rows]) < 0.07
    assert all(u.text.strip() for u in rows)


def test_sentences_are_whole(dialogues):
    texts = [u.text for utterances in dialogues.values() for u in utterances]
    for text in texts:
        assert re.fullmatch(r"[A-Z][A-Za-z',.?! ]*[.?!]", text), text
        assert ".." not in text and ",." not in text and "  " not in text, text
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) <= 2 and max(lengths) >= 15
    assert len(set(texts)) > 0.85 * len(texts)


def test_words_do_not_give_the_emotion_away_alone(dialogues):
    emotions_of: dict[str, set[str]] = {}
    for u in (u for seed in range(5) for utterances in write_dialogues(seed, 60).values() for u in utterances):
        emotions_of.setdefault(u.text, set()).add(u.text_emotion)
    assert sum(len(emotions) > 1 for emotions in emotions_of.values()) >= 10


# Voices


@pytest.mark.parametrize("make", [Delivery.of, Expression.of])
def test_without_intensity_every_emotion_is_neutral(make):
    assert {str(make(emotion, 0.0)).replace("-0.0", "0.0") for emotion in EMOTIONS} == {str(make("neutral", 1.0))}
    assert len({str(make(emotion, 1.0)) for emotion in EMOTIONS}) == len(EMOTIONS)


@pytest.mark.parametrize("text", ["Oh.", SENTENCE, SENTENCE * 5, "Hmm!", "Eww."])
@pytest.mark.parametrize("emotion", ["anger", "sad"])
def test_waveform_is_sound_of_one_to_three_seconds(text, emotion):
    waveform = speak(text, emotion, speaker(0)[0], np.random.default_rng(1))
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert SAMPLING_RATE <= len(waveform) <= 3 * SAMPLING_RATE
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() < 0.96
    assert 20 * np.log10(waveform.std()) > -45


def test_nothing_to_say():
    with pytest.raises(ValueError, match="a text with letters to say, got '42'"):
        speak("42", "happy", speaker(0)[0], np.random.default_rng(1))


def pitch(waveform: np.ndarray) -> float:
    """Median pitch in Hz, by the autocorrelation of the loud frames between 70 and 500 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 800)[::400]
    frames = frames[frames.std(axis=1) > np.median(frames.std(axis=1))]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048, axis=1)) ** 2, axis=1)
    lags = slice(SAMPLING_RATE // 500, SAMPLING_RATE // 70)
    return float(np.median(SAMPLING_RATE / (lags.start + correlation[:, lags].argmax(axis=1))))


def test_arousal_makes_a_voice_louder_higher_and_faster():
    waveforms = {
        emotion: [speak(SENTENCE, emotion, speaker(n)[0], np.random.default_rng(n)) for n in range(6)]
        for emotion in ("sad", "neutral", "happy", "anger", "surprise", "fear")
    }
    loudness = {e: np.mean([20 * np.log10(w.std()) for w in ws]) for e, ws in waveforms.items()}
    assert loudness["anger"] > loudness["happy"] + 2 > loudness["neutral"] + 4 > loudness["sad"] + 5
    height = {e: np.mean([pitch(w) for w in ws]) for e, ws in waveforms.items()}
    assert height["fear"] > 1.15 * height["neutral"] and height["surprise"] > 1.15 * height["neutral"]
    assert height["happy"] > 1.25 * height["neutral"] and height["neutral"] > 1.2 * height["sad"]
    seconds = {
        emotion: len(speak("We meet tomorrow.", emotion, speaker(0)[0], np.random.default_rng(0)))
        for emotion in ("sad", "neutral", "anger")
    }
    assert 1.05 * seconds["anger"] < seconds["neutral"] < seconds["sad"] / 1.2


def test_voices_of_people_differ_in_pitch():
    low, high = (pitch(speak(SENTENCE, "neutral", speaker(n)[0], np.random.default_rng(0))) for n in (0, 1))
    assert 70 < low < 150 < high < 300


@pytest.mark.slow
def test_emotion_of_new_voices_is_heard_from_simple_statistics():
    extractor = LogMelExtractor()
    features = []
    for number in range(18):
        for index, emotion in enumerate(EMOTIONS):
            frames = extractor(
                speak(SENTENCE, emotion, speaker(number)[0], np.random.default_rng([number, index])), SAMPLING_RATE
            )
            features.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))
    assert accuracy_on_new_people(np.array(features), num_training_people=12) > 0.6


def accuracy_on_new_people(features: np.ndarray, num_training_people: int) -> float:
    """Of a linear classifier; the rows are those of all emotions for one person after the other."""
    labels = np.tile(np.arange(len(EMOTIONS)), len(features) // len(EMOTIONS))
    border = num_training_people * len(EMOTIONS)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    classifier.fit(features[:border], labels[:border])
    return classifier.score(features[border:], labels[border:])


# Faces


def test_faces_are_small_pictures_that_move():
    frames = draw_faces("happy", speaker(0)[1], 4, np.random.default_rng(0))
    assert [frame.shape for frame in frames] == [(IMAGE_SIZE, IMAGE_SIZE, 3)] * 4
    for frame, following in zip(frames, frames[1:], strict=False):
        assert frame.dtype == np.uint8 and frame.std() > 20
        assert not np.array_equal(frame, following)


@pytest.mark.parametrize(("emotion", "other"), [("anger", "surprise"), ("sad", "surprise"), ("anger", "fear")])
def test_emotions_change_brows_eyes_and_mouth_and_not_the_rest(emotion, other):
    first, second = (
        draw_faces(name, speaker(2)[1], 1, np.random.default_rng(3))[0].astype(int) for name in (emotion, other)
    )
    changed = np.abs(first - second).mean(axis=2) > 40
    brows, eyes, mouth = changed[28:43, 30:82], changed[45:57, 30:82], changed[70:95, 30:82]
    assert brows.mean() > 0.2 and eyes.mean() > 0.03 and mouth.mean() > 0.03
    # The corners show the wall.
    assert not changed[:16, :12].any() and not changed[:16, -12:].any()


def test_emotion_of_new_faces_is_seen_from_simple_statistics():
    extractor = HogExtractor()
    features = [
        extractor(draw_faces(emotion, speaker(number)[1], 2, np.random.default_rng([number, index]))).mean(axis=0)
        for number in range(18)
        for index, emotion in enumerate(EMOTIONS)
    ]
    assert accuracy_on_new_people(np.array(features), num_training_people=12) > 0.75


# Files


def test_csv_and_files_belong_together(corpus):
    rows = read_rows(corpus)
    utterances = [u for split in write_dialogues(5, 6).values() for u in split]
    assert [row["utterance_id"] for row in rows] == [u.utterance_id for u in utterances]
    named = [path for row in rows for path in [row["audio"], *row["faces"].split(";")] if path]
    media = [name for name in files_in(corpus) if name.startswith(("audio/", "faces/"))]
    assert sorted(named) == sorted(media)
    for row, utterance in zip(rows, utterances, strict=True):
        assert row["speaker"] == utterance.speaker and row["text"] == utterance.text
        assert tuple(filter(None, row["emotions"].split(";"))) == utterance.emotions
        assert bool(row["audio"]) == bool(row["audio_emotion"]) == (utterance.audio_emotion is not None)
        assert bool(row["faces"]) == bool(row["vision_emotion"]) == (utterance.vision_emotion is not None)
        if row["faces"]:
            assert 2 <= len(row["faces"].split(";")) <= 5
    assert (corpus / "labels.txt").read_text().split() == list(MOSEI_EMOTIONS)


def test_file_names_do_not_tell_the_emotion(corpus):
    assert not [name for name in files_in(corpus) for emotion in EMOTIONS if emotion in name]


def test_sounds_are_16_khz_mono_16_bit(corpus):
    for path in sorted(corpus.glob("audio/*.wav")):
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            assert 16000 <= file.getnframes() <= 48000
        waveform = read_wav(path)
        assert 0.02 < np.abs(waveform).max() < 0.96
        assert waveform.std() > 0.005


def test_faces_are_readable_pictures(corpus):
    for path in sorted(corpus.glob("faces/*.jpg")):
        image = cv2.imread(str(path))
        assert image is not None and image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        assert image.std() > 15


def test_same_seed_writes_the_same_bytes(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_demo_corpus(tmp_path / name, seed=seed, num_dialogues=3)
    one, again, other = (files_in(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert not {content for name, content in one.items() if name != "labels.txt"} & set(other.values())


def test_a_demo_corpus_is_replaced_and_nothing_else(tmp_path):
    write_demo_corpus(tmp_path / "media", seed=1, num_dialogues=3)
    write_demo_corpus(tmp_path / "media", seed=2, num_dialogues=3)
    assert [path.name for path in tmp_path.iterdir()] == ["media"]
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    Path(foreign, "photo.jpg").write_bytes(b"mine")
    with pytest.raises(CorpusError, match="is not a demo corpus"):
        write_demo_corpus(foreign, num_dialogues=3)
    assert files_in(foreign) == {"photo.jpg": b"mine"}


def test_an_interrupted_job_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(demo_corpus, "_write_jpg", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_demo_corpus(tmp_path / "media", num_dialogues=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_dialogues": 2}, "a dialogue for each of train, validation, test, got 2"),
        ({"seed": -1}, "at least 0, got -1"),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    with pytest.raises(CorpusError, match=message):
        write_demo_corpus(tmp_path / "media", **arguments)
    assert not list(tmp_path.iterdir())


# Builder


def test_builder_makes_its_source_and_uses_it_again(tmp_path):
    options = {"source": str(tmp_path / "media"), "seed": 4, "num_dialogues": 3}
    Demo(cache_dir=str(tmp_path / "cache"), **options).download_and_prepare()
    marked = tmp_path / "media" / "labels.txt"
    written = marked.stat().st_mtime_ns
    builder = Demo(cache_dir=str(tmp_path / "another_cache"), **options)
    builder.download_and_prepare()
    assert marked.stat().st_mtime_ns == written
    rows = read_rows(tmp_path / "media")
    built = [row for split in SPLITS for row in builder.as_dataset(split)]
    assert [row["utterance_id"] for row in built] == [row["utterance_id"] for row in rows]
    changed = Demo(cache_dir=str(tmp_path / "cache"), **{**options, "seed": 6})
    changed.download_and_prepare()
    assert (
        changed.as_dataset("train")["text"]
        != [row["text"] for row in rows][: changed.info.splits["train"].num_examples]
    )


def test_builder_needs_a_folder_for_the_media(tmp_path):
    with pytest.raises(CorpusError, match="needs a `source`"):
        Demo(cache_dir=str(tmp_path)).download_and_prepare()
