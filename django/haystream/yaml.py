"""Writes the few kinds of YAML that a config is made of, with comments between the entries.

A document is a dict of str to dict, list, str, bool, int, float, Decimal or None. A key that is a Comment is written as one, and its
value ignored.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

WIDTH = 120
PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.()+-]*( [A-Za-z0-9_/.(=<>&|+-][A-Za-z0-9_/.()=<>&|+-]*)*\Z")
# What YAML takes for something else than text.
TYPED = re.compile(r"(?i)(?:null|true|false|yes|no|on|off|y|n|\.inf|\.nan|\.|[.+-]?\d.*)\Z")


class Comment(str):
    """Lines of a comment. Two of the same text are two keys."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def dump(document: dict) -> str:
    return "\n".join(block(document, 0)) + "\n"


def block(mapping: dict, depth: int) -> list[str]:
    """The lines of a mapping."""
    indent = "  " * depth
    lines = []
    for key, value in mapping.items():
        if isinstance(key, Comment):
            lines += [f"{indent}# {line}".rstrip() for line in key.split("\n")] if key else [""]
            continue
        name = indent + scalar(key) + ":"
        if isinstance(value, str) and "\n" in value.rstrip("\n") and is_literal(value):
            lines += literal(name, value, depth)
        elif isinstance(value, dict) and not fits(name, value):
            lines += [name, *block(value, depth + 1)]
        else:
            lines.append(f"{name} {flow(value)}")
    return lines


def fits(name: str, value: dict) -> bool:
    """Whether a mapping goes into one line, as settings of a field or a relation do."""
    nested = any(
        isinstance(inner, dict) and any(isinstance(v, dict) for v in inner.values()) for inner in value.values()
    )
    if nested or any(
        isinstance(key, Comment) or (isinstance(inner, str) and "\n" in inner) for key, inner in value.items()
    ):
        return False
    return len(name) + 1 + len(flow(value)) <= WIDTH and depth_of(name) > 0 and (depth_of(name) > 1 or len(value) == 1)


def depth_of(name: str) -> int:
    return (len(name) - len(name.lstrip())) // 2


def is_literal(text: str) -> bool:
    """Whether a block holds the text as it is: it begins with no space, and is printable."""
    return not text.startswith((" ", "\n", "\t")) and all(c == "\n" or c == "\t" or c.isprintable() for c in text)


def literal(name: str, text: str, depth: int) -> list[str]:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    chomp = {0: "-", 1: ""}.get(ends, "+")
    lines = body.split("\n") + [""] * (ends - 1 if ends > 1 else 0)
    return [f"{name} |{chomp}", *((("  " * (depth + 1)) + line if line else "") for line in lines)]


def flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, float):
        return json.dumps(value)
    if PLAIN.match(value) and not TYPED.match(value):
        return value
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
