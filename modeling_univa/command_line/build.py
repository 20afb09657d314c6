# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The corpora of `univa build`. The options of one are read off its class, which is imported when it is asked for."""

import ast
import pkgutil
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..options import OptionParser


__all__ = ["EMOBANK", "add_options", "corpora"]

_PACKAGE = __package__.rpartition(".")[0]
# Sentences, not clips: its module has no `BUILDER`.
EMOBANK = "emobank"
_OTHERS = {EMOBANK: "EmoBank: English sentences rated for valence, arousal and dominance."}


def corpora() -> dict[str, str]:
    """
    The corpora of clips: the modules of `corpora/` that have a `BUILDER`, each with what it says of itself.

    None is imported, since what one of them needs is not installed everywhere.

    Returns:
        By name, the first line of the module's docstring.
    """
    folder, found = Path(__file__).parents[1] / "corpora", {}
    for module in pkgutil.iter_modules([str(folder)]):
        file = folder / module.name / "__init__.py" if module.ispkg else folder / f"{module.name}.py"
        source = file.read_text(encoding="utf-8")
        if re.search(r"^BUILDER\b", source, re.MULTILINE):
            found[module.name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def add_options(parser: OptionParser) -> None:
    """Add a command for each corpus."""
    found = parser.add_subparsers(title="corpora", required=True, metavar="CORPUS", parser_class=_CorpusParser)
    for name, description in sorted({**corpora(), **_OTHERS}.items()):
        spelled = name.replace("_", "-")
        # A % would be a field of argparse's.
        of_corpus = found.add_parser(spelled, help=description.replace("%", "%%"))
        of_corpus.corpus = name
        # By the name of its module too, as recipes have it; not in the list.
        found.choices[name] = of_corpus


class _CorpusParser(OptionParser):
    """The command line of a corpus."""

    corpus: str | None = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Add the options of the corpus that these arguments are for, and parse."""
        if self.corpus is not None:
            try:
                import_module(f"{_PACKAGE}.commands.build").complete_options(self, self.corpus, args or ())
            except ImportError as error:
                self.error(str(error))
            self.corpus = None
        return super().parse_known_args(args, namespace)
