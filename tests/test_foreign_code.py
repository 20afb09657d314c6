# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Whatever is loaded by name is loaded without code of its own: transformers would ask on the terminal otherwise."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testing_utils import REPOSITORY, subprocess_environment, tiny_config, tiny_model, tiny_processor


FOLDERS = ("modeling_univa", "space", "datasets_scripts", "metrics")
# Ways in which the examples for users load a model, as a visitor of the Hub does.
VISITORS = ("benchmarks/hub_visitor.py",)


def sources() -> list[Path]:
    files = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    found = [*files, *sorted((REPOSITORY / "benchmarks").glob("*.py")), REPOSITORY / "train_hf.py"]
    return [path for path in found if str(path.relative_to(REPOSITORY)) not in VISITORS]


def loading_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `Auto….from_pretrained` or `.from_config`, or of `pipeline` by the name of a task."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        owner, _, name = ast.unparse(node.func).rpartition(".")
        is_auto = owner.lower().rpartition(".")[2].startswith("auto")
        is_task = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if (name in ("from_pretrained", "from_config") and is_auto) or (name == "pipeline" and is_task):
            yield node


def trust(call: ast.Call) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == "trust_remote_code"), None)


def test_every_auto_class_is_called_without_code_of_the_folder():
    calls = [(path, call) for path in sources() for call in loading_calls(ast.parse(path.read_text()))]
    assert len(calls) >= 10
    for path, call in calls:
        assert trust(call) == "False", f"{path}:{call.lineno}: {ast.unparse(call)}"


@pytest.mark.parametrize(
    "code", ["AutoModel.from_pretrained(n)", "pipeline('asr', n)", "auto_class.from_pretrained(n)"]
)
def test_the_check_finds_what_it_looks_for(code):
    (call,) = loading_calls(ast.parse(code))
    assert trust(call) is None


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_yes_on_standard_input_runs_no_code_of_a_folder(file, tmp_path):
    model, trace = tmp_path / "model", tmp_path / "was run"
    tiny_model(tiny_config()).save_pretrained(model)
    tiny_processor(tiny_config()).save_pretrained(model)
    named = {"auto_map": {"AutoTokenizer": ["evil.Evil", None], "AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}}
    kind = {"tokenizer_class": "Evil"} if file.startswith("tokenizer") else {"model_type": "stranger"}
    (model / file).write_text(json.dumps(json.loads((model / file).read_text()) | named | kind))
    (model / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    command = [sys.executable, "-m", "modeling_univa.cli", "predict", str(model), "--text", "yes"]
    environment = subprocess_environment(tmp_path / "cache")
    ended = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, env=environment, timeout=120)
    assert not trace.exists()
    assert "[y/N]" not in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
    # A class of the folder's own is not needed where the vocabulary is that of a known one.
    assert ended.returncode in (0, 2)
