# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a lab has on its disk before it knows this package: one sheet from a spreadsheet, and a folder of videos.

`python benchmarks/first_hour.py FOLDER` writes it: `sheet.csv` with semicolons, in cp1252 and with decimal commas; 100
clips in nested folders with accents, some of them .MP4; one long video with a row for each of its utterances; and five
files that cannot be used. The 12 emotions are none of this package's own. `first_hour.sh` goes from there to a table
of five folds by speaker in six commands. Words, voices and faces are those of the demo corpus.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from modeling_univa.corpora.demo.dialogues import NAMES, DemoUtterance, write_dialogues
from modeling_univa.corpora.demo.face import Appearance, draw_faces
from modeling_univa.corpora.demo.voice import SAMPLING_RATE, Voice, speak


FRAME_RATE = 10
CLIPS, LONG_UTTERANCES = 100, 12
# Sessions are those of a few couples, so that folds may leave speakers out.
COUPLES = 6
# What the lab calls each emotion of the demo corpus where it is weak and where it is strong.
OWN_WORDS = {
    "happy": ("Contentment", "Elation"),
    "sad": ("Melancholy", "Grief"),
    "anger": ("Irritation", "Rage"),
    "surprise": ("Wonder", "Shock"),
    "disgust": ("Distaste", "Revulsion"),
    "fear": ("Anxiety", "Panic"),
}
# Valence and arousal on [0, 1], as in the lexicon of a lab.
LEXICON = {
    "contentment": (0.9, 0.3), "elation": (0.95, 0.8), "melancholy": (0.25, 0.3), "grief": (0.1, 0.6),
    "irritation": (0.2, 0.6), "rage": (0.1, 0.95), "wonder": (0.75, 0.6), "shock": (0.3, 0.9),
    "distaste": (0.25, 0.4), "revulsion": (0.1, 0.7), "anxiety": (0.2, 0.8), "panic": (0.1, 0.95),
}  # fmt: skip
COLUMNS = ("Session", "Turn", "Speaker", "Transcript", "Emotions", "File", "Start", "End")
# The last is in the sheet alone.
BROKEN = ("empty.mp4", "cut off.mp4", "notes.mp4", "zeros.mp4", "lost.mp4")


def make_sheet(folder: Path, seed: int = 3, clips: int = CLIPS, long_utterances: int = LONG_UTTERANCES) -> None:
    """
    Write `sheet.csv`, the folder `videos` and `lexicon.txt`.

    Args:
        folder: a new folder.
        seed: what everything is drawn from.
        clips, long_utterances: number of videos of one utterance, and of utterances of the long video.
    """
    utterances = _utterances(seed, clips + long_utterances)
    videos = folder / "videos"
    rows = [_write_clip(videos, utterance, index, seed) for index, utterance in enumerate(utterances[:clips])]
    session = [replace(one, dialogue_id="long_d0", position=turn) for turn, one in enumerate(utterances[clips:])]
    rows += _write_long(videos, session, seed)
    rows += _write_broken(videos, rows[0])
    with open(folder / "sheet.csv", "w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"{word}\t{valence}\t{arousal}\n" for word, (valence, arousal) in LEXICON.items()]
    (folder / "lexicon.txt").write_text("".join(["Word\tValence\tArousal\n", *lines]), encoding="utf-8")


def _utterances(seed: int, count: int) -> list[DemoUtterance]:
    """Those with a voice and a face of all splits, whose casts differ."""
    drawn = write_dialogues(seed, max(12, count // 3))
    found = [one for split in ("train", "validation", "test") for one in drawn[split]]
    return [one for one in found if one.audio_emotion and one.vision_emotion][:count]


def _person(utterance: DemoUtterance) -> int:
    session = int(utterance.dialogue_id.rpartition("d")[2])
    return 2 * (session % COUPLES) + utterance.position % 2


def _row(utterance: DemoUtterance, file: str, start: str = "", end: str = "") -> dict[str, str | int]:
    words = [OWN_WORDS[emotion][_is_strong(utterance)] for emotion in utterance.emotions if emotion in OWN_WORDS]
    return {
        "Session": utterance.dialogue_id,
        "Turn": utterance.position + 1,
        "Speaker": NAMES[_person(utterance)].replace("e", "é", 1),
        "Transcript": utterance.text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
        "Emotions": ", ".join(words),
        "File": file,
        "Start": start,
        "End": end,
    }


def _is_strong(utterance: DemoUtterance) -> bool:
    return utterance.position // 2 % 2 == 1


def _write_clip(videos: Path, utterance: DemoUtterance, index: int, seed: int) -> dict[str, str | int]:
    suffix = ".MP4" if index % 3 == 0 else ".mp4"
    path = videos / f"Prés de l'été {index % 4}" / utterance.dialogue_id / f"prise_{index:03}_é{suffix}"
    _write_video(path, [_shown(utterance, seed)])
    # People type the ending as they are used to, and leave out the folders.
    return _row(utterance, path.with_suffix(".mp4").name)


def _write_long(videos: Path, utterances: Sequence[DemoUtterance], seed: int) -> list[dict[str, str | int]]:
    """One video of a whole session, with the time of each utterance as a stopwatch shows it."""
    shown = [_shown(utterance, seed) for utterance in utterances]
    _write_video(videos / "sessions entières" / "long session.mp4", shown)
    rows, start = [], 0.0
    for utterance, (faces, _) in zip(utterances, shown, strict=True):
        end = start + len(faces) / FRAME_RATE
        rows.append(_row(utterance, "long session.mp4", _stopwatch(start), _stopwatch(end)))
        start = end
    return rows


def _stopwatch(seconds: float) -> str:
    return f"00:{int(seconds // 60):02}:{seconds % 60:04.1f}".replace(".", ",")


def _write_broken(videos: Path, row: dict[str, str | int]) -> list[dict[str, str | int]]:
    folder = videos / "à refaire"
    folder.mkdir(parents=True)
    sound = next(videos.rglob("prise_*"))
    (folder / "empty.mp4").touch()
    (folder / "cut off.mp4").write_bytes(sound.read_bytes()[:2000])
    (folder / "notes.mp4").write_text("see the other disk", encoding="utf-8")
    (folder / "zeros.mp4").write_bytes(bytes(5000))
    return [{**row, "Session": "broken", "Turn": turn, "File": name} for turn, name in enumerate(BROKEN, start=1)]


def _shown(utterance: DemoUtterance, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Faces (112, 112, 3) uint8, ten a second, and the voice in [-1, 1], (samples,), of the same length."""
    rng = np.random.default_rng([seed, *utterance.utterance_id.encode()])
    person = np.random.default_rng([seed, _person(utterance)])
    low = _person(utterance) % 2 == 0
    voice, appearance = Voice.draw(person, high=not low), Appearance.draw(person, bearded=low)
    strength = 1.0 if _is_strong(utterance) else 0.6
    sound = speak(utterance.text, str(utterance.audio_emotion), voice, rng, intensity=strength)
    frames = -(-len(sound) * FRAME_RATE // SAMPLING_RATE)
    sound = np.pad(sound, (0, frames * SAMPLING_RATE // FRAME_RATE - len(sound))).astype(np.float32)
    return draw_faces(str(utterance.vision_emotion), appearance, frames, rng, strength), sound


def _write_video(path: Path, shown: Sequence[tuple[list[np.ndarray], np.ndarray]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=FRAME_RATE)
        picture.width, picture.height, picture.pix_fmt = 112, 112, "yuv420p"
        voice = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
        for image in (image for faces, _ in shown for image in faces):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        samples = np.concatenate([sound for _, sound in shown])
        for start in range(0, len(samples), 1024):
            chunk = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            chunk.rate, chunk.pts, chunk.time_base = SAMPLING_RATE, start, Fraction(1, SAMPLING_RATE)
            container.mux(voice.encode(chunk))
        container.mux([*picture.encode(), *voice.encode()])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True)
    make_sheet(options.folder, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
