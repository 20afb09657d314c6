# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The dialogues of the demo corpus: who speaks, how the mood moves, and which emotion each modality shows.

A dialogue has a topic, two people and a mood that lasts for some utterances and then shifts to a related one. The
words follow the mood; voice and face follow the words most of the time and now and then tell something else. The
target of an utterance is the set of what its modalities show, so that none of them alone is enough.
"""

from dataclasses import dataclass, field

import numpy as np

from ...data.schema import CorpusError
from ...models.configuration_univa import MOSEI_EMOTIONS
from .sentences import TOPICS, compose_sentence


SPLITS = ("train", "validation", "test")
# Low and high voices take turns; a person belongs to one split, so that no voice or face is seen before the test.
NAMES = (
    "Adam", "Alma", "Bruno", "Bea", "Carl", "Clara", "David", "Dora", "Emil", "Edith", "Frank", "Fiona", "George",
    "Greta", "Henry", "Hanna", "Ivan", "Ines", "Jack", "Julia", "Karim", "Kate", "Leo", "Lena", "Martin", "Maya",
    "Noah", "Nora", "Omar", "Olga", "Paul", "Paula", "Ravi", "Rosa", "Simon", "Sofia", "Theo", "Tessa", "Victor",
    "Vera",
)  # fmt: skip
CASTS = {"train": range(24), "validation": range(24, 32), "test": range(32, 40)}
# Moods that a mood turns into.
NEXT_MOODS = {
    "happy": ("surprise", "sad", "disgust"),
    "sad": ("anger", "happy", "fear"),
    "anger": ("sad", "disgust", "surprise"),
    "surprise": ("happy", "fear", "anger", "disgust"),
    "disgust": ("anger", "happy", "fear"),
    "fear": ("surprise", "sad", "happy"),
}
MOOD_LASTS = 0.65
WORDS_FOLLOW_MOOD = 0.75
WORDS_ARE_NEUTRAL = 0.17
VOICE_FOLLOWS_WORDS = 0.56
FACE_FOLLOWS_WORDS = 0.54
NEUTRAL_DELIVERY = 0.18
ABSENT = 0.04
_DIALOGUE_STREAM = 1


@dataclass(frozen=True)
class DemoUtterance:
    """One utterance before any sound or picture is made of it.

    `person` indexes `NAMES`. `audio_emotion` and `vision_emotion` are None where that modality is absent.
    """

    utterance_id: str
    dialogue_id: str
    position: int
    person: int
    text: str
    text_emotion: str
    audio_emotion: str | None
    vision_emotion: str | None
    emotions: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        shown = {self.text_emotion, self.audio_emotion, self.vision_emotion}
        object.__setattr__(self, "emotions", tuple(emotion for emotion in MOSEI_EMOTIONS if emotion in shown))

    @property
    def speaker(self) -> str:
        """Name of the person who speaks."""
        return NAMES[self.person]


def write_dialogues(seed: int, num_dialogues: int) -> dict[str, list[DemoUtterance]]:
    """Draw the utterances of every split, dialogue by dialogue and in order; the same seed draws the same ones.

    Raises:
        CorpusError: A negative seed, or fewer than three dialogues, which is one a split.
    """
    if seed < 0:
        raise CorpusError(f"the seed of the demo corpus must be at least 0, got {seed}")
    if num_dialogues < len(SPLITS):
        raise CorpusError(f"the demo corpus needs a dialogue for each of {', '.join(SPLITS)}, got {num_dialogues}")
    held_out = max(1, round(num_dialogues * 8 / 60))
    counts = {"train": num_dialogues - 2 * held_out, "validation": held_out, "test": held_out}
    return {
        split: [utterance for index in range(counts[split]) for utterance in _write_dialogue(seed, split, index)]
        for split in SPLITS
    }


def _write_dialogue(seed: int, split: str, index: int) -> list[DemoUtterance]:
    rng = np.random.default_rng([seed, _DIALOGUE_STREAM, SPLITS.index(split), index])
    # Opening moods and topics take turns, so that a split of a few dialogues has all of the emotions; each split
    # begins with others, since those that come first may come once more.
    mood = MOSEI_EMOTIONS[(index + 2 * SPLITS.index(split)) % len(MOSEI_EMOTIONS)]
    topic = TOPICS[(5 * index + seed) % len(TOPICS)]
    pair = rng.choice(CASTS[split], size=2, replace=False)
    turn, said = 0, set[str]()
    utterances = []
    for position in range(rng.integers(4, 9)):
        if position:
            mood = mood if rng.random() < MOOD_LASTS else _pick(NEXT_MOODS[mood], rng)
            turn = turn if rng.random() < 0.15 else 1 - turn
        words = _draw_words(mood, rng)
        text = compose_sentence(words, topic, NAMES[pair[1 - turn]], said, rng)
        utterances.append(
            DemoUtterance(
                utterance_id=f"{split}_d{index}_u{position}",
                dialogue_id=f"{split}_d{index}",
                position=position,
                person=int(pair[turn]),
                text=text,
                text_emotion=words,
                audio_emotion=_draw_delivery(words, mood, VOICE_FOLLOWS_WORDS, rng),
                vision_emotion=_draw_delivery(words, mood, FACE_FOLLOWS_WORDS, rng),
            )
        )
    return utterances


def _draw_words(mood: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < WORDS_FOLLOW_MOOD:
        return mood
    return "neutral" if draw < WORDS_FOLLOW_MOOD + WORDS_ARE_NEUTRAL else _pick(NEXT_MOODS[mood], rng)


def _draw_delivery(words: str, mood: str, follows: float, rng: np.random.Generator) -> str | None:
    """The emotion of a voice or a face: that of the words, none, that of the mood or of one near it; or absent."""
    absent, draw = rng.random() < ABSENT, rng.random()
    other = _pick((mood, *NEXT_MOODS[mood]), rng)
    if absent:
        return None
    if draw < follows:
        return words
    return "neutral" if draw < follows + NEUTRAL_DELIVERY else other


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[rng.integers(len(choices))]
