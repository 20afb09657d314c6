# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What is imported when, and that transformers' auto classes know our classes all the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from testing_utils import subprocess_environment, tiny_config, tiny_model, tiny_processor
from transformers import CONFIG_MAPPING, PROCESSOR_MAPPING

import modeling_univa
from modeling_univa.auto_classes import announce_networks, network_types
from modeling_univa.cli import COMMANDS
from modeling_univa.models.systems import SYSTEMS


# Those whose options are by themselves. `build` reads them off classes that have to be imported; so do `train` and
# `demo`, but for an option that is mistyped.
OPTIONS = Path(modeling_univa.__path__[0], "command_line")
LIGHT = [name for name in COMMANDS if (OPTIONS / f"{name.replace('-', '_')}.py").exists()]
HEAVY = {"accelerate", "datasets", "evaluate", "numpy", "scipy", "sklearn", "torch", "transformers"}
# Most of a process of Python, and far from the 4 s that torch and transformers take.
CPU_SECONDS = 0.5


def run_code(code: str, *arguments: str, folder: Path) -> str:
    """What a process of its own prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=subprocess_environment(folder), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        *([([command, "--help"], 0) for command in LIGHT if command not in ("demo", "train")]),
        (["pradict"], 2),
        (["predict"], 2),
        (["build", "mosi"], 2),
        (["predict", "model", "--tekst", "x"], 2),
        (["convert", "univa"], 2),
        (["extract", "corpus", "--output", "o", "--workers", "many"], 2),
        (["extract", "nowhere", "--output", "o"], 2),
        (["evaluate", "nowhere"], 2),
        (["evaluate", "runs/none.parquet"], 2),
        (["train", "demo", "--lerning_rate", "1"], 2),
        (["train", "demo", "--dataset", "./nowhere"], 2),
        (["demo", "--max-stepz=1"], 2),
        (["predict", "nowhere", "clip.mp4"], 2),
        (["predict", "org/name", "none.mp4"], 2),
        (["predict", "org/name"], 2),
        (["convert", "mult", "--checkpoint", "none.pt", "--output", "o"], 2),
        (["push", "nowhere", "org/name"], 2),
        (["report", "nowhere", "--output", "o"], 2),
        (["export", "nowhere", "--output", "o"], 2),
        (["merge-adapter", "nowhere", "--output", "o"], 2),
        (["adapter-base", "nowhere", "org/name"], 2),
        (["train-affect", "--dataset", "none.csv", "--output", "o"], 2),
        (["score-affect", "no/where/else", "--output", "o"], 2),
        (["compare", "nowhere"], 2),
        (["reproduce", "nowhere.yaml"], 2),
        (["train", "nowhere.yaml", "--seed", "1"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_help_and_mistakes_of_a_command_line_are_told_at_once(arguments, status, tmp_path):
    code = (
        "import sys, time\n"
        "from modeling_univa.cli import main\n"
        "try:\n"
        "    sys.exit(main())\n"
        "except SystemExit as stop:\n"
        f"    assert stop.code == {status}, stop.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        f"assert not heavy, heavy\n"
        f"assert time.process_time() < {CPU_SECONDS}, time.process_time()\n"
    )
    assert run_code(code, *arguments, folder=tmp_path).startswith("usage: univa" if status == 0 else "")


def test_a_mistyped_option_of_train_hf_is_told_at_once(tmp_path):
    code = (
        "import sys\n"
        "from modeling_univa.cli import train_main\n"
        "assert train_main() == 2\n"
        f"assert not {HEAVY!r} & set(sys.modules)\n"
    )
    run_code(code, "demo", "--lerning_rate", "1", folder=tmp_path)


def test_the_package_is_imported_at_once(tmp_path):
    code = (
        "import sys, time, modeling_univa\n"
        f"assert not {HEAVY!r} & set(sys.modules)\n"
        f"assert time.process_time() < {CPU_SECONDS}\n"
        "assert set(modeling_univa.__all__) <= set(dir(modeling_univa))\n"
        "from modeling_univa import UnivaConfig\n"
        "assert modeling_univa.UnivaConfig is UnivaConfig\n"
    )
    run_code(code, folder=tmp_path)


def test_prediction_imports_nothing_of_training(tmp_path):
    unused = ("datasets", "evaluate", "matplotlib", "onnxruntime", "optuna", "pandas", "peft", "sklearn")
    code = (
        "import sys, modeling_univa.commands.predict\n"
        f"unused = set({unused!r}) & set(sys.modules)\n"
        "assert 'torch' in sys.modules and not unused, unused\n"
    )
    run_code(code, folder=tmp_path)


def test_every_public_name_is_there_and_no_other():
    assert sorted(modeling_univa.__all__) == modeling_univa.__all__
    for name in modeling_univa.__all__:
        assert getattr(modeling_univa, name).__module__.startswith("modeling_univa.")
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        modeling_univa.no_such_name  # noqa: B018


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model and its processor, with their code beside them."""
    folder = tmp_path_factory.mktemp("saved")
    config = tiny_config()
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config).save_pretrained(folder)
    return folder


# What a user does first; each has its own way through transformers.
FIRST = {
    "configuration": "AutoConfig.from_pretrained(folder)",
    "configuration of a name": "AutoConfig.for_model('univa')",
    "model": "AutoModel.from_pretrained(folder)",
    "classifier": "AutoModelForSequenceClassification.from_pretrained(folder)",
    "processor": "AutoProcessor.from_pretrained(folder)",
    "pipeline": "pipeline(model=folder, trust_remote_code=True).model",
    "mapping": "CONFIG_MAPPING['univa']()",
    "other network": "AutoModel.from_config(AutoConfig.for_model('mini-xception'))",
    "own configuration": "AutoModel.from_config(configuration_univa.UnivaConfig(modalities=['audio']))",
}
IMPORTED = "AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor, CONFIG_MAPPING, pipeline"
ORDERS = {
    "modeling_univa first": f"import modeling_univa\nfrom transformers import {IMPORTED}",
    "transformers first": f"from transformers import {IMPORTED}\nimport modeling_univa",
}


@pytest.mark.parametrize(
    ("first", "order"),
    [
        ("model", "modeling_univa first"),
        *(pytest.param(name, "modeling_univa first", marks=pytest.mark.slow) for name in FIRST if name != "model"),
        *(pytest.param(name, "transformers first", marks=pytest.mark.slow) for name in ("model", "processor")),
    ],
)
def test_auto_classes_give_our_classes_without_trust(first, order, saved, tmp_path):
    imports = "from modeling_univa.models import configuration_univa\n" if first == "own configuration" else ""
    code = (
        "import sys\n"
        f"{ORDERS[order]}\n"
        "assert 'modeling_univa.models' not in sys.modules\n"
        f"{imports}folder = sys.argv[1]\n"
        f"found = {FIRST[first]}\n"
        "assert type(found).__module__.startswith('modeling_univa.models.'), type(found)\n"
        "assert type(CONFIG_MAPPING['univa']) is type and 'torch' in sys.modules\n"
    )
    run_code(code, str(saved), folder=tmp_path)


@pytest.mark.slow
def test_a_spawned_process_gets_our_classes(tmp_path):
    script = tmp_path / "spawn.py"
    script.write_text(
        "import multiprocessing\n"
        "import modeling_univa\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        found = pool.apply(modeling_univa.UnivaConfig, kwds={'modalities': ['audio']})\n"
        "    assert type(found) is modeling_univa.UnivaConfig and list(found.modalities) == ['audio']\n"
    )
    run_code("import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", str(script), folder=tmp_path)


def test_every_network_is_announced_and_none_twice():
    ours = {name for name, config in CONFIG_MAPPING.items() if config.__module__.startswith("modeling_univa.models.")}
    assert ours == set(network_types()) > set(SYSTEMS)
    before = list(sys.meta_path)
    try:
        announce_networks()
    finally:
        sys.meta_path[:] = before
    assert CONFIG_MAPPING["univa"] is modeling_univa.UnivaConfig
    processors = {processor.__module__ for processor in PROCESSOR_MAPPING._extra_content.values()}
    assert processors == {"modeling_univa.models.processing_univa"}


def test_a_file_that_is_no_network_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr("modeling_univa.auto_classes.network_types", lambda: ["half_written"])
    before = list(sys.meta_path)
    try:
        announce_networks()
        with pytest.raises(ImportError, match="modeling_half_written.py .* needs a line in `systems.py`"):
            CONFIG_MAPPING["half_written"]()
    finally:
        sys.meta_path[:] = before
        del CONFIG_MAPPING._extra_content["half_written"]


def test_what_a_command_imports_is_left_alone_by_the_garbage_collector(tmp_path):
    code = (
        "import gc, sys\n"
        "from modeling_univa.cli import main\n"
        "assert main(['predict', 'org/name', 'none.csv']) == 2 and gc.get_freeze_count() == 0\n"
        "assert main() == 2\n"
        "assert 'torch' in sys.modules and gc.isenabled()\n"
        "assert gc.get_freeze_count() > 300_000, gc.get_freeze_count()\n"
        "gc.disable()\n"
        "assert main() == 2 and not gc.isenabled()\n"
    )
    run_code(code, "evaluate", "org/name", folder=tmp_path)


def test_a_process_that_calls_a_command_keeps_its_own_garbage_collection(tmp_path):
    code = (
        "import gc, sys\n"
        "from modeling_univa.cli import main\n"
        "assert main(['evaluate', 'org/name']) == 2 and 'torch' in sys.modules\n"
        "assert gc.get_freeze_count() == 0 and gc.isenabled()\n"
    )
    run_code(code, folder=tmp_path)
