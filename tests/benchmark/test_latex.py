# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tables in LaTeX: no name is a command, and TeX takes them where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modeling_univa.benchmark.latex import grid_latex, latex_text
from modeling_univa.benchmark.page import Grid


NASTY = r"a_b%c&d$e#f{g}h\i~j^k<l>m|n[o]*p “−”±–…×≤≥→’"
ROWS = [["*a_b", "41.2 ± 1.0"], ["", "[−3.1, +0.5]"], ["[c]", "–"]]
GRID = Grid("t_1-own", "Scores of w/o VA_CL, 100 %", ["system", "Acc %"], ROWS, ["5 % & more."])


def document(tex: str) -> str:
    used = "".join(rf"\usepackage{{{name}}}" for name in re.findall(r"^% \\usepackage{(\w+)}$", tex, re.MULTILINE))
    return rf"\documentclass{{article}}{used}\begin{{document}}" + tex + r"\end{document}"


def test_signs_are_text():
    assert latex_text("w/o_A & 5 %\n") == r"w/o\_A \& 5 \%"
    assert latex_text("a\\b{c}") == r"a\textbackslash{}b\{c\}"
    assert latex_text("−1.2 ± 0.3") == r"$-$1.2 $\pm$ 0.3"


def test_rows_of_a_group_stand_together():
    tex = grid_latex(GRID)
    body = tex[tex.index(r"\midrule") : tex.index(r"\bottomrule")].splitlines()
    assert body[1:] == [
        r"{*}a\_b & 41.2 $\pm$ 1.0 \\", r" & {[}$-$3.1, +0.5] \\", r"\addlinespace", r"{[}c] & -- \\",
    ]  # fmt: skip
    assert r"\caption{Scores of w/o VA\_CL, 100 \%}" in tex and r"\footnotesize 5 \% \& more." in tex
    assert "resizebox" not in tex and "graphicx" not in tex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX")
@pytest.mark.parametrize("width", [1, 30])
def test_tex_takes_it(width, tmp_path: Path):
    rows = [[NASTY, *["12.34 [1, 2]"] * width], ["[x]", *["*"] * width]]
    tex = grid_latex(Grid("wide", NASTY, ["row", *["Acc %"] * width], rows, [NASTY]))
    assert ("resizebox" in tex) == (width == 30)
    (tmp_path / "table.tex").write_text(document(tex), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout and (tmp_path / "table.pdf").is_file()
