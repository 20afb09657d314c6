# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What `tune` of a plan says: which settings are searched, in which ranges, how often, and what was found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..scores.headline import METRICS
from .plan_checks import check_known, checked_mapping


__all__ = ["Choices", "Found", "Range", "Space", "Tuning", "read_tuning"]

_OF_TUNING = ("trials", "metric", "seed", "space", "systems")
_OF_A_RANGE = ("low", "high", "log")
_DEFAULT_METRIC = "micro_f1"
# Keys of recipes that say what is trained and on what it is measured.
_NOT_SEARCHED = (
    "system", "seed", "output_dir", "push_to_hub", "dataset", "dataset_revision", "corpus_script", "corpus_source",
    "corpus_options", "train_split", "eval_split", "test_split",
)  # fmt: skip


@dataclass(frozen=True)
class Range:
    """
    Numbers from `low` to `high`, both included.

    Args:
        low, high: whole numbers if both are.
        log: whether factors are drawn evenly, instead of differences.
    """

    low: float
    high: float
    log: bool = False

    @property
    def examples(self) -> list[Any]:
        """Values that show whether a recipe takes such ones."""
        return [self.low, self.high]

    def distribution(self) -> Any:
        """Of Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def setting(self, value: Any) -> Any:
        """The value of a recipe for one of the distribution."""
        return value

    def to_json(self) -> Any:
        """As in a plan."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Choices:
    """
    One of some values.

    Args:
        values: two or more.
    """

    values: Sequence[Any]

    @property
    def examples(self) -> list[Any]:
        """All values."""
        return list(self.values)

    def distribution(self) -> Any:
        """Of Optuna, which takes no lists: these are in it as JSON."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self._names())

    def setting(self, value: Any) -> Any:
        """The value of a recipe for one of the distribution."""
        return self.values[self._names().index(value)]

    def to_json(self) -> Any:
        """As in a plan."""
        return list(self.values)

    def _names(self) -> list[Any]:
        return [json.dumps(value) if isinstance(value, list | dict) else value for value in self.values]


# By the key of a recipe.
Space = Mapping[str, Range | Choices]


@dataclass(frozen=True)
class Tuning:
    """
    A search for settings, with as many trials for every row of a table.

    Args:
        trials: of each row.
        metric: a name of `METRICS`; the best trial is that of its best value on validation.
        seed: of the search.
        space: what is searched for all systems.
        systems: what is searched beside it, by system.
    """

    trials: int
    metric: str
    seed: int
    space: Space
    systems: Mapping[str, Space] = field(default_factory=dict)

    def space_of(self, system: str) -> Space:
        """All that is searched for a system, by name: the order decides what is drawn."""
        return dict(sorted({**self.space, **self.systems.get(system, {})}.items()))

    def to_json(self) -> dict[str, Any]:
        """As in a plan, with what is so by default."""
        systems = {name: _as_json(space) for name, space in self.systems.items()}
        own = {"trials": self.trials, "metric": self.metric, "seed": self.seed}
        return {**own, "space": _as_json(self.space), "systems": systems}


@dataclass(frozen=True)
class Found:
    """
    What the trials of a search found.

    Args:
        trials: ids of their runs, in order; those of equal settings are one run.
        failed: ids of those that failed.
        settings: of the best trial; `None` while the search goes on, and where all trials failed.
        value: its metric on validation, in the unit of [`METRICS`].
        is_lost: whether all trials failed.
    """

    trials: Sequence[str]
    failed: Sequence[str]
    settings: Mapping[str, Any] | None = None
    value: float | None = None
    is_lost: bool = False

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        settings = None if self.settings is None else dict(self.settings)
        return {"trials": list(self.trials), "failed": list(self.failed), "settings": settings, "value": self.value}


def read_tuning(content: Mapping[str, Any]) -> Tuning:
    """
    Read `tune` of a plan.

    Raises:
        ValueError: a key, a number or a range that is wrong.
    """
    check_known(content, _OF_TUNING, "`tune`")
    trials: Any = content.get("trials")
    seed = content.get("seed", 0)
    metric = content.get("metric", _DEFAULT_METRIC)
    for name, value, least in (("trials", trials, 1), ("seed", seed, 0)):
        if type(value) is not int or value < least:
            raise ValueError(f"`{name}` of `tune` is {value!r}, expected a whole number from {least}.")
    check_known([metric], METRICS, "`metric` of `tune`")
    systems = {
        str(name): _space(of) for name, of in checked_mapping(content.get("systems"), "`systems` of `tune`").items()
    }
    space = _space(content.get("space"))
    if not space and not systems:
        raise ValueError("`tune` has no `space`: write the keys that are searched, with their ranges.")
    return Tuning(trials, metric, seed, space, systems)


def _space(content: Any) -> Space:
    given = checked_mapping(content, "`space` of `tune`")
    found = {str(name).replace("-", "_"): values for name, values in given.items()}
    for name in found:
        if name in _NOT_SEARCHED:
            raise ValueError(f"`tune` searches {name!r}, which says what is measured: search other keys.")
    return {name: _values(name, values) for name, values in found.items()}


def _values(name: str, content: Any) -> Range | Choices:
    if isinstance(content, list) and len({json.dumps(value) for value in content}) == len(content) > 1:
        return Choices(content)
    if not isinstance(content, dict):
        raise ValueError(f"`tune` has {name}: {content!r}, expected {{low: …, high: …}} or a list of unlike values.")
    check_known(content, _OF_A_RANGE, f"{name} of `tune`")
    low, high = (_number(name, content.get(end)) for end in ("low", "high"))
    log = content.get("log", False)
    if not low < high or not isinstance(log, bool) or (log and low <= 0):
        raise ValueError(f"`tune` has {name}: {content!r}, expected `low` below `high`, and above 0 with `log: true`.")
    return Range(low, high, log)


def _number(name: str, value: Any) -> float:
    """A number; YAML reads 1e-5 as a string."""
    try:
        return value if type(value) in (int, float) else float(value if isinstance(value, str) else "none")
    except ValueError:
        raise ValueError(f"`tune` has {value!r} as an end of {name}, expected a number.") from None


def _as_json(space: Space) -> dict[str, Any]:
    return {name: values.to_json() for name, values in space.items()}
