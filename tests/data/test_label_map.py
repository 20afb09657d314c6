# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tables from the labels of a corpus to those of a model, as they are written, completed and refused."""

import pytest

from modeling_univa.data.label_map import describe_label_map, read_label_map, resolve_label_map
from modeling_univa.data.schema import CorpusError


MODEL = ["happy", "sad", "anger", "fear"]


@pytest.mark.parametrize(
    ("given", "table"),
    [
        ("joy=happy,contempt=", {"joy": "happy", "contempt": ""}),
        (" joy = happy , ", {"joy": "happy"}),
        ("", {}),
        ('{"joy": "happy", "a,b=c": null, "d": ""}', {"joy": "happy", "a,b=c": "", "d": ""}),
    ],
)
def test_tables_are_read(given, table):
    assert read_label_map(given) == table


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("joy", "must be pairs such as joy=happy,contempt= or a JSON object, got 'joy' in 'joy'"),
        ("=happy", "got '=happy'"),
        ("a=b=c", "got 'a=b=c'"),
        ("a=b,a=c", "maps the label 'a' twice"),
        ('{"a": "b", "a": "c"}', "maps the label 'a' twice"),
        ('{"a": ', "must be a JSON object or pairs"),
        ('{"a": ["b"]}', r"must map each label to one label or to null, got \['b'\]"),
        ('{"a": {"b": "c"}}', "must map each label to one label or to null"),
    ],
)
def test_what_is_no_table_is_refused(given, message):
    with pytest.raises(ValueError, match=f"`label_map` .*{message}|`label_map` {message}"):
        read_label_map(given)


def test_labels_of_one_name_stand_for_each_other_unless_said_otherwise():
    found = resolve_label_map(
        {"joy": "happy", "fear": "", "anger": "sad"}, ["joy", "fear", "anger", "sad"], MODEL, "b"
    )
    assert found == {"joy": "happy", "fear": "", "anger": "sad", "sad": "sad"}
    text = describe_label_map(found, MODEL)
    assert "share: happy, sad;" in text and "joy as happy, anger as sad;" in text
    assert "no such label: fear; not decided about, since the corpus has no such label: anger, fear." in text
    same = resolve_label_map({}, ["sad", "happy"], ["happy", "sad"], "b")
    assert describe_label_map(same, ["happy", "sad"]).count(";") == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "b has the label 'joy', which the model does not have; .* joy=LABEL, or leave it out with joy="),
        ({"joy": "hapy"}, "maps 'joy' to 'hapy', which the model does not have, the nearest is 'happy'; it has happy"),
        ({"jou": "happy"}, "names the label 'jou', which b does not have, the nearest is 'joy'; it has joy, sadd"),
        ({"joy": ""}, "b has the label 'sadd', which the model does not have, the nearest is 'sad'"),
        ({"joy": "", "sadd": ""}, "fewer than two labels in common"),
        ({"joy": "fear", "sadd": ""}, "fewer than two labels in common"),
    ],
)
def test_labels_without_a_counterpart_are_refused(given, message):
    with pytest.raises(CorpusError, match=message):
        resolve_label_map(given, ["joy", "sadd", "fear"], MODEL, "b")
