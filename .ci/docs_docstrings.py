# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""For the reference of the site: types written as transformers does, and the help of fields."""

import ast
import re
from typing import Any

import griffe


# `name (`int`, *optional*): …`, of an argument, and ``ValueError`: …`, of an error.
ARGUMENT = re.compile(r"^( +[\w, ]+ \()(.+)(\):)", re.MULTILINE)
ERROR = re.compile(r"^( +)`([\w.]+)`:", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Take the marks out of types, which the site sets as code anyway."""
        if obj.docstring is not None:
            plain = ERROR.sub(r"\1\2:", obj.docstring.value)
            obj.docstring.value = ARGUMENT.sub(lambda found: found[1] + re.sub("[`*]", "", found[2]) + found[3], plain)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """The `help` of a field of a dataclass is its docstring, its `default` its value."""
        if attr.docstring is not None or "metadata" not in str(attr.value):
            return
        field = ast.parse(str(attr.value), mode="eval").body
        if isinstance(field, ast.Call):
            given = {keyword.arg: keyword.value for keyword in field.keywords}
            if isinstance(given.get("metadata"), ast.Dict):
                attr.docstring = griffe.Docstring(text_of(given["metadata"].values[0]), parent=attr)
            if "default" in given:
                attr.value = ast.unparse(given["default"])


def text_of(node: ast.expr) -> str:
    """The text of a string, and of one with fields in it, which are left open."""
    if isinstance(node, ast.JoinedStr):
        return "".join(value.value if isinstance(value, ast.Constant) else "…" for value in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""
