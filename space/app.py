# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The Space: upload or record somebody speaking, type what is said, and see what a UniVA makes of it.

    UNIVA_MODEL=ORG/NAME python app.py

`UNIVA_MODEL` names the model to begin with. `UNIVA_VA_TEXT`, `UNIVA_VA_AUDIO` and `UNIVA_VA_VISION` name scorers of
valence and arousal, whose scores are then shown too.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any


# Read when gradio is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from huggingface_hub.utils import HFValidationError, validate_repo_id
from views import STYLE, bars, common_span, no_result, plane, timeline, words

from modeling_univa import UnivaConfig, UnivaForEmotionClassification, UnivaProcessor
from modeling_univa.affect.scorers import load_scorer
from modeling_univa.media_univa import iter_frames, media_duration
from modeling_univa.pipeline_univa import UnivaPipeline
from modeling_univa.prediction_plot import emotion_points


MODEL = os.environ.get("UNIVA_MODEL", "")
SCORERS = {name: os.environ.get(f"UNIVA_VA_{name.upper()}") for name in ("text", "audio", "vision")}
LONGEST_CLIP, LARGEST_FILE, LONGEST_TEXT = 120, "100mb", 5000
FRAMES_SHOWN = 4
EXAMPLES = [
    "I got the job! I still cannot believe it.",
    "Where have you been?\nOut.\nYou could have called. I was worried sick.",
    "There was a hair in my soup, and they charged me for it.",
    "We had the meeting at ten, and then everybody went back to work.",
]


@lru_cache(maxsize=2)
def load(name: str) -> UnivaPipeline:
    """The pipeline of a model, by the code of the installed package: that in a stranger's repository is never run.

    Raises:
        ValueError: it is no Hub id (nor the folder that this app was started with), it cannot be had, or is no UniVA.
    """
    repository, _, revision = (name, "", "") if name == MODEL else name.partition("@")
    if repository != MODEL:
        try:
            validate_repo_id(repository)
        except HFValidationError:
            repository = ""
    # A folder of this machine is nobody's to look into.
    if not repository or (repository != MODEL and (repository.count("/") != 1 or Path(repository).exists())):
        raise ValueError(f"Name a model on the Hub, as ORG/NAME or ORG/NAME@REVISION; got {name!r}.")
    try:
        return _load(repository, revision or "main")
    except OSError as error:
        raise ValueError(f"{name} cannot be loaded: {error}") from error


def _load(repository: str, revision: str) -> UnivaPipeline:
    kind = UnivaConfig.get_config_dict(repository, revision=revision)[0].get("model_type")
    if kind != UnivaConfig.model_type:
        raise ValueError(f"{repository} is a model of type {kind!r}, not a UniVA.")
    return UnivaPipeline(
        model=UnivaForEmotionClassification.from_pretrained(repository, revision=revision),
        processor=UnivaProcessor.from_pretrained(repository, revision=revision),
        va_scorers={modality: load_scorer(modality, scorer) for modality, scorer in SCORERS.items() if scorer},
    )


def read_dialogue(text: str) -> list[str]:
    """One utterance a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def label(model: str, video: str | None, audio: str | None, text: str) -> tuple[str, str, str, list[tuple[Any, str]]]:
    """Bars, plane, attention, and the pictures that were attended to most, of one clip."""
    try:
        return _label(model.strip(), video, audio, text)
    except (ValueError, OSError, ImportError) as error:
        raise gr.Error(" ".join(str(error).split()), print_exception=False) from error


def _label(model: str, video: str | None, audio: str | None, text: str) -> tuple[str, str, str, list[tuple[Any, str]]]:
    for file in filter(None, (video, audio)):
        seconds = media_duration(file)
        if seconds > LONGEST_CLIP:
            raise ValueError(f"The clip lasts {seconds:.0f} s; this demo takes {LONGEST_CLIP} s at the most.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The text has {len(text)} characters; this demo takes {LONGEST_TEXT} at the most.")
    classifier = load(model)
    dialogue = read_dialogue(text)
    found = classifier(
        {"text": dialogue or None, "video": video, "audio": audio},
        threshold=None, return_attention=True, return_va=any(SCORERS.values()),
    )  # fmt: skip
    config = classifier.model.config
    scores = {one["label"]: one["score"] for one in found["emotions"]}
    attention = found["attention"]
    parts = []
    if "text" in attention:
        parts.append(words(dialogue[-1] if dialogue else "", attention["text"]))
    span = common_span(attention.get("audio"), attention.get("vision"))
    for modality, title in (("audio", "Sound"), ("vision", "Face")):
        if modality in attention:
            parts.append(timeline(title, attention[modality], span))
    points = emotion_points(config)
    affect = found.get("valence_arousal", {})
    return (
        bars(scores, config.decision_threshold),
        plane(points, scores, config.decision_threshold, affect) if points else "",
        "".join(parts),
        attended_pictures(video, attention.get("vision")),
    )


def attended_pictures(video: str | None, frames: list[dict[str, Any]] | None) -> list[tuple[Any, str]]:
    """The pictures of a video whose faces have the most weight, in order of time, with that weight."""
    if video is None or not frames or frames[0]["start"] is None:
        return []
    heaviest = sorted(sorted(frames, key=lambda frame: -frame["weight"])[:FRAMES_SHOWN], key=lambda one: one["start"])
    pictures = []
    for frame in heaviest:
        picture = next(iter(iter_frames(video, start=frame["start"])))
        pictures.append((picture.image, f"{frame['start']:.1f} s: {100 * frame['weight']:.0f} %"))
    return pictures


def build() -> gr.Blocks:
    """The page."""
    # What visitors upload is gone after an hour.
    with gr.Blocks(title="UniVA", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(
            "# Emotions in a clip\nGive any of picture, sound and words of somebody speaking. The model labels what "
            "an observer would see and hear in them, which need not be what they feel."
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=2):
                model = gr.Textbox(MODEL, label="Model", placeholder="ORG/NAME, any UniVA on the Hub", max_lines=1)
                with gr.Tab("Video"):
                    video = gr.Video(
                        label="Video", show_label=False, sources=["upload", "webcam"], include_audio=True, height=320,
                        webcam_options=gr.WebcamOptions(mirror=False), elem_id="video",
                    )  # fmt: skip
                with gr.Tab("Sound alone"):
                    audio = gr.Audio(
                        label="Sound", show_label=False, sources=["upload", "microphone"], type="filepath",
                        elem_id="audio",
                    )  # fmt: skip
                text = gr.Textbox(
                    label="What is said", lines=3, max_lines=8, max_length=LONGEST_TEXT, elem_id="text",
                    info="A dialogue has one utterance a line; the last one is labelled.",
                )  # fmt: skip
                with gr.Row():
                    clear = gr.Button("Clear", elem_id="clear")
                    run = gr.Button("Label", variant="primary", elem_id="run")
                gr.Examples(EXAMPLES, text, label="Examples (words alone)")
            with gr.Column(scale=3):
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=300):
                        scores = gr.HTML(no_result(), elem_id="scores")
                    with gr.Column(min_width=300):
                        affect = gr.HTML(elem_id="plane")
                with gr.Accordion("What the model attended to", open=True):
                    attention = gr.HTML(no_result(), elem_id="attention")
                    pictures = gr.Gallery(
                        label="Pictures with the most attention", show_label=False, columns=FRAMES_SHOWN, height=190,
                        elem_id="pictures", buttons=[],
                    )  # fmt: skip
        outputs = [scores, affect, attention, pictures]
        run.click(label, [model, video, audio, text], outputs, concurrency_limit=1, api_name="label")
        clear.click(
            lambda: (None, None, "", no_result(), "", no_result(), []), None, [video, audio, text, *outputs],
            queue=False, api_visibility="private",
        )  # fmt: skip
    return page.queue(max_size=20, default_concurrency_limit=1)


if __name__ == "__main__":
    # Fonts of the system: gradio's own would be fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    build().launch(theme=theme, css=STYLE, max_file_size=LARGEST_FILE, ssr_mode=False, footer_links=[])
