# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Names of the copies that speed perturbation adds to the training rows, and the way back to their originals."""

import re
from collections.abc import Sequence


__all__ = ["name_of_copy", "originals_of_copies"]

_COPY = re.compile(r"(sp[012](?:\.\d+)?-)(.+)", re.DOTALL)


def name_of_copy(name: str, speed: float) -> str:
    """What an utterance or a dialogue is called that is a copy of `name` at another speed."""
    return f"sp{speed:g}-{name}"


def originals_of_copies(utterance_ids: Sequence[str], dialogue_ids: Sequence[str]) -> dict[str, str]:
    """
    The dialogues of a corpus that are copies, each with the dialogue that it is a copy of.

    A dialogue may by chance be called like a copy. The names alone do not decide: a speed counts if at least one
    utterance of that speed has its original in the corpus, in the dialogue of the fitting name. Then all dialogues of
    that speed are copies, also one whose original was rejected when the corpus was built.

    Args:
        utterance_ids: of all rows.
        dialogue_ids: of the same rows.
    """
    dialogue_of = dict(zip(utterance_ids, dialogue_ids, strict=True))
    found = {name: match for name in dict.fromkeys(dialogue_ids) if (match := _COPY.fullmatch(name))}
    speeds = set()
    for utterance, dialogue in dialogue_of.items():
        match = found.get(dialogue)
        if match and utterance.startswith(match[1]) and dialogue_of.get(utterance[len(match[1]) :]) == match[2]:
            speeds.add(match[1])
    return {name: match[2] for name, match in found.items() if match[1] in speeds}
