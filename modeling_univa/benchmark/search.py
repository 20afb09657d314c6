# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Searches for the settings of a plan's rows by Optuna: which trials there are, and what they find on validation.

Settings come in rounds: those of the first ten trials are drawn at random, then those of five at a time by TPE from
the trials of earlier rounds. What is drawn depends on these, on the seed and on the number of the trial alone, so that
it is the same with any number of jobs, and after a kill. Trials are runs in the store as all others, but not tested.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..scores.headline import METRICS
from ..scores.metrics import multilabel_metrics
from ..scores.predictions import read_predictions
from .plan import Run, Study
from .runner import OVERWRITE, Runner
from .store import RunStore, StoredRun
from .tuning import Found


__all__ = ["STUDIES_FILE", "Searcher", "Trials", "check_searching", "suggest", "validation_score"]

STUDIES_FILE = "studies.sqlite3"
# As many as TPE of Optuna draws at random before it looks at results, then as many as do not wait for each other.
_FIRST_ROUND, _ROUND = 10, 5
_RUN = "run"


def check_searching() -> Any:
    """
    Optuna, silent but for warnings.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError('a plan with `tune` needs Optuna: pip install "univa[search]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def suggest(study: Study, earlier: Sequence[Any]) -> dict[str, Any]:
    """
    What the next trial of a study would try, as Optuna names values.

    Args:
        earlier: all trials of the study (`optuna.trial.FrozenTrial`), in order.
    """
    optuna = check_searching()
    number = len(earlier)
    start = 0 if number < _FIRST_ROUND else number - number % _ROUND
    seed = int(np.random.SeedSequence([study.tuning.seed, number]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(n_startup_trials=_FIRST_ROUND, seed=seed)
    played = optuna.create_study(sampler=sampler, direction=_direction(study))
    played.add_trials(earlier[:start])
    return played.ask(_distributions(study)).params


def validation_score(run: StoredRun, metric: str) -> float:
    """
    The metric of a trial on its validation rows, at its own threshold.

    Raises:
        ValueError: its predictions are of other rows too.
    """
    splits, names, threshold = read_predictions(run.predictions)
    if len(splits) != 1:
        raise ValueError(f"{run.predictions} is of {', '.join(splits)}, expected the rows of one validation split.")
    (found,) = splits.values()
    return float(multilabel_metrics(found.scores, found.labels, threshold, names)[metric])


class Trials:
    """
    The trials of studies, in one SQLite file of Optuna.

    Args:
        store: that has the file.
    """

    def __init__(self, store: RunStore):
        self._optuna = check_searching()
        self._file = Path(store.folder, STUDIES_FILE)
        self._storage: Any = None
        self._studies: dict[str, Any] = {}

    def of(self, study: Study) -> list[Any]:
        """All trials of a study (`optuna.trial.FrozenTrial`), in order."""
        found = self._study(study, create=False)
        return [] if found is None else found.get_trials(deepcopy=False)

    def add(self, study: Study) -> None:
        """Add the next trial, as running; at once, so that none is ever there in part."""
        states, distributions = self._optuna.trial.TrialState, _distributions(study)
        earlier = self.of(study)
        values = suggest(study, earlier)
        name = study.trial(len(earlier), settings_of(study, values)).id
        trial = self._optuna.trial.create_trial(
            state=states.RUNNING, params=values, distributions=distributions, user_attrs={_RUN: name}
        )
        self._study(study).add_trial(trial)

    def end(self, study: Study, number: int, value: float | None) -> None:
        """Note the score of a trial; `None` where it failed."""
        failed = self._optuna.trial.TrialState.FAIL
        self._study(study).tell(number, value, state=failed if value is None else None)

    def forget(self, study: Study) -> None:
        """Remove all trials of a study."""
        if self._study(study, create=False) is not None:
            self._optuna.delete_study(study_name=study.id, storage=self._storage)
            del self._studies[study.id]

    def _study(self, study: Study, create: bool = True) -> Any:
        """That of Optuna; `None` where it is not there and is not to be created."""
        if study.id in self._studies or not create and not self._file.is_file():
            return self._studies.get(study.id)
        if self._storage is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._storage = self._optuna.storages.RDBStorage(f"sqlite:///{self._file.resolve()}")
        own = {"study_name": study.id, "storage": self._storage}
        try:
            found = self._optuna.load_study(**own)
        except KeyError:
            if not create:
                return None
            found = self._optuna.create_study(**own, direction=_direction(study))
            found.set_user_attr("places", [list(place) for place in study.places])
        return self._studies.setdefault(study.id, found)


class Searcher:
    """
    Makes the trials of studies; may be ended at any moment and started again.

    Args:
        runner: makes the runs of trials, and says which ones are to be made.
        limit: make at most this many runs.
    """

    def __init__(self, runner: Runner, limit: int | None = None):
        self.runner, self.limit = runner, limit
        self.trials = Trials(runner.store)
        # By this process: `always` makes a run once more, not again and again.
        self.made: set[str] = set()
        self._known: dict[tuple[str, str], Run] = {}

    def search(self, studies: Sequence[Study]) -> None:
        """Make the trials that are to be made."""
        for study in studies:
            if self._begins_again(study):
                self.trials.forget(study)
        while runs := self._to_make(studies):
            self.runner.make(runs, self._later(studies, runs))
            self.made |= {run.id for run in runs}

    def found(self, studies: Sequence[Study]) -> dict[str, Found]:
        """What the studies have found up to now, by id."""
        return {study.id: _found(study, self.trials.of(study)) for study in studies}

    def ended(self, study: Study) -> int:
        """How many trials have ended."""
        return sum(trial.state.is_finished() for trial in self.trials.of(study))

    def runs(self, study: Study) -> list[Run]:
        """The runs of its trials up to now, each once."""
        return list({run.id: run for run in self._runs(study)}.values())

    def _runs(self, study: Study) -> list[Run]:
        """One a trial; a recipe is parsed once."""
        found = []
        for number, trial in enumerate(self.trials.of(study)):
            key = (study.id, trial.user_attrs[_RUN])
            if key not in self._known:
                self._known[key] = study.trial(number, settings_of(study, trial.params))
            found.append(self._known[key])
        return found

    def _later(self, studies: Sequence[Study], now: Sequence[Run]) -> list[Run]:
        """Runs that take as long as the trials that come after some that are to be made now."""
        of_a_study = {study.id: next(iter(self._runs(study)), None) for study in studies}
        left = [of_a_study[study.id] for study in studies for _ in range(study.tuning.trials - self.ended(study))]
        return [run for run in left if run is not None][len(now) :]

    def _begins_again(self, study: Study) -> bool:
        """Whether trials are made again on which later ones depend; those that are complete are not lost."""
        trials, overwrite = self.trials.of(study), OVERWRITE[self.runner.overwrite]
        return "complete" in overwrite or "failed" in overwrite and any(_is_failed(trial) for trial in trials)

    def _to_make(self, studies: Sequence[Study]) -> list[Run]:
        """Runs of all studies that do not wait for others."""
        due = {run.id: run for study in studies for run in self._due(study)}
        runs = [run for run in self.runner.to_make(due.values()) if run.id not in self.made]
        return runs if self.limit is None else runs[: max(0, self.limit - len(self.made))]

    def _due(self, study: Study) -> list[Run]:
        """The runs that a study waits for; its trials whose runs have ended are ended, and the next round begins."""
        while True:
            trials, runs = self.trials.of(study), self._runs(study)
            going = [number for number, trial in enumerate(trials) if not trial.state.is_finished()]
            due = [runs[number] for number in going if not self._end(study, number, runs[number])]
            if due or len(trials) >= study.tuning.trials:
                return due
            for _ in range(min(_left_of_round(len(trials)), study.tuning.trials - len(trials))):
                self.trials.add(study)

    def _end(self, study: Study, number: int, run: Run) -> bool:
        """End a trial if its run has ended; whether it has."""
        stored = self.runner.store.read(run.id)
        is_again = run.id not in self.made and self.runner.status(run) in OVERWRITE[self.runner.overwrite]
        if stored is None or stored.status == "started" or is_again:
            return False
        complete = stored.status == "complete"
        self.trials.end(study, number, validation_score(stored, study.tuning.metric) if complete else None)
        return True


def settings_of(study: Study, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a recipe for what Optuna calls parameters."""
    return {key: study.space[key].setting(value) for key, value in values.items()}


def _found(study: Study, trials: Sequence[Any]) -> Found:
    names = [trial.user_attrs[_RUN] for trial in trials]
    failed = [name for name, trial in zip(names, trials, strict=True) if _is_failed(trial)]
    ended = [trial for trial in trials if trial.state.is_finished()]
    scored = [trial for trial in ended if not _is_failed(trial)]
    if len(ended) < study.tuning.trials or not scored:
        return Found(names, failed, is_lost=len(failed) >= study.tuning.trials)
    sign = 1 if METRICS[study.tuning.metric].greater_is_better else -1
    # Of equal ones the first.
    best = max(scored, key=lambda trial: sign * trial.value)
    return Found(names, failed, settings_of(study, best.params), best.value)


def _left_of_round(number: int) -> int:
    """How many trials of a round are left where this number of trials is there."""
    return _FIRST_ROUND - number if number < _FIRST_ROUND else _ROUND - number % _ROUND


def _is_failed(trial: Any) -> bool:
    return trial.state.is_finished() and trial.value is None


def _direction(study: Study) -> str:
    return "maximize" if METRICS[study.tuning.metric].greater_is_better else "minimize"


def _distributions(study: Study) -> dict[str, Any]:
    return {key: values.distribution() for key, values in study.space.items()}
