# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Plans: a YAML file that names a corpus and tables, and the runs that it expands to."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options import nearest
from ..scores.headline import METRICS
from ..training.arguments import merged_recipes, parse_arguments, read_recipe
from .analysis_files import ANALYSES
from .baselines import BASELINES, baseline_configuration
from .configuration import SCHEMA_VERSION, resolved_configuration, run_id


__all__ = ["FEATURES", "Plan", "Row", "Run", "Table", "read_plan"]

_OF_A_PLAN = ("corpus", "base", "seeds", "settings", "analyses", "media_root", "tables")
_OF_A_TABLE = ("title", "metrics", "seeds", "features", "rows", "published")
# Which features systems are trained on, the usual ones first; only rows of the same ones are compared.
FEATURES = {"common": "ours, common features", "original": "ours, their features"}
# Keys of a row that are no keys of a recipe, and keys of a recipe that a row cannot have, with what there is instead.
_OF_A_ROW = ("recipe", "seeds", "features", "baseline", "analyses")
_NOT_OF_A_ROW = {
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

    def __str__(self) -> str:
        table, row = self.places[0]
        more = f" (+ {len(self.places) - 1})" if self.places[1:] else ""
        return f"{table} | {row}{more}, seed {self.seed}"


@dataclass(frozen=True)
class Row:
    """
    A row of a table.

    Args:
        name: as it stands in the table.
        system: that is trained, or one of `BASELINES`.
        runs: one a seed.
        features: a key of `FEATURES`.
    """

    name: str
    system: str
    runs: Mapping[int, Run]
    features: str = next(iter(FEATURES))


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
    """

    name: str
    title: str
    metrics: Sequence[str]
    rows: Sequence[Row]
    published: Mapping[str, Mapping[str, float]]


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
        rows = [(table, row) for table in self.tables for row in table.rows]
        known = {name for table, row in rows for name in (table.name, row.name)}
        for name in only:
            if name not in known:
                raise ValueError(f"The plan has no table and no row {name!r}{nearest(name, known)}.")
        chosen = [row for table, row in rows if not only or {table.name, row.name} & set(only)]
        ranked = [(place, run) for row in chosen for place, run in enumerate(row.runs.values())]
        return list({run.id: run for _, run in sorted(ranked, key=lambda pair: pair[0])}.values())

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
            "runs": {str(seed): run.id for seed, run in row.runs.items()},
            "analyses": sorted({name for run in row.runs.values() for name in run.analyses}),
        }
        for row in table.rows
    }
    published = {name: dict(figures) for name, figures in table.published.items()}
    return {"title": table.title, "metrics": list(table.metrics), "published": published, "rows": rows}


def read_plan(path: str | Path, settings: Mapping[str, Any] | None = None) -> Plan:
    """
    Read a plan and expand it.

    Args:
        path: of the YAML file; `docs/benchmark.md` has the format.
        settings: keys of recipes that win over those of the plan, for all runs.

    Raises:
        ValueError: no YAML, or a key, a recipe, a seed or a value that is wrong; names the table and the row.
    """
    return _Reader(Path(path), dict(settings or {})).plan()


class _Reader:
    def __init__(self, path: Path, settings: dict[str, Any]):
        self.path = path
        if not path.is_file():
            raise ValueError(f"There is no plan {path}; recipes/benchmark/ has some.")
        self.content = read_recipe(path)
        self._check(self.content, _OF_A_PLAN, "The plan")
        self.settings = self._mapping("settings", self.content.get("settings"))
        self.decided = settings
        self.analyses = self._names("`analyses`", self.content.get("analyses"), ANALYSES)
        self._runs: dict[str, Run] = {}

    def plan(self) -> Plan:
        tables = self._mapping("tables", self.content.get("tables"))
        if not tables:
            raise self._error("The plan has no `tables`.")
        read = [self._table(str(name), self._mapping(str(name), table)) for name, table in tables.items()]
        media_root = self.content.get("media_root")
        corpus = str(self.content.get("corpus", self.path.stem))
        return Plan(self.path.stem, corpus, read, None if media_root is None else str(media_root))

    def _table(self, name: str, content: Mapping[str, Any]) -> Table:
        self._check(content, _OF_A_TABLE, name)
        rows = self._mapping(f"{name}, `rows`", content.get("rows"))
        rows = {str(row): self._mapping(f"{name} | {row}", of) for row, of in rows.items()}
        if not rows:
            raise self._error(f"{name} has no `rows`.")
        metrics = self._names(f"{name}, `metrics`", content.get("metrics", list(METRICS)), METRICS)
        if not metrics:
            raise self._error(f"{name} has no `metrics`: name some of {', '.join(METRICS)}, or leave `metrics` out.")
        published = self._mapping(f"{name}, `published`", content.get("published"))
        published = {str(row): self._mapping(f"{name}, `published`", of) for row, of in published.items()}
        self._check(published, rows, f"{name}, `published`")
        for row, figures in published.items():
            self._check(figures, METRICS, f"{name}, `published` of {row}")
            wrong = [value for value in figures.values() if type(value) not in (int, float)]
            if wrong:
                raise self._error(f"{name}, `published` of {row} must be numbers, found {wrong[0]!r}.")
        seeds = content.get("seeds", self.content.get("seeds", []))
        usual = content.get("features", next(iter(FEATURES)))
        read = [self._row(name, row, {"features": usual, **of}, seeds) for row, of in rows.items()]
        return Table(name, str(content.get("title", name)), metrics, read, published)

    def _row(self, table: str, name: str, content: Mapping[str, Any], seeds: Any) -> Row:
        where = f"{table} | {name}"
        seeds = self._seeds(where, content.get("seeds", seeds))
        self._check([content["features"]], FEATURES, f"{where}, `features`")
        own = {str(key).replace("-", "_"): value for key, value in content.items() if key not in _OF_A_ROW}
        for key, instead in _NOT_OF_A_ROW.items():
            if key in {**self.settings, **own, **self.decided}:
                raise self._error(f"{where} sets `{key}`: {instead}.")
        recipe = self._recipe(where, content.get("recipe", self.content.get("base")))
        for settings in (self.settings, own, self.decided):
            recipe = merged_recipes(recipe, settings)
        recipe = {key: value for key, value in recipe.items() if key not in _NOT_OF_A_ROW}
        try:
            arguments = parse_arguments([], recipe)
        except ValueError as error:
            raise self._error(f"{where}: {error}") from error
        configuration = resolved_configuration(*arguments)
        analyses = self._names(f"{where}, `analyses`", content.get("analyses", self.analyses), ANALYSES)
        if "baseline" in content:
            configuration, seeds, analyses = self._baseline(where, content, configuration), [0], []
        runs = {seed: self._run(configuration, recipe, seed, (table, name), analyses) for seed in seeds}
        return Row(name, configuration["system"], runs, content["features"])

    def _baseline(self, where: str, content: Mapping[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
        self._check([content["baseline"]], BASELINES, f"{where}, `baseline`")
        if "seeds" in content:
            raise self._error(f"{where} has `seeds` and a `baseline`, in which nothing is random: leave `seeds` out.")
        if content.get("analyses"):
            raise self._error(f"{where} has `analyses` and a `baseline`, which has no model: leave `analyses` out.")
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
        """A recipe by its path; the base may be a mapping, of such a path and what is changed."""
        if isinstance(name, dict):
            own = {key: value for key, value in name.items() if key != "recipe"}
            return merged_recipes(self._recipe(where, name.get("recipe")), own)
        if name is None:
            raise self._error(f"{where} has no `recipe`, and the plan no `base`.")
        places = [self.path.parent / str(name), Path("recipes", str(name))]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise self._error(f"{where}: there is no recipe {places[0]}, nor {places[1]}.")
        return read_recipe(found)

    def _seeds(self, where: str, seeds: Any) -> list[int]:
        is_list = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not is_list or not seeds or len(set(seeds)) < len(seeds):
            raise self._error(f"`seeds` of {where} is {seeds!r}, expected a list of different whole numbers.")
        return seeds

    def _names(self, where: str, content: Any, known: Collection[str]) -> list[str]:
        """A list of names, or a single one."""
        names = content if isinstance(content, list) else [] if content is None else [content]
        self._check(names, known, where)
        return names

    def _mapping(self, where: str, content: Any) -> dict[str, Any]:
        if content is not None and not isinstance(content, dict):
            raise self._error(f"{where} must hold `name: value` lines, found {type(content).__name__}.")
        return content or {}

    def _check(self, names: Iterable[Any], known: Collection[str], where: str) -> None:
        """Refuse what is not known, with the nearest that is."""
        for name in map(str, names):
            if name not in known:
                hint = nearest(name, known) or f"; there are {', '.join(known)}"
                raise self._error(f"{where} has the unknown key {name!r}{hint}.")

    def _error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}: {message}")
