# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of emotion words from files and options."""

import json
import os
from pathlib import Path

import pytest

from modeling_univa.data.lexicon import affect_of_word, affect_of_words, read_label_affect, read_lexicon
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.configuration_univa import EMOTION_ALIASES, EMOTION_VALENCE_AROUSAL
from modeling_univa.models.limits_univa import LIMITS


AWE, BORED = (0.75, 0.625), (0.25, 0.125)

WARRINER = """\
"","Word","V.Mean.Sum","V.SD.Sum","V.Rat.Sum","A.Mean.Sum","A.SD.Sum"
"1","awe",7,2.21,19,6,1.4
"2","bored",3,1.1,20,2,2.2
"""
# Word, valence and arousal of the same two words.
FILES = {
    "NRC-VAD 1, tabs with a header": "Word\tValence\tArousal\tDominance\nawe\t0.75\t0.625\t0\nbored\t0.25\t0.125\t0\n",
    "NRC-VAD 2, from -1 to 1": "term\tvalence\tarousal\tdominance\nawe\t0.5\t0.25\t0.1\nbored\t-0.5\t-0.75\t0.2\n",
    "no header": "awe\t0.75\t0.625\nbored\t0.25\t0.125\n",
    "csv": "word,valence,arousal\nawe,0.75,0.625\n\nbored,0.25,0.125\n",
    "columns in another order": "id,arousal,valence,word\n1,0.625,0.75,awe\n2,0.125,0.25,bored\n",
    "Warriner, from 1 to 9": WARRINER,
    "semicolons and decimal commas": "Wort;Valenz;Erregung\nAwe;0,75;0,625\nBored;0,25;0,125\n",
    "byte order mark": "\ufeffword,valence,arousal\nawe,0.75,0.625\nbored,0.25,0.125\n",
    "Windows lines and blanks": " awe , 0.75 , 0.625 \r\n bored , 0.25 , 0.125 \r\n   \r\n",
    "a quote in a word": 'it\'s "\t0.1\t0.1\nawe\t0.75\t0.625\nbored\t0.25\t0.125\n',
}  # fmt: skip


def write(folder: Path, text: str) -> Path:
    (folder / "lexicon.txt").write_text(text, encoding="utf-8", newline="")
    return folder / "lexicon.txt"


@pytest.mark.parametrize("name", FILES)
def test_layouts_and_scales(name, tmp_path):
    table = read_lexicon(write(tmp_path, FILES[name]))
    assert table["awe"] == pytest.approx(AWE) and table["bored"] == pytest.approx(BORED)
    assert table["sad"] == EMOTION_VALENCE_AROUSAL["sad"]


def test_scale_that_is_passed_wins(tmp_path):
    path = write(tmp_path, "awe,0.5,0.25\n")
    assert read_lexicon(path)["awe"] == (0.5, 0.25)
    assert read_lexicon(path, "signed")["awe"] == (0.75, 0.625)
    with pytest.raises(CorpusError, match=r"line 1: expected values from 1 to 9, found \[0.5, 0.25\]"):
        read_lexicon(path, "nine-point")


MANY = "".join(f"word{index},0.{index % 90 + 10},0.5\n" for index in range(100))
BAD = {
    "NaN": ("awe,nan,0.5", "line 1: expected word, valence and arousal on"),
    "infinite": ("happy,0.5,0.5\nawe,inf,0.5", "line 2: expected word, valence and arousal on"),
    "no number": ("happy,0.5,0.5\nawe,0.5,high", "line 2: expected word, valence and arousal on"),
    "a cell missing": ("word,valence,arousal\nawe,0.5", "line 2: expected word, valence and arousal on"),
    "no word": ("happy,0.5,0.5\n,0.5,0.5", "line 2: expected word, valence and arousal on"),
    "another scale": (
        "awe,75,62\nbored,25,12",
        r"line 1: expected .* found \[75.0, 62.0\], and the values of the file lie between 12 and 75; mend",
    ),
    "one line of another scale": (MANY + "awe,7.5,6\n" + MANY, r"line 101: expected .* found \[7.5, 6.0\]"),
    "one minus too many": (MANY + "awe,-0.5,0.6\n", "line 101: found .* hardly any other line has a negative number"),
    "empty": ("\n \n", "no line of word, valence and arousal"),
    "header alone": ("word,valence,arousal\n", "no line of word, valence and arousal"),
    "something else": ('{"awe": [0.1, 0.2]}', "no line of word, valence and arousal|line 1: expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_sentence(name, tmp_path):
    text, message = BAD[name]
    with pytest.raises(CorpusError, match=message) as caught:
        read_lexicon(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_what_is_no_file_of_a_possible_size_is_not_read(tmp_path):
    with pytest.raises(CorpusError, match=r"none.csv: cannot be read"):
        read_lexicon(tmp_path / "none.csv")
    with pytest.raises(CorpusError, match="not a file; expected a lexicon"):
        read_lexicon(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="not a file; expected a lexicon"):
        read_lexicon(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(int(LIMITS["lexicon"].most) + 1)
    with pytest.raises(CorpusError, match=r"large must lie between 0 and 67,108,864 \(bytes of a lexicon\)"):
        read_lexicon(tmp_path / "large")
    (tmp_path / "latin").write_bytes("fröhlich,0.5,0.5\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_lexicon(tmp_path / "latin")


# Labels


@pytest.mark.parametrize("alias", EMOTION_ALIASES)
def test_other_forms_of_the_seven_words(alias):
    word = EMOTION_ALIASES[alias]
    assert alias not in EMOTION_VALENCE_AROUSAL and word in EMOTION_VALENCE_AROUSAL
    assert affect_of_words([alias.upper(), f" {alias} "]) == [list(EMOTION_VALENCE_AROUSAL[word])] * 2


def test_what_is_more_exact_comes_first(tmp_path):
    lexicon = write(tmp_path, "joy,0.9,0.5\nhope,0.6,0.4\nsad,0.1,0.1\n")
    found = affect_of_words(["joy", "happiness", "hope", "Sadness", "fear"], {"hope": (0.7, 0.2)}, lexicon)
    # Of the lexicon; built in; given; another form of a word of the lexicon; built in.
    assert found == [[0.9, 0.5], [1.0, 0.735], [0.7, 0.2], [0.1, 0.1], [0.073, 0.84]]
    assert affect_of_word("calm", read_lexicon()) is None


def test_all_missing_words_are_named_in_one_sentence_with_what_to_pass(tmp_path):
    with pytest.raises(CorpusError) as caught:
        affect_of_words(["joy", "bored", "hope", "Calm"])
    assert str(caught.value) == (
        "'bored', 'hope', 'Calm' have no valence and arousal in the built-in table; pass `label_affect` (bored: "
        "[VALENCE, AROUSAL], on [0, 1]), or a `label_lexicon` that has them"
    )
    lexicon = write(tmp_path, "hope,0.5,0.5\n")
    with pytest.raises(CorpusError, match=r"'bored' has no valence and arousal in .*lexicon.txt; pass"):
        affect_of_words(["hope", "bored"], lexicon=lexicon)


def test_labels_that_the_corpus_does_not_have_are_refused():
    with pytest.raises(
        CorpusError, match="names the label 'hop', which the corpus does not have, the nearest is 'hope'"
    ):
        affect_of_words(["hope", "joy"], {"hop": (0.5, 0.5)})


def test_option_is_a_table_of_pairs():
    assert read_label_affect('{"hope": [0.6, 0.2], "awe": [1, 0]}') == {"hope": (0.6, 0.2), "awe": (1.0, 0.0)}


@pytest.mark.parametrize("given", ["", "hope", "[1]", "{}", "null", "[" * 100_000])
def test_option_of_another_form_is_refused(given):
    with pytest.raises(ValueError, match="`label_affect` must name valence and arousal of labels"):
        read_label_affect(given)


@pytest.mark.parametrize(
    "pair", [0.5, [0.5], [0.5, 0.5, 0.5], [6, 2], [-0.1, 0.5], [float("nan"), 0.5], ["1", 0], [True, 0]]
)
def test_pair_that_is_no_place_is_refused(pair):
    with pytest.raises(ValueError, match=r"`label_affect` of 'hope' must be \[VALENCE, AROUSAL\] on \[0, 1\], got"):
        read_label_affect(json.dumps({"hope": pair}))
