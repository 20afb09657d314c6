# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The four figures of multi-label emotion recognition as an `evaluate` metric."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import datasets
import evaluate
import numpy as np
from evaluate.utils.file_utils import add_start_docstrings

from .scoring import FIGURES, score


_DESCRIPTION = """
Multi-label emotion recognition: example-based accuracy (Jaccard), Hamming loss, micro and macro F1, F1 and support of
every label, and how many rows they rest on.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (list of lists, or array of shape (rows, labels)): one row an utterance: multi-hot, label indices, or,
        with `threshold`, scores.
    references (list of lists, or array of shape (rows, labels)): one row an utterance: multi-hot or label indices.
    threshold (float, or list of one float a label, optional): `predictions` are scores; a label is predicted where its
        score is strictly greater.
    num_labels (int, optional): number of labels, at least 2. Needed (or `label_names`) for label indices.
    label_names (list of str, optional): names of the labels, in order; "LABEL_0", "LABEL_1", ... without.
    empty_score (float, defaults to 0.0): accuracy of a row with neither label nor prediction, 0.0 or 1.0.

    Rows are read as multi-hot when each has one value for every label and all values are 0 or 1, else as label
    indices. With two labels the forms can look the same: then load the metric with the configuration "multi_hot" or
    "indices", which allow that form only.

Returns:
    {figures}
    label_f1 (dict of str to float): percent, by label. 0 for a label with neither predictions nor positives.
    label_support (dict of str to int): rows that have the label.
    num_rows, num_rows_without_label, num_rows_without_prediction (int): counts of rows.

Raises:
    ValueError: rows that cannot be read without guessing (scores without a threshold among them), or wrong arguments.

Examples:

    >>> metric = evaluate.load("metrics/multilabel_emotion")
    >>> results = metric.compute(
    ...     predictions=[[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]],
    ...     references=[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]],
    ...     label_names=["happy", "sad", "fear"],
    ... )
    >>> results["accuracy"], round(results["hamming_loss"], 3), round(results["micro_f1"], 1)
    (37.5, 0.167, 66.7)
    >>> results["label_support"]
    {'happy': 1, 'sad': 1, 'fear': 1}
    >>> results["num_rows"], results["num_rows_without_label"], results["num_rows_without_prediction"]
    (4, 1, 2)

    Label indices need the number of labels:

    >>> metric.compute(predictions=[[0, 1], [1], []], references=[[0], [1], [2]], num_labels=3)["accuracy"]
    50.0

    Scores need a threshold:

    >>> scores = [[0.50, 0.20, 0.15, 0.15], [0.18, 0.18, 0.18, 0.46]]
    >>> metric.compute(predictions=scores, references=[[1, 0, 0, 0], [0, 0, 0, 1]], threshold=0.18)["accuracy"]
    75.0
""".replace(
    "{figures}", "\n    ".join(f"{key} (float): {figure.unit}; {figure.meaning}." for key, figure in FIGURES.items())
)

_CITATION = """\
@inproceedings{zheng2024univa,
  title     = {A Unimodal Valence-Arousal Driven Contrastive Learning Framework for Multimodal Multi-Label Emotion
               Recognition},
  author    = {Zheng, Wenjie and Yu, Jianfei and Xia, Rui},
  booktitle = {Proceedings of the 32nd ACM International Conference on Multimedia},
  year      = {2024},
  doi       = {10.1145/3664647.3681638},
}
"""

_CONFIGURATIONS = ("default", "multi_hot", "indices")

Rows = Sequence[Sequence[float]]


@add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class MultilabelEmotion(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in _CONFIGURATIONS:
            raise ValueError(f"The configuration must be one of {list(_CONFIGURATIONS)}, got {self.config_name!r}.")
        # An integer type would truncate scores to 0 without a word; whole numbers are checked for in _compute.
        rows = datasets.List(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": rows, "references": rows}),
            reference_urls=["https://doi.org/10.1145/3664647.3681638"],
        )

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Add one row."""
        self.add_batch(predictions=[prediction], references=[reference], **kwargs)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Add rows, refusing whatever is not lists of numbers."""
        # Before evaluate casts: afterwards the string "1" and the number 1 are the same.
        _check_numeric_rows("predictions", predictions)
        _check_numeric_rows("references", references)
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions: Rows,
        references: Rows,
        threshold: float | Sequence[float] | None = None,
        num_labels: int | None = None,
        label_names: Sequence[str] | None = None,
        empty_score: float = 0.0,
    ) -> dict[str, Any]:
        if not predictions:
            raise ValueError("There are no rows to score.")
        if empty_score not in (0, 1):
            raise ValueError(f"`empty_score` must be 0.0 or 1.0, got {empty_score!r}.")
        declared = _declared_size(num_labels, label_names)
        size = declared or self._inferred_size(predictions, references, scores=threshold is not None)
        # Lists of indices do not show how many labels there are: without that number only multi-hot can be meant.
        allow_indices = declared is not None or threshold is not None
        if threshold is None:
            predicted = self._to_multi_hot("predictions", predictions, size, allow_indices)
        else:
            predicted = _threshold_scores(predictions, size, threshold)
        expected = self._to_multi_hot("references", references, size, allow_indices)
        names = [f"LABEL_{index}" for index in range(size)] if label_names is None else label_names
        return score(expected, predicted, names, int(empty_score))

    def _inferred_size(self, predictions: Rows, references: Rows, scores: bool) -> int:
        """The number of labels as the width of the rows that cannot be indices."""
        if scores:
            return _common_width(predictions=predictions)
        if self.config_name == "indices":
            raise ValueError("Label indices need `num_labels=` or `label_names=`.")
        return _common_width(predictions=predictions, references=references)

    def _to_multi_hot(self, name: str, rows: Rows, size: int, allow_indices: bool) -> np.ndarray:
        """Read rows in either form as an array (rows, labels) of 0 and 1, and refuse to guess between the two."""
        odd = next((i for i, row in enumerate(rows) if len(row) != size or any(v not in (0, 1) for v in row)), None)
        if self.config_name == "indices" or (self.config_name == "default" and odd is not None and allow_indices):
            return _from_indices(name, rows, size)
        if odd is not None:
            raise ValueError(
                f"Row {odd} of `{name}` must be {size} values 0 or 1, got {list(rows[odd])}. Scores need "
                "`threshold=`, label indices need `num_labels=` or `label_names=`."
            )
        if self.config_name == "default" and size == 2:
            raise ValueError(
                f"`{name}` may be multi-hot rows over two labels or lists of the indices 0 and 1: load the metric "
                'with the configuration "multi_hot" or "indices" to say which.'
            )
        return np.array(rows, dtype=np.int64)


def _check_numeric_rows(name: str, rows: Any) -> None:
    """Refuse anything but a sequence of flat sequences of numbers."""
    if rows is None or isinstance(rows, str | bytes) or not hasattr(rows, "__len__"):
        raise ValueError(f"`{name}` must be a list of rows or a two-dimensional array, got {type(rows).__name__}.")
    for index, row in enumerate(rows):
        try:
            values = np.asarray(row)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"Row {index} of `{name}` is not a flat list of numbers: {error}.") from None
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise ValueError(f"Row {index} of `{name}` must be a flat list of numbers, got {row!r:.80}.")


def _declared_size(num_labels: int | None, label_names: Sequence[str] | None) -> int | None:
    """The number of labels that the arguments name, if they do."""
    if num_labels is not None and (
        not isinstance(num_labels, Integral) or isinstance(num_labels, bool) or num_labels < 2
    ):
        raise ValueError(f"`num_labels` must be an integer of at least 2, got {num_labels!r}.")
    if label_names is None:
        return num_labels
    if isinstance(label_names, str) or not all(isinstance(name, str) for name in label_names):
        raise ValueError(f"`label_names` must be a list of strings, got {label_names!r}.")
    if len(set(label_names)) != len(label_names) or len(label_names) < 2:
        raise ValueError(f"`label_names` must be at least two different names, got {list(label_names)}.")
    if num_labels not in (None, len(label_names)):
        raise ValueError(f"`num_labels` is {num_labels}, but there are {len(label_names)} `label_names`.")
    return len(label_names)


def _common_width(**arguments: Rows) -> int:
    """The width of all rows, refused where it differs or is below 2."""
    widths = sorted({len(row) for rows in arguments.values() for row in rows})
    if len(widths) > 1 or widths[0] < 2:
        found = " and ".join(str(width) for width in widths[:3])
        raise ValueError(
            f"The rows of {' and '.join(f'`{name}`' for name in arguments)} must all have one value for each of at "
            f"least two labels, got rows of length {found}. Label indices need `num_labels=` or `label_names=`."
        )
    return widths[0]


def _threshold_scores(scores: Rows, num_labels: int, threshold: float | Sequence[float]) -> np.ndarray:
    several = isinstance(threshold, list | tuple | np.ndarray)
    limits: Any = threshold if several else [threshold]
    if not all(isinstance(one, Real) and not isinstance(one, bool) and math.isfinite(one) for one in limits):
        raise ValueError(f"`threshold` must be a finite number, got {threshold!r}.")
    if several and len(limits) != num_labels:
        raise ValueError(f"`threshold` must be one number, or one for each of {num_labels} labels, got {len(limits)}.")
    for index, row in enumerate(scores):
        if len(row) != num_labels:
            raise ValueError(f"Row {index} of `predictions` has {len(row)} scores for {num_labels} labels.")
        if any(math.isnan(score) for score in row):
            raise ValueError(f"Row {index} of `predictions` has a score that is NaN.")
    return (np.array(scores) > np.array(limits, np.float64)).astype(np.int64)


def _from_indices(name: str, rows: Rows, num_labels: int) -> np.ndarray:
    multi_hot = np.zeros((len(rows), num_labels), dtype=np.int64)
    for index, row in enumerate(rows):
        if not all(float(value).is_integer() for value in row):
            raise ValueError(
                f"Row {index} of `{name}` is neither multi-hot nor whole label indices: {list(row)}. Scores need "
                "`threshold=`."
            )
        if not all(0 <= value < num_labels for value in row) or len(set(row)) != len(row):
            raise ValueError(
                f"Row {index} of `{name}` must be different label indices from 0 to {num_labels - 1}, or all rows "
                f"must be multi-hot with {num_labels} values, got {list(row)}."
            )
        multi_hot[index, [int(value) for value in row]] = 1
    return multi_hot
