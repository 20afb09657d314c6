# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A saved folder needs no package of ours: its own code, behind `trust_remote_code`, gives the same logits."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from testing_utils import Utterances, run_command, subprocess_environment, tiny_config, tiny_model, tiny_processor
from transformers.dynamic_module_utils import get_imports

from modeling_univa.models.light_features_univa import LogMelExtractor


SCRIPT = Path(__file__).with_name("load_remote_code.py")
ROUTES = ("bert", "roberta", "words")
ALLOWED = {"torch", "transformers", "huggingface_hub", "numpy"}


def save(route: str, folder: Path) -> Path:
    speech = LogMelExtractor()
    config = tiny_config(route, audio_feature_size=speech.feature_size)
    model, utterances = tiny_model(config), Utterances(config, absent=0.2)
    processor = tiny_processor(config, extractors={"audio": speech.to_dict()})
    with torch.no_grad():
        logits = model(**utterances.inputs()).logits
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    utterances.write(folder / "inputs.json", logits)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("saved")
    return {route: save(route, base / f"model-{route}") for route in ROUTES}


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory) -> dict[str, Any]:
    """What a process found that has no access to the package; `-I` ignores PYTHONPATH and the working folder."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    environment = subprocess_environment(cwd / "cache", with_package=False)
    result = run_command([sys.executable, "-I", SCRIPT, *folders.values()], environment, cwd)
    assert result.returncode == 0, result.stderr[-5000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(params=ROUTES)
def found(request, report, folders) -> dict[str, Any]:
    return report[str(folders[request.param])]


def test_package_and_media_libraries_were_out_of_reach(report):
    assert report["imported"] == []


def test_auto_classes_give_the_classes_beside_the_weights(found):
    module, _, name = found["classes"]["AutoModel"].rpartition(".")
    assert name == "UnivaForEmotionClassification"
    assert module.startswith("transformers_modules.")
    assert found["classes"]["AutoModelForSequenceClassification"].endswith(".UnivaForEmotionClassification")
    assert (found["classes"]["AutoConfig"], found["classes"]["AutoProcessor"]) == ("UnivaConfig", "UnivaProcessor")


def test_logits_are_the_same(found):
    assert found["near"] == {"AutoModel": True, "AutoModelForSequenceClassification": True, "again": True}


def test_saving_again_copies_all_code(found, folders):
    assert found["copied"] == sorted(path.name for path in folders["bert"].glob("*.py"))


def test_code_is_not_run_without_leave(found):
    kinds = {"AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoProcessor", "pipeline"}
    assert set(found["refused"]) == kinds
    for name, message in found["refused"].items():
        assert "trust_remote_code=True" in message, name


def test_missing_media_library_is_named(found):
    for name in ("audio", "video"):
        assert 'pip install "univa[media]"' in found["media_errors"][name]


def test_pipeline_gives_the_same_probabilities(found):
    for report in found["pipeline"]:
        assert report["task"] == "multimodal-emotion-classification"
        assert report["class"].startswith("transformers_modules.") and report["class"].endswith(".pipeline_univa")
        assert report["utterances"] >= 5 and report["difference"] < 1e-6


def test_tasks_that_the_hub_s_page_suggests_give_the_pipeline(found):
    assert set(found["tasks"].values()) == {"UnivaPipeline"} and len(found["tasks"]) == 3


# What makes it work


@pytest.fixture(scope="module")
def hub_modules(folders) -> list[Path]:
    return sorted(folders["bert"].glob("*.py"))


def test_all_hub_modules_are_copied(hub_modules):
    names = {path.stem for path in hub_modules}
    assert names >= {
        "configuration_univa", "faces_univa", "files_univa", "light_features_univa", "losses_univa", "media_univa",
        "modeling_univa", "pipeline_univa", "processing_univa",
    }  # fmt: skip


def module_level(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run at import, without those for type checkers alone."""
    statements, found = list(tree.body), []
    while statements:
        statement = statements.pop()
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        found.append(statement)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Import | ast.ImportFrom):
            statements += [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)]
    return found


def test_hub_modules_import_little_and_each_other_by_one_dot(hub_modules):
    siblings = {path.stem for path in hub_modules}
    allowed = ALLOWED | set(sys.stdlib_module_names)
    for path in hub_modules:
        for statement in module_level(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                assert {alias.name.partition(".")[0] for alias in statement.names} <= allowed, path
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                assert statement.module.partition(".")[0] in allowed, path
            elif isinstance(statement, ast.ImportFrom):
                assert (statement.level, statement.module in siblings) == (1, True), path


def test_transformers_asks_for_no_other_package(hub_modules):
    # It looks into functions too, but not into `try`: optional libraries have to be imported there.
    for path in hub_modules:
        assert set(get_imports(path)) <= ALLOWED | set(sys.stdlib_module_names), path
