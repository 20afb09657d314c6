# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Malformed configurations, weights, tokenizers, recipes, corpora and tables: one sentence, never a traceback."""

import csv
import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from fuzzing import (
    Damage,
    copy_of,
    file_damages,
    inside,
    json_damages,
    judge,
    run,
    table_damages,
    tensor_damages,
    write,
)
from media_corpora import write_image, write_sound
from released_trees import write_m3ed, write_mosei
from safetensors.numpy import load_file
from sheets import write_workbook
from testing_utils import (
    random_rows,
    tiny_config,
    tiny_model,
    tiny_processor,
    write_corpus,
    write_text_encoder,
)

import train_hf
from modeling_univa import cli
from modeling_univa.commands.build import build_main, corpus_main
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


# Warnings quote what is malformed, which pytest's workers cannot send to each other.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SEED = 0
SPEECH, FACES = LogMelExtractor(), HogExtractor(image_size=32, cell_size=16)
REPOSITORY = Path(__file__).resolve().parents[1]
METADATA = """\
utterance_id,dialogue_id,position,text,emotions,audio,faces,text_valence,text_arousal,text_emotion
{0}_a,{0}_d,0,yes no,happy,speech/0.wav,faces/0.png,0.5,-0.25,happy
{0}_b,{0}_d,1,no,sad,speech/1.wav,faces/1.png,0.25,0.5,sad
{0}_c,{0}_e,0,abc,happy;sad,speech/0.wav,,0.1,0.2,happy
"""
SHEET = """\
Id,Session,Turn,Transcript,Emotion,Speech,Start,End
a,d,1,yes no,happy,0.wav,0,"0,2"
b,d,2,no,sad,1.wav,0.1,0.3
c,e,1,abc,happy;sad,0.wav,,
"""
LEXICON = "word,valence,arousal\nhappy,0.9,0.6\nsad,0.1,0.3\n"
RECIPE = {
    "dataset": "corpus",
    "output_dir": "output",
    "text_model": "encoder",
    "modalities": ["text", "audio"],
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "audio_num_hidden_layers": 1,
    "max_audio_length": 8,
    "contrastive_modality_weights": [1.0, 1.0, 1.0],
    "contrastive_temperature": 0.7,
    "objective": "released",
    "decision_threshold": 0.2,
    "va_scaling": "none",
    "batching": "random",
    "per_device_train_batch_size": 4,
    "max_steps": 1,
    "learning_rate": 1.0e-3,
    "warmup_steps": 0,
    "seed": 3,
    "test_split": "none",
    "use_cpu": True,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": False,
}
# Settings of training, for which every number of their kind is a legal choice: another model comes of another number.
FREE_SETTINGS = (
    "learning_rate", "warmup_steps", "seed", "per_device_train_batch_size", "hidden_size", "contrastive_temperature",
    "intermediate_size", "num_attention_heads", "audio_num_hidden_layers", "max_steps", "decision_threshold",
    "contrastive_modality_weights", "max_audio_length", "test_split", "modalities", "output_dir",
)  # fmt: skip
PROCESSOR, SCORER = ["The processor of", "The tokenizer of"], ["a scorer of audio is one of"]
ARCHITECTURE = ["architecture", "model, not of a"]
TASK = ["task type"]
# Of a table: what may be any text or number, and what may be left out.
FREE_COLUMNS = ("text", "dialogue_id", "utterance_id", "emotions", "position", "text_valence", "text_arousal")
SHEET_COLUMNS = ("Id", "Session", "Turn", "Transcript", "Emotion", "Start", "End")
# What a message may call them.
SPOKEN = {
    "dataset": ("data set",),
    "eval_strategy": ("eval strategy",),
    "learning_rate": ("learning rate",),
    "output_dir": ("file name too long",),
    "test_split": ("split",),
    "text_model": ("cannot be loaded", "modalities"),
}
# Of a configuration: what says how much, not which; the weights fit any of it.
FREE_FIELDS = ("layer_norm_eps", "num_attention_heads", "hidden_act", "id2label", "decision_threshold")


# -- good inputs


def _world(root: Path) -> None:
    """Everything that is damaged below, small and good."""
    _model(root / "model")
    _adapter(root / "adapter")
    export_onnx(root / "model" / "model", root / "onnx")
    _sharded(root / "sharded")
    _ready(root / "ready")
    _source(root / "source")
    write_m3ed(root / "m3ed")
    write_mosei(root / "mosei")
    _run(root / "run")
    _scorer(root / "scorer")
    torch.manual_seed(0)
    MiniXceptionModel(MiniXceptionConfig()).save_pretrained(root / "network")


def _model(folder: Path, **options: Any) -> None:
    config = tiny_config(audio_feature_size=SPEECH.feature_size, vision_feature_size=FACES.feature_size)
    tiny_model(config).save_pretrained(folder / "model", **options)
    processor = tiny_processor(config, extractors={"audio": SPEECH.to_dict(), "vision": FACES.to_dict()})
    processor.save_pretrained(folder / "model")
    _media(folder)


def _sharded(folder: Path) -> None:
    _model(folder, max_shard_size="20KB")


def _media(folder: Path) -> None:
    for number in range(2):
        write_sound(folder / "speech" / f"{number}.wav", 0.5, number)
        write_image(folder / "faces" / f"{number}.png", number)
    (folder / "clips.csv").write_text(METADATA.format("clip"))


def _adapter(folder: Path) -> None:
    config = tiny_config()
    model = add_adapter(tiny_model(config), ModelArguments(lora_rank=2), folder / "model", True)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.fill_(0.1)
    model.save_pretrained(folder / "model")
    tiny_processor(config).save_pretrained(folder / "model")
    tiny_processor(config).save_pretrained(folder / "model" / "base")


def _ready(folder: Path) -> None:
    """A model of precomputed features and a corpus with them."""
    config = tiny_config()
    tiny_model(config).save_pretrained(folder / "model")
    extractors = {
        name: {"extractor_type": "precomputed", "name": f"tiny {name}", "feature_size": size}
        for name, size in (("audio", 5), ("vision", 3))
    }
    tiny_processor(config, extractors=extractors).save_pretrained(folder / "model")
    write_corpus(folder / "corpus", {"test": random_rows([3, 2])})


def _source(folder: Path) -> None:
    (folder / "source" / "metadata").mkdir(parents=True)
    for split in ("train", "test"):
        (folder / "source" / "metadata" / f"{split}.csv").write_text(METADATA.format(split))
    _media(folder / "source")
    (folder / "lexicon.csv").write_text(LEXICON)
    (folder / "sheet.csv").write_text(SHEET)
    write_workbook(folder / "sheet.xlsx", list(csv.DictReader(SHEET.splitlines())))
    (folder / "0.srt").write_text("1\n00:00:00,000 --> 00:00:00,200\nyes no\n")
    (folder / "settings.json").write_text(json.dumps(SPEECH.to_dict()))
    status = corpus_main(UtteranceFolder, [
        "--source", str(folder / "source"), "--output", str(folder / "corpus"), "--labels", "happy,sad",
    ])  # fmt: skip
    assert status == 0


def _run(folder: Path) -> None:
    write_text_encoder(folder / "encoder")
    splits = {"train": random_rows([3, 2, 4]), "validation": random_rows([3], seed=1)}
    write_corpus(folder / "corpus", splits)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))


def _scorer(folder: Path) -> None:
    config = UnivaAffectRegressorConfig(
        modality="audio", feature_size=SPEECH.feature_size, hidden_size=8, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    UnivaAffectRegressor(config).save_pretrained(folder / "scorer")
    UnivaProcessor.from_config(config, extractors={"audio": SPEECH.to_dict()}).save_pretrained(folder / "scorer")


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("good")
    _world(root)
    return root


# -- commands


def _predictions(_: Path, output: str) -> Any:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line["scores"] for line in lines]


def _predict(place: Path, *options: str) -> int:
    return cli.main(["predict", str(place / "model"), str(place / "clips.csv"), "--json", *options])


def _predict_text(place: Path) -> int:
    return cli.main(["predict", str(place / "model"), "--text", "yes no", "--json"])


def _predict_onnx(place: Path) -> int:
    return cli.main(["predict", str(place), "--text", "yes no", "--json", "--runtime", "onnx"])


def _evaluate(place: Path) -> int:
    return cli.main(["evaluate", str(place / "model"), str(place / "corpus"), "--output", str(place / "scores")])


def _scores(place: Path, output: str) -> Any:
    return [line.split() for line in output.splitlines()[:2]]


def _rows(folder: Path) -> Any:
    tables = {path.name: pq.read_table(path) for path in sorted(folder.glob("data/*.parquet"))}
    return {
        name: {column: _plain(table[column].to_pylist()) for column in table.column_names}
        for name, table in tables.items()
    }


def _plain(values: list[Any]) -> list[Any]:
    """Numbers that are absent by contract are not what makes a result bad."""
    return [None if isinstance(value, list) and str(value) == "[nan, nan]" else value for value in values]


def _extract(place: Path, *options: str) -> int:
    arguments = [str(place / "corpus"), "--output", str(place / "out"), "--media-root", str(place / "source")]
    return cli.main(["extract", *arguments, *options])


def _build(place: Path, *options: str) -> int:
    return corpus_main(
        UtteranceFolder,
        ["--source", str(place / "source"), "--output", str(place / "out"), "--labels", "happy,sad", *options],
    )


def _build_sheet(name: str, *options: str) -> Callable[[Path], int]:
    def main(place: Path) -> int:
        arguments = ["--source", str(place / name), "--media-root", str(place / "source"), "--labels", "happy,sad"]
        given = [str(place / option) if option.endswith(".srt") else option for option in options]
        return build_main("sheet", [*arguments, "--output", str(place / "out"), *given])

    return main


def _build_by_words(place: Path) -> int:
    return _build(place, "--emotion-va", str(place / "lexicon.csv"), "--va", "from-emotion")


def _script(name: str) -> Callable[[Path], int]:
    def main(place: Path) -> int:
        return build_main(name, ["--source", str(place), "--output", str(place.parent / "out")])

    return main


def _train(place: Path) -> int:
    with inside(place):
        return train_hf.main(["recipe.yaml"])


def _trained(place: Path, output: str) -> Any:
    file = place / "output" / "model.safetensors"
    return load_file(file) if file.is_file() else None


def _score_affect(place: Path) -> int:
    arguments = [str(place / "corpus"), "--output", str(place / "out"), "--media-root", str(place / "source")]
    return cli.main(["score-affect", *arguments, "--audio-scorer", str(place / "scorer")])


# -- damages


@dataclass(frozen=True)
class Target:
    """
    A kind of input.

    Args:
        folder: of the world, copied for each damage.
        file: below it, what is damaged.
        damages: of the good file.
        command: reads it, given the copy.
        result: of the command, given the copy and what it printed.
        count: how many damages are drawn.
        program: what a message begins with.
    """

    folder: str
    file: str
    damages: Callable[[Path, random.Random], Iterator[Damage]]
    command: Callable[[Path], int]
    result: Callable[[Path, str], Any]
    count: int
    program: str = "univa"


def _json(*free: str, spoken: Sequence[str] = ()) -> Callable[[Path, random.Random], Iterator[Damage]]:
    """Damages of a JSON file; `spoken` is how a message may name it."""

    def damages(path: Path, random_: random.Random) -> Iterator[Damage]:
        for damage in json_damages(json.loads(path.read_text()), path.name, random_, free):
            yield replace(damage, names=(*damage.names, *spoken))

    return damages


def _files(text: bool = True, flips: int = 0) -> Callable[[Path, random.Random], Iterator[Damage]]:
    return lambda path, random_: file_damages(path.name, path.read_bytes(), random_, text=text, flips=flips)


def _tensors(path: Path, random_: random.Random) -> Iterator[Damage]:
    return tensor_damages(path.name, load_file(path), random_)


def _split(path: Path, random_: random.Random) -> Iterator[Damage]:
    """A split that is missing altogether is a corpus of one split less, as the command says."""
    for damage in _files()(path, random_):
        yield replace(damage, may_differ=damage.may_differ or damage.name.endswith("missing"))


def _table(*free: str) -> Callable[[Path, random.Random], Iterator[Damage]]:
    return lambda path, random_: table_damages(path.name, path.read_text(), random_, free)


def _parquet(path: Path, random_: random.Random) -> Iterator[Damage]:
    """A corpus file with other columns and values than it should have."""
    table = pq.read_table(path)

    def put(change: Callable[[Any], Any]) -> Callable[[Path], None]:
        def apply(target: Path) -> None:
            target.unlink()
            pq.write_table(change(table), target)

        return apply

    for name in table.column_names:
        place = table.column_names.index(name)
        short = (path.name, name)
        yield Damage(f"no column {name}", put(lambda t, n=name: t.drop_columns([n])), (*short, "corpus"), True)
        for kind, value in (("nulls", None), ("texts", "x"), ("numbers", 3), ("lists", [1.0])):
            yield Damage(
                f"column {name} of {kind}",
                put(lambda t, p=place, n=name, v=value: t.set_column(p, n, pa.array([v] * t.num_rows))),
                (*short, "corpus"),
                kind == "nulls"
                or name in ("text", "dialogue_id", "utterance_id", "speaker", "text_va", "audio_va", "vision_va"),
            )
    for name, value in [
        *(("emotions", [label]) for label in (-1, 6, 99, 2**31 - 1)),
        *(("audio_features", [[value] * 5]) for value in (np.nan, np.inf, -np.inf)),
    ]:
        field = table.schema.field(name)
        column = pa.array([value] * table.num_rows, field.type)
        change = put(lambda t, f=field, c=column: t.set_column(t.column_names.index(f.name), f, c))
        yield Damage(f"{name} {value}", change, (path.name, name, "label", "audio"))
    yield Damage("no rows", put(lambda t: t.slice(0, 0)), (path.name, "test", "corpus"))
    yield Damage(
        "without what datasets wrote", put(lambda t: t.replace_schema_metadata({})), (path.name, "emotions", "corpus")
    )


def _corpus_files(path: Path, random_: random.Random) -> Iterator[Damage]:
    for damage in file_damages(path.name, path.read_bytes(), random_, text=False, flips=15):
        yield replace(damage, names=(*damage.names, "Parquet file", "emotions"))


def _recipe(path: Path, random_: random.Random) -> Iterator[Damage]:
    """Values of a recipe that are JSON are YAML too."""
    for damage in json_damages(RECIPE, path.name, random_, FREE_SETTINGS):
        yield replace(damage, names=(*damage.names, *SPOKEN.get(damage.names[-1], ())))


def _options(place: Path, random_: random.Random) -> Iterator[Damage]:
    """Options of the command line, given through a file beside the recipe."""
    values = [
        "",
        "wrong",
        "-1",
        "nan",
        "inf",
        "1e400",
        "[]",
        "{}",
        "a" * 10**4,
        "\x00",
        "../../etc",
        "None",
        "0.5",
        "99999999999999999999",
    ]
    # Long runs are what some ask for.
    choices = [(name, value) for name in RECIPE for value in values if (name, value[:2]) != ("max_steps", "99")]
    random_.shuffle(choices)
    for name, value in choices:
        arguments = json.dumps([f"--{name}", value])
        yield Damage(
            f"--{name} {value[:20]!r}",
            lambda path, text=arguments: write(path.parent / "options.json", text.encode()),
            (name, *SPOKEN.get(name, ())),
            name in FREE_SETTINGS,
        )


def _train_with_options(place: Path) -> int:
    extra = json.loads((place / "options.json").read_text()) if (place / "options.json").is_file() else []
    with inside(place):
        return train_hf.main(["recipe.yaml", *extra])


def _settings(place: Path) -> int:
    return _extract(place, "--audio-extractor", str(place / "settings.json"))


def _out_rows(place: Path, output: str) -> Any:
    return _rows(place / "out")


def _released(place: Path, output: str) -> Any:
    return _rows(place.parent / "out")


CORPUS_FILE = "corpus/data/test-00000-of-00001.parquet"
M3ED_FILE = "M3ED/preprocess_data/final_feat/A/M3ED_train_audio_utt_VA.pkl"
TARGETS = {
    "config": Target(
        "model", "model/config.json", _json(*FREE_FIELDS, spoken=ARCHITECTURE), _predict_text, _predictions, 60
    ),
    "config file": Target("model", "model/config.json", _files(), _predict_text, _predictions, 30),
    "processor": Target("model", "model/processor_config.json", _json(spoken=PROCESSOR), _predict, _predictions, 60),
    "processor file": Target("model", "model/processor_config.json", _files(), _predict, _predictions, 30),
    "tokenizer file": Target("model", "model/tokenizer.json", _files(), _predict_text, _predictions, 30),
    "tokenizer": Target(
        "model", "model/tokenizer.json", _json("vocab", "id", "ids", "content"), _predict_text, _predictions, 25
    ),
    "tokenizer config": Target(
        "model", "model/tokenizer_config.json", _json(spoken=["tokenizer of"]), _predict_text, _predictions, 25
    ),
    "weights": Target("model", "model/model.safetensors", _tensors, _predict_text, _predictions, 60),
    "weights file": Target("model", "model/model.safetensors", _files(text=False), _predict_text, _predictions, 20),
    "index": Target(
        "sharded",
        "model/model.safetensors.index.json",
        _json("metadata", "total_size", "total_parameters"),
        _predict_text,
        _predictions,
        20,
    ),
    "adapter config": Target(
        "adapter",
        "model/adapter_config.json",
        _json("lora_alpha", "r", spoken=TASK),
        _predict_text,
        _predictions,
        30,
    ),
    "adapter weights": Target("adapter", "model/adapter_model.safetensors", _tensors, _predict_text, _predictions, 25),
    "onnx": Target("onnx", "model.onnx", _files(text=False), _predict_onnx, _predictions, 20),
    "clips": Target("model", "clips.csv", _table(*FREE_COLUMNS), _predict, _predictions, 40),
    "clips file": Target("model", "clips.csv", _files(), _predict, _predictions, 25),
    "corpus": Target("ready", CORPUS_FILE, _parquet, _evaluate, _scores, 60),
    "corpus file": Target("ready", CORPUS_FILE, _corpus_files, _evaluate, _scores, 30),
    "extractors": Target("ready", "corpus/feature_extractors.json", _json(), _evaluate, _scores, 25),
    "extractors file": Target("ready", "corpus/feature_extractors.json", _files(), _evaluate, _scores, 15),
    "settings": Target("source", "settings.json", _json(), _settings, _out_rows, 40),
    "settings file": Target("source", "settings.json", _files(), _settings, _out_rows, 20),
    "metadata": Target("source", "source/metadata/train.csv", _table(*FREE_COLUMNS), _build, _out_rows, 50, "error"),
    "metadata file": Target("source", "source/metadata/train.csv", _split, _build, _out_rows, 25, "error"),
    "sheet": Target("source", "sheet.csv", _table(*SHEET_COLUMNS), _build_sheet("sheet.csv"), _out_rows, 50, "error"),
    "sheet file": Target("source", "sheet.csv", _files(), _build_sheet("sheet.csv"), _out_rows, 25, "error"),
    "workbook": Target(
        "source", "sheet.xlsx", _files(text=False, flips=30), _build_sheet("sheet.xlsx"), _out_rows, 40, "error"
    ),
    "subtitles": Target(
        "source", "0.srt", _files(), _build_sheet("sheet.csv", "--subtitles", "0.srt"), _out_rows, 25, "error"
    ),
    "lexicon": Target("source", "lexicon.csv", _table("word"), _build_by_words, _out_rows, 15, "error"),
    "lexicon file": Target("source", "lexicon.csv", _files(), _build_by_words, _out_rows, 15, "error"),
    "recipe": Target("run", "recipe.yaml", _recipe, _train, _trained, 70, "train_hf.py"),
    "recipe file": Target("run", "recipe.yaml", _files(), _train, _trained, 20, "train_hf.py"),
    "options": Target("run", "recipe.yaml", _options, _train_with_options, _trained, 50, "train_hf.py"),
    "m3ed annotations": Target(
        "m3ed",
        "M3ED/preprocess_data/utt_annot.json",
        _json("text", "Emotion"),
        _script("m3ed"),
        _released,
        25,
        "error",
    ),
    "m3ed structure": Target(
        "m3ed", "M3ED/preprocess_data/videos_structure.json", _json(), _script("m3ed"), _released, 20, "error"
    ),
    "m3ed pickle": Target("m3ed", M3ED_FILE, _files(text=False), _script("m3ed"), _released, 20, "error"),
    "mosei table": Target(
        "mosei", "MOSEI/final_multi_labels.csv", _table("text"), _script("mosei"), _released, 25, "error"
    ),
    "scorer config": Target(
        "source",
        "scorer/config.json",
        _json(*FREE_FIELDS, spoken=SCORER),
        _score_affect,
        _out_rows,
        25,
    ),
    "scorer processor": Target(
        "source", "scorer/processor_config.json", _json(spoken=PROCESSOR), _score_affect, _out_rows, 20
    ),
    "scorer weights": Target("source", "scorer/model.safetensors", _tensors, _score_affect, _out_rows, 20),
}


@pytest.mark.parametrize("name", TARGETS)
def test_one_sentence_whatever_the_input(name, world, tmp_path):
    target = TARGETS[name]
    random_ = random.Random(f"{SEED} {name}")
    good = world / target.folder
    if target.file.startswith("scorer/"):
        good = shutil.copytree(good, tmp_path / "good")
        shutil.copytree(world / "scorer" / "scorer", good / "scorer")
    # Deep enough for a way upwards to stay in the test's own folder.
    tmp_path = tmp_path / "a" / "b" / "c"
    place = copy_of(good, tmp_path / "0")
    nothing = Damage("nothing", lambda path: None, ())
    outcome = run(nothing, lambda: target.command(place), lambda output: target.result(place, output))
    assert outcome.status == 0 and outcome.result, str(outcome)
    expected, bad = outcome.result, []
    damages = list(itertools.islice(target.damages(good / target.file, random_), target.count))
    for number, damage in enumerate(damages, start=1):
        shutil.rmtree(place.parent / "out", ignore_errors=True)
        shutil.rmtree(place)
        place = copy_of(good, tmp_path / str(number))
        damage.apply(place / target.file)
        outcome = run(
            damage,
            lambda place=place: target.command(place),
            lambda output, place=place: target.result(place, output),
        )
        outcome.problems += judge(outcome, target.program, expected)
        if outcome.problems:
            bad.append(outcome)
    kinds = Counter(problem.split()[0] for outcome in bad for problem in outcome.problems)
    assert not bad, f"{len(bad)} of {len(damages)}: {dict(kinds)}\n" + "\n".join(map(str, bad))
