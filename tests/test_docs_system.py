# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""docs/add_system.md, done as it says."""

import pytest
from pages import apply_page, copy_repository, run_page_command
from testing_utils import REPOSITORY


@pytest.mark.slow
def test_a_system_added_as_the_page_says_is_tested_trained_and_predicts(tmp_path):
    folder = copy_repository(tmp_path / "copy")
    touched, commands = apply_page(REPOSITORY / "docs" / "add_system.md", folder)
    assert touched == {
        "modeling_univa/models/modeling_mean.py",
        "modeling_univa/models/systems.py",
        "recipes/demo_mean.yaml",
        "recipes/mosei_mean.yaml",
        "tests/models/test_mean.py",
    }
    tests, train, predict = commands
    assert "passed" in run_page_command(tests, folder, tmp_path / "cache")
    table = run_page_command(train, folder, tmp_path / "cache")
    assert "validation" in table and "test" in table
    card = (folder / "outputs" / "demo_mean" / "README.md").read_text()
    assert "[mean fusion](https://example.org/mean) model" in card and "@misc{mean," in card
    assert (folder / "outputs" / "demo_mean" / "modeling_mean.py").is_file()
    assert "test_d0_u0" in run_page_command(predict, folder, tmp_path / "cache")
