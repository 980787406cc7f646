"""What a config's `tables:` has to say: relations, choices and computed columns, as far as they are used.

The Schema answers what a name means at a row of a model, by Django's rules, and notes what the config needs for it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRel, GenericRelation
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ForeignKey, ForeignObjectRel, Manager, Model, OneToOneRel
from django.db.models.expressions import F, OrderBy
from django.utils.functional import cached_property

from haystream import conditions, values
from haystream.reasons import Untold, place_of
from haystream.values import Path, Value, kind_of, rebase


def table_name(model: type[Model]) -> str:
    """The model's table as a config writes it. Quotes inside db_table are how projects name a schema: 'schema"."table'."""
    name = model._meta.db_table
    parts = re.split(r'[`"]\.[`"]', name.strip('`"'))
    return ".".join('"' + p.replace('"', '""') + '"' if re.search(r'[.*?\[\]\\"]', p) else p for p in parts)


class Schema:
    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict]] = {}
        self.notes: dict[tuple[str, str], str] = {}  # of a relation, by table and name

    def table(self, model: type[Model], section: str) -> dict:
        return self.tables.setdefault(table_name(model), {}).setdefault(section, {})

    def yaml(self) -> dict:
        """The config's `tables:`, in an order that does not depend on that of use."""
        sections = ("computed", "choices", "relations")
        return {
            table: {section: dict(sorted(entry[section].items())) for section in sections if section in entry}
            for table, entry in sorted(self.tables.items())
        }

    def save(self) -> Any:
        return copy.deepcopy((self.tables, self.notes))

    def restore(self, saved: Any) -> None:
        self.tables, self.notes = saved

    # What a name means.

    def attribute(self, row: Path, name: str) -> Value:
        """row.name in Python; the row is of row.model."""
        model = row.model
        if name == "pk":
            return self.column(row, model._meta.pk)
        if name.startswith("get_") and name.endswith("_display"):
            found = self.display(row, name)
            if found is not None:
                return found
        try:
            found = model._meta.get_field(name)
        except FieldDoesNotExist:
            found = None
        if found is not None and found.name == name and not isinstance(found, ForeignObjectRel):
            return self.field(row, found)
        column = next((f for f in model._meta.concrete_fields if f.attname == name), None)
        if column is not None:
            return self.column(row, column)
        back = next((r for r in model._meta.related_objects if r.get_accessor_name() == name), None)
        if back is not None:
            return self.backwards(row, back)
        return self.method(row, name)

    def own(self, row: Path, field: Field) -> Path:
        """The row that the field is of: of a parent's table where the model inherits it."""
        while field.model._meta.concrete_model is not row.model._meta.concrete_model:
            link = row.model._meta.get_ancestor_link(field.model)
            if link is None:
                raise Untold(f"how {row.model.__name__} has {field.name}")
            row = self.forwards(self.own(row, link), link)
        return row

    def field(self, row: Path, field: Any) -> Path:
        if isinstance(field, GenericForeignKey):
            raise Untold(f"{field.name} leads to rows of any table; name the tables by relations with a `where`")
        if isinstance(field, GenericRelation):
            return self.generic(self.own(row, field), field)
        if field.many_to_many:
            return self.many_to_many(
                self.own(row, field),
                field,
                field.name,
                field.m2m_column_name(),
                field.m2m_reverse_name(),
                field.related_model,
                field,
            )
        if field.is_relation:
            return self.forwards(self.own(row, field), field)
        return self.column(row, field)

    def column(self, row: Path, field: Field) -> Path:
        row = self.own(row, field)
        return row.then(
            field.column, kind=kind_of(field), model=row.model, field=field, nullable=row.nullable or field.null
        )

    def forwards(self, row: Path, field: ForeignKey) -> Path:
        name, target = field.name, field.related_model._meta.concrete_model
        if not self.discovered(row.model, field):
            if any(c.column == name for c in row.model._meta.local_concrete_fields):
                raise Untold(f"the column {name} hides the relation of that name")
            entry = {"table": table_name(target), "column": field.column}
            if field.target_field is not target._meta.pk:
                entry["target_column"] = field.target_field.column
            self.table(row.model, "relations")[name] = entry
        return row.then(name, kind=values.ROW, model=target, field=field, nullable=row.nullable or field.null)

    @staticmethod
    def discovered(model: type[Model], field: ForeignKey) -> bool:
        """Whether the daemon finds the relation, and by this name, from the foreign key that the database has."""
        same = [
            f
            for f in model._meta.local_concrete_fields
            if f.is_relation
            and f is not field
            and not f.column.endswith("_id")
            and f.related_model._meta.db_table == field.name
        ]
        return field.db_constraint and field.column == f"{field.name}_id" and not same

    def backwards(self, row: Path, back: Any) -> Path:
        name = back.get_accessor_name()
        if isinstance(back, GenericRel):
            raise Untold(f"{name} leads to rows of any table")
        field = back.field
        if back.many_to_many:
            return self.many_to_many(
                self.home(row, back.model),
                field,
                name,
                field.m2m_reverse_name(),
                field.m2m_column_name(),
                back.related_model,
                back,
            )
        row = self.home(row, back.model)
        target = field.model._meta.concrete_model
        if isinstance(back, OneToOneRel):
            self.table(row.model, "relations")[name] = {
                "table": table_name(target),
                "column": field.target_field.column,
                "target_column": field.column,
            }
            return row.then(name, kind=values.ROW, model=target, field=None, nullable=True)
        entry: dict[str, Any] = {"table": table_name(target), "column": field.column}
        if field.target_field is not row.model._meta.pk:
            entry["target_column"] = field.target_field.column
        return self.many(row, name, entry, target, target._default_manager)

    def home(self, row: Path, model: type[Model]) -> Path:
        """The row of the parent's table that others refer to, where the model inherits the reverse relation."""
        if model._meta.concrete_model is row.model._meta.concrete_model:
            return row
        return self.own(row, model._meta.pk)

    def many_to_many(
        self, row: Path, field: Any, name: str, column: str, target_column: str, target: type[Model], accessor: Any
    ) -> Path:
        through = field.remote_field.through
        entry = {
            "table": table_name(target),
            "through": table_name(through),
            "column": column,
            "target_column": target_column,
        }
        return self.many(row, name, entry, target._meta.concrete_model, target._default_manager)

    def generic(self, row: Path, field: GenericRelation) -> Path:
        target = field.related_model._meta.concrete_model
        key = target._meta.get_field(field.object_id_field_name)
        if kind_of(key) != kind_of(row.model._meta.pk):
            raise Untold(
                f"{target.__name__}.{key.name} and the key of {row.model.__name__} are of two types, which are never equal"
            )
        of = field.model._meta.concrete_model if field.for_concrete_model else field.model
        kinds = self.forwards(Path((), values.ROW, target), target._meta.get_field(field.content_type_field_name))
        where = f'{kinds}.app_label == "{of._meta.app_label}" && {kinds}.model == "{of._meta.model_name}"'
        return self.many(
            row,
            field.name,
            {"table": table_name(target), "column": key.column},
            target,
            target._default_manager,
            where,
        )

    def many(self, row: Path, name: str, entry: dict, target: type[Model], manager: Manager, where: str = "") -> Path:
        """Many rows of the target, those that its manager shows, in its order."""
        queryset = manager.get_queryset
        entry["many"] = True
        query = queryset().query
        ordering = list(query.order_by) or (list(target._meta.ordering) if query.default_ordering else [])
        order, note = self.order(target, ordering)
        if order:
            entry["order_by"] = order
        if note:
            self.notes[table_name(row.model), name] = note
        try:
            shown = conditions.of_queryset(queryset, self)
        except Untold as e:
            raise e.at(place_of(type(manager).get_queryset)) from e
        where = " && ".join(filter(None, [where, shown]))
        if where:
            entry["where"] = where
        self.table(row.model, "relations")[name] = entry
        return row.then(name, kind=values.ROWS, model=target, field=None, many=True, at=-1 if row.many else len(row.names) + 1, home=row.model)

    def ordered(self, rows: Path, names: list[str]) -> Path:
        """The rows in another order: what a relation of their own leads to."""
        columns, note = self.order(rows.model, names)
        if note:
            raise Untold(note)
        *before, name = rows.names
        relations = self.table(rows.home, "relations")
        new = "_".join([name, "by", *(c.removeprefix("-") + ("_desc" if c.startswith("-") else "") for c in columns)])
        if new in {f.name for f in rows.home._meta.get_fields()} | {f.column for f in rows.home._meta.concrete_fields}:
            raise Untold(f"the name {new} of a relation is taken")
        relations[new] = {**relations[name], "order_by": columns}
        return replace(rows, names=(*before, new))

    def order(self, model: type[Model], names: list[Any]) -> tuple[list[str], str]:
        """The columns that rows are sorted by, and what of it cannot be said."""
        columns = []
        for name in names:
            reverse = False
            if isinstance(name, OrderBy):
                reverse, name = name.descending, name.expression
            if isinstance(name, F):
                name = name.name
            if not isinstance(name, str):
                return [], f"the order of {model.__name__} by {name!r}"
            reverse, name = reverse != name.startswith("-"), name.lstrip("-")
            try:
                column = model._meta.pk if name == "pk" else model._meta.get_field(name)
            except FieldDoesNotExist:
                return [], f"the order of {model.__name__} by {name}"
            if (
                not getattr(column, "column", None)
                or column.model._meta.concrete_model is not model
                or column.is_relation
            ):
                return [], f"the order of {model.__name__} by {name}, which is no column of its own"
            columns.append(("-" if reverse else "") + column.column)
        return columns, ""

    def display(self, row: Path, name: str) -> Path | None:
        """get_X_display() of a field with choices; None where the model has a method of its own, or no such field."""
        field = next((f for f in row.model._meta.concrete_fields if f"get_{f.name}_display" == name), None)
        if field is None or not field.choices or not is_generated(row.model, name):
            return None
        if field.null and None in dict(field.flatchoices):
            raise Untold(f"{name} of {row.model.__name__}, whose choices have a label for None")
        row = self.own(row, field)
        self.table(row.model, "choices")[field.column] = {
            key: str(label) for key, label in field.flatchoices if key is not None
        }
        return row.then(
            f"get_{field.column}_display",
            kind=values.TEXT,
            model=row.model,
            field=None,
            nullable=row.nullable or field.null,
        )

    def method(self, row: Path, name: str) -> Value:
        """A method without arguments, or a property, by what its source computes."""
        from haystream.methods import read

        function = getattr_static(row.model, name)
        if function is None:
            raise Untold(f"{row.model.__name__} has no {name}")
        try:
            value = read(function, self, Path((), values.ROW, row.model))
        except Untold as e:
            raise Untold(f"{row.model.__name__}.{name}: {e}", e.place).at(place_of(function)) from e
        if row.many and not (isinstance(value, Path) and value.plain):
            return self.computed(row, name, value)
        return rebase(value, row)

    def computed(self, row: Path, name: str, value: Value) -> Path:
        """The value as a computed column of the row's table."""
        text = values.template(value)
        self.table(row.model, "computed")[name] = text
        return row.then(name, kind=values.TEXT, model=row.model, field=None)

    def text(self, row: Path) -> Value:
        """str() of a row."""
        return self.attribute(row, "__str__")

    def printed(self, row: Path) -> None:
        """Sees to it that templates can print the row."""
        self.computed(row, "__str__", self.text(Path((), values.ROW, row.model)))


def is_generated(model: type[Model], name: str) -> bool:
    """Whether a get_X_display is the one that Django makes for a field."""
    return isinstance(inspect.getattr_static(model, name, None), partialmethod)


def getattr_static(model: type[Model], name: str) -> Callable | None:
    """The function behind a method or property; None where there is neither."""
    found = inspect.getattr_static(model, name, None)
    if isinstance(found, property):
        return found.fget
    if isinstance(found, (functools.cached_property, cached_property)):
        return found.func
    return found if inspect.isfunction(found) else None
