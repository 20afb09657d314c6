# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From what a visitor gives to tables of results. Names come from strangers, so all of them are escaped."""

import csv
import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import evaluate
from scoring import FIGURES


__all__ = ["STYLE", "compute", "parse_csv", "parse_json", "read_rows", "refusal", "tables"]

# By file, since evaluate finds a folder's metric by the folder's name and a Space runs in one of another name.
METRIC = Path(__file__).with_name("multilabel_emotion.py")
LARGEST_INPUT, MOST_ROWS, MOST_LABELS = 10_000_000, 100_000, 100

STYLE = """
.score { font-variant-numeric: tabular-nums; line-height: 1.5; }
.score table { width: 100%; border-collapse: collapse; margin: 0 0 1.2rem; }
.score caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
.score :is(table, tr, th, td) { border: 0 !important; text-align: left; vertical-align: top; }
.score :is(th, td) { border-bottom: 1px solid var(--border-color-primary) !important; font-weight: 400;
                     padding: .3rem .9rem .3rem 0 !important; overflow-wrap: anywhere; }
.score :is(th, td):nth-child(2), .score .labels :is(th, td):nth-child(3) { text-align: right; white-space: nowrap; }
.score .figures td:first-child { white-space: nowrap; }
.score thead th, .score .quiet, .score .figures td:nth-child(3) { opacity: .75; font-size: .9em; }
.score pre { overflow-x: auto; font-size: .85em; }
.score .refused { border-left: 4px solid #c4442a; padding: .4rem .8rem; overflow-wrap: anywhere; }
"""

Rows = list[list[Any]]


def parse_json(name: str, text: str) -> Rows:
    """Rows of one JSON list of lists, or of one JSON list a line; blank lines are skipped.

    Raises:
        ValueError: a line is something else.
    """
    whole = _loads(text)
    if isinstance(whole, list) and whole and all(isinstance(row, list) for row in whole):
        return whole
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _loads(line)
        if not isinstance(row, list):
            raise ValueError(f"Line {number} of `{name}` must be a JSON list such as [1, 0, 0], got {line!r:.60}.")
        rows.append(row)
    return rows


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_csv(name: str, text: str) -> tuple[Rows, list[str] | None]:
    """Rows of numbers with commas between them, and the names of the labels where the first line has no number.

    Raises:
        ValueError: a line is something else, or a column has no name.
    """
    try:
        lines = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise ValueError(f"`{name}` cannot be read as CSV: {error}.") from None
    header = None
    if lines and lines[0] and not any(_is_number(cell) for cell in lines[0]):
        header = [cell.strip() for cell in lines[0]]
        if not all(header):
            raise ValueError(f"A column of `{name}` has no name: leave out the numbers of the rows. Got {header}.")
    rows = []
    for number, cells in enumerate(lines[bool(header) :], start=1 + bool(header)):
        if not cells or not all(_is_number(cell) for cell in cells):
            raise ValueError(
                f"Line {number} of `{name}` must be numbers with commas between them, got {','.join(cells)!r:.60}. "
                "A row without any label index can be written as [] in a file of JSON lines."
            )
        rows.append([float(cell) for cell in cells])
    return rows, header


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_rows(name: str, text: str, file: str | None) -> tuple[Rows, list[str] | None]:
    """Rows from the text or from the file, and the label names of a CSV file that has them.

    Raises:
        ValueError: both are given or neither, they cannot be read, or there is too much.
    """
    if bool(text.strip()) == bool(file):
        raise ValueError(f"Pass `{name}` as text or as a file" + (", not both." if file else "."))
    if file:
        path = Path(file)
        if path.stat().st_size > LARGEST_INPUT:
            raise ValueError(f"The file of `{name}` has more than {LARGEST_INPUT // 1_000_000} MB.")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"The file of `{name}` is not text in UTF-8.") from None
    if len(text) > LARGEST_INPUT:
        raise ValueError(f"`{name}` has more than {LARGEST_INPUT:,} characters.")
    is_csv = bool(file) and Path(file or "").suffix.lower() == ".csv"
    rows, header = parse_csv(name, text) if is_csv else (parse_json(name, text), None)
    if len(rows) > MOST_ROWS:
        raise ValueError(f"`{name}` has {len(rows):,} rows; this demo takes at most {MOST_ROWS:,}.")
    return rows, header


def compute(
    predictions: str = "",
    predictions_file: str | None = None,
    references: str = "",
    references_file: str | None = None,
    threshold: str = "",
    num_labels: str = "",
    label_names: str = "",
    empty_score: float = 0.0,
    configuration: str = "default",
) -> dict[str, Any]:
    """Results of the metric on what the page's fields hold; `label_names` has commas between the names.

    Threshold and number of labels are text, since an empty field of gradio for numbers says 0.

    Raises:
        ValueError: something cannot be read, or the metric refuses it.
    """
    predicted, predicted_names = read_rows("predictions", predictions, predictions_file)
    expected, expected_names = read_rows("references", references, references_file)
    typed = [name.strip() for name in label_names.split(",")] if label_names.strip() else None
    known = [names for names in (typed, predicted_names, expected_names) if names]
    if any(names != known[0] for names in known):
        raise ValueError(f"The label names, or their order, differ: {' and '.join(map(str, known))}.")
    number = _parse_number("num_labels", num_labels, int)
    if max(number or 0, *map(len, known), 0) > MOST_LABELS:
        raise ValueError(f"This demo takes at most {MOST_LABELS} labels.")
    # In memory: visitors do not share a file, nor what is left of input that was refused.
    metric = evaluate.load(str(METRIC), configuration, keep_in_memory=True)
    try:
        return metric.compute(
            predictions=predicted, references=expected, threshold=_parse_number("threshold", threshold, float),
            num_labels=number, label_names=known[0] if known else None, empty_score=empty_score,
        )  # fmt: skip
    except OverflowError as error:
        raise ValueError(f"A number is too large: {error}.") from None


def _parse_number(name: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text) if text.strip() else None
    except ValueError:
        raise ValueError(f"`{name}` must be {'a whole' if kind is int else 'a'} number, got {text!r:.60}.") from None


def tables(results: dict[str, Any]) -> str:
    """The figures with their units, those of every label, and the rows that they rest on."""
    figures = [(one.name, one.shown(results[key]), one.meaning) for key, one in FIGURES.items()]
    labels = [
        (name, f"{value:.2f} %", f"{results['label_support'][name]:,}") for name, value in results["label_f1"].items()
    ]
    rows = [
        ("All", f"{results['num_rows']:,}"),
        ("Without any label", f"{results['num_rows_without_label']:,}"),
        ("Without any prediction", f"{results['num_rows_without_prediction']:,}"),
    ]
    text = escape(json.dumps(results, indent=2, ensure_ascii=False))
    return (
        f'<div class="score">{_table("Figures", ("Figure", "Value", "What it is"), figures)}'
        f"{_table('Labels', ('Label', 'F1', 'Support (rows)'), labels)}{_table('Rows', ('Rows', 'Number'), rows)}"
        f"<details><summary>As JSON, not rounded</summary><pre>{text}</pre></details></div>"
    )


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in rows)
    return (
        f'<table class="{title.lower()}"><caption>{title}</caption><thead><tr>{columns}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def refusal(message: str) -> str:
    """What stands in the place of results, so that none of earlier input is left there."""
    return f'<div class="score"><p class="refused" role="alert">{escape(message)}</p></div>'
