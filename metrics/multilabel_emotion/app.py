# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The Space of the metric: paste or upload predictions and references, and see the figures. `python app.py`"""

import os
from pathlib import Path


# Read when gradio is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from page import STYLE, compute, refusal, tables


CARD = Path(__file__).with_name("README.md")
NOTHING = '<div class="score"><p class="quiet">The result comes here.</p></div>'
FILE_TYPES, LARGEST_FILE = [".csv", ".jsonl", ".json"], "10mb"
FORMS = [("as the rows show", "default"), ("multi-hot", "multi_hot"), ("label indices", "indices")]
# Fields in the order of `score`, without the files.
EXAMPLES = {
    "Scores with a threshold": [
        "[0.40, 0.35, 0.25]\n[0.20, 0.20, 0.60]\n[0.34, 0.33, 0.33]", "[0, 1]\n[2]\n[]", "0.34", "",
        "happy, surprise, sad", 0.0, "default",
    ],
    "Multi-hot rows": ["[1, 0, 0]\n[0, 1, 0]", "[1, 0, 1]\n[0, 1, 0]", "", "", "", 0.0, "default"],
    "Label indices": ["[[0, 1], [1], []]", "[[0], [1], [2]]", "", "3", "", 0.0, "default"],
    "Rows without any label": ["[0, 0, 0]\n[1, 0, 0]", "[0, 0, 0]\n[1, 0, 0]", "", "", "", 1.0, "default"],
    "Two labels": ["[0, 1]\n[1, 0]", "[0, 1]\n[0, 1]", "", "", "", 0.0, "multi_hot"],
}  # fmt: skip


def score(
    predictions: str, references: str, threshold: str, num_labels: str, label_names: str, empty_score: float,
    configuration: str, predictions_file: str | None = None, references_file: str | None = None,
) -> str:  # fmt: skip
    """Tables of results, or what is wrong with the input."""
    try:
        results = compute(
            predictions, predictions_file, references, references_file, threshold, num_labels, label_names,
            empty_score, configuration,
        )  # fmt: skip
    except ValueError as error:
        return refusal(str(error))
    return tables(results)


def card() -> str:
    """The metric card without its front matter."""
    return CARD.read_text(encoding="utf-8").split("---\n", 2)[2]


def rows_field(name: str, info: str) -> tuple[gr.Textbox, gr.File]:
    """A field for pasted rows and one for a file of them, side by side."""
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            label=name.capitalize(), info=info, lines=5, max_lines=12, scale=4, elem_id=name, placeholder="[1, 0, 0]"
        )
        # Narrower, and the name of the file has no room beside its size.
        file = gr.File(
            label="or a file", file_types=FILE_TYPES, height=150, scale=3, min_width=240, elem_id=f"{name}-file"
        )
    return text, file


def build_demo() -> gr.Blocks:
    """The page."""
    # What visitors upload is gone after an hour.
    with gr.Blocks(title="Multi-label Emotion", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(
            "# Multi-label emotion metric\nOne row an utterance, as JSON lists: one a line, or one list of them all. "
            "Files: CSV, whose first line may name the labels, or JSON lines."
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=3):
                predictions, predictions_file = rows_field("predictions", "multi-hot, label indices, or scores")
                references, references_file = rows_field("references", "multi-hot or label indices")
                with gr.Row():
                    threshold = gr.Textbox(label="Threshold", info="where predictions are scores", max_lines=1,
                                           elem_id="threshold")  # fmt: skip
                    num_labels = gr.Textbox(label="Number of labels", info="for indices without label names",
                                            max_lines=1, elem_id="num-labels")  # fmt: skip
                label_names = gr.Textbox(label="Label names", info="in order, with commas between them", max_lines=1,
                                         placeholder="happy, sad, fear", elem_id="label-names")  # fmt: skip
                with gr.Row():
                    empty_score = gr.Radio([("0", 0.0), ("1", 1.0)], value=0.0, label="Empty score",
                                           info="accuracy of a row with neither label nor prediction",
                                           elem_id="empty-score")  # fmt: skip
                    configuration = gr.Radio(FORMS, value="default", label="Read rows", elem_id="configuration",
                                             info="has to be said where there are two labels")  # fmt: skip
                fields = [predictions, references, threshold, num_labels, label_names, empty_score, configuration]
                files = [predictions_file, references_file]
                with gr.Row():
                    clear = gr.Button("Clear", elem_id="clear")
                    run = gr.Button("Score", variant="primary", elem_id="run")
                gr.Examples(list(EXAMPLES.values()), fields, example_labels=list(EXAMPLES), cache_examples=False)
            with gr.Column(scale=2):
                results = gr.HTML(NOTHING, elem_id="results")
        with gr.Accordion("About this metric", open=True):
            gr.Markdown(card(), elem_id="card")
        run.click(score, [*fields, *files], results, concurrency_limit=1, api_name="score")
        clear.click(
            lambda: ("", "", "", "", "", 0.0, "default", None, None, NOTHING), None, [*fields, *files, results],
            queue=False, api_visibility="private",
        )  # fmt: skip
    return page.queue(max_size=20, default_concurrency_limit=1)


if __name__ == "__main__":
    # Fonts of the system: gradio's own would be fetched from elsewhere.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    build_demo().launch(theme=theme, css=STYLE, max_file_size=LARGEST_FILE, ssr_mode=False, footer_links=[])
