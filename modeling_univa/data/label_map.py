# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which label of a model each label of another corpus stands for."""

import json
from collections.abc import Mapping, Sequence

from ..options import nearest
from .schema import CorpusError


__all__ = ["describe_label_map", "read_label_map", "read_pairs", "resolve_label_map"]


def read_label_map(given: str) -> dict[str, str]:
    """
    A table of labels as it is written in options.

    Args:
        given: `joy=happy,excited=happy,contempt=`, or a JSON object, which labels with a comma or an equals sign need.

    Returns:
        Label of the model by label of the corpus; the empty string or null for one that is left out.

    Raises:
        ValueError: it is neither, or names a label twice.
    """
    return read_pairs(given, "label_map", "label", "joy=happy,contempt=")


def read_pairs(given: str, argument: str, what: str, example: str) -> dict[str, str]:
    """
    A table of names as it is written in options: pairs `NAME=NAME` with commas between, or a JSON object.

    Args:
        given: the table.
        argument: what messages call it.
        what: what has the names, for messages: "label".
        example: pairs as they may look, for messages.

    Raises:
        ValueError: it is neither, or has a name twice.
    """
    if given.lstrip().startswith("{"):
        pairs = _json_pairs(given, argument, what, example)
    else:
        pairs = [_pair(entry, given, argument, example) for entry in given.split(",") if entry.strip()]
    names = [name for name, _ in pairs]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"`{argument}` maps the {what} {repeated!r} twice, expected once; it is {given!r}.")
    return dict(pairs)


def _json_pairs(given: str, argument: str, what: str, example: str) -> list[tuple[str, str]]:
    try:
        pairs = json.loads(given, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{argument}` must be a JSON object or pairs such as {example}, got {given!r}.") from error
    wrong = next((name for _, name in pairs if not isinstance(name, str | None)), None)
    if wrong is not None:
        raise ValueError(f"`{argument}` must map each {what} to one {what} or to null, got {wrong!r}.")
    return [(name, other or "") for name, other in pairs]


def _pair(entry: str, given: str, argument: str, example: str) -> tuple[str, str]:
    name, equals, other = (part.strip() for part in entry.partition("="))
    if not name or not equals or "=" in other:
        raise ValueError(f"`{argument}` must be pairs such as {example} or a JSON object, got {entry!r} in {given!r}.")
    return name, other


def resolve_label_map(
    given: Mapping[str, str], corpus_labels: Sequence[str], model_labels: Sequence[str], corpus: str
) -> dict[str, str]:
    """
    The table for all labels of a corpus: those that it does not name stand for the model's label of the same name.

    Args:
        given: see [`read_label_map`].
        corpus_labels, model_labels: names of the labels of both.
        corpus: its name, for messages.

    Raises:
        CorpusError: a label that one of them does not have, one of the corpus without a counterpart, or fewer than two
            labels in common.
    """
    unknown = next((name for name in given if name not in corpus_labels), None)
    if unknown is not None:
        raise CorpusError(
            f"`label_map` names the label {unknown!r}, which {corpus} does not have{nearest(unknown, corpus_labels)}; "
            f"it has {', '.join(corpus_labels)}"
        )
    table = {name: given.get(name, name) for name in corpus_labels}
    for name, label in table.items():
        if label and label not in model_labels:
            raise CorpusError(_without_counterpart(name, label, name in given, model_labels, corpus))
    if len({label for label in table.values() if label}) < 2:
        raise CorpusError(
            f"{corpus} and the model have fewer than two labels in common with this `label_map`, expected at least "
            f"two to score; the model has {', '.join(model_labels)}"
        )
    return table


def _without_counterpart(name: str, label: str, is_mapped: bool, model_labels: Sequence[str], corpus: str) -> str:
    known = f"{nearest(label, model_labels)}; it has {', '.join(model_labels)}"
    if is_mapped:
        return f"`label_map` maps {name!r} to {label!r}, which the model does not have{known}"
    return (
        f"{corpus} has the label {name!r}, which the model does not have{known}: map it to one of them with "
        f"`label_map`, {name}=LABEL, or leave it out with {name}="
    )


def describe_label_map(table: Mapping[str, str], model_labels: Sequence[str]) -> str:
    """A resolved table in one or two sentences."""
    mapped = [f"{name} as {label}" for name, label in table.items() if label and label != name]
    dropped = [name for name, label in table.items() if not label]
    scored = [label for label in model_labels if label in table.values()]
    others = [label for label in model_labels if label not in scored]
    parts = [f"Scored are the labels that model and corpus share: {', '.join(scored)}"]
    parts += [f"labels of the corpus were read as those of the model: {', '.join(mapped)}"] if mapped else []
    parts += [f"left out, since the model has no such label: {', '.join(dropped)}"] if dropped else []
    parts += [f"not decided about, since the corpus has no such label: {', '.join(others)}"] if others else []
    return "; ".join(parts) + "."
