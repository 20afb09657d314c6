# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which dialogues are copies at another speed."""

import pytest

from modeling_univa.data.speed_copies import name_of_copy, originals_of_copies


@pytest.mark.parametrize("speed", [0.5, 0.666666666, 0.9, 1.05, 1.1, 2])
def test_copies_are_known_by_the_names_that_they_get(speed):
    copy = [name_of_copy(name, speed) for name in ("u1", "talk\n1")]
    assert originals_of_copies(["u1", copy[0]], ["talk\n1", copy[1]]) == {copy[1]: "talk\n1"}


def test_a_copy_of_what_is_called_like_a_copy_leads_back_one_step():
    found = originals_of_copies(["sp2-1", "sp0.9-sp2-1"], ["sp2-d", "sp0.9-sp2-d"])
    assert found == {"sp0.9-sp2-d": "sp2-d"}


@pytest.mark.parametrize(
    ("utterances", "dialogues"),
    [
        (["u", "sp2-v"], ["d", "sp2-d"]),  # no utterance of the name
        (["u", "sp2-u"], ["e", "sp2-d"]),  # in another dialogue
        (["u", "sp1.1-u"], ["d", "sp0.9-d"]),  # of another speed
        (["u", "sp3-u"], ["d", "sp3-d"]),  # faster than copies are
        (["u", "sp0.9u"], ["d", "sp0.9d"]),
    ],
)
def test_what_has_no_original_is_no_copy(utterances, dialogues):
    assert originals_of_copies(utterances, dialogues) == {}


def test_one_certain_copy_decides_about_all_of_its_speed():
    found = originals_of_copies(["u", "sp0.9-u", "sp0.9-v", "sp2-v"], ["d", "sp0.9-d", "sp0.9-e", "sp2-e"])
    assert found == {"sp0.9-d": "d", "sp0.9-e": "e"}
