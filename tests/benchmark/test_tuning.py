# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What `tune` of a plan may say."""

import json

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from modeling_univa.benchmark.tuning import Choices, Found, Range, read_tuning


PLAN = """
trials: 7
seed: 3
space:
  learning-rate: {low: 1e-5, high: 1e-3, log: true}
  num_train_epochs: {low: 2, high: 5}
systems:
  mult:
    hidden_size: [24, 48]
    modalities: [[text], [text, audio]]
"""


def test_ranges_and_lists_are_read():
    tuning = read_tuning(yaml.safe_load(PLAN))
    assert (tuning.trials, tuning.metric, tuning.seed) == (7, "micro_f1", 3)
    # YAML reads 1e-5 as a string.
    assert tuning.space == {"learning_rate": Range(1e-5, 1e-3, True), "num_train_epochs": Range(2, 5)}
    assert list(tuning.space_of("univa")) == ["learning_rate", "num_train_epochs"]
    assert list(tuning.space_of("mult")) == ["hidden_size", "learning_rate", "modalities", "num_train_epochs"]
    again = read_tuning(json.loads(json.dumps(tuning.to_json())))
    assert again == tuning


def test_distributions_are_those_of_optuna():
    space = read_tuning(yaml.safe_load(PLAN)).space_of("mult")
    found = {key: values.distribution() for key, values in space.items()}
    assert found == {
        "hidden_size": CategoricalDistribution([24, 48]),
        "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
        "modalities": CategoricalDistribution(['["text"]', '["text", "audio"]']),
        "num_train_epochs": IntDistribution(2, 5),
    }
    trial = optuna.create_study().ask(found)
    settings = {key: space[key].setting(value) for key, value in trial.params.items()}
    assert settings["modalities"] in (["text"], ["text", "audio"]) and settings["hidden_size"] in (24, 48)
    assert settings["learning_rate"] == trial.params["learning_rate"]
    assert Choices([["text"], None]).setting(None) is None


def test_what_was_found_is_json():
    found = Found(["a", "b"], ["b"], {"learning_rate": 0.5}, 61.0)
    assert json.loads(json.dumps(found.to_json())) == {
        "trials": ["a", "b"], "failed": ["b"], "settings": {"learning_rate": 0.5}, "value": 61.0,
    }  # fmt: skip


SPACE = {"learning_rate": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trial": 3, "space": SPACE}, "`tune` has the unknown key 'trial', the nearest is 'trials'"),
        ({"space": SPACE}, "`trials` of `tune` is None, expected a whole number from 1"),
        ({"trials": 0, "space": SPACE}, "`trials` of `tune` is 0, expected"),
        ({"trials": True, "space": SPACE}, "`trials` of `tune` is True, expected"),
        ({"trials": 3, "seed": -1, "space": SPACE}, "`seed` of `tune` is -1, expected a whole number from 0"),
        ({"trials": 3, "metric": "f1", "space": SPACE}, "`metric` of `tune` has the unknown key 'f1'"),
        ({"trials": 3}, "`tune` has no `space`"),
        ({"trials": 3, "space": 5}, "`space` of `tune` must hold `name: value` lines, found int"),
        ({"trials": 3, "space": {"seed": [1, 2]}}, "`tune` searches 'seed', which says what is measured"),
        ({"trials": 3, "systems": {"mult": {"test_split": ["a", "b"]}}}, "`tune` searches 'test_split', which"),
        ({"trials": 3, "space": {"a": 1}}, "`tune` has a: 1, expected {low: …, high: …} or a list of unlike values"),
        ({"trials": 3, "space": {"a": [1]}}, r"`tune` has a: \[1\], expected"),
        ({"trials": 3, "space": {"a": [1, 1]}}, r"`tune` has a: \[1, 1\], expected"),
        ({"trials": 3, "space": {"a": {"low": 1, "hig": 2}}}, "a of `tune` has the unknown key 'hig', the nearest"),
        ({"trials": 3, "space": {"a": {"low": 1}}}, "`tune` has None as an end of a, expected a number"),
        ({"trials": 3, "space": {"a": {"low": "x", "high": 1}}}, "`tune` has 'x' as an end of a, expected a number"),
        ({"trials": 3, "space": {"a": {"low": 2, "high": 2}}}, "expected `low` below `high`"),
        ({"trials": 3, "space": {"a": {"low": 0, "high": 2, "log": True}}}, "and above 0 with `log: true`"),
        ({"trials": 3, "space": {"a": {"low": 1, "high": 2, "log": 3}}}, "expected `low` below"),
        ({"trials": 3, "space": {"a": {"low": ".nan", "high": 2}}}, "as an end of a, expected a number"),
    ],
)
def test_mistakes_are_named(content, message):
    with pytest.raises(ValueError, match=message):
        read_tuning(content)
