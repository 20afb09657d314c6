# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Makes the runs of a plan: which are to be made, how long they take, and their jobs until the last has ended."""

import hashlib
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .analysis_files import write_analysis
from .job import INTERRUPTED, analyse_command, prepare_command, train_command
from .plan import Plan, Run
from .processes import Executor, Job
from .store import RunStore


__all__ = ["OVERWRITE", "Estimates", "Outcome", "Runner", "duration"]

# What is made, by what is there of a run: nothing or an unfinished beginning, all but analyses, an error, all.
OVERWRITE: dict[str, tuple[str, ...]] = {
    "only-missing": ("missing", "without analyses"),
    "retry-errors": ("missing", "without analyses", "failed"),
    "only-cached": (),
    "always": ("missing", "without analyses", "failed", "complete"),
}
_SECONDS_BETWEEN_LOOKS = 0.1
_PREPARATION = "preparation"


@dataclass(frozen=True)
class Outcome:
    """
    How the runs of a plan stand.

    Args:
        complete, failed, missing: runs; of those that failed with the reason.
    """

    complete: Sequence[Run]
    failed: Mapping[str, tuple[Run, str]]
    missing: Sequence[Run]

    def reasons(self) -> dict[str, list[Run]]:
        """The runs that failed, by the reason."""
        found: dict[str, list[Run]] = {}
        for run, reason in self.failed.values():
            found.setdefault(reason, []).append(run)
        return found


class Estimates:
    """
    How long runs take, from those that are complete.

    Args:
        store: where these are.
    """

    def __init__(self, store: RunStore):
        self._seconds: dict[str, list[float]] = {}
        for run in store.read_all().values():
            if run.status == "complete" and _is_timed(run.content):
                self.add(run.content, run.content["seconds"])

    def add(self, configuration: Mapping[str, Any], seconds: float) -> None:
        """Take a run into account."""
        for key in _likeness(configuration):
            self._seconds.setdefault(key, []).append(seconds)

    def of(self, run: Run) -> float | None:
        """
        Seconds of a run: the median of those with the same settings but the seed, or else of those of the same system
        on the same corpus; `None` where there are none.
        """
        known = [self._seconds[key] for key in _likeness(run.configuration) if key in self._seconds]
        return statistics.median(known[0]) if known else None

    def of_all(self, runs: Iterable[Run], jobs: int) -> str:
        """How long some runs take with a number of jobs, in words."""
        seconds = [self.of(run) for run in runs]
        known = [value for value in seconds if value is not None]
        if not known:
            return "unknown time" if seconds else "nothing to wait for"
        unknown = len(seconds) - len(known)
        time = duration(sum(known) / min(jobs, len(known)))
        return f"about {time}" + (f" and {unknown} of unknown time" if unknown else "")


def _is_timed(content: Mapping[str, Any]) -> bool:
    """Whether a `run.json` has what estimates need: a store may be damaged."""
    has_time = isinstance(content.get("seconds"), int | float)
    return has_time and isinstance(content.get("settings"), dict) and {"system", "corpus"} <= set(content)


def _likeness(configuration: Mapping[str, Any]) -> list[str]:
    """What alike runs share, the most alike first; so are those of other seeds and folds."""
    settings = {name: value for name, value in configuration["settings"].items() if name not in ("seed", "fold")}
    loose = {"system": configuration["system"], "corpus": configuration["corpus"]}
    return [repr(sorted({**loose, "settings": sorted(settings.items())}.items())), repr(sorted(loose.items()))]


def duration(seconds: float) -> str:
    """In words, such as "42 s", "7 min" or "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass
class _Task:
    """A job to do: its command and log, what follows from its exit status, and whether it was done meanwhile."""

    name: str
    log: Path
    begin: Callable[[], Sequence[str]]
    end: Callable[[int], None]
    is_done: Callable[[], bool] = lambda: False


class Runner:
    """
    Makes runs of a plan, each in a process of its own; may be ended at any moment and started again.

    Args:
        plan: for the name of the corpus.
        store: where runs are kept; held by the caller, since one runner at a time may write there.
        executor: where jobs run.
        overwrite: a key of `OVERWRITE`.
        keep_models: whether the trained models stay.
        tell: takes a line about how far it is.
    """

    def __init__(
        self,
        plan: Plan,
        store: RunStore,
        executor: Executor,
        overwrite: str = "only-missing",
        keep_models: bool = False,
        tell: Callable[[str], None] = print,
    ):
        self.plan, self.store, self.executor = plan, store, executor
        self.overwrite, self.keep_models, self.tell = overwrite, keep_models, tell
        self.estimates = Estimates(store)
        self._left: dict[str, Run] = {}
        self._later: Sequence[Run] = ()
        self._failures = 0

    def status(self, run: Run) -> str:
        """What is there of a run: "complete", "failed" (it or an analysis), "without analyses" or "missing"."""
        found = self.store.read(run.id)
        if found is None or found.status == "started":
            return "missing"
        if found.status == "failed" or self._failed_analyses(run):
            return "failed"
        return "complete" if len(self.store.analyses(run)) == len(run.analyses) else "without analyses"

    def is_trained(self, run: Run) -> bool:
        """Whether all that is to be made of a run are analyses, and its model is there."""
        found = self.store.read(run.id)
        is_complete = found is not None and found.status == "complete" and self.overwrite != "always"
        return is_complete and self.status(run) != "complete" and self.store.has_model(run.id)

    def to_make(self, runs: Iterable[Run]) -> list[Run]:
        """The runs that are not there as `overwrite` wants them."""
        return [run for run in runs if self.status(run) in OVERWRITE[self.overwrite]]

    def make(self, runs: Sequence[Run], later: Sequence[Run] = ()) -> None:
        """
        Make runs that `to_make` has named; how they ended is in the store.

        Args:
            later: runs like those that will be made after these, for what is told.
        """
        self._tidy_complete({run.id for run in runs})
        self._left, self._later, self._failures = {run.id: run for run in runs}, later, 0
        self._execute(self._corpora())
        if self.executor.jobs > 1:
            self._execute(self._text_states())
        self._execute([self._training(run) for run in self._left.values()])

    def outcome(self, runs: Iterable[Run]) -> Outcome:
        """How some runs stand now."""
        found = {run.id: (run, self.status(run)) for run in runs}
        complete = [run for run, status in found.values() if status == "complete"]
        failed = {run.id: (run, self._reason(run)) for run, status in found.values() if status == "failed"}
        ended = {run.id for run in complete} | set(failed)
        return Outcome(complete, failed, [run for run, _ in found.values() if run.id not in ended])

    def _failed_analyses(self, run: Run) -> dict[str, str]:
        found = self.store.analyses(run).items()
        return {name: str(content.get("reason")) for name, content in found if content["status"] == "failed"}

    def _reason(self, run: Run) -> str:
        """Why a run failed, or the first of its analyses that did."""
        stored = self.store.read(run.id)
        if stored is not None and stored.status == "failed":
            return str(stored.reason)
        name, reason = next(iter(self._failed_analyses(run).items()))
        return f"Its analysis {name}: {reason}"

    def _tidy_complete(self, to_make: set[str]) -> None:
        """
        Remove what runs had to remove that were killed right after their end; not the model that an analysis needs,
        now or, where it failed, later.
        """
        failed = {run.id for run in self.plan.runs() if self._failed_analyses(run)}
        for run in self.store.read_all().values():
            if run.status == "complete" and self.store.recipe_file(run.id).exists() and run.id not in to_make | failed:
                self.store.tidy(run.id, self.keep_models)

    def _corpora(self) -> list[_Task]:
        """One task for each corpus that is not there as a folder; without it none of its runs can be made."""
        absent = [run for run in self._left.values() if not Path(str(run.recipe.get("dataset"))).is_dir()]
        return [
            self._preparation(f"the corpus {runs[0].recipe.get('dataset')}", {"text_states": False}, runs, needed=True)
            for runs in _grouped(absent, "dataset")
        ]

    def _text_states(self) -> list[_Task]:
        """One task for the states that several runs share; what it cannot do the runs themselves do, or say why."""
        frozen = [run for run in self._left.values() if run.recipe.get("text_states")]
        keys = ("dataset", "test_dataset", "text_model", "text_model_revision", "max_text_length",
                "num_folds", "fold", "fold_by", "fold_seed")  # fmt: skip
        shared = [runs for runs in _grouped(frozen, *keys) if runs[1:]]
        return [self._preparation("text states", {}, runs, needed=False) for runs in shared]

    def _preparation(self, name: str, changes: dict[str, Any], runs: list[Run], needed: bool) -> _Task:
        folder = self.store.folder / _PREPARATION / hashlib.sha256(f"{name} {runs[0].id}".encode()).hexdigest()[:16]
        recipe = folder / "recipe.yaml"

        def begin() -> Sequence[str]:
            recipe.parent.mkdir(parents=True, exist_ok=True)
            recipe.write_text(yaml.safe_dump({**runs[0].recipe, **changes, "output_dir": str(folder)}))
            return prepare_command(recipe)

        def end(code: int) -> None:
            if not code:
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # where others are left
                    folder.parent.rmdir()
            elif needed:
                reason = _last_line(folder / "log.txt") if code > 0 else _how_it_ended(code)
                for run in runs:
                    del self._left[run.id]
                    self._fail(run, reason, code)

        return _Task(f"preparing {name}", folder / "log.txt", begin, end)

    def _training(self, run: Run) -> _Task:
        def begin() -> Sequence[str]:
            return self._analyses(run) if self.is_trained(run) else self._new_training(run)

        def end(code: int) -> None:
            del self._left[run.id]
            self._ended(run, code)

        def is_done() -> bool:
            """A job that an earlier process has started may have ended since then."""
            return self.status(run) not in OVERWRITE[self.overwrite]

        return _Task(str(run), self.store.log_file(run.id), begin, end, is_done)

    def _analyses(self, run: Run) -> Sequence[str]:
        """The command of those that a run lacks, after noting them."""
        made = {name for name, content in self.store.analyses(run).items() if content["status"] != "failed"}
        lacking = [name for name in run.analyses if name not in made]
        self.store.request_analyses(run, lacking, self.plan.media_root)
        return analyse_command(self.store, run.id, self.keep_models)

    def _new_training(self, run: Run) -> Sequence[str]:
        """The command of a run, after noting that it begins or is resumed."""
        stored = self.store.read(run.id)
        if stored is not None and stored.status == "complete":
            self.store.remove(run.id)
        self.store.start(run, self.plan.corpus)
        self.store.request_analyses(run, run.analyses, self.plan.media_root)
        return train_command(self.store, run.id, self.keep_models)

    def _ended(self, run: Run, code: int) -> None:
        stored = self.store.read(run.id)
        is_interrupted = code in (INTERRUPTED, -signal.SIGINT)
        if stored is not None and stored.status == "complete" and not is_interrupted:
            self._note_lost_analyses(run, code)
        if stored is not None and self.status(run) == "complete":
            self.estimates.add(run.configuration, stored.content["seconds"])
            self._say(f"complete: {run}, {duration(stored.content['seconds'])}")
        elif is_interrupted:
            self._say(f"interrupted: {run}")
        elif stored is not None and stored.status == "complete":
            self._failures += 1
            self._say(f"failed: {run}: {self._reason(run)}")
        else:
            told = stored is not None and stored.status == "failed"
            self._fail(run, str(stored.reason) if told and stored else _how_it_ended(code), code, told)

    def _note_lost_analyses(self, run: Run, code: int) -> None:
        """Those that took their process along, or that it did not come to."""
        for name in set(run.analyses) - set(self.store.analyses(run)):
            write_analysis(self.store.run_folder(run.id), name, "failed", {"reason": _how_it_ended(code)})

    def _fail(self, run: Run, reason: str, code: int, told: bool = False) -> None:
        """Note a failure, in the store too unless the run itself did."""
        self._failures += 1
        if not told:
            self.store.start(run, self.plan.corpus)
            self.store.fail(run.id, reason, code)
        self._say(f"failed: {run}: {reason}")

    def _say(self, what: str) -> None:
        runs = [*self._left.values(), *self._later]
        left = f"{len(runs)} left, {self.estimates.of_all(runs, self.executor.jobs)}" if runs else "none left"
        failed = f", {self._failures} failed" if self._failures else ""
        self.tell(f"{what} [{left}{failed}]")

    def _execute(self, tasks: Sequence[_Task]) -> None:
        """Do all tasks, some at a time; those that run are stopped where this is interrupted."""
        waiting, running = list(reversed(tasks)), dict[int, tuple[_Task, Job]]()
        try:
            while waiting or running:
                for slot in sorted(set(range(self.executor.jobs)) - set(running))[: len(waiting)]:
                    task = waiting.pop()
                    begun = self._begin(task, slot)
                    if begun is not None:
                        running[slot] = task, begun
                for slot, (task, job) in list(running.items()):
                    code = job.exit_code()
                    if code is not None:
                        del running[slot]
                        task.end(code)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        finally:
            left = [name for _, job in running.values() if (name := job.stop()) is not None]
            if left:
                self.tell(
                    f"the jobs {', '.join(left)} go on: rerun the same command to wait for them, or scancel them"
                )

    def _begin(self, task: _Task, slot: int) -> Job | None:
        """Start a job, or find that of an earlier process; `None` where that one has ended meanwhile."""
        job, word = self.executor.find(task.log), "goes on"
        if job is None and task.is_done():
            task.end(0)
            return None
        if job is None:
            job, word = self.executor.start(task.begin(), task.log, slot), "started"
        self.tell(f"{word}: {task.name}")
        return job


def _grouped(runs: Iterable[Run], *keys: str) -> list[list[Run]]:
    """Runs whose recipes have the same values."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(repr([run.recipe.get(key) for key in keys]), []).append(run)
    return list(found.values())


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line for line in reversed(lines) if line.strip()), "The preparation ended without a word.")


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"The process ended with status {code} and without a result; its log tells more."
    name = signal.Signals(-code).name
    memory = ", most likely because there was not enough memory" if -code == signal.SIGKILL else ""
    return f"The process was ended by {name}{memory}."
