# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Plans: a YAML file that names a corpus and tables, and the runs that it expands to."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options import nearest
from ..scores.headline import METRICS
from ..shipped import named_file
from ..training.arguments import merged_recipes, parse_arguments, read_recipe
from .analysis_files import ANALYSES
from .baselines import BASELINES, baseline_configuration
from .configuration import SCHEMA_VERSION, resolved_configuration, run_id
from .cross_validation import Folds, folds_in_words, planned_folds
from .plan_checks import check_known, checked_mapping, checked_names
from .tuning import Found, Space, Tuning, read_tuning


__all__ = ["FEATURES", "NOT_OF_A_ROW", "Plan", "Row", "Run", "Study", "Table", "expand_plan", "read_plan"]

_OF_A_PLAN = ("corpus", "base", "seeds", "settings", "tune", "analyses", "media_root", "tables")
_OF_A_TABLE = ("title", "metrics", "seeds", "features", "tune", "rows", "published")
# Which features systems are trained on, the usual ones first; only rows of the same ones are compared.
FEATURES = {"common": "ours, common features", "original": "ours, their features"}
# Keys of a row that are not keys of a recipe, and keys of a recipe that a row cannot have, with what there is instead.
_OF_A_ROW = ("recipe", "seeds", "features", "baseline", "analyses")
NOT_OF_A_ROW = {
    "seed": "write `seeds`",
    "output_dir": "runs lie in the output folder of the benchmark",
    "push_to_hub": "models of a benchmark are not pushed",
}


@dataclass(frozen=True)
class Run:
    """
    A training run.

    Args:
        id: its name, which follows from the configuration.
        configuration: see `resolved_configuration`.
        recipe: settings that `parse_arguments` takes, without `output_dir`.
        places: table and row of each place where its result stands.
        analyses: that are made of its model, in the order of `ANALYSES`; they are not part of the id.
    """

    id: str
    configuration: Mapping[str, Any]
    recipe: Mapping[str, Any]
    places: list[tuple[str, str]] = field(default_factory=list)
    analyses: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """The seed."""
        return self.configuration["settings"]["seed"]

    @property
    def fold(self) -> int | str | None:
        """Which fold of a cross-validation is tested, if it is one."""
        return self.configuration["settings"].get("fold")

    def __str__(self) -> str:
        table, row = self.places[0]
        more = f" (+ {len(self.places) - 1})" if self.places[1:] else ""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"{table} | {row}{more}, seed {self.seed}{fold}"


@dataclass(frozen=True)
class Study:
    """
    The search for settings of a row; rows that differ in nothing else share one.

    Args:
        id: its name, which follows from all that decides what it finds.
        tuning: what the plan says.
        space: what is searched.
        recipe: of its trials, without what is searched. They are validated and not tested.
        places: table and row of each place where its result stands.
    """

    id: str
    tuning: Tuning
    space: Space
    recipe: Mapping[str, Any]
    places: list[tuple[str, str]] = field(default_factory=list)

    def trial(self, number: int, settings: Mapping[str, Any]) -> Run:
        """The run of a trial with some settings; those of equal settings are one run."""
        recipe = {**self.recipe, **settings}
        configuration = resolved_configuration(*parse_arguments([], recipe))
        places = [(table, f"{row}, trial {number + 1}") for table, row in self.places]
        return Run(run_id(configuration), configuration, recipe, places)

    def __str__(self) -> str:
        table, row = self.places[0]
        return f"{table} | {row}" + (f" (+ {len(self.places) - 1})" if self.places[1:] else "")


@dataclass(frozen=True)
class Row:
    """
    A row of a table.

    Args:
        name: as it stands in the table.
        system: that is trained, or one of `BASELINES`.
        runs: of each seed, one or one a fold; none while the search for its settings goes on.
        features: a key of `FEATURES`.
        seeds: of the runs.
        study: the search for its settings, if there is one.
        found: what that found.
        folds: which folds the runs of a seed are, in words; `None` where a seed is one run.
    """

    name: str
    system: str
    runs: Mapping[int, Sequence[Run]]
    features: str = next(iter(FEATURES))
    seeds: Sequence[int] = ()
    study: Study | None = None
    found: Found | None = None
    folds: str | None = None


@dataclass(frozen=True)
class Table:
    """
    A table, or the points of a figure.

    Args:
        name: in the plan.
        title: above it.
        metrics: its columns, names of `METRICS`.
        rows: the first one is what the others are compared with.
        published: numbers of the paper, by row and metric.
        tuning: how the settings of its rows are searched, if they are.
    """

    name: str
    title: str
    metrics: Sequence[str]
    rows: Sequence[Row]
    published: Mapping[str, Mapping[str, float]]
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Plan:
    """
    A plan.

    Args:
        name: of its file, without the suffix.
        corpus: its name in reports.
        tables: in order.
        media_root: folder of the corpus' media, for noisy speech; by default the one it is built from.
    """

    name: str
    corpus: str
    tables: Sequence[Table]
    media_root: str | None = None

    def runs(self, only: Collection[str] = ()) -> list[Run]:
        """
        The runs, each once: those of the first seed of every row, then those of the second, and so on.

        Args:
            only: names of tables and of rows; by default all.

        Raises:
            ValueError: there is no table and no row of such a name.
        """
        ranked = [(place, run) for row in self.rows(only) for place, of in enumerate(row.runs.values()) for run in of]
        return list({run.id: run for _, run in sorted(ranked, key=lambda pair: pair[0])}.values())

    def studies(self, only: Collection[str] = ()) -> list[Study]:
        """The searches for settings of these rows, each once."""
        return list({row.study.id: row.study for row in self.rows(only) if row.study is not None}.values())

    def rows(self, only: Collection[str] = ()) -> list[Row]:
        """
        The rows of all tables.

        Args:
            only: names of tables and of rows; by default all.

        Raises:
            ValueError: there is no table and no row of such a name.
        """
        rows = [(table, row) for table in self.tables for row in table.rows]
        known = {name for table, row in rows for name in (table.name, row.name)}
        for name in only:
            if name not in known:
                raise ValueError(f"The plan has no table and no row {name!r}{nearest(name, known)}.")
        return [row for table, row in rows if not only or {table.name, row.name} & set(only)]

    def to_dict(self) -> dict[str, Any]:
        """For reports, as JSON holds it: which runs stand where."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "corpus": self.corpus,
            "tables": {table.name: _table_dict(table) for table in self.tables},
        }


def _table_dict(table: Table) -> dict[str, Any]:
    rows = {
        row.name: {
            "system": row.system,
            "features": row.features,
            "runs": {str(seed): _names_of_runs(row, runs) for seed, runs in row.runs.items()},
            **({} if row.folds is None else {"folds": row.folds}),
            "analyses": sorted({name for runs in row.runs.values() for run in runs for name in run.analyses}),
            **({} if row.found is None else {"found": row.found.to_json()}),
        }
        for row in table.rows
    }
    published = {name: dict(figures) for name, figures in table.published.items()}
    tune = {} if table.tuning is None else {"tune": table.tuning.to_json()}
    return {"title": table.title, "metrics": list(table.metrics), "published": published, **tune, "rows": rows}


def _names_of_runs(row: Row, runs: Sequence[Run]) -> str | dict[str, str]:
    """The name of the run of a seed, or of each fold that of its run."""
    return runs[0].id if row.folds is None else {str(run.fold): run.id for run in runs}


def read_plan(
    path: str | Path, settings: Mapping[str, Any] | None = None, found: Mapping[str, Found] | None = None
) -> Plan:
    """
    Read a plan and expand it.

    Args:
        path: of the YAML file, or the name of a plan of the package; `docs/benchmark.md` has the format.
        settings: keys of recipes that win over those of the plan, for all runs.
        found: what searches for settings found, by the id of the study.

    Raises:
        ValueError: no YAML, or a key, a recipe, a seed or a value that is wrong; names the table and the row.
    """
    path = named_file(path, "plan")
    return expand_plan(path, read_recipe(path), settings, found)


def expand_plan(
    path: str | Path,
    content: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    found: Mapping[str, Found] | None = None,
    is_written: bool = True,
) -> Plan:
    """
    Expand the content of a plan.

    Args:
        path: of its file, which need not be there: recipes are looked for beside it, and it names the plan.
        content: what the file holds.
        settings, found: as of [`read_plan`].
        is_written: whether the user has written the file; messages name it, and the table beside the row, only then.

    Raises:
        ValueError: as of [`read_plan`].
    """
    path = Path(path)
    try:
        return _Reader(path, dict(content), dict(settings or {}), dict(found or {}), is_written).plan()
    except ValueError as error:
        if not is_written:
            raise
        raise ValueError(f"{path}: {error}") from error


class _Reader:
    def __init__(
        self,
        path: Path,
        content: dict[str, Any],
        settings: dict[str, Any],
        found: dict[str, Found],
        names_tables: bool = True,
    ):
        self.path, self.content, self.found, self.names_tables = path, content, found, names_tables
        check_known(self.content, _OF_A_PLAN, "The plan")
        self.settings = checked_mapping(self.content.get("settings"), "settings")
        self.decided = settings
        self.analyses = checked_names(self.content.get("analyses"), ANALYSES, "`analyses`")
        self._runs: dict[str, Run] = {}
        self._studies: dict[str, Study] = {}

    def plan(self) -> Plan:
        tables = checked_mapping(self.content.get("tables"), "tables")
        if not tables:
            raise ValueError("The plan has no `tables`.")
        read = [self._table(str(name), checked_mapping(table, str(name))) for name, table in tables.items()]
        systems = {row.system for table in read for row in table.rows}
        for table in read:
            check_known(table.tuning.systems if table.tuning else (), systems, f"{table.name}, `systems` of `tune`")
        media_root = self.content.get("media_root")
        corpus = str(self.content.get("corpus", self.path.stem))
        return Plan(self.path.stem, corpus, read, None if media_root is None else str(media_root))

    def _table(self, name: str, content: Mapping[str, Any]) -> Table:
        check_known(content, _OF_A_TABLE, name)
        rows = checked_mapping(content.get("rows"), f"{name}, `rows`")
        rows = {str(row): checked_mapping(of, f"{name} | {row}") for row, of in rows.items()}
        if not rows:
            raise ValueError(f"{name} has no `rows`.")
        metrics = checked_names(content.get("metrics", list(METRICS)), METRICS, f"{name}, `metrics`")
        if not metrics:
            raise ValueError(f"{name} has no `metrics`: name some of {', '.join(METRICS)}, or leave `metrics` out.")
        published = checked_mapping(content.get("published"), f"{name}, `published`")
        published = {str(row): checked_mapping(of, f"{name}, `published`") for row, of in published.items()}
        check_known(published, rows, f"{name}, `published`")
        for row, figures in published.items():
            check_known(figures, METRICS, f"{name}, `published` of {row}")
            wrong = [value for value in figures.values() if type(value) not in (int, float)]
            if wrong:
                raise ValueError(f"{name}, `published` of {row} must be numbers, found {wrong[0]!r}.")
        seeds = content.get("seeds", self.content.get("seeds", []))
        usual = content.get("features", next(iter(FEATURES)))
        tuning = self._tuning(name, content.get("tune", self.content.get("tune")))
        read = [self._row(name, row, {"features": usual, **of}, seeds, tuning) for row, of in rows.items()]
        return Table(name, str(content.get("title", name)), metrics, read, published, tuning)

    def _row(self, table: str, name: str, content: Mapping[str, Any], seeds: Any, tuning: Tuning | None) -> Row:
        where = f"{table} | {name}" if self.names_tables else name
        seeds = self._seeds(where, content.get("seeds", seeds))
        check_known([content["features"]], FEATURES, f"{where}, `features`")
        own = {str(key).replace("-", "_"): value for key, value in content.items() if key not in _OF_A_ROW}
        for key, instead in NOT_OF_A_ROW.items():
            if key in {**self.settings, **own, **self.decided}:
                raise ValueError(f"{where} sets `{key}`: {instead}.")
        recipe = self._recipe(where, content.get("recipe", self.content.get("base")))
        for settings in (self.settings, own, self.decided):
            recipe = merged_recipes(recipe, settings)
        recipe = {key: value for key, value in recipe.items() if key not in NOT_OF_A_ROW}
        folds = self._folds(where, recipe)
        recipes = [recipe] if folds is None else [{**recipe, "fold": fold} for fold in folds]
        configurations = [self._configuration(where, one) for one in recipes]
        system, in_words = configurations[0]["system"], None if folds is None else folds_in_words(recipe, folds)
        analyses = self._analyses(where, content, recipe, folds is not None)
        study, found = None, None
        if "baseline" in content:
            seeds, system = [0], content["baseline"]
            configurations = [self._baseline(where, content, one) for one in configurations]
        elif tuning is not None:
            if folds is not None:
                raise ValueError(f"{where} has folds, whose test rows `tune` would choose on: add `tune: false`.")
            study = self._study((table, name), recipe, tuning, {**own, **self.decided}, seeds[0])
            found = self.found.get(study.id)
            if found is None or found.settings is None:
                return Row(name, system, {}, content["features"], seeds, study, found)
            recipes = [{**recipe, **found.settings}]
            configurations = [self._configuration(where, recipes[0])]
        made = list(zip(configurations, recipes, strict=True))
        runs = {seed: [self._run(*one, seed, (table, name), analyses) for one in made] for seed in seeds}
        return Row(name, system, runs, content["features"], seeds, study, found, in_words)

    def _folds(self, where: str, recipe: Mapping[str, Any]) -> Folds | None:
        try:
            return planned_folds(recipe)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def _analyses(self, where: str, content: Mapping[str, Any], recipe: Mapping[str, Any], has_folds: bool) -> list:
        """The analyses of the runs of a row: those of the plan only where they can be made."""
        named = checked_names(content.get("analyses", self.analyses), ANALYSES, f"{where}, `analyses`")
        reasons = {
            "a `baseline`, which has no model": "baseline" in content,
            "folds, each of which has a model of its own": has_folds,
            "a `test_dataset`, and analyses are of the corpus that is trained on": recipe.get("test_dataset"),
        }
        reason = next((reason for reason, holds in reasons.items() if holds), None)
        if reason is None:
            return named
        if content.get("analyses"):
            raise ValueError(f"{where} has `analyses` and {reason}: leave `analyses` out.")
        return []

    def _configuration(self, where: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return resolved_configuration(*parse_arguments([], recipe))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def _tuning(self, table: str, content: Any) -> Tuning | None:
        if content in (None, False):
            return None
        try:
            return read_tuning(checked_mapping(content, "`tune`"))
        except ValueError as error:
            raise ValueError(f"{table}: {error}") from error

    def _study(
        self, place: tuple[str, str], recipe: dict[str, Any], tuning: Tuning, own: Collection[str], seed: int
    ) -> Study:
        where = " | ".join(place)
        recipe = {**recipe, "seed": seed, "test_split": "none"}
        configuration = self._configuration(where, recipe)
        space = tuning.space_of(configuration["system"])
        if recipe.get("eval_split") == "none":
            raise ValueError(f"{where} has `eval_split: none`: without a validation split nothing can be searched.")
        if not space:
            raise ValueError(f"`tune` searches nothing for {where}: add {configuration['system']} to its `systems`.")
        for key in space:
            if key in own:
                raise ValueError(f"{where} sets {key!r}, which `tune` searches: remove one of them.")
        self._check_space(where, recipe, space)
        settings = {key: value for key, value in configuration["settings"].items() if key not in space}
        search: dict[str, Any] = {"trials": tuning.trials, "metric": tuning.metric, "seed": tuning.seed}
        search["space"] = {key: values.to_json() for key, values in space.items()}
        name = run_id({**configuration, "settings": settings, "tune": search})
        study = self._studies.setdefault(name, Study(name, tuning, space, recipe))
        study.places.append(place)
        return study

    def _check_space(self, where: str, recipe: dict[str, Any], space: Space) -> None:
        """Refuse values that no recipe takes, and keys that change no result."""
        examples = {key: values.examples for key, values in space.items()}
        seen: dict[str, set[str]] = {key: set() for key in space}
        for number in range(max(map(len, examples.values()), default=0)):
            values = {key: given[number % len(given)] for key, given in examples.items()}
            settings = self._configuration(where, {**recipe, **values})["settings"]
            for key in space:
                seen[key].add(json.dumps(settings.get(key)))
        for key, found in seen.items():
            if len(found) < len(examples[key]):
                raise ValueError(f"{where}: {key!r} of `tune` has values that change no result: remove it.")

    def _baseline(self, where: str, content: Mapping[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
        check_known([content["baseline"]], BASELINES, f"{where}, `baseline`")
        if "seeds" in content:
            raise ValueError(f"{where} has `seeds` and a `baseline`, in which nothing is random: leave `seeds` out.")
        return baseline_configuration(content["baseline"], configuration)

    def _run(
        self, configuration: dict, recipe: dict, seed: int, place: tuple[str, str], analyses: Collection[str]
    ) -> Run:
        configuration = {**configuration, "settings": {**configuration["settings"], "seed": seed}}
        run = Run(run_id(configuration), configuration, {**recipe, "seed": seed})
        run = self._runs.setdefault(run.id, run)
        run.places.append(place)
        run.analyses[:] = [name for name in ANALYSES if name in {*run.analyses, *analyses}]
        return run

    def _recipe(self, where: str, name: Any) -> dict[str, Any]:
        """A recipe by its path; or a mapping, of such a path and what is changed, or of all settings of a system."""
        if isinstance(name, dict) and "recipe" not in name and "system" in name:
            return name
        if isinstance(name, dict):
            own = {key: value for key, value in name.items() if key != "recipe"}
            return merged_recipes(self._recipe(where, name.get("recipe")), own)
        if name is None:
            raise ValueError(f"{where} has no `recipe`, and the plan no `base`.")
        places = [self.path.parent / str(name), Path("recipes", str(name))]
        found = next((place for place in places if place.is_file()), None)
        try:
            return read_recipe(found or named_file(str(name)))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def _seeds(self, where: str, seeds: Any) -> list[int]:
        is_list = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not is_list or not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"`seeds` of {where} is {seeds!r}, expected a list of different whole numbers.")
        return seeds
