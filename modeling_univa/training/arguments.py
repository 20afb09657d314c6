# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Arguments of a training run: a YAML recipe, overridden by the command line."""

import argparse
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import yaml
from transformers import HfArgumentParser
from transformers.hf_argparser import string_to_bool
from transformers.utils import logging

from ..data.folds import ALL_FOLDS, FoldBy, FoldChoice
from ..data.lexicon import SCALES, affect_of_words, read_label_affect
from ..models.files_univa import one_line
from ..options import OptionParser, nearest
from ..scores.thresholds import AUTO, THRESHOLD_CHOICES
from ..shipped import in_words, named_file, recipes
from .config_options import config_options, system_config, system_names
from .training_arguments import UnivaTrainingArguments


__all__ = [
    "DataArguments",
    "ModelArguments",
    "merged_recipes",
    "model_arguments",
    "parse_arguments",
    "read_recipe",
]

logger = logging.get_logger(__name__)

# Arguments that say how the corpus is built where it is not there yet.
_BUILDING = ("corpus_script", "corpus_source", "corpus_options")


@dataclass
class ModelArguments:
    """
    The model.

    Beside the fields below, the plain fields of the system's configuration are arguments, and override what a new or a
    trained model has: `ModelArguments(system="univa", hidden_size=256)`. Their class documents them.
    """

    system: str = field(default="univa", metadata={"help": "Which system; its settings are options too."})
    model: str | None = field(default=None, metadata={"help": "Trained UniVA model to go on from, folder or Hub id."})
    model_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of `model`."})
    text_model: str | None = field(
        default=None,
        metadata={
            "help": "Pretrained text encoder: Hub id, folder, or package://NAME/FOLDER for one that a Python package "
            "carries. Without it text comes as word vectors."
        },
    )
    text_model_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of `text_model`."})
    text_attention_dropout: float | None = field(
        default=None,
        metadata={"help": "Attention dropout of the text encoder; 0 lets a CPU use its fast attention in training."},
    )
    frozen_text_layers: int | None = field(
        default=None,
        metadata={"help": "Keep the text encoder's embeddings and this many of its lower layers as pretrained."},
    )
    text_states: bool = field(
        default=False,
        metadata={
            "help": "Keep the text encoder as a whole as pretrained, and train on its states, which are computed once "
            "and kept in the cache of datasets."
        },
    )
    decision_threshold: float | str | None = field(
        default=None,
        metadata={
            "help": "Probability above which a label is predicted: a number, or auto for that of highest micro-F1 on "
            "the validation split at each evaluation, or per-label for one threshold a label, each of highest F1 of "
            "its label there. By default auto, but for an adapter of a model that stays as it is."
        },
    )
    label_affect: str | None = field(
        default=None,
        metadata={
            "help": "Valence and arousal of labels on [0, 1], for UniVA's prior of emotion similarity: a table in a "
            'recipe, or a JSON object, {"hope": [0.6, 0.2]}. Labels that it does not name are those of '
            "`label_lexicon`, or happy, sad, anger, surprise, disgust, fear, neutral and their other forms."
        },
    )
    label_lexicon: str | None = field(
        default=None,
        metadata={"help": "File of word, valence and arousal that has the labels, such as the NRC-VAD lexicon."},
    )
    label_lexicon_scale: str | None = field(
        default=None,
        metadata={
            "help": "Scale of `label_lexicon`: unit is 0 to 1, signed is -1 to 1, nine-point is 1 to 9; by default "
            "the one that its values have."
        },
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "sdpa, eager or flash_attention_2."})
    lora_rank: int | None = field(
        default=None,
        metadata={"help": "Rank of LoRA updates of the text encoder, trained instead of its weights."},
    )
    lora_alpha: int | None = field(default=None, metadata={"help": "Updates count alpha / rank; by default 2."})
    lora_dropout: float | None = field(default=None, metadata={"help": "Dropout on the input of the updates."})
    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={
            "help": "Linear layers of the text encoder that get an update: attention (the default: all of its "
            "attention layers), all-linear, or names such as query value."
        },
    )

    def __new__(cls, *args: Any, system: str = "univa", **settings: Any) -> "ModelArguments":
        """Of the class that has the fields of the system's configuration."""
        return super().__new__(model_arguments(system) if cls is ModelArguments else cls)

    def __post_init__(self) -> None:
        if isinstance(self.decision_threshold, str) and self.decision_threshold not in THRESHOLD_CHOICES:
            try:
                self.decision_threshold = float(self.decision_threshold)
            except ValueError:
                raise ValueError(
                    f"`decision_threshold` must be a number in [0, 1) or {' or '.join(THRESHOLD_CHOICES)}, got "
                    f"{self.decision_threshold!r}."
                ) from None
        self._check_label_words()

    def _check_label_words(self) -> None:
        if isinstance(self.label_affect, Mapping):
            self.label_affect = json.dumps(self.label_affect)
        if self.label_affect is not None:
            read_label_affect(self.label_affect)
        if self.label_lexicon_scale is None:
            return
        if self.label_lexicon is None:
            raise ValueError("`label_lexicon_scale` is that of `label_lexicon`: pass both or neither.")
        if self.label_lexicon_scale not in SCALES:
            raise ValueError(
                f"`label_lexicon_scale` must be one of {', '.join(SCALES)}, got {self.label_lexicon_scale!r}."
            )

    def config_overrides(self) -> dict[str, Any]:
        """The fields of the system's configuration that were given."""
        known = {item.name for item in fields(system_config(self.system))}
        given = {name: value for name, value in vars(self).items() if name in known and value is not None}
        if self.threshold_choice is not None:
            given.pop("decision_threshold", None)
        # In the order of the labels, which the corpus decides.
        given.pop("label_affect", None)
        return given

    @property
    def names_label_affect(self) -> bool:
        """Whether valence and arousal of labels are given, or where they are."""
        return self.label_affect is not None or self.label_lexicon is not None

    def affect_overrides(self, label_names: Sequence[str]) -> dict[str, Any]:
        """
        `label_affect` of the configuration, where it is given and the system has it.

        Args:
            label_names: of the model, in order.

        Raises:
            CorpusError: the lexicon cannot be read, a label has no valence and arousal, or one is not of the corpus.
        """
        known = {item.name for item in fields(system_config(self.system))}
        if not self.names_label_affect or "label_affect" not in known:
            return {}
        given = None if self.label_affect is None else read_label_affect(self.label_affect)
        return {"label_affect": affect_of_words(label_names, given, self.label_lexicon, self.label_lexicon_scale)}

    @property
    def threshold_choice(self) -> str | None:
        """How validation chooses the threshold, of `choose_threshold`; `None` where a number is given."""
        given = AUTO if self.decision_threshold is None else self.decision_threshold
        return given if isinstance(given, str) else None


def model_arguments(system: str) -> type[ModelArguments]:
    """
    `ModelArguments` with the settings of a system.

    Raises:
        ValueError: there is no such system.
    """
    config_class: Any = system_config(system)
    return _with_settings(config_class)


@cache
def _with_settings(config_class: Any) -> type[ModelArguments]:
    own = {item.name for item in fields(ModelArguments)}
    settings = [
        (name, hint | None, field(default=None, metadata={"help": text}))
        for name, hint, text in config_options(config_class)
        if name not in own
    ]
    return make_dataclass("ModelArguments", settings, bases=(ModelArguments,), namespace={"__module__": __name__})


@dataclass
class DataArguments:
    """The corpus."""

    dataset: str | None = field(
        default=None, metadata={"help": "Corpus: a folder built by `univa build`, or a Hub id."}
    )
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit on the Hub."})
    streaming: bool = field(
        default=False,
        metadata={"help": "Read the training split as it comes instead of downloading it first; needs `max_steps`."},
    )
    streaming_window: int = field(
        default=2000, metadata={"help": "Rows of a stream that are shuffled together, whole dialogues at the least."}
    )
    corpus_script: str | None = field(
        default=None,
        metadata={
            "help": "Corpus of `univa build` that makes the folder `dataset` where it is not there yet; that of "
            "a recipe is for the recipe's own `dataset` alone."
        },
    )
    corpus_source: str | None = field(default=None, metadata={"help": "The --source of `univa build`."})
    corpus_options: list[str] | None = field(default=None, metadata={"help": "Further options of `univa build`."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str | None = field(
        default=None,
        metadata={
            "help": "Split that chooses the checkpoint; by default that called validation, valid, val or dev, as far "
            "as there is one. `none` keeps the last checkpoint."
        },
    )
    test_split: str | None = field(
        default="test",
        metadata={
            "help": "Split tested at the end, if there is one, of `test_dataset` if that is given; `none` for no test."
        },
    )
    num_folds: int | str | None = field(
        default=None,
        metadata={
            "help": "Train on one fold of a cross-validation over the rows of all splits, of this many folds; all is "
            "one a speaker or dialogue (leave-one-out)."
        },
    )
    fold: int | str | None = field(
        default=None,
        metadata={
            "help": "Which fold is tested: its number from 1 to `num_folds`, or if that is all the name of a speaker "
            "or dialogue. The next one is for validation, unless `eval_split` is none; the others are for training."
        },
    )
    fold_by: FoldBy | None = field(
        default=None,
        metadata={
            "help": "What is in one fold alone, by default speaker; speakers who have a dialogue in common are kept "
            "together."
        },
    )
    fold_seed: int = field(default=0, metadata={"help": "Of the order in which speakers or dialogues become folds."})
    test_dataset: str | None = field(
        default=None,
        metadata={"help": "Another corpus, folder or Hub id, of which `test_split` is tested instead of `dataset`'s."},
    )
    test_dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of `test_dataset` on the Hub."}
    )
    label_map: str | None = field(
        default=None,
        metadata={
            "help": "What the labels of `test_dataset` are called in `dataset`: joy=happy,contempt= leaves contempt "
            "out, and labels of one name need no entry; also as a JSON object."
        },
    )

    def __post_init__(self) -> None:
        self.dataset, self.test_dataset = self.dataset or None, self.test_dataset or None
        if self.test_split in ("none", ""):
            self.test_split = None
        if self.eval_split == "":
            self.eval_split = None
        self.num_folds = _whole_number(self.num_folds)
        if self.num_folds != ALL_FOLDS:
            self.fold = _whole_number(self.fold)
        if self.num_folds is not None:
            self.fold_by = self.fold_by or "speaker"
        self._check_folds()
        self._check_test_dataset()

    @property
    def fold_choice(self) -> FoldChoice | None:
        """The fold of a cross-validation to train on, if it is one."""
        if self.num_folds is None or self.fold is None:
            return None
        return FoldChoice(self.num_folds, self.fold, str(self.fold_by), self.fold_seed, self.eval_split != "none")

    def _check_folds(self) -> None:
        if (self.num_folds is None) != (self.fold is None):
            given, missing = ("num_folds", "fold") if self.fold is None else ("fold", "num_folds")
            raise ValueError(f"`{given}` is {getattr(self, given)!r} without `{missing}`: pass both or neither.")
        if self.fold_choice is None:
            for name in ("fold_by", "fold_seed"):
                if getattr(self, name):
                    raise ValueError(f"`{name}` is {getattr(self, name)!r} without `num_folds`: leave it out.")
            return
        made = {"train_split": "train", "eval_split": "validation", "test_split": "test"}
        for name, split in made.items():
            if getattr(self, name) not in (split, None, "none"):
                raise ValueError(
                    f"`{name}` is {getattr(self, name)!r}, and `num_folds` makes the splits train, validation and "
                    f"test: leave it out, or pass `{name}` {split}."
                )
        for name, reason in (
            ("streaming", "needs all rows at once"),
            ("test_dataset", "keeps rows of `dataset` to test on"),
        ):
            if getattr(self, name):
                raise ValueError(f"`num_folds` {reason}: leave `{name}` out, or `num_folds`.")

    def _check_test_dataset(self) -> None:
        for name in ("test_dataset_revision", "label_map"):
            if getattr(self, name) is not None and self.test_dataset is None:
                raise ValueError(f"`{name}` is for another corpus to test on: pass `test_dataset` too.")
        if self.test_dataset is not None and self.test_split is None:
            raise ValueError("`test_split` is none, and `test_dataset` is there to be tested: leave one of them out.")


def _whole_number(value: int | str | None) -> int | str | None:
    """A number of folds or of a fold, where it is one."""
    return int(value) if isinstance(value, str) and re.fullmatch("-?[0-9]+", value) else value


def parse_arguments(
    arguments: Sequence[str], recipe: Mapping[str, Any] | None = None, program: str = "univa train"
) -> tuple[ModelArguments, DataArguments, UnivaTrainingArguments]:
    """
    Parse `[RECIPE …] [--name value …]`; the command line wins over the recipes, a later recipe over an earlier.

    Which options there are depends on the `system`.

    Args:
        recipe: what a recipe before the others says.
        program: what the help calls the command.

    Raises:
        ValueError: a recipe that is missing, is not YAML or not a mapping, a key or option that nothing knows, or a
            value of the wrong type.
    """
    arguments = list(arguments)
    recipe = dict(recipe or {})
    while arguments and not arguments[0].startswith("-"):
        recipe = merged_recipes(recipe, read_recipe(named_file(arguments.pop(0))))
    named, arguments = _EARLY.parse_known_args(arguments)
    recipe = _without_earlier_names(merged_recipes(recipe, vars(named)))
    types = (model_arguments(recipe.get("system", ModelArguments.system)), DataArguments, UnivaTrainingArguments)
    parser = _Parser(
        types,
        prog=program,
        usage="%(prog)s [RECIPE …] [--name value …]",
        description=f"A recipe is a YAML file of these options, or one of the package: {in_words(recipes())}.",
        formatter_class=_HelpFormatter,
    )
    actions = {action.dest: action for action in parser._actions}
    unknown = sorted(map(str, set(recipe) - set(actions)))
    if unknown:
        raise ValueError(_unknown_key(unknown[0], recipe.get("system", ModelArguments.system), actions))
    optional = {name for kind in types for name, hint in get_type_hints(kind).items() if type(None) in get_args(hint)}
    for name, value in recipe.items():
        if value is None and name not in optional:
            raise ValueError(f"The recipe leaves {name!r} empty: set a value or remove the line.")
        actions[name].default = _as_typed(actions[name], value)
    with _named_options(recipe, arguments):
        model, data, training, remaining = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    if remaining:
        raise ValueError(f"Unknown option {remaining[0]!r}; `--help` lists the known ones.")
    for group in (model, data, training):
        _check_values(group)
    return model, data, training


def _unknown_key(key: str, system: str, known: Mapping[str, Any]) -> str:
    others = [name for name in system_names() if any(key == item.name for item in fields(system_config(name)))]
    if others:
        return (
            f"The recipe sets {key!r}, a setting of {', '.join(others)} and not of {system}: remove it, or use a "
            f"recipe of {system}."
        )
    return f"The recipe has the unknown key {key!r}{nearest(key, known)}; `--help` lists the known ones."


def merged_recipes(recipe: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the later one winning. How a corpus is built belongs to the `dataset` that it is named with."""
    if later.get("dataset", recipe.get("dataset")) != recipe.get("dataset"):
        recipe = {name: value for name, value in recipe.items() if name not in _BUILDING}
    return {**recipe, **later}


def _without_earlier_names(recipe: dict[str, Any]) -> dict[str, Any]:
    """What `group_by_dialogue` stood for is `batching`."""
    recipe = dict(recipe)
    if recipe.pop("group_by_dialogue", False):
        logger.warning_once("`group_by_dialogue` is now `batching: dialogue`; the earlier name will go.")
        recipe.setdefault("batching", "dialogue")
    return recipe


@contextmanager
def _named_options(recipe: dict[str, Any], arguments: Sequence[str]) -> Iterator[None]:
    """Put the name of the option before what transformers says of a value alone ("x is not a valid SaveStrategy")."""
    try:
        yield
    except ValueError as error:
        value, says, _ = str(error).partition(" is not a valid ")
        given = [(name.lstrip("-"), text) for name, text in zip(arguments, arguments[1:], strict=False)]
        names = [name for name, text in [*given, *recipe.items()] if says and str(text) == value]
        if not names:
            raise
        # Several options may have one value: that of a SaveStrategy is called a strategy.
        kind = str(error).partition(" is not a valid ")[2].lower()
        name = max(names, key=lambda name: sum(word in kind for word in name.split("_")))
        raise ValueError(f"`{name}`: {error}") from error


def _check_values(group: Any) -> None:
    for name, value in vars(group).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"`{name}` must be a finite number, got {value}.")
    output = getattr(group, "output_dir", None)
    if output is not None and (not output or Path(output).exists() and not Path(output).is_dir()):
        raise ValueError(f"`output_dir` is {output!r}, expected a folder to write to.")


class _Parser(OptionParser, HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; `--help` describes the options.")


class _EarlyParser(OptionParser):
    """What has to be known before all options are, and leaves the others; what is wrong here the others refuse."""

    refuses_unknown = False

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; `--help` describes the options.")


_EARLY = _EarlyParser(add_help=False, argument_default=argparse.SUPPRESS)
_EARLY.add_argument("--dataset")
_EARLY.add_argument("--system")
_EARLY.add_argument("--group_by_dialogue", type=string_to_bool, nargs="?", const=True)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        """Without a default that only says that nothing is changed."""
        return action.help if action.default is None else super()._get_help_string(action)


def _as_typed(action: argparse.Action, value: Any) -> Any:
    """A recipe's value as the command line would give it; strings are converted by argparse itself."""
    if value is None:
        return None
    if isinstance(value, list) != (action.nargs in ("+", "*")):
        raise ValueError(f"The recipe's {action.dest!r} takes {'a list' if action.nargs else 'one value'}: {value!r}.")
    if action.choices is not None and not isinstance(value, list):
        return _as_choice(action, value)
    if not isinstance(value, list):
        return json.dumps(value) if isinstance(value, dict) else str(value)
    try:
        return [action.type(str(item)) if callable(action.type) else str(item) for item in value]
    except ValueError as error:
        kind = getattr(action.type, "__name__", "value")
        raise ValueError(f"The recipe's {action.dest!r} is {value!r}, expected a list of {kind} values.") from error


def _as_choice(action: argparse.Action, value: Any) -> str:
    """One of an option's values; YAML reads a bare `no` as false."""
    choices = [str(getattr(choice, "value", choice)) for choice in action.choices or ()]
    text = "no" if value is False and "no" in choices else str(value)
    if text not in choices:
        raise ValueError(f"The recipe's {action.dest!r} is {value!r}, expected one of {', '.join(choices)}.")
    return text


def read_recipe(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with a `ValueError` for anything else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply: write `name: value` lines.") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ValueError(f"{path} must hold `name: value` lines, found {found}.")
    return {str(name).replace("-", "_"): value for name, value in content.items()}
