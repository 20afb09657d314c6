# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Where the runs of benchmarks are kept: a folder a run, named by its configuration."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..models.files_univa import write_text
from ..scores.predictions import PREDICTIONS_FILE, PREDICTIONS_FILES, TEST_PREDICTIONS_FILE
from .analysis_files import analysis_file, read_analysis
from .configuration import SCHEMA_VERSION
from .plan import Plan, Run


__all__ = ["RunStore", "StoredRun"]

_RUN_FILE = "run.json"
_ERROR_FILE = "error.json"
_LOG_FILE = "log.txt"
_RECIPE_FILE = "recipe.yaml"
_MODEL_FOLDER = "model"
# Which analyses a process is to make, and of what.
_REQUEST = "request"
_RUNS, _PLANS = "runs", "plans"
# Of the log of a run that failed, in `error.json`.
_TAIL_LINES, _TAIL_CHARACTERS = 30, 6000

Status = Literal["complete", "failed", "started"]


@dataclass(frozen=True)
class StoredRun:
    """
    What is kept of a run.

    Args:
        folder: where it lies.
        status: "complete" with predictions, "failed" with a reason, or "started" and not ended.
        content: of its `run.json`.
        reason: in one sentence, why it failed.
    """

    folder: Path
    status: Status
    content: Mapping[str, Any]
    reason: str | None = None

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def predictions(self) -> Path:
        """Its file of predictions, for `read_predictions`."""
        return self.folder / PREDICTIONS_FILE

    @property
    def test_predictions(self) -> Path:
        """Those of another corpus with other labels, of the labels in common; there where one was tested."""
        return self.folder / TEST_PREDICTIONS_FILE


class RunStore:
    """
    Runs and plans in a folder. Every file is there as a whole or not at all.

    `runs/ID/` holds of each run `run.json`, `predictions.parquet`, `log.txt` and, where it failed, `error.json`;
    `plans/NAME.json` says which runs stand in which tables.

    Args:
        folder: need not be there yet.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def run_folder(self, run: str) -> Path:
        """Where the run of an id lies."""
        return self.folder / _RUNS / run

    def read(self, run: str) -> StoredRun | None:
        """A run by its id; `None` where it was never started, or nothing that can be read is left of it."""
        folder = self.run_folder(run)
        content = _read_json(folder / _RUN_FILE)
        status = content.get("status")
        if status == "complete" and _has_predictions(folder):
            return StoredRun(folder, "complete", content)
        if status == "failed":
            reason = _read_json(folder / _ERROR_FILE).get("reason")
            return StoredRun(folder, "failed", content, str(reason or f"{_ERROR_FILE} is damaged or missing."))
        return StoredRun(folder, "started", content) if content else None

    def read_all(self) -> dict[str, StoredRun]:
        """All runs by their ids."""
        found = [self.read(folder.name) for folder in sorted((self.folder / _RUNS).glob("*"))]
        return {run.id: run for run in found if run is not None}

    def log_file(self, run: str) -> Path:
        """What its processes say."""
        return self.run_folder(run) / _LOG_FILE

    def recipe_file(self, run: str) -> Path:
        """The recipe of a run that is not complete."""
        return self.run_folder(run) / _RECIPE_FILE

    def model_folder(self, run: str) -> Path:
        """Its output folder of training."""
        return self.run_folder(run) / _MODEL_FOLDER

    def start(self, run: Run, corpus: str) -> None:
        """Note that a run begins or is resumed, with its recipe; what it said when it failed is removed."""
        content = {"id": run.id, "status": "started", "corpus_name": corpus, **run.configuration}
        write_text(self.run_folder(run.id) / _RUN_FILE, _json(content))
        write_text(self.recipe_file(run.id), yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True))
        (self.run_folder(run.id) / _ERROR_FILE).unlink(missing_ok=True)

    def analyses(self, run: Run) -> dict[str, dict[str, Any]]:
        """What is there of the analyses that a plan asks for, by name; see `read_analysis`."""
        found = {name: read_analysis(self.run_folder(run.id), name) for name in run.analyses}
        return {name: content for name, content in found.items() if content is not None}

    def has_model(self, run: str) -> bool:
        """Whether the model of a run that is complete is there, as a whole."""
        return _has_predictions(self.model_folder(run))

    def request_analyses(self, run: Run, names: Sequence[str], media_root: str | None) -> None:
        """Note which analyses the next process of a run is to make."""
        content = {"analyses": list(names), "media_root": media_root, "recipe": dict(run.recipe)}
        file = analysis_file(self.run_folder(run.id), _REQUEST)
        if names:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, _json(content))
        else:
            file.unlink(missing_ok=True)

    def requested_analyses(self, run: str) -> dict[str, Any] | None:
        """What `request_analyses` noted; `None` where there is nothing to make."""
        return _read_json(analysis_file(self.run_folder(run), _REQUEST)) or None

    def end_analyses(self, run: str) -> None:
        """Forget what `request_analyses` noted, which names places of this machine."""
        analysis_file(self.run_folder(run), _REQUEST).unlink(missing_ok=True)

    def complete(self, run: str, facts: Mapping[str, Any]) -> None:
        """Note that a run is complete; its predictions lie in its folder."""
        self._end(run, {"status": "complete", **facts})

    def fail(self, run: str, reason: str, exit_code: int, facts: Mapping[str, Any] | None = None) -> None:
        """Note why a run failed, with the end of its log."""
        error = {"schema_version": SCHEMA_VERSION, "status": "failed", "reason": reason, "exit_code": exit_code}
        folder = self.run_folder(run)
        write_text(folder / _ERROR_FILE, _json({**error, "log": _tail(self.log_file(run))}))
        self._end(run, {"status": "failed", **(facts or {})})

    def remove(self, run: str) -> None:
        """Remove a run, whatever is there of it; `run.json` first, since the rest counts for nothing without it."""
        folder = self.run_folder(run)
        (folder / _RUN_FILE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def tidy(self, run: str, keep_model: bool) -> None:
        """Remove what training left of a run that has ended, but what tables need and, if it is kept, the model."""
        model = self.model_folder(run)
        if not keep_model:  # of a model that is half removed nothing can be made
            for name in PREDICTIONS_FILES:
                (model / name).unlink(missing_ok=True)
        for folder in model.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if keep_model else [model]:
            shutil.rmtree(folder, ignore_errors=True)
        self.end_analyses(run)
        # Last: where it is still there, something is left to remove.
        self.recipe_file(run).unlink(missing_ok=True)

    def write_plan(self, plan: Plan) -> None:
        """Keep which runs stand in which tables of a plan."""
        write_text(self.folder / _PLANS / f"{plan.name}.json", _json(plan.to_dict()))

    def read_plans(self) -> dict[str, dict[str, Any]]:
        """All plans by their names; see `Plan.to_dict`."""
        return {path.stem: _read_json(path) for path in sorted((self.folder / _PLANS).glob("*.json"))}

    def _end(self, run: str, facts: Mapping[str, Any]) -> None:
        file = self.run_folder(run) / _RUN_FILE
        write_text(file, _json({**_read_json(file), **facts}))


def _has_predictions(folder: Path) -> bool:
    return any((folder / name).is_file() for name in PREDICTIONS_FILES)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _read_json(file: Path) -> dict[str, Any]:
    """What a file holds; nothing where it is not there or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _tail(log: Path) -> str:
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
