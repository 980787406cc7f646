"""The filters of a queryset as an expression for `where`."""

from __future__ import annotations

import datetime
import inspect
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.models import ForeignKey, QuerySet, lookups
from django.db.models.expressions import Col, Value
from django.db.models.functions import Now
from django.db.models.sql.where import AND, OR, WhereNode
from django.utils import timezone

from haystream import values
from haystream.reasons import Untold
from haystream.values import Path

if TYPE_CHECKING:
    from haystream.schema import Schema

COMPARISONS = {
    lookups.Exact: "==",
    lookups.GreaterThan: ">",
    lookups.GreaterThanOrEqual: ">=",
    lookups.LessThan: "<",
    lookups.LessThanOrEqual: "<=",
}
TEXTS = {
    lookups.Contains: ("contains", False),
    lookups.IContains: ("contains", True),
    lookups.StartsWith: ("startsWith", False),
    lookups.IStartsWith: ("startsWith", True),
    lookups.EndsWith: ("endsWith", False),
    lookups.IEndsWith: ("endsWith", True),
}
SHORT = datetime.timedelta(seconds=5)  # between two looks at the clock


def of_queryset(make: Callable[[], QuerySet], schema: Schema, method: Callable | None = None) -> str:
    """The expression that is true for the rows of the queryset; empty: all rows.

    make is called twice: a moment that differs in the second queryset was read from the clock. method is the one whose source makes it.
    """
    before = timezone.now()
    queryset, again = make(), make()
    query = queryset.query
    if query.combinator:
        raise Untold(f"a {query.combinator} of querysets")
    if query.is_sliced:
        raise Untold("a slice of a queryset")
    if query.group_by is not None or (
        query.annotations and any(a.contains_aggregate for a in query.annotations.values())
    ):
        raise Untold("an aggregation in a queryset")
    if query.extra or query.extra_tables:
        raise Untold("extra() in a queryset")
    if query.is_empty():
        return "false"
    return Reader(schema, queryset, before, counts_days(method or make)).node(query.where, again.query.where)


class Reader:
    def __init__(self, schema: Schema, queryset: QuerySet, before: datetime.datetime, counts_days: bool):
        self.schema, self.query, self.before, self.counts_days = schema, queryset.query, before, counts_days
        self.model = queryset.model._meta.concrete_model

    def node(self, node: Any, again: Any, outer: str = "") -> str:
        if not isinstance(node, WhereNode):
            return self.lookup(node, again)
        if node.connector not in (AND, OR):
            raise Untold(f"{node.connector} of conditions")
        op = {AND: "&&", OR: "||"}[node.connector]
        inner = "" if node.negated else op if len(node.children) > 1 else outer
        parts = [
            p for child, twin in zip(node.children, again.children, strict=True) if (p := self.node(child, twin, inner))
        ]
        if not parts:
            return ""
        text = parts[0] if len(parts) == 1 else f" {op} ".join(parts)
        if node.negated:
            return f"!{text}" if text.isidentifier() else f"!({text})"
        return f"({text})" if len(parts) > 1 and outer not in ("", op) else text

    def lookup(self, lookup: Any, again: Any) -> str:
        if isinstance(lookup, Col):
            return self.column(lookup)
        if not isinstance(lookup, lookups.Lookup):
            raise Untold(f"{type(lookup).__name__} in a queryset")
        kind = next((k for k in type(lookup).__mro__ if k in COMPARISONS or k in TEXTS), None)
        if isinstance(lookup, lookups.IsNull):
            return f"{self.column(lookup.lhs)} {'==' if lookup.rhs else '!='} nil"
        if isinstance(lookup, lookups.YearLookup):
            return self.year(lookup)
        column = self.column(lookup.lhs)
        if isinstance(lookup, lookups.IExact):
            return f"lower({column}) == {json.dumps(str(lookup.rhs).lower(), ensure_ascii=False)}"
        if isinstance(lookup, lookups.In):
            return self.among(lookup, column)
        if isinstance(lookup, lookups.Range):
            low, high = (self.value(r, a) for r, a in zip(lookup.rhs, again.rhs, strict=True))
            return f"{column} >= {low} && {column} <= {high}"
        if kind in COMPARISONS:
            return self.comparison(column, COMPARISONS[kind], lookup, again)
        if kind in TEXTS:
            word, caseless = TEXTS[kind]
            text = str(lookup.rhs).lower() if caseless else str(lookup.rhs)
            return f"{f'lower({column})' if caseless else column} {word} {json.dumps(text, ensure_ascii=False)}"
        raise Untold(f"the lookup {lookup.lookup_name}")

    def comparison(self, column: str, op: str, lookup: Any, again: Any) -> str:
        if isinstance(lookup.rhs, bool) and op == "==":
            return column if lookup.rhs else f"!{column}" if not self.nullable(lookup.lhs) else f"{column} == false"
        if self.counts_days and type(lookup.rhs) is datetime.date:
            return self.day(column, op, (lookup.rhs - timezone.localdate()).days)
        return f"{column} {op} {self.value(lookup.rhs, again.rhs)}"

    @staticmethod
    def day(column: str, op: str, days: int) -> str:
        """A comparison with the day that is so many days from today, as one with now(): a day has come when its first moment has."""
        today, before = (counted(datetime.timedelta(days=n)) for n in (days, days - 1))
        return {
            "<=": f"{column} <= {today}",
            ">": f"{column} > {today}",
            "<": f"{column} <= {before}",
            ">=": f"{column} > {before}",
            "==": f"{column} <= {today} && {column} > {before}",
        }[op]

    def nullable(self, lhs: Any) -> bool:
        return not isinstance(lhs, Col) or lhs.target.null or lhs.alias != self.query.get_initial_alias()

    def among(self, lookup: Any, column: str) -> str:
        if not isinstance(lookup.rhs, (list, tuple, set, frozenset)):
            raise Untold("a subquery")
        items = [values.literal(self.prepared(lookup, item)) for item in lookup.rhs if item is not None]
        return f"{column} in [{', '.join(items)}]"

    @staticmethod
    def prepared(lookup: Any, value: Any) -> Any:
        return lookup.lhs.output_field.get_prep_value(value) if not isinstance(value, (datetime.date, bool)) else value

    def year(self, lookup: Any) -> str:
        column, year = self.column(lookup.lhs.lhs), int(lookup.rhs)
        start, end = f'"{year}-01-01"', f'"{year + 1}-01-01"'
        match lookup.lookup_name:
            case "exact":
                return f"{column} >= {start} && {column} < {end}"
            case "gt":
                return f"{column} >= {end}"
            case "gte":
                return f"{column} >= {start}"
            case "lt":
                return f"{column} < {start}"
            case "lte":
                return f"{column} < {end}"
        raise Untold(f"the lookup year__{lookup.lookup_name}")

    def column(self, lhs: Any) -> str:
        if not isinstance(lhs, Col):
            raise Untold(f"{type(lhs).__name__} of a column in a queryset")
        row = self.row(lhs.alias)
        path = self.schema.column(row, lhs.target)
        return values.members(path.names)

    def row(self, alias: str) -> Path:
        """The row that an alias of the query stands for."""
        join = self.query.alias_map[alias]
        field = getattr(join, "join_field", None)
        if field is None:
            return Path((), values.ROW, self.model)
        if not isinstance(field, ForeignKey):
            raise Untold("a filter through many rows; write any(…) over the relation")
        parent = self.row(join.parent_alias)
        return self.schema.forwards(self.schema.own(parent, field), field)

    def value(self, rhs: Any, again: Any) -> str:
        match rhs:
            case Col():
                return self.column(rhs)
            case Now():
                return "now()"
            case Value():
                return self.value(rhs.value, again.value)
            case datetime.datetime() if again != rhs:
                return self.moment(rhs)
        if hasattr(rhs, "resolve_expression") or isinstance(rhs, QuerySet) or hasattr(rhs, "as_sql"):
            raise Untold(f"{type(rhs).__name__} in a queryset")
        return values.literal(rhs)

    def moment(self, at: datetime.datetime) -> str:
        """A moment that was counted from now."""
        before = self.before if timezone.is_aware(at) else datetime.datetime.now()
        offset = at - before
        seconds = round(offset.total_seconds())
        if abs(offset - datetime.timedelta(seconds=seconds)) > SHORT:
            raise Untold("a moment of the clock")
        return counted(datetime.timedelta(seconds=seconds))


def counted(offset: datetime.timedelta) -> str:
    """now() and that much."""
    seconds = int(offset.total_seconds())
    if seconds == 0:
        return "now()"
    length = f"{abs(seconds) // 3600}h" if seconds % 3600 == 0 else f"{abs(seconds)}s"
    return f'now() {"-" if seconds < 0 else "+"} duration("{length}")'


def counts_days(make: Callable) -> bool:
    """Whether a day in the queryset is one that was counted from today, rather than one of the calendar."""
    try:
        source = inspect.getsource(make)
    except (OSError, TypeError):
        return False
    return re.search(r"\b(today|localdate|now)\(", source) is not None
