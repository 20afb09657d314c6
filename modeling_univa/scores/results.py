# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores of a model on a data set, in the forms in which the Hub wants them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from ..models.files_univa import write_text
from .headline import METRICS
from .predictions import Predictions
from .thresholds import Threshold, threshold_text


__all__ = [
    "Evaluation",
    "RESULTS_FOLDER",
    "merged",
    "model_index_results",
    "results_rule",
    "results_section",
    "results_table",
    "results_title",
    "with_section",
    "without_prefix",
    "write_eval_results",
]

RESULTS_FOLDER = ".eval_results"

_COUNTS = {
    "num_rows": "rows",
    "num_rows_without_label": "of them without any label",
    "num_rows_without_prediction": "of them without any prediction",
    "num_rows_excluded": "rows more that are not scored, since all of their labels are left out",
}


@dataclass(frozen=True)
class Evaluation:
    """
    What `metrics/multilabel_emotion` says of a model on one split.

    Args:
        dataset: Hub id, or the name of a folder.
        split: which rows.
        scores: those of `METRICS`, `num_rows…`, and `f1_LABEL` and `support_LABEL` of
            every label; what is missing is left out everywhere.
        threshold: a label was predicted where its probability was greater; one for all labels, or one each.
        on_hub: whether `dataset` is a Hub id.
        revision: commit of the data set.
        date: ISO 8601.
        threshold_split: which chose the threshold in this evaluation, where it is not that of the model.
        temperature: that of least negative log likelihood on validation, where it was asked for.
        predictions: of the rows that were scored, and of those that chose anything, by split.
        label_note: how the labels of a corpus were mapped to those of the model, where they differ.
        source: address of the predictions, where they are public.
    """

    dataset: str
    split: str
    scores: Mapping[str, float]
    threshold: Threshold
    on_hub: bool = False
    revision: str | None = None
    date: str | None = None
    threshold_split: str | None = None
    temperature: float | None = None
    predictions: Mapping[str, Predictions] = field(default_factory=dict, repr=False)
    label_note: str | None = None
    source: str | None = None

    @property
    def label_names(self) -> list[str]:
        """Labels with an F1 of their own, in order."""
        names = [key.removeprefix("f1_") for key in self.scores if key.startswith("f1_")]
        return [name for name in names if f"support_{name}" in self.scores]

    @property
    def file_stem(self) -> str:
        """What its files are called, without a suffix: `DATASET-SPLIT`."""
        return re.sub(r"[^\w.-]+", "--", f"{self.dataset}-{self.split}")

    @property
    def conditions(self) -> str:
        """Threshold, counts of rows and the empty-row rule, in one line."""
        counts = [f"{self.scores[key]:.0f} {meaning}" for key, meaning in _COUNTS.items() if key in self.scores]
        rule = "a row with neither label nor prediction has accuracy 0"
        threshold = f"threshold {threshold_text(self.threshold, self.label_names)}"
        if self.threshold_split is not None:
            threshold += f" chosen on {self.threshold_split}, not that of the model"
        mapped = [self.label_note.rstrip(".")] if self.label_note else []
        return "; ".join([threshold, *counts, rule, *mapped])


def model_index_results(evaluation: Evaluation, task: str) -> list[EvalResult]:
    """
    The metrics of an evaluation for `model-index`.

    Args:
        task: the model's pipeline tag.
    """
    return [
        EvalResult(
            task_type=task,
            task_name="Multi-label emotion recognition",
            dataset_type=evaluation.dataset,
            dataset_name=evaluation.dataset.split("/")[-1],
            dataset_split=evaluation.split,
            dataset_revision=evaluation.revision,
            metric_type=metric.hub_type,
            metric_name=metric.name,
            metric_value=round(evaluation.scores[key], 4),
            metric_args={**metric.hub_arguments, "threshold": evaluation.threshold, **_label_arguments(evaluation)},
        )
        for key, metric in METRICS.items()
        if key in evaluation.scores
    ]


def _label_arguments(evaluation: Evaluation) -> dict[str, list[str]]:
    """Which labels were scored, where that is not all of them."""
    return {} if evaluation.label_note is None else {"labels": evaluation.label_names}


def merged(previous: Iterable[EvalResult], new: list[EvalResult]) -> list[EvalResult]:
    """Results with those of the data sets and splits in `new` put in the place of the previous ones."""
    replaced = {(result.dataset_type, result.dataset_split) for result in new}
    return [item for item in previous if (item.dataset_type, item.dataset_split) not in replaced] + new


def write_eval_results(folder: Path, evaluation: Evaluation, tasks: Sequence[str] = ()) -> Path:
    """
    Write `.eval_results/DATASET-SPLIT.yaml`, in place of that of a previous evaluation.

    Scores on mapped labels are of a task of another name, so that no benchmark ranks them beside those on all labels.

    Args:
        folder: of the model.
        tasks: of the benchmark, each of which has these scores; by default the one called as the split.
    """
    task = evaluation.split if evaluation.label_note is None else f"{evaluation.split}_shared_labels"
    notes = evaluation.conditions if evaluation.on_hub else f"data set not on the Hub; {evaluation.conditions}"
    entries = [
        EvalResultEntry(
            dataset_id=evaluation.dataset,
            task_id=f"{name}_{key}",
            value=round(evaluation.scores[key], 4),
            dataset_revision=evaluation.revision,
            date=evaluation.date,
            source_url=evaluation.source,
            notes=notes,
        )
        for name in tasks or [task]
        for key in METRICS
        if key in evaluation.scores
    ]
    file = folder / RESULTS_FOLDER / f"{evaluation.file_stem}.yaml"
    write_text(file, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))
    return file


def results_rule(threshold: Threshold, chosen_on: str | None = None, label_names: Sequence[str] = ()) -> str:
    """How the metrics count, for the head of the section with the results; `chosen_on` chose the threshold."""
    each = isinstance(threshold, list)
    score = "each that of the label's highest F1" if each else "that of highest micro-F1"
    chosen = f" {'They are' if each else 'It is'} {score} on the split {chosen_on}." if chosen_on else ""
    limit = "its threshold" if each else "the threshold"
    values = f": {threshold_text(threshold, label_names)}" if each else f" of {threshold_text(threshold)}"
    return (
        f"A label is predicted where its probability is greater than {limit}{values}.{chosen} "
        "Accuracy is the mean over the rows of the share of labels in common (Jaccard); a row that has neither label "
        "nor prediction counts 0. F1 is 0 for a label that is neither there nor predicted."
    )


def results_title(evaluation: Evaluation) -> str:
    """Title of the section of an evaluation in the card."""
    return f"{evaluation.dataset}, {evaluation.split}"


def results_section(evaluation: Evaluation) -> str:
    """The metrics, the rows they rest on, and F1 of every label, as Markdown."""
    scores = evaluation.scores
    lines = ["| metric | value |", "| --- | --- |"]
    lines += [f"| {one.name} | {scores[key]:.{one.decimals}f} |" for key, one in METRICS.items() if key in scores]
    lines += [f"| {meaning} | {scores[key]:.0f} |" for key, meaning in _COUNTS.items() if key in scores]
    if evaluation.threshold_split is not None:
        threshold = threshold_text(evaluation.threshold, evaluation.label_names)
        lines = [f"At the threshold {threshold}, chosen on the split {evaluation.threshold_split}.", "", *lines]
    if evaluation.label_names:
        lines += ["", "| emotion | F1, % | rows that have it |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {scores[f'f1_{name}']:.2f} | {scores[f'support_{name}']:.0f} |"
            for name in evaluation.label_names
        ]
    if evaluation.label_note:
        lines += ["", evaluation.label_note]
    return "\n".join(lines)


def with_section(text: str, title: str, body: str, parent: str) -> str:
    """Markdown with a section of the third level put in place of the previous one, else at the end of its parent's."""
    section = f"### {title}\n\n{body}\n\n"
    found = re.search(rf"^### {re.escape(title)}\n.*?(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        found = re.search(rf"(?<=^## {re.escape(parent)}\n).*?(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
        if found is None:
            return f"{text.rstrip()}\n\n## {parent}\n\n{section}".rstrip() + "\n"
        section = f"{found.group().rstrip()}\n\n{section}"
    return f"{text[: found.start()]}{section}{text[found.end() :]}".rstrip() + "\n"


def without_prefix(metrics: Mapping[str, float]) -> dict[str, float]:
    """What `Trainer.evaluate` gives, by the metrics' own names: `micro_f1` for `eval_micro_f1` or `test_micro_f1`."""
    prefix = next((key.removesuffix("num_rows") for key in metrics if key.endswith("num_rows")), "eval_")
    return {key.removeprefix(prefix): value for key, value in metrics.items()}


def results_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The metrics of each split, as `Trainer.evaluate` gives them, with the number of rows that they rest on."""
    scores = {split: without_prefix(metrics) for split, metrics in results.items()}
    shown = {key: metric for key, metric in METRICS.items() if all(key in one for one in scores.values())}
    columns = "".join(f"{metric.column:>{metric.width}}" for metric in shown.values())
    has_excluded = any("num_rows_excluded" in found for found in scores.values())
    excluded = f"{'excluded':>10}" if has_excluded else ""
    width = max([12, *(len(split) + 2 for split in scores)])
    lines = [f"{'split':<{width}}{columns}{'rows':>8}{'no label':>10}{'none predicted':>16}{excluded}"]
    for split, found in scores.items():
        values = "".join(f"{found[key]:>{one.width}.{one.decimals}f}" for key, one in shown.items())
        counts = [found[f"num_rows{suffix}"] for suffix in ("", "_without_label", "_without_prediction")]
        excluded = f"{found.get('num_rows_excluded', 0):>10}" if has_excluded else ""
        lines.append(f"{split:<{width}}{values}{counts[0]:>8}{counts[1]:>10}{counts[2]:>16}{excluded}")
    return "\n".join(lines)
