# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa build`: every corpus, by the name of its module, with its own options."""

import subprocess
import sys
from pathlib import Path

import pytest
from testing_utils import REPOSITORY, subprocess_environment

from modeling_univa import cli
from modeling_univa.command_line.build import corpora
from modeling_univa.corpora.build import corpus_class
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError


METADATA = """\
utterance_id,dialogue_id,position,text,emotions
{0}_a,{0},0,yes,happy
{0}_b,{0},1,no,sad
"""
PLACES = ("--source", "s", "--output", "o")


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.csv").write_text(METADATA.format(split))
    return folder


def stopped(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    return stop.value.code


def test_the_help_has_a_line_for_each_corpus(capsys):
    assert stopped(["build", "--help"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert {"demo", "m3ed", "mosei", "mosei_aligned", "utterance_folder"} <= set(corpora())
    for name, description in corpora().items():
        assert f" {name.replace('_', '-')} {description}" in listed
        assert corpus_class(name.replace("_", "-")).__doc__
    assert " emobank EmoBank: English sentences" in listed


@pytest.mark.processes
def test_the_help_imports_no_corpus(tmp_path):
    """One may need a package that is not there."""
    code = (
        "import sys; from modeling_univa import cli\n"
        "cli.make_parser(['build', 'mosei']).parse_args(['build', 'mosei', '--source', 'a', '--output', 'b'])\n"
        "assert 'modeling_univa.corpora.mosei' in sys.modules\n"
        "assert not {'modeling_univa.corpora.demo', 'modeling_univa.corpora.m3ed'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=subprocess_environment(tmp_path), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.parametrize("name", ["utterance-folder", "utterance_folder"])
def test_a_corpus_is_built_by_its_own_options(source, tmp_path, capsys, name):
    output = tmp_path / "corpus"
    assert cli.main(["build", name, "--source", str(source), "--output", str(output), "--labels", "sad,happy"]) == 0
    assert "train: 2 utterances in 1 dialogue" in capsys.readouterr().out
    corpus = load_corpus(str(output))
    assert corpus.label_names == ["sad", "happy"] and corpus.splits["train"]["emotions"][:] == [[1], [0]]
    assert cli.main(["build", name, "--source", str(source), "--output", str(output)]) == 2
    assert "univa: output folder" in (error := capsys.readouterr().err) and "or pass --overwrite" in error


def test_each_corpus_has_its_own_help(capsys):
    for name, own in (("mosei", "--label-source"), ("demo", "--num-dialogues"), ("emobank", "emobank.csv")):
        assert stopped(["build", name, "--help"]) == 0
        assert f"usage: univa build {name} " in (help_text := capsys.readouterr().out) and own in help_text
    assert stopped(["build", "mosei", "--csd=sequences", "--help"]) == 0
    assert "--folds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mosi"], "argument CORPUS: invalid choice: 'mosi'"),
        ([], "the following arguments are required: CORPUS"),
        (["m3ed", "--source", "."], "univa build m3ed: error: the following arguments are required: --output"),
        (["m3ed", *PLACES, "--label-sorce", "x"], "Unknown option '--label-sorce', the nearest is '--label-source'"),
    ],
)
def test_mistakes_are_told(capsys, arguments, message):
    assert stopped(["build", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_what_is_to_be_pushed_needs_a_licence(source, tmp_path, capsys):
    options = ["--source", str(source), "--output", str(tmp_path / "corpus"), "--push-to-hub", "me/corpus"]
    assert cli.main(["build", "utterance-folder", *options]) == 2
    assert "univa: --push-to-hub needs --license and --source-url" in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("modeling_univa.corpora.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert stopped(["build", "demo", "--output", str(tmp_path / "corpus")]) == 2
    assert 'needs OpenCV: pip install "univa[media]"' in capsys.readouterr().err


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(CorpusError, match="there is no corpus 'builder'; there are .*demo, .*m3ed, .*mosei, "):
        corpus_class("builder")
