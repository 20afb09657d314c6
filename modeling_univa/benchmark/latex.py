# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tables of a report for a paper in LaTeX, with the rules of booktabs."""

from collections.abc import Iterable, Iterator, Sequence

from .page import Grid


__all__ = ["grid_latex", "latex_text"]

# What TeX would read as a command, or has no sign for in its oldest fonts.
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "$&#_%"},
    # Behind the end of a line these would be read as arguments of it.
    "[": "{[}", "*": "{*}",
    "−": "$-$", "–": "--", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "→": r"$\to$",
    "…": r"\ldots{}", "’": "'",
}  # fmt: skip
# Characters of a line that fit a page of LaTeX's own `article`; a wider table is scaled down.
_WIDEST = 75


def latex_text(text: str) -> str:
    """Text as it is, whatever signs are in it: names of systems and labels are not commands."""
    return "".join(_SIGNS.get(sign, sign) for sign in " ".join(text.split()))


def grid_latex(grid: Grid) -> str:
    """
    A float with its caption and notes. Rows whose head is empty or indented belong to the one above them.

    It needs `\\usepackage{booktabs}`; one that is wider than a page is scaled, which needs graphicx too.
    """
    is_wide = _width([grid.header, *grid.rows]) > _WIDEST
    packages = ["booktabs", *(["graphicx"] if is_wide else [])]
    lines = [f"% \\usepackage{{{name}}}" for name in packages]
    lines += [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(grid.caption)}}}",
        rf"\label{{tab:{grid.name}}}",
    ]
    lines += [r"\small"] + ([r"\resizebox{\linewidth}{!}{%"] if is_wide else [])
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}", r"\toprule", _line(grid.header), r"\midrule"]
    lines += [*_body(grid.rows), r"\bottomrule", r"\end{tabular}" + ("}" if is_wide else "")]
    if grid.notes:
        lines += [
            r"\par\smallskip",
            rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(map(latex_text, grid.notes))}}}",
        ]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _body(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    has_groups = not all(row[0][:1].strip() for row in rows)
    for place, row in enumerate(rows):
        is_first = bool(row[0][:1].strip())
        if has_groups and place and is_first:
            yield r"\addlinespace"
        yield _line(row) if is_first or not row[0] else rf"\quad {_line(row)}"


def _line(cells: Iterable[str]) -> str:
    return f"{' & '.join(map(latex_text, cells))} \\\\"


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Characters of the widest cells side by side, with room between them."""
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
