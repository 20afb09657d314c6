# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of all commands: how they are written, what they were called, and what they mean."""

import argparse
import inspect
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import get_args

import pytest
from transformers import HfArgumentParser

from modeling_univa import cli
from modeling_univa.benchmark.evidence import check_plans
from modeling_univa.benchmark.plan import read_plan
from modeling_univa.benchmark.runner import OVERWRITE
from modeling_univa.benchmark.store import RunStore
from modeling_univa.command_line import places, training_options
from modeling_univa.command_line.training_options import check_options
from modeling_univa.commands.extract import extract
from modeling_univa.commands.score_affect import score_affect
from modeling_univa.commands.shard_tasks import ELSEWHERE
from modeling_univa.commands.zero_shot import zero_shot
from modeling_univa.convert.systems import OFFICIAL
from modeling_univa.convert.univa import load_checkpoint
from modeling_univa.corpora.build import corpus_class, corpus_parser
from modeling_univa.data.folds import FoldBy
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.models.trusted_paths_univa import has_hub_form
from modeling_univa.options import OptionParser, counted, logger, nearest, verb
from modeling_univa.prediction.clips import collect_clips, predict_clips
from modeling_univa.scores.thresholds import THRESHOLD_CHOICES
from modeling_univa.sharing.adapters import AdapterBase, set_adapter_base
from modeling_univa.sharing.embedding import complete_model
from modeling_univa.sharing.folder import check_folder
from modeling_univa.training.arguments import DataArguments, model_arguments, parse_arguments
from modeling_univa.training.training_arguments import UnivaTrainingArguments


CORPORA = ("crema_d", "demo", "iemocap", "m3ed", "meld", "mosei", "ravdess", "sheet", "utterance_folder")


def parser_of(command: str) -> OptionParser:
    """That of a sub-command, which is the only one that has options in what `make_parser` makes."""
    parser = cli.make_parser([command])
    (tasks,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return tasks.choices[command]


@pytest.fixture
def parser() -> OptionParser:
    made = OptionParser(prog="test")
    made.add_argument("--face-detector")
    made.add_argument("--batch_size", type=int)
    made.add_argument("clip", nargs="?")
    made.rename_option("--face-reader", "--face-detector")
    return made


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(logger, "warning", told.append)
    return told


def test_hyphens_and_underscores_are_one(parser):
    for given in (["--face-detector", "haar"], ["--face_detector=haar"], ["--face_detector", "haar"]):
        assert parser.parse_args([*given, "--batch-size", "2"]).face_detector == "haar"
    # In values they stay as they are, also behind what ends the options.
    found = parser.parse_args(["--face-detector=--a_b", "--", "--batch_size"])
    assert (found.face_detector, found.clip) == ("--a_b", "--batch_size")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--face-detectr", "haar"], "Unknown option '--face-detectr', the nearest is '--face-detector'"),
        (["--face_detectr=haar"], "Unknown option '--face_detectr', the nearest is '--face-detector'"),
        (["--batch", "2"], "Unknown option '--batch', the nearest is '--batch_size'"),
        (["--zzz"], "Unknown option '--zzz'\n"),
        (["a", "b"], "unrecognized arguments: b"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest(parser, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_nearest_is_silent_about_what_is_like_nothing():
    assert nearest("learning_rat", ["seed", "learning_rate"]) == ", the nearest is 'learning_rate'"
    assert nearest("zzz", ["seed", "learning_rate"]) == ""


def test_an_earlier_name_is_taken_with_a_warning(parser, warnings):
    assert parser.parse_args(["--face_reader", "haar"]).face_detector == "haar"
    assert warnings == ["--face_reader is now called --face-detector; the earlier name will go."]
    assert "face-reader" not in parser.format_help()


def test_messages_name_options(parser):
    assert (
        parser.named_as_options("`face_detector` and `clip` and `other`") == "--face-detector and `clip` and `other`"
    )
    nested = OptionParser(prog="test")
    nested.add_subparsers().add_parser("one").add_argument("--max-length")
    assert nested.named_as_options("`max_length` is 0") == "--max-length is 0"


@pytest.mark.parametrize(
    ("command", "previous", "now"),
    [
        ("predict", ["m", "--face-reader", "x"], {"face_detector": "x", "faces": []}),
        ("predict", ["m", "--affect-text", "x", "--text", "said"], {"text_scorer": "x", "text": "said"}),
        ("extract", ["c", "--output", "o", "--faces", "x"], {"face_detector": "x"}),
        ("score-affect", ["c", "--output", "o", "--faces", "x"], {"face_detector": "x"}),
        ("score-affect", ["c", "--output", "o", "--text", "x"], {"text_scorer": "x"}),
        ("score-affect", ["c", "--output", "o", "--audio", "x"], {"audio_scorer": "x"}),
        ("train-affect", ["--data", "x", "--model", "y", "--output", "o"], {"data": "x", "model": "y"}),
        ("complete", ["m", "--faces", "x"], {"face_detector": "x"}),
        ("export", ["m", "--format", "onnx", "--output", "o"], {"model": "m"}),
    ],
)  # fmt: skip
def test_former_command_lines_are_read_as_before(command, previous, now, warnings):
    found = vars(cli.make_parser([command]).parse_args([command, *previous]))
    assert {name: found[name] for name in now} == now
    assert bool(warnings) == (command != "export")


@pytest.mark.parametrize(
    ("corpus", "previous", "now"),
    [
        ("utterance_folder", ["--face-reader", "x"], {"face_detector": "x"}),
        ("utterance_folder", ["--audio-features", "none"], {"audio_extractor": "none"}),
        ("mosei", ["--labels", "annotations"], {"label_source": "annotations"}),
    ],
)
def test_former_options_of_corpora_are_read_as_before(corpus, previous, now, warnings):
    found = vars(corpus_parser(corpus_class(corpus)).parse_args(["--source", "s", "--output", "o", *previous]))
    assert {name: found[name] for name in now} == now
    assert warnings


def test_an_option_has_one_form_everywhere():
    forms: dict[str, dict[tuple, list[str]]] = {}
    parsers = {command: parser_of(command) for command in cli.COMMANDS}
    parsers |= {corpus: corpus_parser(corpus_class(corpus)) for corpus in CORPORA}
    for command, parser in parsers.items():
        for action in parser._actions:
            if action.option_strings and action.dest != "help":
                form = (type(action).__name__, action.nargs, getattr(action.type, "__name__", "str"))
                forms.setdefault(action.dest, {}).setdefault(form, []).append(command)
    several = {name: found for name, found in forms.items() if len(found) > 1}
    assert not several, several


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_sub_command_has_its_options_and_its_call(command):
    module = import_module(f"modeling_univa.commands.{command.replace('-', '_')}")
    assert set(inspect.signature(module.run).parameters) == {"options"}
    assert isinstance(parser_of(command), OptionParser)


@pytest.mark.parametrize(
    ("command", "calls"),
    [
        ("extract", [extract]),
        ("score-affect", [score_affect]),
        ("predict", [collect_clips, predict_clips]),
        ("zero-shot", [zero_shot]),
    ],
)
def test_a_call_takes_what_the_command_does(command, calls):
    """By the same names and with the same defaults, but for `workers` and what the command alone prints, draws or
    does elsewhere."""
    options = {action.dest: action.default for action in parser_of(command)._actions if action.dest != "help"}
    taken = {name: given for call in calls for name, given in inspect.signature(call).parameters.items()}
    assert set(options) - set(taken) <= {"draw", "json", "output", "plot", "strict", *ELSEWHERE}
    assert set(taken) - set(options) <= {"clips", "tell"}
    for name in set(options) & set(taken) - {"workers"}:
        default = taken[name].default
        assert default is inspect.Parameter.empty or (default or None) == (options[name] or None), name


@pytest.mark.parametrize(
    ("arguments", "job"),
    [
        (["extract", "nowhere", "--output", "o"], lambda: load_corpus("nowhere")),
        (["compare", "no/where/else"], lambda: load_corpus("no/where/else")),
        (["train", "--dataset", "./nowhere"], lambda: load_corpus("./nowhere")),
        (["train", "demo", "--dataset=./nowhere"], lambda: load_corpus("./nowhere")),
        (["train", "demo", "--test-dataset", "nowhere"], lambda: load_corpus("nowhere")),
        (["complete", "nowhere"], lambda: complete_model("nowhere", {})),
        (["reproduce", "nowhere"], lambda: read_plan("nowhere")),
        (["train", "nowhere"], lambda: parse_arguments(["nowhere"])),
        (["compare", "org/corpus", "--recipe", "nowhere"], lambda: parse_arguments(["nowhere"])),
        (["train", "demo", "--lerning_rate", "1"], lambda: parse_arguments(["demo", "--lerning_rate", "1"])),
        (["demo", "--lerning-rate=1"], lambda: parse_arguments(["demo", "--lerning-rate=1"])),
        (["convert", "univa", "--checkpoint", "none", "--output", "o"], lambda: load_checkpoint(Path("none"))),
        (["push", "nowhere", "org/name"], lambda: check_folder("nowhere")),
        (["report", "nowhere", "--output", "o"], lambda: check_plans(RunStore("nowhere"))),
        (["adapter-base", "nowhere", "o/n"], lambda: set_adapter_base("nowhere", AdapterBase("o/n"))),
        (["predict", "org/name"], lambda: collect_clips()),
        (["predict", "org/name", "none.csv"], lambda: collect_clips(["none.csv"])),
        (["predict", "org/name", ".", "none.XLSX"], lambda: collect_clips(["none.XLSX"])),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_with_a_command_line_is_said_as_the_job_says_it(arguments, job, capsys, tmp_path, monkeypatch):
    """The jobs, which take seconds to import, are not asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_run", lambda name, options, is_process: pytest.fail("the job was run"))
    assert cli.main(arguments) == 2
    with pytest.raises(ValueError) as refused:
        job()
    parser = cli.make_parser(arguments)
    assert capsys.readouterr().err == f"univa: {parser.named_as_options(str(refused.value))}\n"


def test_what_may_be_on_the_hub_is_left_to_the_job(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_run", lambda name, options, is_process: 7)
    Path("clip.mp4").touch()
    for arguments in (
        ["predict", "org/name", "clip.mp4", "none.mp4"],
        ["predict", "org/name", "--text", "yes"],
        ["predict", "org/name", "none.mp4", "--json"],
        ["evaluate", "org/name", "org/corpus"],
        ["export", "org/name", "--output", "o"],
        ["train-affect", "--dataset", "emobank", "--output", "o"],
        ["train", "demo", "--dataset", "outputs/corpora/demo"],
        ["train", "--dataset", "./mine", "--corpus_script", "demo"],
        ["train", "demo", "--dataset", "org/corpus", "--no_load_best_model_at_end", "--no-streaming", "--seed", "-1"],
        ["train", "demo", "--dataset", "nowhere", "--dataset", "org/corpus"],
        ["train", "demo", "--model=nowhere", "--model=", "--test_dataset", ""],
        ["train", "demo", "--run_name", "-- mine --", "--model", "--bf16"],
        ["convert", "inception", "--checkpoint", "package://facenet_pytorch/data.pt", "--output", "o"],
    ):
        assert cli.main(arguments) == 7, arguments


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_option_of_training_passes_as_known(system):
    types = (model_arguments(system), DataArguments, UnivaTrainingArguments)
    options = [option for action in HfArgumentParser(types)._actions for option in action.option_strings]
    assert len(options) > 200
    check_options(options)
    check_options(["--", "--what-is-left"])


@pytest.mark.parametrize("mistyped", ["--lr", "--batch_size", "--epochs", "--seeed", "--model-name", "--hiden_size"])
def test_the_nearest_option_is_an_option_of_a_system(mistyped):
    parsers = [HfArgumentParser((model_arguments(one), DataArguments, UnivaTrainingArguments)) for one in SYSTEMS]
    options = {name for parser in parsers for action in parser._actions for name in action.option_strings}
    known, _ = training_options._known_names()
    plain = {name.removeprefix("--no_").removeprefix("--") for name in options if "-" not in name[2:]}
    assert plain - {"-h"} <= known
    with pytest.raises(ValueError, match=f"^Unknown option '{mistyped}'") as refused:
        check_options([mistyped])
    _, is_named, nearest_one = str(refused.value).partition(", the nearest is ")
    assert not is_named or nearest_one.split("'")[1] in options


def test_sources_of_another_layout_refuse_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(training_options, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "x")))
    check_options(["--lerning_rate"])
    (tmp_path / "training_args.py").write_text("class TrainingArguments(Base):\n    seed: int = 1\n")
    check_options(["--lerning_rate"])
    (tmp_path / "training_args.py").write_text("class TrainingArguments:\n    seed: int = 1\n")
    with pytest.raises(ValueError, match="Unknown option '--lerning_rate'"):
        check_options(["--lerning_rate"])


@pytest.mark.parametrize("name", ["a/b", "a", "a/b/c", "./a", "/a/b", "../a", "a-b.c/d_e", "é/b", "a/", "", "a b/c"])
def test_ids_of_the_hub_have_one_form(name):
    assert places.has_hub_form(name) == has_hub_form(name)


@pytest.mark.parametrize(
    ("command", "option", "known"),
    [
        ("evaluate", "tune_threshold", THRESHOLD_CHOICES),
        ("reproduce", "overwrite_runs", OVERWRITE),
        ("compare", "modalities", MODALITIES),
        ("compare", "fold_by", get_args(FoldBy)),
    ],
)
def test_choices_are_those_of_the_job(command, option, known):
    """They are written out beside the options, which import no job."""
    (action,) = [action for action in parser_of(command)._actions if action.dest == option]
    assert tuple(action.choices) == tuple(known)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_option_of_several_values_that_is_repeated_keeps_all_of_them(command):
    if command == "train":  # a recipe's value is replaced
        return
    several = [action for action in parser_of(command)._actions if action.nargs == "+" and action.option_strings]
    assert all(isinstance(action, argparse._ExtendAction) for action in several)


def test_kinds_of_checkpoints_are_those_that_can_be_converted():
    (kinds,) = [action for action in parser_of("convert")._actions if isinstance(action, argparse._SubParsersAction)]
    systems = {name: parser for name, parser in kinds.choices.items() if parser.get_default("kind") == "official"}
    assert list(systems) == list(OFFICIAL)
    titles = {action.dest: action.help for action in kinds._choices_actions}
    for name, official in OFFICIAL.items():
        assert titles[name].endswith(f" of {official.model_class.config_class.title}")
        assert ("--text-model" in systems[name].format_help()) == official.reads_tokens


def test_words_agree_with_their_number():
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert [verb(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]
