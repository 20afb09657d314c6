# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What is pushed from here is used by a person who has transformers and what the model card names, nothing of ours.

    python benchmarks/hub_round_trip.py --model outputs/demo --clip clip.mp4 --torch torch==2.13.0

Model, corpus and metric are pushed to a Hub on this machine (hub_server.py of tests/support). A new environment loads
them from there by id, in one process (hub_visitor.py), and the logits are compared with those of this environment.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


REPOSITORY = Path(__file__).resolve().parents[1]
VISITOR = Path(__file__).with_name("hub_visitor.py")
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "benchmarks")]

MODEL, CORPUS, METRIC = "lab/emotions", "lab/corpus", "lab/emotion_score"
TOKEN = "hf_me"


class RoundTripError(Exception):
    """What was pushed is not what arrived."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="trained model to push (default: one trained on the spot)")
    parser.add_argument("--corpus", type=Path, help="built corpus to push (default: a small demo corpus)")
    parser.add_argument("--clip", type=Path, help="video to predict from (default: one that is written)")
    parser.add_argument("--text", default="I loved it!", help="transcript of the clip")
    parser.add_argument("--torch", default="torch", metavar="REQUIREMENT", help="what is installed first")
    parser.add_argument("--python", type=Path, help="interpreter of an environment to use, not a new one")
    parser.add_argument("--folder", type=Path, help="where everything is written, and stays (default: nowhere)")
    parser.add_argument("--output", type=Path, help="file for the report, JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 1 where something differs."""
    options = make_parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="univa-hub-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = round_trip(options, folder.resolve())
        except RoundTripError as error:
            print(f"hub_round_trip.py: {error}", file=sys.stderr)
            return 1
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def round_trip(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Push, load in the other environment, compare."""
    # Neither imports a library that reads HF_ENDPOINT.
    from hub_server import Account, HubServer
    from video_files import write_clip

    with HubServer(folder / "store", {TOKEN: Account("me", organizations=("lab",))}) as hub:
        os.environ.update(hub.environment(folder / "cache", TOKEN))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        clip = (options.clip or write_clip(folder / "clip.mp4", 2.0)).resolve()
        corpus = options.corpus or build_corpus(folder / "corpus")
        model = options.model or train_model(folder / "model", corpus)
        for command in (["push", str(model), MODEL, "--private"], ["push", str(corpus), CORPUS],
                        ["push-metric", METRIC]):  # fmt: skip
            univa(command)
        given = {"model": MODEL, "corpus": CORPUS, "metric": METRIC, "clip": str(clip), "text": options.text}
        expected = use_here(model, given, folder / "features.npz")
        card = hub.content(MODEL, "README.md").decode()
        needed = hub.content(METRIC, "requirements.txt", kind="spaces").decode().splitlines()
        python = options.python or make_environment(folder / "fresh", options.torch, card, needed)
        given["features"] = str(folder / "features.npz")
        found = visit(python, given, folder, hub.environment(folder / "visitor", TOKEN))
    check(expected, found, corpus)
    return {"here": expected, "there": found}


# From here


def build_corpus(folder: Path) -> Path:
    """A demo corpus of a few dialogues."""
    from modeling_univa.commands.build import build_main

    options = ["--output", str(folder), "--num-dialogues", "12", "--source-url", "https://example.org/demo"]
    if build_main("demo", options):
        raise RoundTripError("the demo corpus could not be built; see the message above")
    return folder


def train_model(folder: Path, corpus: Path) -> Path:
    """A model trained with the demo recipe for two epochs."""
    from train_hf import main as train

    recipe = str(REPOSITORY / "recipes" / "demo.yaml")
    options = {"dataset": corpus, "output_dir": folder, "num_train_epochs": 2, "use_cpu": True}
    if train([recipe, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]):
        raise RoundTripError("no model could be trained; see the message above")
    return folder


def univa(command: list[str]) -> None:
    """The command line of the package."""
    from modeling_univa.cli import main as run

    print(f"univa {shlex.join(command)}", flush=True)
    if run(command):
        raise RoundTripError(f"`univa {shlex.join(command)}` failed; see its message above")


def use_here(folder: Path, given: dict[str, str], features: Path) -> dict[str, Any]:
    """What model and pipeline of this environment say; the model's inputs are kept in `features`."""
    import numpy as np
    import torch
    from hub_visitor import inputs_of, pipeline_options, pipeline_result, versions

    from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
    from modeling_univa.models.pipeline_univa import UnivaPipeline
    from modeling_univa.models.processing_univa import UnivaProcessor

    model = UnivaForEmotionClassification.from_pretrained(folder).eval()
    processor = UnivaProcessor.from_pretrained(folder)
    inputs = inputs_of(processor, given["clip"], given["text"])
    np.savez(features, **{name: value.numpy() for name, value in inputs.items()})
    with torch.inference_mode():
        logits = model(**inputs).logits
    classifier = UnivaPipeline(model=model, processor=processor, **pipeline_options(processor))
    return {
        "logits": logits.tolist(),
        "pipeline": pipeline_result(classifier, given["clip"], given["text"]),
        "inputs": {name: list(value.shape) for name, value in inputs.items()},
        "versions": versions(),
    }


# From the other environment


def make_environment(folder: Path, torch_requirement: str, card: str, needed: Sequence[str]) -> Path:
    """A virtual environment with torch, with what the cards of model and metric name, and with nothing else."""
    from hub_visitor import named_packages

    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"
    requirements = [line.strip() for line in needed if line.strip() and not line.startswith("#")]
    for packages in ([torch_requirement], [*named_packages(card), *requirements]):
        print(f"pip install {shlex.join(packages)}", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def visit(python: Path, given: dict[str, str], folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run hub_visitor.py there, which finds nothing of this repository."""
    tasks = folder / "given.json"
    tasks.write_text(json.dumps(given))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    result = subprocess.run(
        [python, "-I", VISITOR, tasks], env=variables, cwd=folder, check=False, text=True, capture_output=True
    )
    if result.returncode:
        raise RoundTripError(f"the visitor failed:\n{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])


# Comparison


def check(expected: dict[str, Any], found: dict[str, Any], corpus: Path) -> None:
    """
    Print what was installed and what was compared.

    Raises:
        RoundTripError: names what differs.
    """
    print("\nInstalled there: " + ", ".join(f"{name} {version}" for name, version in found["installed"].items()))
    checks = {
        "nothing of ours can be imported": not found["package"],
        f"code of model, processor, pipeline from the Hub ({', '.join(found['modules'].values())})": all(
            name.startswith("transformers_modules.") for name in found["modules"].values()
        ),
    }
    for auto_class, logits in found["logits"].items():
        difference = _difference(expected["logits"], logits)
        checks[f"{auto_class}: logits within 1e-5 on the same inputs (difference {difference:g})"] = difference <= 1e-5
    difference = _difference(expected["logits"], found["clip_logits"])
    checks[f"AutoProcessor: logits from the clip itself within 1e-4 (difference {difference:g})"] = difference <= 1e-4
    scores = ({one["label"]: one["score"] for one in side["pipeline"]} for side in (expected, found))
    first, second = ([by_label[name] for name in sorted(by_label)] for by_label in scores)
    difference = _difference([first], [second])
    checks[f"pipeline on the clip: scores within 1e-4 (difference {difference:g})"] = difference <= 1e-4
    rows = _rows_of(corpus)
    checks[f"load_dataset: {found['rows']} rows"] = found["rows"] == rows
    checks[f"evaluate.load: {found['metric']}"] = found["metric"] == {"accuracy": 75.0, "num_rows": 2}
    for name, holds in checks.items():
        print(f"{'ok   ' if holds else 'WRONG'} {name}")
    if not all(checks.values()):
        raise RoundTripError(next(name for name, holds in checks.items() if not holds))


def _difference(first: list[list[float]], second: list[list[float]]) -> float:
    import numpy as np

    return float(np.abs(np.array(first) - np.array(second)).max())


def _rows_of(corpus: Path) -> dict[str, int]:
    from datasets import load_dataset

    return {split: len(rows) for split, rows in load_dataset(str(corpus)).items()}


if __name__ == "__main__":
    sys.exit(main())
