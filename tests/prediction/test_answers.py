# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a language model's answer names."""

import pytest

from modeling_univa.prediction.answers import parse_answer


LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")


@pytest.mark.parametrize(
    ("text", "kind", "emotions"),
    [
        ('["happy", "surprise"]', "parsed", ("happy", "surprise")),
        ('["surprise", "happy", "happy"]', "parsed", ("happy", "surprise")),
        ('```json\n["Sad"]\n```', "parsed", ("sad",)),
        ('The options [1] are many. {"emotions": ["fear"]}', "parsed", ("fear",)),
        ('First ["happy"], no, rather ["anger"].', "parsed", ("anger",)),
        ('["joy", "furious", "boredom"]', "parsed", ("happy", "anger")),
        ("She looks angry and a bit scared.", "parsed", ("anger", "fear")),
        ("Happy, but not sad and without any disgust.", "parsed", ("happy",)),
        ("He isn’t happy; he is afraid.", "parsed", ("fear",)),
        ("unhappy and sadly sitting", "unknown", ()),
        ('["boredom"]', "unknown", ()),
        ("neutral", "unknown", ()),
        ("[]", "empty", ()),
        (" \n", "empty", ()),
        ("I'm sorry, but I cannot tell whether this person is happy.", "refused", ()),
        ("As an AI, I do not judge faces.", "refused", ()),
        ('["happy"', "parsed", ("happy",)),
    ],
)
def test_an_answer_is_understood(text, kind, emotions):
    answer = parse_answer(text, LABELS)
    assert (answer.kind, answer.emotions) == (kind, emotions)


def test_labels_are_found_by_their_own_names():
    assert parse_answer('["Very Happy"]', ("very happy", "C++")).emotions == ("very happy",)
    assert parse_answer("it is c++ and not more", ("very happy", "C++")).emotions == ("C++",)
