# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The Space: upload or record someone speaking, type the transcript, and see what a UniVA makes of it.

    UNIVA_MODEL=ORG/NAME python app.py

`UNIVA_MODEL` names the model to begin with. `UNIVA_VA_TEXT`, `UNIVA_VA_AUDIO` and `UNIVA_VA_VISION` name scorers of
valence and arousal, whose scores are then shown too.
"""

import os
from html import escape
from typing import Any


# Read when gradio is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from views import STYLE, no_result
from workers import Busy, Fault, Pool, Refused


MODEL = os.environ.get("UNIVA_MODEL", "")
# Processes, and the longest time for a request in seconds, the download of a visitor's model included.
WORKERS, SECONDS = int(os.environ.get("UNIVA_WORKERS", 2)), float(os.environ.get("UNIVA_SECONDS", 120))
LARGEST_FILE, LONGEST_TEXT, FRAMES_SHOWN = "100mb", 5000, 4
EXAMPLES = [
    "I got the job! I still cannot believe it.",
    "Where have you been?\nOut.\nYou could have called. I was worried sick.",
    "There was a hair in my soup, and they charged me for it.",
    "We had the meeting at ten, and then everybody went back to work.",
]
# What Markdown would make something of.
_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*_{}[]()#+!|~"})


def make_label(pool: Pool) -> Any:
    """The function of the button: bars, plane, attention and faces of one clip."""

    def label(
        model: str, video: str | None, audio: str | None, text: str
    ) -> tuple[str, str, str, list[tuple[Any, str]]]:
        try:
            return pool.answer(model, video, audio, text)
        except Refused as error:
            message = str(error)
        except Busy:
            message = "This took too long and was stopped. Try a shorter clip or a smaller model."
        except Fault as error:
            message = f"This did not work, for a reason that the log of this app has under {error}."
        raise gr.Error(shown(message), print_exception=False)

    return label


def shown(message: str) -> str:
    """A message as the page shows it letter by letter: parts of it are the visitor's own words."""
    return escape(" ".join(message.split())).translate(_MARKS)


def build(pool: Pool) -> gr.Blocks:
    """The page."""
    # What visitors upload is gone after an hour.
    with gr.Blocks(title="UniVA", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(
            "# Emotions in a clip\nAdd any of picture, sound and words of someone speaking. The model labels what "
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
                    label="Transcript", lines=3, max_lines=8, max_length=LONGEST_TEXT, elem_id="text",
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
                        label="Faces with the most attention", show_label=False, columns=FRAMES_SHOWN, height=190,
                        elem_id="pictures", buttons=[],
                    )  # fmt: skip
        outputs = [scores, affect, attention, pictures]
        run.click(make_label(pool), [model, video, audio, text], outputs, concurrency_limit=WORKERS, api_name="label")
        clear.click(
            lambda: (None, None, "", no_result(), "", no_result(), []), None, [video, audio, text, *outputs],
            queue=False, api_visibility="private",
        )  # fmt: skip
    return page.queue(max_size=20, default_concurrency_limit=1)


if __name__ == "__main__":
    # Fonts of the system: gradio's own would be fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    # In this block alone: the processes that it starts import this file, too.
    build(Pool(WORKERS, "labelling", SECONDS)).launch(
        theme=theme, css=STYLE, max_file_size=LARGEST_FILE, ssr_mode=False, footer_links=[]
    )
