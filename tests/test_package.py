# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The wheel, in a folder with nothing of the repository."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from testing_utils import REPOSITORY, run_command, subprocess_environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The files of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(REPOSITORY)]
    subprocess.run([*command, "--wheel-dir", str(folder)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    command += ["--target", str(folder / "site"), str(next(folder.glob("*.whl")))]
    subprocess.run(command, check=True)
    return folder / "site"


@pytest.fixture
def univa(installed, tmp_path) -> Callable[..., str]:
    """Run the command of the wheel in an empty folder; what it prints."""

    def run(*arguments: str) -> str:
        environment = subprocess_environment(tmp_path / "cache") | {"PYTHONPATH": str(installed)}
        command = [sys.executable, installed / "bin" / "univa", *arguments]
        done = run_command(command, environment, tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def test_every_module_and_the_files_they_read_are_in_it(installed):
    modules = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "modeling_univa").rglob("*.py")}
    assert modules <= {path.relative_to(installed) for path in installed.rglob("*.py")}
    shipped = installed / "modeling_univa" / "shipped_files"
    assert (shipped / "model_card.md").read_bytes() == (REPOSITORY / "model_card.md").read_bytes()
    assert (shipped / "metrics" / "multilabel_emotion" / "multilabel_emotion.py").is_file()
    recipes = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "recipes").rglob("*.yaml")}
    assert recipes == {path.relative_to(shipped) for path in (shipped / "recipes").rglob("*.yaml")}


def test_building_training_and_plans_need_no_checkout(univa, tmp_path):
    help_text = univa("--help")
    assert all(f"    {name} " in help_text for name in ("build", "train", "reproduce"))
    assert "utterance-folder" in univa("build", "--help")
    built = univa("build", "demo", "--output", "corpora/demo", "--num-dialogues", "4")
    assert "raw media in corpora/demo-media" in built
    assert "demo, mosaic, ravdess_av, m3ed/{carat, " in " ".join(univa("train", "--help").split())
    trained = univa("train", "demo", "--dataset", "corpora/demo", "--output_dir", "run", "--max_steps", "2")
    assert "miF1 %" in trained and (tmp_path / "run" / "model.safetensors").is_file()
    # The plan names the recipe beside it.
    planned = univa("reproduce", "demo", "--dry-run", "--set", "dataset=corpora/demo")
    assert "table3 | w/o VA-ECP, seed 1113: to make" in planned and "9 runs, 9 to make" in planned


def test_a_run_builds_its_corpus_trains_and_writes_its_card(installed, tmp_path):
    """`corpus_script` has no checkout to look in."""
    code = (
        "import sys, modeling_univa; from modeling_univa.training.run import run_training\n"
        "from modeling_univa.training.arguments import parse_arguments\n"
        f"assert modeling_univa.__file__.startswith({str(installed)!r}), modeling_univa.__file__\n"
        "run_training(*parse_arguments(sys.argv[1:]))"
    )
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "audio_num_hidden_layers": 1}
    corpus = {"dataset": "./corpora/demo", "corpus_script": "demo", "corpus_options": ["--num-dialogues", "4"]}
    training = {"output_dir": "run", "num_train_epochs": 1, "use_cpu": True, "modalities": ["audio"]}
    options = {**sizes, **corpus, **training}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(options))
    environment = subprocess_environment(tmp_path / "cache") | {"PYTHONPATH": str(installed)}
    run = subprocess.run(
        [sys.executable, "-c", code, "recipe.yaml"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "raw media in ./corpora/demo-media" in run.stdout
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "README.md").is_file()


def test_what_a_user_of_models_does_not_need_is_imported_when_asked_for(tmp_path):
    code = (
        "import sys, modeling_univa\n"
        "rooms = ('training', 'prediction', 'data', 'features', 'corpora')\n"
        "loaded = [name for name in sys.modules if name.split('.')[1:2] and name.split('.')[1] in rooms\n"
        "          and name.startswith('modeling_univa.')]\n"
        "assert not loaded, loaded\n"
        "assert set(modeling_univa.__all__) <= set(dir(modeling_univa))\n"
        "from modeling_univa import UnivaPipeline, UnivaTrainer, UnivaTrainingArguments, load_corpus, predict\n"
        "assert 'modeling_univa.training.trainer' in sys.modules and callable(predict) and callable(load_corpus)\n"
        "assert all(hasattr(modeling_univa, name) for name in modeling_univa.__all__)\n"
        "assert not hasattr(modeling_univa, 'no_such_name')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=subprocess_environment(tmp_path), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
