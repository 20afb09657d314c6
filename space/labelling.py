# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the Space does with a clip; in a process of its own, which may be ended at any moment (`workers`).

Models and clips come from strangers. What a visitor did wrong is a `VisitorError`; whatever else goes wrong is for the
log alone, since its words may tell of the server.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.utils import HFValidationError, validate_repo_id
from views import bars, common_span, plane, timeline, words

from modeling_univa import UnivaConfig, UnivaPipeline, UnivaProcessor
from modeling_univa.models.affect_scorers_univa import load_scorer
from modeling_univa.models.faces_univa import FaceTrack
from modeling_univa.models.media_univa import MediaError, NoSoundError, media_duration, read_audio
from modeling_univa.models.systems import system_of
from modeling_univa.models.utterance_media_univa import UtteranceMedia
from modeling_univa.prediction.affect_plane import emotion_points, spread_names
from modeling_univa.prediction.score_bars import BLOCKS, score_notes


MODEL = os.environ.get("UNIVA_MODEL", "")
SCORERS = {name: os.environ.get(f"UNIVA_VA_{name.upper()}") for name in ("text", "audio", "vision")}
# Seconds, characters, and gigabytes of a repository that a visitor names.
LONGEST_CLIP, LONGEST_TEXT, LARGEST_MODEL = 120, 5000, float(os.environ.get("UNIVA_LARGEST_MODEL", 2))
FRAMES_SHOWN = 4

_NAME_IT = "Name a model on the Hub, as ORG/NAME or ORG/NAME@REVISION."
# Anything like a path of the server in the words of a decoder.
_PATH = re.compile(r"(?<!\w)(?:[A-Za-z]:)?[/\\][^\s'\",;:()]+")

Result = tuple[str, str, str, list[tuple[Any, str]]]


class VisitorError(ValueError):
    """Something that the visitor did; its message is shown, and names nothing of the server."""


def start() -> None:
    """Load the model that the app was started with."""
    if MODEL:
        load(MODEL)


def answer(name: str, video: str | None, audio: str | None, text: str) -> Result:
    """Bars, plane, attention, and the faces that were attended to most, of one clip."""
    dialogue = read_dialogue(text)
    if len(text) > LONGEST_TEXT:
        raise VisitorError(f"The text has {len(text)} characters; this demo takes at most {LONGEST_TEXT}.")
    for what, file in (("video", video), ("sound", audio)):
        if file is not None:
            check_length(what, file)
    classifier = load(name.strip())
    check_something(classifier, video, audio, dialogue)
    # Nothing beyond the longest clip is decoded, whatever the file says of its length.
    media = classifier.media(video=video, audio=audio, end=LONGEST_CLIP)
    try:
        found = predicted(classifier, dialogue, media)
    except MediaError as error:
        raise media_mistake("sound" if error.source == audio else "video", error) from error
    return show(classifier.model.config, dialogue, media, found)


def predicted(classifier: UnivaPipeline, dialogue: list[str], media: UtteranceMedia) -> dict[str, Any]:
    """What the pipeline says of the last utterance of a dialogue; `media` keeps the faces that were read."""
    with_va = any(SCORERS.values())
    prepared = classifier.read(tuple(dialogue) or ("",), max(0, len(dialogue) - 1), media, return_va=with_va)
    (output,) = classifier.forward([prepared], return_va=with_va, return_attention=True)
    return classifier.postprocess(output, threshold=None)


def read_dialogue(text: str) -> list[str]:
    """One utterance a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def media_mistake(what: str, error: MediaError) -> VisitorError:
    """The reason without a path of the server."""
    reason = _PATH.sub("…", error.reason).rstrip(".")
    return VisitorError(f"Your {what} cannot be used: {reason}.")


def check_length(what: str, file: str) -> None:
    """Refuse a clip that says that it is too long, and a sound that is too long whatever it says."""
    try:
        seconds = media_duration(file)
        if seconds > LONGEST_CLIP:
            raise VisitorError(f"The clip lasts {seconds:.0f} s; this demo takes at most {LONGEST_CLIP} s.")
        read_audio(file, 8000, max_seconds=LONGEST_CLIP + 1)
    except NoSoundError:
        pass
    except MediaError as error:
        raise media_mistake(what, error) from error


def check_something(classifier: UnivaPipeline, video: str | None, audio: str | None, dialogue: list[str]) -> None:
    """Refuse a clip that has nothing of what the model takes."""
    given = {"text": bool(dialogue), "audio": bool(audio or video), "vision": video is not None}
    taken = classifier.processor.modalities
    if not any(given[modality] for modality in taken):
        kinds = {"text": "words", "audio": "sound", "vision": "a video"}
        raise VisitorError(f"There is nothing to label: the model takes {', '.join(kinds[one] for one in taken)}.")


# Models


@lru_cache(maxsize=2)
def load(name: str) -> UnivaPipeline:
    """
    The pipeline of a model, by the code of the installed package: that in a stranger's repository is never run.

    Raises:
        VisitorError: it is not a Hub id (nor the model that this app was started with), could not be downloaded, is
            too large or is not a UniVA.
    """
    if name == MODEL and name:
        return _pipeline(name, "main")
    repository, _, revision = name.partition("@")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ""
    # A folder of this machine is not for others to look into.
    if repository.count("/") != 1 or Path(repository).exists():
        raise VisitorError(_NAME_IT)
    try:
        commit = check_repository(repository, revision or "main")
        kind = UnivaConfig.get_config_dict(repository, revision=commit)[0].get("model_type")
    except (OSError, ValueError) as error:
        if isinstance(error, VisitorError):
            raise
        raise VisitorError(f"{name} cannot be loaded from the Hub: is it there, public, and a UniVA?") from error
    if kind != UnivaConfig.model_type:
        raise VisitorError(f"{name} is not a UniVA.")
    return _pipeline(repository, commit)


def check_repository(repository: str, revision: str) -> str:
    """The commit of a model that a visitor names, whose weights are safetensors and not too large."""
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    sizes = {item.rfilename: item.size or 0 for item in info.siblings or []}
    if not any(name.endswith(".safetensors") for name in sizes):
        raise VisitorError(f"{repository} has no safetensors, which are the only weights that this demo loads.")
    if sum(sizes.values()) > LARGEST_MODEL * 2**30:
        raise VisitorError(f"{repository} has more than {LARGEST_MODEL:g} GB; this demo loads no more.")
    return info.sha or revision


def _pipeline(repository: str, revision: str) -> UnivaPipeline:
    processor = UnivaProcessor.from_pretrained(repository, revision=revision)
    if repository != MODEL:
        _check_extractors(processor)
    return UnivaPipeline(
        model=system_of(repository, revision=revision).from_pretrained(
            repository, revision=revision, use_safetensors=True
        ),
        processor=processor,
        va_scorers={modality: load_scorer(modality, scorer) for modality, scorer in SCORERS.items() if scorer},
    )


def _check_extractors(processor: UnivaProcessor) -> None:
    """Networks that a visitor's model names have the same limits; files for a detector's parser are not taken."""
    for modality, settings in processor.extractors.items():
        model = settings.get("model")
        if settings.get("detector_model") is not None:
            raise VisitorError("This model brings a face detector of its own, which this demo does not load.")
        if isinstance(model, str) and not model.startswith("./") and processor.can_extract(modality):
            # Refuses whatever is not on the Hub.
            processor.resolved_extractor(modality)
            check_repository(model, settings.get("revision") or "main")


# Results


def show(config: UnivaConfig, dialogue: list[str], media: UtteranceMedia, found: dict[str, Any]) -> Result:
    """The results of the pipeline as the page shows them."""
    scores = {one["label"]: one["score"] for one in found["emotions"]}
    thresholds = dict(zip(config.label_names, config.label_thresholds, strict=True))
    attention = found["attention"]
    parts = []
    if "text" in attention:
        parts.append(words(dialogue[-1] if dialogue else "", attention["text"]))
    span = common_span(attention.get("audio"), attention.get("vision"))
    notes = {"audio": "", "vision": whose_face(media)}
    for modality, title in (("audio", "Sound"), ("vision", "Face")):
        if modality in attention:
            parts.append(timeline(title, attention[modality], span, notes[modality]))
    points = emotion_points(config)
    affect = found.get("valence_arousal", {})
    return (
        bars(scores, thresholds, score_notes(config, config.decision_threshold, BLOCKS)),
        plane(points, scores, thresholds, affect, spread_names(points, 0.06, 0.13)),
        "".join(parts),
        attended_faces(media.followed, attention.get("vision")),
    )


def whose_face(media: UtteranceMedia) -> str:
    """Which face of a video was followed and when, and what was noted of it; "" where there is no video."""
    face, note = media.followed, media.notes.get("vision")
    told = [face.whose if face is not None else None, _PATH.sub("…", note.reason) if note is not None else None]
    return "; ".join(part for part in told if part)


def attended_faces(face: FaceTrack | None, frames: list[dict[str, Any]] | None) -> list[tuple[Any, str]]:
    """The crops that the model saw with the most weight, in order of time, with that weight."""
    if face is None or not frames or frames[0]["start"] is None:
        return []
    # The longest input of the model cuts what is beyond it.
    seen = list(zip(frames, face.images, strict=False))
    heaviest = sorted(seen, key=lambda pair: -pair[0]["weight"])[:FRAMES_SHOWN]
    heaviest.sort(key=lambda pair: pair[0]["start"])
    return [(image, f"{frame['start']:.1f} s: {100 * frame['weight']:.0f} %") for frame, image in heaviest]
