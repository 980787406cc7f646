"""Reads what a method computes from its source: of a prepare_… of a SearchIndex, of a model's method or property."""

from __future__ import annotations

import ast
import builtins
import datetime
import inspect
import re
import textwrap
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Manager as ModelManager
from django.db.models import Model
from django.urls import get_resolver, reverse

from haystream import values
from haystream.reasons import Place, Untold, place_of
from haystream.values import Call, Concat, Cond, Const, Each, Listed, Path, Slice, Test, Truth, Value

if TYPE_CHECKING:
    from haystream.schema import Schema

PLAIN = (str, bool, int, float, Decimal, datetime.date, UUID, list, tuple, set, frozenset, type(None))
SAME = {"all", "select_related", "prefetch_related", "only", "defer", "iterator", "using"}  # give the same rows
OPERATORS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
# What strftime's directives are in a layout of Go's, which prints names in English, as Python does without a locale.
LAYOUTS = {
    "Y": "2006",
    "y": "06",
    "m": "01",
    "d": "02",
    "H": "15",
    "I": "03",
    "M": "04",
    "S": "05",
    "p": "PM",
    "B": "January",
    "b": "Jan",
    "A": "Monday",
    "a": "Mon",
    "j": "002",
}
DATE_PARTS = {values.DATE: ("year", "month", "day"), values.DATETIME: tuple(values.TIME_METHODS)}
TEXT_LOOKUPS = {
    "contains": "contains",
    "icontains": "contains",
    "iexact": "==",
    "startswith": "startsWith",
    "istartswith": "startsWith",
    "endswith": "endsWith",
    "iendswith": "endsWith",
}
LOOKUPS = {"exact": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "in"}


class Known(Value):
    """A Python object that the source names: a class, a module, a function, a constant."""

    def __init__(self, thing: Any):
        self.thing = thing


class Prepared(Value):
    """What a SearchIndex has prepared, by field."""

    def __init__(self, field: Callable[[str], Value]):
        self.field = field


class Manager(Value):
    """rows.method, to be called."""

    def __init__(self, of: Value, name: str):
        self.of, self.name = of, name


def read(
    function: Callable, schema: Schema, row: Path, owner: Any = None, super_value: Callable[[str], Value] | None = None
) -> Value:
    """What the function returns for the row, its first argument, or its second where it is a method of the owner."""
    tree, place = parse(function)
    names = [a.arg for a in tree.args.args]
    if owner is not None:
        env: dict[str, Value] = {names[0]: Known(owner), names[1]: row}
    else:
        env = {names[0]: row}
    reader = Reader(function, schema, place, env, super_value)
    value = reader.body(tree.body)
    if value is None:
        return Const(None)
    return reader.finished(value)


def parse(function: Callable) -> tuple[ast.FunctionDef, Place]:
    function = inspect.unwrap(function)
    place = place_of(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError) as e:
        raise Untold("its source is not to be had", place) from e
    found = tree.body[0]
    if not isinstance(found, ast.FunctionDef):
        raise Untold("it is no plain method", place)
    return found, place


class Reader:
    def __init__(
        self,
        function: Callable,
        schema: Schema,
        place: Place,
        env: dict[str, Value],
        super_value: Callable[[str], Value] | None = None,
    ):
        self.function, self.schema, self.place, self.env, self.super_value = (
            inspect.unwrap(function),
            schema,
            place,
            env,
            super_value,
        )
        self.module = self.function.__globals__

    def untold(self, node: ast.AST, message: str) -> Untold:
        return Untold(message, Place(self.place.file, self.place.line + getattr(node, "lineno", 1) - 1))

    # Statements.

    def body(self, statements: list[ast.stmt]) -> Value | None:
        """What the statements return; None where they come to their end."""
        for i, s in enumerate(statements):
            rest = statements[i + 1 :]
            match s:
                case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Import() | ast.ImportFrom():
                    continue
                case ast.Return(value=None):
                    return Const(None)
                case ast.Return(value=value):
                    return self.value(value)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.env = {**self.env, name: self.value(value)}
                case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                    self.env = {**self.env, name: self.value(value)}
                case ast.AugAssign(target=ast.Name(id=name) as before, op=op, value=value):
                    self.env = {**self.env, name: self.value(ast.copy_location(ast.BinOp(before, op, value), s))}
                case ast.If(test=test, body=body, orelse=orelse):
                    return self.branch(test, body, orelse, rest)
                case ast.For():
                    self.loop(s)
                case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]):
                    return self.attempt(s, body, handlers, rest)
                case ast.Raise() if "SkipDocument" in ast.unparse(s):
                    raise self.untold(s, "which documents it skips; say it in `where`")
                case _:
                    raise self.untold(s, f"`{ast.unparse(s).splitlines()[0]}`")
        return None

    def branch(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt], rest: list[ast.stmt]) -> Value:
        condition, env = Truth(self.value(test)), self.env
        yes = self.body(body + rest)
        self.env = env
        no = self.body(orelse + rest)
        return Cond(condition, yes or Const(None), no or Const(None))

    def attempt(
        self, node: ast.Try, body: list[ast.stmt], handlers: list[ast.ExceptHandler], rest: list[ast.stmt]
    ) -> Value:
        """A related row that is not there is NULL here, which handlers that give nothing say, too."""
        for handler in handlers:
            self_env = self.env
            given = self.body(handler.body + rest)
            self.env = self_env
            if not isinstance(given, Const) or given.value not in (None, "", [], ()):
                raise self.untold(handler, "what it gives after an exception")
        value = self.body(body + rest)
        if value is None:
            raise self.untold(node, "a try that returns nothing")
        return value

    def loop(self, node: ast.For) -> None:
        """names = []; for row in rows: [if …:] names.append(row.name)"""
        match node:
            case ast.For(target=ast.Name(id=variable), iter=rows, body=[one], orelse=[]):
                test = None
                match one:
                    case ast.If(test=test, body=[one], orelse=[]):
                        pass
                match one:
                    case ast.Expr(
                        value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[element])
                    ):
                        if isinstance(self.env.get(name), Listed) and not self.env[name].items:
                            self.env = {
                                **self.env,
                                name: self.each(node, rows, variable, element, [test] if test else []),
                            }
                            return
        raise self.untold(node, "what the loop does")

    # Expressions.

    def finished(self, value: Value) -> Value:
        """A value that can be written: no manager, no object of Python's."""
        if isinstance(value, Known):
            if isinstance(value.thing, PLAIN):
                return Const(value.thing)
            raise Untold(f"{value.thing!r} is no value", self.place)
        if isinstance(value, Manager):
            raise Untold(f"{value.name} as a value", self.place)
        return value

    def value(self, node: ast.expr) -> Value:
        try:
            return self.known(self.evaluate(node))
        except Untold as e:
            raise e.at(Place(self.place.file, self.place.line + node.lineno - 1)) from e

    @staticmethod
    def known(value: Value) -> Value:
        return Const(value.thing) if isinstance(value, Known) and isinstance(value.thing, PLAIN) else value

    def evaluate(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=constant):
                return Const(constant)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.Attribute(value=of, attr=name):
                return self.attribute(node, self.value(of), name)
            case ast.JoinedStr(values=parts):
                return self.joined([self.formatted(p) for p in parts])
            case ast.BinOp():
                return self.operation(node)
            case ast.BoolOp(op=op, values=operands):
                return self.boolean(op, [self.value(o) for o in operands])
            case ast.UnaryOp(op=ast.Not(), operand=of):
                return Test("not", (Truth(self.value(of)),))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=constant)):
                return Const(-constant)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.comparison(node, self.value(left), op, self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                operands = [self.value(o) for o in (left, *comparators)]
                return Test(
                    "&&",
                    tuple(
                        self.comparison(node, a, op, b) for a, op, b in zip(operands, ops, operands[1:], strict=False)
                    ),
                )
            case ast.IfExp(test=test, body=yes, orelse=no):
                return Cond(Truth(self.value(test)), self.value(yes), self.value(no))
            case ast.ListComp(elt=element, generators=[g]) | ast.GeneratorExp(elt=element, generators=[g]) if (
                isinstance(g.target, ast.Name)
            ):
                return self.each(node, g.iter, g.target.id, element, g.ifs)
            case ast.SetComp(elt=element, generators=[g]) if isinstance(g.target, ast.Name):
                return Call("uniq", (self.each(node, g.iter, g.target.id, element, g.ifs),), values.LIST)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return Listed(tuple(self.value(i) for i in items))
            case ast.Subscript(value=of, slice=ast.Slice(lower=lower, upper=upper, step=None)):
                return self.part_of(node, self.value(of), self.place_in(lower), self.place_in(upper))
            case ast.Subscript(value=of, slice=key):
                return self.element(node, self.value(of), self.value(key))
            case ast.Call():
                return self.call(node)
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def place_in(self, node: ast.expr | None) -> int | None:
        """A constant bound of a slice."""
        if node is None:
            return None
        match self.value(node):
            case Const(int(place)):
                return place
        raise self.untold(node, f"the place `{ast.unparse(node)}` in a list")

    def part_of(self, node: ast.expr, of: Value, start: int | None, stop: int | None) -> Value:
        if (of.kind not in (values.ROWS, values.TEXT) and not values.is_list(of)) or isinstance(of, Listed):
            raise self.untold(node, f"`{ast.unparse(node)}`")
        return Slice(of, start, stop)

    def element(self, node: ast.expr, of: Value, key: Value) -> Value:
        """of[key]"""
        match of, key:
            case Prepared(), Const(str(name)):
                return of.field(name)
            case Path(kind=values.JSON), Const(str(name)) if name and "." not in name and not name.isdecimal():
                return of.then(name, field=None, nullable=True)
            case Path(kind=values.JSON), Const(int(place)) if place >= 0:
                return of.then(str(place), field=None, nullable=True)
            case _, Const(0):
                return self.call_method(node, of, "first", [], {})
            case _, Const(-1):
                return self.call_method(node, of, "last", [], {})
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def name(self, node: ast.expr, name: str) -> Value:
        if name in self.env:
            return self.env[name]
        closure = dict(zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True))
        if name in closure and name != "__class__":
            return Known(closure[name].cell_contents)
        if name in self.module:
            return Known(self.module[name])
        if hasattr(builtins, name):
            return Known(getattr(builtins, name))
        raise self.untold(node, f"what {name} is")

    def attribute(self, node: ast.expr, of: Value, name: str) -> Value:
        if isinstance(of, Known):
            if name == "prepared_data" and name in self.env:
                return self.env[name]
            if not hasattr(of.thing, name):
                raise self.untold(node, f"what {name} is")
            return Known(getattr(of.thing, name))
        if isinstance(of, Path) and of.kind == values.ROW:
            if name == "objects" or (not of.names and of.plain and is_constant(of.model, name)):
                return Known(getattr(of.model, name))
            found = inspect.getattr_static(of.model, name, None)
            if inspect.isfunction(found) or hasattr(found, "keywords"):
                return Manager(of, name)
            return self.schema.attribute(of, name)
        if name in DATE_PARTS.get(of.kind, ()):
            return Call(name, (of,), values.NUMBER)
        return Manager(of, name)

    def formatted(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=text):
                return Const(text)
            case ast.FormattedValue(value=of, conversion=-1 | 115, format_spec=None):
                return self.text(self.value(of))
        raise self.untold(node, f"the format of `{ast.unparse(node)}`")

    def text(self, value: Value) -> Value:
        """str() of it."""
        if isinstance(value, Path) and value.kind == values.ROW:
            return self.schema.text(value)
        return values.text_of(self.finished(value))

    @staticmethod
    def joined(parts: list[Value]) -> Value:
        flat: list[Value] = []
        for p in parts:
            for q in p.parts if isinstance(p, Concat) else (p,):
                if isinstance(q, Const) and flat and isinstance(flat[-1], Const):
                    flat[-1] = Const(str(flat[-1].value) + str(q.value))
                elif not (isinstance(q, Const) and q.value == ""):
                    flat.append(q)
        return flat[0] if len(flat) == 1 else Concat(tuple(flat))

    def operation(self, node: ast.BinOp) -> Value:
        if isinstance(node.op, ast.Mod):
            left = self.value(node.left)
            if isinstance(left, Const) and isinstance(left.value, str):
                items = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
                return self.interpolated(node, left.value, [self.value(i) for i in items])
        left, right = self.value(node.left), self.value(node.right)
        lists = values.is_list(left) + values.is_list(right)
        if isinstance(node.op, ast.Add) and values.TEXT in (left.kind, right.kind) and not lists:
            return self.joined([left, right])
        if isinstance(node.op, ast.Add) and lists == 2:
            return right if left == Listed(()) else Call("concat", (left, right), values.LIST)
        numbers = (values.NUMBER, values.FLOAT, values.DECIMAL)
        op = ARITHMETIC.get(type(node.op))
        if op and not lists and left.kind in numbers and right.kind in numbers:
            return Call(op, (left, right), values.FLOAT if values.FLOAT in (left.kind, right.kind) else left.kind)
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def interpolated(self, node: ast.expr, pattern: str, items: list[Value]) -> Value:
        """pattern % items"""
        pieces = re.split(r"(%s|%%|%d)", pattern)
        if any("%" in p for p in pieces[::2]) or sum(p in ("%s", "%d") for p in pieces) != len(items):
            raise self.untold(node, f"the format {pattern!r}")
        left = iter(items)
        return self.joined(
            [self.text(next(left)) if p in ("%s", "%d") else Const("%" if p == "%%" else p) for p in pieces]
        )

    def braces(self, node: ast.expr, pattern: str, items: list[Value], named: dict[str, Value]) -> Value:
        """pattern.format(*items, **named)"""
        pieces = re.split(r"\{(\w*)\}", pattern)
        if any("{" in p or "}" in p for p in pieces[::2]):
            raise self.untold(node, f"the format {pattern!r}")
        parts: list[Value] = []
        count = 0
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                parts.append(Const(piece))
                continue
            place = piece or str(count)
            count += 1
            parts.append(self.text(items[int(place)] if place.isdigit() else named[place]))
        return self.joined(parts)

    @staticmethod
    def boolean(op: ast.boolop, operands: list[Value]) -> Value:
        if all(o.kind == values.BOOL and not isinstance(o, Cond) for o in operands):
            return Test("&&" if isinstance(op, ast.And) else "||", tuple(operands))
        result = operands[-1]
        for o in reversed(operands[:-1]):
            result = Cond(Truth(o), o, result) if isinstance(op, ast.Or) else Cond(Truth(o), result, o)
        return result

    def comparison(self, node: ast.expr, a: Value, op: ast.cmpop, b: Value) -> Value:
        if isinstance(op, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)) and isinstance(b, Const) and b.value is None:
            test = Test("nil", (a,))
            return test if isinstance(op, (ast.Is, ast.Eq)) else Test("not", (test,))
        if isinstance(op, (ast.Is, ast.IsNot)) and isinstance(b, Const) and isinstance(b.value, bool):
            test = Test("==", (a, b))
            return test if isinstance(op, ast.Is) else Test("not", (test,))
        if (isinstance(a, Path) and a.kind == values.ROW) or (isinstance(b, Path) and b.kind == values.ROW):
            raise self.untold(node, "a comparison of rows; compare their keys")
        sign = OPERATORS.get(type(op))
        if sign is None:
            raise self.untold(node, f"`{ast.unparse(node)}`")
        if sign == "!=":  # of None, Python says true
            return Test("not", (Test("==", (a, b)),))
        if sign == "in" and a.kind == values.TEXT and b.kind == values.TEXT:
            return Test("contains", (b, a))
        return Test(sign, (a, b))

    def each(self, node: ast.AST, rows: ast.expr, variable: str, element: ast.expr, tests: list[ast.expr]) -> Value:
        of = self.value(rows)
        more: Value | None = None
        if is_filtered(of):  # rows.filter(…)
            of, more, outer = of.rows, of.test, of.variable
        else:
            outer = variable
        kind, model = self.of_element(of), None
        if not kind or isinstance(of, Listed):
            raise self.untold(node, f"a list over `{ast.unparse(rows)}`")
        if of.kind == values.ROWS:
            model = of.model
        saved = self.env
        self.env = {**saved, variable: Path((), kind, model, variable=outer)}
        value = self.value(element)
        conditions = [Truth(self.value(t)) for t in tests] + ([more] if more else [])
        self.env = saved
        if isinstance(value, Path) and value.kind == values.ROW and value.names:
            value = self.schema.text(value)
        if (
            not conditions
            and isinstance(of, Path)
            and of.kind == values.ROWS
            and of.plain
            and isinstance(value, Path)
            and value.variable == outer
            and value.base is None
            and value.names
        ):
            return self.through(of, value)
        test = None if not conditions else conditions[0] if len(conditions) == 1 else Test("&&", tuple(conditions))
        return Each(of, outer, value, test)

    @staticmethod
    def of_element(of: Value) -> str:
        """The kind of a list's elements; empty where it is none."""
        if of.kind in (values.ROWS, values.JSON):
            return values.ROW if of.kind == values.ROWS else of.kind
        if isinstance(of, Call) and of.name == "split":
            return values.TEXT
        if values.is_list(of):
            return of.element.kind if isinstance(of, Each) else of.kind if isinstance(of, Path) and of.many else values.OTHER
        return ""

    @staticmethod
    def through(rows: Path, value: Path) -> Path:
        """The value at each of the rows."""
        at = -1 if value.many or rows.at < 0 else len(rows.names)
        return Path(rows.names + value.names, value.kind, value.model, value.field, True, True, at)

    # Calls.

    def call(self, node: ast.Call) -> Value:
        match node.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if self.super_value is not None:
                return self.super_value(name)
        arguments = node.args
        if any(isinstance(a, ast.Starred) for a in arguments) or any(k.arg is None for k in node.keywords):
            raise self.untold(node, f"`{ast.unparse(node)}`")
        function = self.value(node.func)
        args = [self.value(a) for a in arguments]
        named = {k.arg: self.value(k.value) for k in node.keywords if not isinstance(k.value, ast.Dict)}
        if len(named) < len(node.keywords) and not (isinstance(function, Known) and function.thing is reverse):
            raise self.untold(node, f"`{ast.unparse(node)}`")
        if isinstance(function, Manager):
            return self.call_method(node, function.of, function.name, args, named)
        if isinstance(function, Path) and not args and not named:  # a property of the row that was called
            return function
        if isinstance(function, Known):
            return self.call_known(node, function.thing, args, named)
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def call_known(self, node: ast.Call, function: Any, args: list[Value], named: dict[str, Value]) -> Value:
        name = getattr(function, "__name__", "")
        if isinstance(function, type) and function in (str, int, float, bool, list, tuple, set) and len(args) == 1:
            return self.converted(function, args[0])
        if name == "filter" and isinstance(getattr(function, "__self__", None), ModelManager) and not args:
            return self.rows_of(node, function.__self__, named)
        if function is hasattr and len(args) == 2 and isinstance(args[0], Path) and isinstance(args[1], Const):
            found = self.attribute(node, args[0], args[1].value)
            there = isinstance(found, Path) and found.kind == values.ROW and found.field is None
            return Test("not", (Test("nil", (found,)),)) if there else Const(True)
        if function is len and len(args) == 1:
            return Call("len", (args[0],), values.NUMBER)
        if function in (sum, max, min) and len(args) == 1 and not named:
            return Call(name, (args[0],), values.NUMBER)
        if function is any and isinstance(args[0], Each):
            return Test("any", (args[0],))
        if function is sorted and not named:
            return Call("sort", (args[0],), values.LIST)
        if function is getattr and isinstance(args[1], Const):
            if isinstance(args[0], Path):
                return self.attribute(node, args[0], args[1].value)
            return self.known(Known(getattr(self.thing(node, args[0]), args[1].value)))
        if name in ("gettext", "gettext_lazy", "gettext_noop", "ugettext", "_") or (
            function is Decimal and len(args) == 1
        ):
            return args[0] if function is not Decimal else Const(Decimal(args[0].value))
        if name == "strip_tags":
            return Call("striptags", (args[0],))
        if function is reverse and isinstance(args[0], Const):
            return self.address(node, args[0].value, args[1:], named)
        raise self.untold(node, f"what {name or ast.unparse(node.func)}() gives")

    def rows_of(self, node: ast.Call, manager: Any, named: dict[str, Value]) -> Value:
        """Model.objects.filter(book=obj, …): the rows that refer to the one at hand."""
        for name, value in named.items():
            field = next((f for f in manager.model._meta.concrete_fields if name in (f.name, f.attname) and f.is_relation), None)
            if field is None or not isinstance(value, Path) or field.remote_field.get_accessor_name() is None:
                continue
            if manager.name != manager.model._default_manager.name:
                raise self.untold(node, f"rows of {manager.model.__name__} by another manager than its default one")
            row = value if value.kind == values.ROW else self.env_row(value)
            if row is not None and row.model is field.related_model:
                rows = self.schema.attribute(row, field.remote_field.get_accessor_name())
                if isinstance(rows, Path) and rows.kind == values.ROWS:
                    return self.filtered(node, rows, {n: v for n, v in named.items() if n != name})
        raise self.untold(node, f"which rows of {manager.model.__name__} it finds")

    def env_row(self, key: Path) -> Path | None:
        """The row whose key it is: obj of obj.pk."""
        rows = [v for v in self.env.values() if isinstance(v, Path) and v.kind == values.ROW and not v.many]
        return next((r for r in rows if self.schema.column(r, r.model._meta.pk) == key), None)

    def address(self, node: ast.Call, name: str, args: list[Value], named: dict[str, Value]) -> Value:
        """reverse() of a name whose pattern is plain, by values that need no quoting in a URL."""
        values_of = next((k.value for k in node.keywords if k.arg == "kwargs"), None)
        by_name: dict[str, Value] = {}
        if isinstance(values_of, ast.Dict):
            by_name = {
                k.value: self.value(v)
                for k, v in zip(values_of.keys, values_of.values, strict=True)
                if isinstance(k, ast.Constant)
            }
        elif values_of is not None:
            raise self.untold(node, "the kwargs of reverse()")
        by_place = named.get("args", Listed(()))
        if args or not isinstance(by_place, Listed):
            raise self.untold(node, "the arguments of reverse()")
        *namespaces, last = name.split(":")
        resolver, before = get_resolver(), "/"
        for namespace in namespaces:
            prefix, resolver = resolver.namespace_dict[namespace]
            before += prefix
        for possibilities, *_ in resolver.reverse_dict.getlist(last):
            for pattern, parameters in possibilities:
                if len(parameters) == len(by_place.items) + len(by_name) and (
                    not by_name or set(parameters) == set(by_name)
                ):
                    given = by_name or dict(zip(parameters, by_place.items, strict=True))
                    return self.joined(
                        [self.part(node, piece, given) for piece in re.split(r"(%\(\w+\)s)", before + pattern)]
                    )
        raise self.untold(node, f"the URL of {name}")

    def part(self, node: ast.expr, piece: str, given: dict[str, Value]) -> Value:
        if not piece.startswith("%("):
            return Const(piece.replace("%%", "%"))
        value = given[piece[2:-2]]
        plain = (
            isinstance(value, Path)
            and value.field is not None
            and (value.kind in (values.NUMBER, values.UUID_) or value.field.get_internal_type() == "SlugField")
        )
        if not plain:
            raise self.untold(node, f"what {values.describe(value)} is in a URL, where it may be quoted")
        return self.text(value)

    def layout(self, node: ast.expr, pattern: str) -> str:
        """strftime's pattern as a layout of Go's."""
        pieces = re.split(r"%(.)", pattern)
        if any(d not in LAYOUTS and d != "%" for d in pieces[1::2]) or any(
            re.search(r"[0-9A-SU-Ya-z]", p) for p in pieces[::2]
        ):
            raise self.untold(node, f"the format {pattern!r}")
        return "".join(LAYOUTS.get(p, p) if i % 2 else p for i, p in enumerate(pieces))

    def thing(self, node: ast.expr, value: Value) -> Any:
        if isinstance(value, Known):
            return value.thing
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def converted(self, to: type, of: Value) -> Value:
        if to is str:
            return self.text(of)
        if to is bool:
            return Truth(of)
        if to in (int, float):
            return Call(to.__name__, (of,), values.NUMBER if to is int else values.FLOAT)
        if is_filtered(of):
            raise Untold("a list of rows")
        if to is set:
            return Call("uniq", (of,), values.LIST)
        return of

    def call_method(self, node: ast.expr, of: Value, name: str, args: list[Value], named: dict[str, Value]) -> Value:
        if isinstance(of, Path) and of.kind == values.ROW:
            if args or named:
                raise self.untold(node, f"what {name}() gives for arguments")
            return self.schema.attribute(of, name)
        if of.kind == values.ROWS or is_filtered(of):
            return self.call_rows(node, of, name, args, named)
        if isinstance(of, Const) and isinstance(of.value, str):
            if name == "join" and len(args) == 1:
                return Call("join", (args[0], of))
            if name == "format":
                return self.braces(node, of.value, args, named)
        if values.is_list(of):
            if name in ("first", "last") and not args:
                return Call(name, (of,), self.of_element(of))
            raise self.untold(node, f"`{ast.unparse(node)}`")
        textual = of.kind in (values.TEXT, values.JSON)
        if textual and name in ("lower", "upper", "strip", "title") and not args:
            return Call({"strip": "trim"}.get(name, name), (of,))
        if textual and name == "replace" and len(args) == 2:
            return Call("replace", (of, *args))
        if name == "strftime" and of.kind in DATE_PARTS and len(args) == 1 and isinstance(args[0], Const):
            return Call("strftime", (of, Const(self.layout(node, args[0].value))))
        if of.kind == values.DATE and name == "isoformat" and not args:
            return self.text(of)
        if isinstance(of, Path) and of.kind == values.JSON and name == "get" and 1 <= len(args) <= 2 and not named:
            found = self.element(node, of, args[0])
            return found if len(args) == 1 else Cond(Test("in", (args[0], of)), found, args[1])
        if textual and name == "split" and len(args) == 1:
            return Call("split", (of, *args), values.LIST)
        if of.kind == values.TEXT and name in ("first", "last"):
            return Slice(of, 0, 1) if name == "first" else Slice(of, -1, None)
        raise self.untold(node, f"`{ast.unparse(node)}`")

    def call_rows(self, node: ast.expr, of: Value, name: str, args: list[Value], named: dict[str, Value]) -> Value:
        if name in SAME:
            return of
        rows = of.rows if is_filtered(of) else of
        if name == "order_by" and isinstance(of, Path) and all(isinstance(a, Const) for a in args):
            return self.schema.ordered(of, [a.value for a in args]) if args else of
        if name in ("filter", "exclude") and not args and not isinstance(rows, Slice):
            return self.filtered(node, of, named, name == "exclude")
        if (
            name == "values_list"
            and len(args) == 1
            and isinstance(args[0], Const)
            and isinstance(named.get("flat"), Const)
        ):
            variable = of.variable if is_filtered(of) else "row"
            element = self.reached(node, Path((), values.ROW, rows.model, variable=variable), args[0].value)
            if isinstance(of, Path) and of.plain:
                return self.through(of, element)
            return Each(rows, variable, element, of.test if is_filtered(of) else None)
        if name == "count" and not args:
            return Call("len", (self.counted(of),), values.NUMBER)
        if name == "exists" and not args:
            return Truth(self.counted(of))
        if name in ("first", "last") and not args:
            return Path((), values.ROW, rows.model, nullable=True, base=Call(name, (of,), values.ROW))
        raise self.untold(node, f"{name}() of rows")

    @staticmethod
    def counted(of: Value) -> Value:
        """Rows, or those that a test holds for, as a list to count."""
        if isinstance(of, Each):
            return Each(of.rows, of.variable, Const(1), of.test)
        return of

    def filtered(self, node: ast.expr, of: Value, named: dict[str, Value], exclude: bool = False) -> Value:
        if not named:
            return of
        rows = of.rows if is_filtered(of) else of
        variable = of.variable if is_filtered(of) else "row"
        before: list[Value] = [of.test] if is_filtered(of) and of.test is not None else []
        tests: list[Value] = []
        for name, wanted in named.items():
            path, _, lookup = name.rpartition("__")
            if lookup not in (*LOOKUPS, *TEXT_LOOKUPS, "isnull"):
                path, lookup = name, "exact"
            column = self.reached(node, Path((), values.ROW, rows.model, variable=variable), path)
            if lookup == "isnull" and isinstance(wanted, Const):
                nil = Test("nil", (column,))
                tests.append(nil if wanted.value else Test("not", (nil,)))
            elif column.kind == values.BOOL and isinstance(wanted, Const) and lookup == "exact":
                tests.append(column if wanted.value else Test("==", (column, wanted)))
            elif lookup in TEXT_LOOKUPS:
                caseless = lookup.startswith("i")
                operands = (Call("lower", (v,)) for v in (column, wanted)) if caseless else (column, wanted)
                tests.append(Test(TEXT_LOOKUPS[lookup], tuple(operands)))
            else:
                tests.append(Test(LOOKUPS[lookup], (column, wanted)))
        if exclude:
            tests = [Test("not", (tests[0] if len(tests) == 1 else Test("&&", tuple(tests)),))]
        tests = before + tests
        return Each(
            rows,
            variable,
            Path((), values.ROW, rows.model, variable=variable),
            tests[0] if len(tests) == 1 else Test("&&", tuple(tests)),
        )

    def reached(self, node: ast.expr, row: Path, path: str) -> Path:
        """What a__b leads to from the row."""
        for name in path.split("__"):
            if not isinstance(row, Path) or row.kind != values.ROW:
                raise self.untold(node, f"the path {path}")
            row = self.schema.attribute(row, name)
        if not isinstance(row, Path):
            raise self.untold(node, f"the path {path}")
        if row.kind == values.ROW:
            row = values.column_of(row)
        return row


def is_filtered(value: Value) -> bool:
    """Whether it is rows that a test holds for, rather than a list of what is made of them."""
    return isinstance(value, Each) and isinstance(value.element, Path) and value.element.kind == values.ROW


def is_constant(model: type[Model], name: str) -> bool:
    """Whether the name is a plain value of the class, as a choice's."""
    return isinstance(inspect.getattr_static(model, name, Known), PLAIN)
