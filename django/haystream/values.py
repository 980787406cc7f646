"""What the Python of a project computes from a row, as far as it can be written as a path, an expression or a template.

A Value is a small tree. expression() writes it in the language of `expr` and `where`, template() as a Go template, in which NULL
prints as nothing and nothing is escaped.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Field, Model

from haystream.reasons import Untold

# Kinds of values.
TEXT, NUMBER, FLOAT, DECIMAL, BOOL, DATE, DATETIME, UUID_, JSON = (
    "text",
    "number",
    "float",
    "decimal",
    "bool",
    "date",
    "datetime",
    "uuid",
    "json",
)
ROW, ROWS, LIST, NONE, OTHER = "row", "rows", "list", "none", "other"

KINDS = {
    "CharField": TEXT,
    "TextField": TEXT,
    "SlugField": TEXT,
    "EmailField": TEXT,
    "URLField": TEXT,
    "FileField": TEXT,
    "ImageField": TEXT,
    "FilePathField": TEXT,
    "GenericIPAddressField": TEXT,
    "IPAddressField": TEXT,
    "AutoField": NUMBER,
    "BigAutoField": NUMBER,
    "SmallAutoField": NUMBER,
    "IntegerField": NUMBER,
    "BigIntegerField": NUMBER,
    "SmallIntegerField": NUMBER,
    "PositiveIntegerField": NUMBER,
    "PositiveSmallIntegerField": NUMBER,
    "PositiveBigIntegerField": NUMBER,
    "FloatField": FLOAT,
    "DecimalField": DECIMAL,
    "BooleanField": BOOL,
    "NullBooleanField": BOOL,
    "DateField": DATE,
    "DateTimeField": DATETIME,
    "UUIDField": UUID_,
    "JSONField": JSON,
    "ArrayField": LIST,
}


def kind_of(column: Field) -> str:
    """The kind of a column's values; of a foreign key that of the column that it refers to."""
    while column.is_relation:
        column = column.target_field
    return KINDS.get(column.get_internal_type(), OTHER)


class Value:
    kind = OTHER


@dataclass(frozen=True)
class Const(Value):
    value: Any

    @property
    def kind(self) -> str:
        kinds = {
            str: TEXT,
            bool: BOOL,
            int: NUMBER,
            float: FLOAT,
            Decimal: DECIMAL,
            datetime.date: DATE,
            datetime.datetime: DATETIME,
            UUID: UUID_,
            list: LIST,
            tuple: LIST,
        }
        return NONE if self.value is None else kinds.get(type(self.value), OTHER)


@dataclass(frozen=True)
class Path(Value):
    """Names of relations, then of a column, a relation, a member of JSON or nothing: a row or many rows."""

    names: tuple[str, ...]
    kind: str
    model: type[Model] | None = None  # of a row and of rows
    field: Field | None = None  # of a column of the model's own
    nullable: bool = False
    many: bool = False  # it passes or ends at many rows
    at: int = 0  # how many of the names lead to these; -1: it passes many rows several times
    variable: str = ""  # that it begins at, where not at the document's own row
    base: Value | None = None  # the row that it begins at, where that is one out of many
    home: type[Model] | None = None  # of rows: the model whose relation they come by

    def then(self, *names: str, **changes: Any) -> Path:
        return replace(self, names=self.names + names, **changes)

    @property
    def plain(self) -> bool:
        """Whether names are all there is, as `from` and templates have them."""
        return self.base is None and not self.variable

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True)
class Slice(Value):
    """A part of rows, a list or a text."""

    of: Value
    start: int | None
    stop: int | None

    @property
    def kind(self) -> str:
        return self.of.kind

    @property
    def model(self) -> type[Model] | None:
        return self.of.model


@dataclass(frozen=True)
class Call(Value):
    """A function of both languages, or an operator."""

    name: str
    args: tuple[Value, ...]
    kind: str = TEXT


@dataclass(frozen=True)
class Concat(Value):
    parts: tuple[Value, ...]
    kind: str = field(default=TEXT, init=False)


@dataclass(frozen=True)
class Test(Value):
    """A comparison; or and, or, not of such."""

    op: str
    args: tuple[Value, ...]
    kind: str = field(default=BOOL, init=False)


@dataclass(frozen=True)
class Truth(Value):
    """Whether Python takes the value for true."""

    of: Value
    kind: str = field(default=BOOL, init=False)


@dataclass(frozen=True)
class Cond(Value):
    test: Value
    yes: Value
    no: Value

    @property
    def kind(self) -> str:
        return self.no.kind if self.yes.kind == NONE else self.yes.kind


@dataclass(frozen=True)
class Each(Value):
    """A list: of each row, or element of a list, for which the test holds, the element."""

    rows: Value
    variable: str
    element: Value
    test: Value | None = None
    kind: str = field(default=LIST, init=False)


@dataclass(frozen=True)
class Listed(Value):
    items: tuple[Value, ...]
    kind: str = field(default=LIST, init=False)


def rebase(value: Value, prefix: Path) -> Value:
    """A value of the row that prefix leads to, as one of the row that prefix begins at."""
    if isinstance(value, Path):
        if value.variable:
            return value
        if value.base is not None:
            return replace(value, base=rebase(value.base, prefix))
        at = value.at + len(prefix.names) if value.at > 0 else value.at
        return replace(
            value,
            names=prefix.names + value.names,
            many=prefix.many or value.many,
            at=-1 if prefix.at and at else prefix.at or at,
            nullable=prefix.nullable or value.nullable,
            variable=prefix.variable,
            base=prefix.base,
        )
    changes: dict[str, Any] = {}
    for name in value.__dataclass_fields__:
        part = getattr(value, name)
        if isinstance(part, Value):
            changes[name] = rebase(part, prefix)
        elif isinstance(part, tuple) and part and isinstance(part[0], Value):
            changes[name] = tuple(rebase(p, prefix) for p in part)
    return replace(value, **changes) if changes else value


def parts(value: Value) -> Iterable[Value]:
    """The value and all that it is made of."""
    yield value
    for name in getattr(value, "__dataclass_fields__", ()):
        part = getattr(value, name)
        for p in part if isinstance(part, tuple) else (part,):
            if isinstance(p, Value):
                yield from parts(p)


# Expressions.


def expression(value: Value, variable: str = "") -> str:
    """The value in the language of `expr`; variable is the name of the row that a leading dot stands for."""
    match value:
        case Const(constant):
            return literal(constant)
        case Path():
            return path_expression(value, variable)
        case Concat(parts):
            return " + ".join(text_expression(p, variable) for p in parts) or '""'
        case Call(name, args):
            if name in ("+", "-", "*", "/", "%"):
                return "(" + f" {name} ".join(expression(a, variable) for a in args) + ")"
            if name in TIME_METHODS:
                return f"int({expression(args[0], variable)}.{TIME_METHODS[name]}())"
            if name == "strftime":
                return f"string({expression(args[0], variable)}.Format({expression(args[1], variable)}))"
            if name not in EXPRESSION_FUNCTIONS:
                raise Untold(f"an expression has no {name}")
            return f"{EXPRESSION_FUNCTIONS[name]}({', '.join(expression(a, variable) for a in args)})"
        case Test() | Truth():
            return condition(value, variable)
        case Cond(test, yes, no):
            return f"({condition(test, variable)} ? {expression(yes, variable)} : {expression(no, variable)})"
        case Each(rows, name, element, test):
            if variable:
                raise Untold("a list inside a list")
            of = expression(rows, variable)
            if test is not None:
                of = f"filter({of}, {condition(test, name)})"
            return f"map({of}, {expression(element, name)})"
        case Slice(of, start, stop):
            bounds = ["" if n is None else str(n) for n in (start, stop)]
            return f"{expression(of, variable)}[{':'.join(bounds)}]"
        case Listed(items):
            return "[" + ", ".join(expression(i, variable) for i in items) + "]"
    raise Untold(f"no expression for {value}")


EXPRESSION_FUNCTIONS = {
    "lower": "lower",
    "upper": "upper",
    "trim": "trim",
    "len": "len",
    "string": "string",
    "int": "int",
    "float": "float",
    "join": "join",
    "replace": "replace",
    "split": "split",
    "abs": "abs",
    "round": "round",
    "min": "min",
    "max": "max",
    "sum": "sum",
    "first": "first",
    "last": "last",
    "uniq": "uniq",
    "sort": "sort",
    "concat": "concat",
}

# Parts of a date, by the methods that an expression has for them.
TIME_METHODS = {
    "year": "Year",
    "month": "Month",
    "day": "Day",
    "hour": "Hour",
    "minute": "Minute",
    "second": "Second",
}


def path_expression(path: Path, variable: str) -> str:
    if path.kind == ROW:
        raise Untold(f"{path or 'the row'} is a row; an expression takes its columns")
    if path.base is not None:
        of = expression_of_row(path.base, variable)
        if path.many and path.kind != ROWS:
            rows, rest = split_many(path)
            return f"map({of}{''.join(map(member, rows))}, {members(rest, '.')})"
        return of + "".join(map(member, path.names))
    dot = "." if path.variable and path.variable == variable else ""
    if path.variable != variable and (path.variable or variable):
        raise Untold("a list that asks for more than its own rows")
    if path.many and path.kind != ROWS:
        rows, rest = split_many(path)
        return f"map({members(rows, dot)}, {members(rest, '.')})"
    return members(path.names, dot)


def expression_of_row(value: Value, variable: str) -> str:
    """The first or last of many rows."""
    match value:
        case Call(("first" | "last") as name, (Each(rows, element_name, _, test),)):
            of = expression(rows, variable)
            return f"{name}({of})" if test is None else f"{name}(filter({of}, {condition(test, element_name)}))"
        case Call(("first" | "last") as name, (rows,)):
            return f"{name}({expression(rows, variable)})"
    raise Untold("which row it is")


def members(names: Iterable[str], dot: str = "") -> str:
    """Names as an expression writes them, after a dot from an element of a list, which is # by itself."""
    text = ("#" if dot else "$env") + "".join(map(member, names))
    return text.removeprefix("#" if text.startswith("#.") else "$env.")


def member(name: str) -> str:
    """A name after a dot. One that is no identifier stands in brackets; a number is a place in a list."""
    if name.isidentifier():
        return f".{name}"
    return f"[{name if name.isdecimal() else json.dumps(name, ensure_ascii=False)}]"


def dotted(names: Iterable[str]) -> str:
    """Names as a template writes them."""
    for name in names:
        if not name.isidentifier():
            raise Untold(f"the column {name!r} in a template; give it a name: a computed column '{{{{ index . {json.dumps(name)} }}}}'")
    return ".".join(names)


def split_many(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not 0 < path.at < len(path.names):
        raise Untold(f"{path} leads through many rows of many rows; an expression cannot")
    return path.names[: path.at], path.names[path.at :]


def is_list(value: Value) -> bool:
    """Whether it is a list of values, rather than of rows."""
    return value.kind == LIST or (isinstance(value, Path) and value.many and value.kind not in (ROW, ROWS))


def standing_alone(text: str) -> str:
    """An expression without parentheses around the whole."""
    return text[1:-1] if text.startswith("(") and balanced(text) else text


def text_expression(value: Value, variable: str) -> str:
    """As str() of it."""
    if isinstance(value, Const):
        return json.dumps(str(value.value), ensure_ascii=False)
    if value.kind in (TEXT, UUID_):
        return expression(value, variable)
    return expression(text_of(value), variable)


def text_of(value: Value) -> Value:
    """Python's str(value)."""
    if isinstance(value, Const):
        return Const(str(value.value))
    match value.kind:
        case "text" | "uuid":
            return value
        case "number" | "decimal" | "float" | "date":
            return Call("string", (value,))
        case "bool":
            return Cond(value, Const("True"), Const("False"))
    raise Untold(f"what str() makes of {describe(value)}")


def describe(value: Value) -> str:
    return str(value) if isinstance(value, Path) else "it"


def condition(value: Value, variable: str = "") -> str:
    """The value as a condition."""
    match value:
        case Truth(of):
            return condition(of, variable)
        case Test("not", (of,)):
            inner = condition(of, variable)
            return f"!{inner}" if inner.isidentifier() or (inner.startswith("(") and balanced(inner)) else f"!({inner})"
        case Test(("&&" | "||") as op, args):
            return f" {op} ".join(parenthesized(a, variable, op) for a in args)
        case Test("nil", (of,)):
            return f"{expression(column_of(of), variable)} == nil"
        case Test("any", (Each(rows, name, element, test), *_)):
            return f"any({expression(rows, variable)}, {condition(element if test is None else Test('&&', (test, element)), name)})"
        case Test(op, args):
            return f"{expression(args[0], variable)} {op} {expression(args[1], variable)}"
        case Const(constant):
            return "true" if constant else "false"
        case Cond(Truth(test), yes, no) if test == no:  # test and yes
            return condition(Test("&&", (Truth(test), Truth(yes))), variable)
        case Cond(Truth(test), yes, no) if test == yes:  # test or no
            return condition(Test("||", (Truth(test), Truth(no))), variable)
        case Cond():
            return expression(value, variable)
    match value.kind:
        case "bool":
            return expression(value, variable)
        case "text":
            return f'{expression(value, variable)} != ""'
        case "number" | "float" | "decimal":
            return f"{expression(value, variable)} != 0"
        case "rows" | "list":
            return f"len({expression(value, variable)}) > 0"
        case "row" | "date" | "datetime" | "uuid":
            return f"{expression(column_of(value), variable)} != nil"
        case "json":
            return f"toJSON({expression(value, variable)}) not in {EMPTY_JSON}"
    raise Untold(f"whether {describe(value)} is true")


# What of JSON is false in Python, beside null.
EMPTY_JSON = """['""', "0", "false", "[]", "{}"]"""


def balanced(text: str) -> bool:
    """Whether the first parenthesis closes at the end."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i == len(text) - 1
    return False


def parenthesized(value: Value, variable: str, outer: str) -> str:
    text = condition(value, variable)
    while isinstance(value, Truth):
        value = value.of
    if isinstance(value, Test) and value.op in ("&&", "||") and value.op != outer and len(value.args) > 1:
        return f"({text})"
    return text


def column_of(value: Value) -> Value:
    """A column that is NULL where the row is not there."""
    if isinstance(value, Path) and value.kind == ROW:
        if not value.names and value.base is None:
            raise Untold("the row itself is always there")
        return value.then(value.model._meta.pk.column, kind=NUMBER, model=None)
    return value


def literal(value: Any) -> str:
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return str(value)
        case list() | tuple():
            return "[" + ", ".join(map(literal, value)) + "]"
        case set() | frozenset():
            return literal(sorted(value))
        case str() | UUID():
            return json.dumps(str(value), ensure_ascii=False)
        case datetime.datetime():
            if value.tzinfo is not None:
                value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
                return json.dumps(value.isoformat() + "Z")
            return json.dumps(value.isoformat())
        case datetime.date():
            return json.dumps(value.isoformat())
    raise Untold(f"the constant {value!r}")


# Templates.


def template(value: Value) -> str:
    """A Go template that prints the value."""
    match value:
        case Const(None):
            return ""
        case Const(constant):
            text = str(constant)
            return text if "{{" not in text else "{{ " + json.dumps(text) + " }}"
        case Concat(parts):
            return "".join(template(p) for p in parts)
        case Cond(test, yes, no):
            otherwise = template(no)
            return (
                "{{ if "
                + template_test(test)
                + " }}"
                + template(yes)
                + (("{{ else }}" + otherwise) if otherwise else "")
                + "{{ end }}"
            )
        case Path(kind="bool"):
            return template(text_of(value))
        case Path() | Call():
            return "{{ " + pipeline(value) + " }}"
    raise Untold("a computed column is a text; this is none")


TEMPLATE_FUNCTIONS = {"lower", "upper", "trim", "striptags", "title"}


def pipeline(value: Value) -> str:
    match value:
        case Path():
            if value.kind in (ROW, ROWS, DATETIME, BOOL, LIST, JSON, OTHER) or value.many or not value.plain:
                raise Untold(f"what {value} prints as")
            return "." + dotted(value.names)
        case Const(constant):
            return json.dumps(str(constant), ensure_ascii=False)
        case Call("string", (of,)):
            return pipeline(of)
        case Call(name, (of,)) if name in TEMPLATE_FUNCTIONS:
            return f"{pipeline(of)} | {name}"
        case Call("replace", (of, old, new)):
            return f"{pipeline(of)} | replace {pipeline(old)} {pipeline(new)}"
        case Concat(parts):
            return "print " + " ".join(
                f"({p})" if " " in p and not p.startswith('"') else p for p in map(pipeline, parts)
            )
    raise Untold("a computed column is a text; this is none")


def template_test(value: Value) -> str:
    match value:
        case Truth(of):
            return template_test(of)
        case Test("not", (of,)):
            return f"not ({template_test(of)})"
        case Test(("&&" | "||") as op, args):
            return {"&&": "and", "||": "or"}[op] + "".join(f" ({template_test(a)})" for a in args)
        case Test("nil", (Path(names=(_, *_)) as of,)) if of.plain and not of.many:
            return f"not .{dotted(of.names)}" if of.kind == ROW else f"eq .{dotted(of.names)} nil"
        case Test(op, (a, b)) if op in ("==", "!=", "<", "<=", ">", ">="):
            names = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
            return f"{names[op]} {template_operand(a)} {template_operand(b)}"
        case Path() if value.plain and value.kind != JSON:
            return "." + dotted(value.names)
    raise Untold("the condition of a computed column")


def template_operand(value: Value) -> str:
    if isinstance(value, Const) and isinstance(value.value, (bool, int, float)):
        return json.dumps(value.value)
    if isinstance(value, Path) and value.plain and value.kind == BOOL:
        return "." + dotted(value.names)
    return pipeline(value)
