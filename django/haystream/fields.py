"""What a SearchField amounts to: a field of a definition."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from django.conf import settings as project
from django.db.models import DurationField

from haystream import database, values
from haystream.methods import DATE_PARTS, Known, Prepared, Reader, parse, read
from haystream.reasons import Place, Untold, place_of
from haystream.templates import Template
from haystream.values import Call, Cond, Const, Path, Test, Truth, Value

if TYPE_CHECKING:
    from haystack.fields import SearchField
    from haystack.indexes import SearchIndex

    from haystream.schema import Schema

EMPTY = {list: [], tuple: [], set: [], dict: {}, str: "", int: 0, float: 0.0, bool: False}

TEXTS = {values.TEXT, values.DECIMAL, values.UUID_}

# What a field of haystack's kinds is called in the config, and the kinds of values that make it such without being told.
TYPES = {
    "string": ("char", TEXTS),
    "ngram": ("ngram", set()),
    "edge_ngram": ("edge_ngram", set()),
    "integer": ("long", {values.NUMBER}),
    "long": ("long", {values.NUMBER}),
    "float": ("float", {values.FLOAT}),
    "boolean": ("boolean", {values.BOOL}),
    "date": ("datetime", {values.DATE, values.DATETIME}),
    "datetime": ("datetime", {values.DATE, values.DATETIME}),
    "location": ("location", set()),
}


class IndexFields:
    """The fields of one SearchIndex."""

    def __init__(self, index: SearchIndex, schema: Schema, backend: Any, unified: Any, folder: File):
        self.index, self.schema, self.folder = index, schema, folder
        self.mappings = backend.build_schema(unified.all_searchfields())[1]
        self.own = backend.build_schema(dict(index.fields))[1]
        self.row = Path((), values.ROW, index.get_model()._meta.concrete_model)
        self.place = place_of(type(index))
        self.assigned: dict[str, Value] = {}
        self.places: dict[str, Place] = {}  # of what is assigned
        self.assignments()

    def field(self, name: str) -> dict[str, Any] | None:
        """The settings of the field; None for a facet that its field makes; Untold where a person has to decide."""
        field = self.index.fields[name]
        try:
            source = getattr(field, "facet_for", None)
            if source and not self.has_content(name, field):
                settings = self.facet(name, source)
            else:
                settings, kind = self.content(name, field)
                self.add_type(settings, kind, field)
                if source:
                    settings["facet_for"] = self.index.fields[source].index_fieldname
        except Untold as e:
            raise e.at(self.place_of(name)) from e
        if settings is None:
            return None
        if field.document:
            settings["document"] = True
        if field.faceted and self.facet_name(name) in self.index.fields:
            settings["faceted"] = True
        if field.indexed is False:
            settings["indexed"] = False
        if field.boost != 1.0:
            settings["boost"] = field.boost
        wanted = self.mappings[field.index_fieldname]
        if (
            wanted != self.own[field.index_fieldname]
        ):  # another model has a field of this name, and its mapping comes first
            settings["mapping"] = wanted
        return settings

    @staticmethod
    def facet_name(name: str) -> str:
        from haystack.utils import get_facet_field_name

        return get_facet_field_name(name)

    def facet(self, name: str, source: str) -> dict[str, Any] | None:
        """A facet with the content of its field."""
        self.content(source, self.index.fields[source])  # or say why it has none
        of = self.index.fields[source]
        if of.faceted and name == self.facet_name(source):
            return None
        return {"facet_for": of.index_fieldname}

    def has_content(self, name: str, field: SearchField) -> bool:
        return (
            field.use_template
            or field.model_attr is not None
            or name in self.assigned
            or hasattr(type(self.index), f"prepare_{name}")
        )

    def place_of(self, name: str) -> Place:
        """The line in which the class defines the field."""
        for cls in type(self.index).__mro__:
            place = place_of(cls)
            if not place.file or "haystack/indexes.py" in place.file:
                continue
            lines = File(place.file).read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines[place.line - 1 :], place.line):
                if line.replace(" ", "").startswith(f"{name}="):
                    return Place(place.file, number)
        return self.place

    # Where the content comes from, in the order in which haystack asks.

    def content(self, name: str, field: SearchField) -> tuple[dict[str, Any], str]:
        """The settings that say where the content comes from, and the kind of its values."""
        prepared = self.prepared(name)
        if prepared is not None:
            return self.settings(prepared)
        if field.use_template:
            template = Template(self.template_names(name, field), self.schema, self.row, self.folder)
            return template.settings(), values.TEXT
        if field.model_attr is not None:
            return self.attribute(field)
        if field.has_default():
            return self.settings(self.constant(field.default))
        raise Untold(f"{name} has no content", self.place_of(name))

    def prepared(self, name: str) -> Value | None:
        """What prepare() or prepare_… gives; None where there is none."""
        if name in self.assigned:
            return self.assigned[name]
        method = getattr(type(self.index), f"prepare_{name}", None)
        if method is None:
            return None
        return read(method, self.schema, self.row, self.index, self.inherited)

    def inherited(self, name: str) -> Value:
        """What super().prepare_… gives."""
        raise Untold(f"what super().{name}() gives")

    # What prepare() puts under a name: data["name"] = …, self.prepared_data["name"] = …

    def assignments(self, after: type | None = None) -> None:
        """Reads the prepare() of the class, or of the next one after another class in the order of inheritance."""
        classes = list(type(self.index).__mro__)
        cls = next(c for c in classes[classes.index(after) + 1 if after else 0 :] if "prepare" in vars(c))
        if cls.__module__.startswith("haystack."):
            return
        tree, place = parse(vars(cls)["prepare"])
        names = [a.arg for a in tree.args.args]
        env = {names[0]: Known(self.index), names[1]: self.row, "prepared_data": Prepared(self.former)}
        self.steps(cls, Reader(vars(cls)["prepare"], self.schema, place, env), tree.body)

    def steps(self, cls: type, reader: Reader, statements: list[ast.stmt]) -> None:
        for s in statements:
            match s:
                case ast.Expr(value=ast.Constant()) | ast.Return() | ast.Pass() | ast.Import() | ast.ImportFrom():
                    continue
                case ast.Assign(targets=[target], value=ast.Call(func=ast.Attribute(attr="prepare"))):
                    self.assignments(cls)
                    if isinstance(target, ast.Name):
                        reader.env = {**reader.env, target.id: reader.env["prepared_data"]}
                case ast.Expr(value=ast.Call(func=ast.Attribute(attr="prepare"))):
                    self.assignments(cls)
                case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name))) as target], value=value):
                    self.assign(reader, target, name, value)
                case ast.AugAssign(target=ast.Subscript(slice=ast.Constant(value=str(name))) as target, value=value):
                    self.assign(reader, target, name, ast.copy_location(ast.BinOp(target, s.op, value), s))
                case ast.If():
                    self.either(cls, reader, s)
                case ast.Assign(targets=[ast.Name()]) | ast.AugAssign(target=ast.Name()) | ast.For():
                    reader.body([s])
                case _:
                    raise reader.untold(s, f"prepare(): `{ast.unparse(s).splitlines()[0]}`")

    def assign(self, reader: Reader, target: ast.Subscript, name: str, value: ast.expr) -> None:
        if not isinstance(reader.value(target.value), Prepared):
            raise reader.untold(target, f"prepare(): `{ast.unparse(target)}`")
        self.assigned[name] = reader.finished(reader.value(value))
        self.places[name] = reader.untold(target, "").place

    def either(self, cls: type, reader: Reader, node: ast.If) -> None:
        """What is put there on a condition."""
        test, env, before = Truth(reader.value(node.test)), reader.env, dict(self.assigned)
        found = []
        for statements in (node.body, node.orelse):
            self.assigned = dict(before)
            self.steps(cls, reader, statements)
            if reader.env != env:
                raise reader.untold(node, "prepare(): what a variable is after an `if`")
            found.append(self.assigned)
        self.assigned = before
        yes, no = found
        for name in dict.fromkeys([*yes, *no]):
            if yes.get(name) != no.get(name) or name not in before:
                a, b = (way[name] if name in way else self.former(name) for way in found)
                self.assigned[name] = Cond(test, a, b)

    def former(self, name: str) -> Value:
        """What the document has under a name so far."""
        if name in self.assigned:
            return self.assigned[name]
        name, field = next(((n, f) for n, f in self.index.fields.items() if f.index_fieldname == name), (name, None))
        if field is None:
            raise Untold(f"what is under {name} before, which is no field")
        prepared = self.prepared(name)
        if prepared is not None:
            return prepared
        if field.use_template:
            raise Untold(f"what the template of {name} prints, as a value in prepare()")
        if field.model_attr is not None:
            return self.of_attribute(field)
        return self.constant(field.default) if field.has_default() else Const(None)

    def template_names(self, name: str, field: SearchField) -> list[str]:
        if field.template_name is not None:
            given = field.template_name
            return list(given) if isinstance(given, (list, tuple)) else [given]
        options = self.index.get_model()._meta
        return [f"search/indexes/{options.app_label}/{options.model_name}_{name}.txt"]

    def of_attribute(self, field: SearchField) -> Value:
        """What model_attr leads to."""
        value: Value = self.row
        for name in field.model_attr.split("__"):
            if isinstance(value, Path) and value.kind in (values.ROW, values.ROWS):
                value = self.schema.attribute(value, name)
            elif name in DATE_PARTS.get(value.kind, ()):
                value = Call(name, (value,), values.NUMBER)
            else:
                raise Untold(f"model_attr {field.model_attr}: what {name} is")
        return self.converted(value, field)

    def attribute(self, field: SearchField) -> tuple[dict[str, Any], str]:
        settings, kind = self.settings(self.of_attribute(field))
        if field.has_default() and "value" not in settings:
            settings["default"] = self.constant(field._default).value
        return settings, kind

    # What the field makes of it, beyond what its type does in the daemon.

    def converted(self, value: Value, field: SearchField) -> Value:
        if isinstance(value, Path) and value.many and value.plain:
            if not field.is_multivalued:
                raise Untold(f"what becomes of the list {value}")
            # No row at all is no list to haystack, but None.
            rows = Path(value.names[: value.at], values.ROWS, many=True)
            return Cond(Truth(rows), replace(value, kind=values.LIST), Const(None))
        if isinstance(value, Path) and value.kind == values.ROW:
            return self.unless_null(value, self.schema.text(value))
        if field.field_type == "boolean" and value.kind not in (values.BOOL, values.NUMBER):
            return self.unless_null(value, Truth(value))
        if field.field_type == "integer" and value.kind not in (values.NUMBER, values.BOOL):
            return Call("int", (value,), values.NUMBER)
        if field.field_type == "string" and value.kind == values.DATETIME and not isinstance(value, Path):
            raise Untold(f"what str() makes of the moment {value}")
        if field.field_type == "string" and isinstance(getattr(value, "field", None), DurationField):
            raise Untold(f"what str() makes of the duration {value}")
        return value

    @staticmethod
    def unless_null(value: Value, of: Value) -> Value:
        """of, and NULL where the value is: what None is to haystack."""
        if not isinstance(value, Path) or not value.nullable or isinstance(of, (Path, Call)):
            return of
        return Cond(Test("nil", (value,)), Const(None), of)

    @staticmethod
    def settings(value: Value) -> tuple[dict[str, Any], str]:
        if isinstance(value, Const):
            if value.value is None:
                raise Untold("it is always None")
            return {"value": IndexFields.constant(value.value).value}, values.OTHER
        if isinstance(value, Path) and value.kind in (values.ROW, values.ROWS):
            raise Untold(f"{str(value) or 'the row'} as a value")
        if isinstance(value, Path) and value.plain:
            if not value.many:
                return {"from": str(value)}, value.kind
            if value.kind in TEXTS:
                return {"from": str(value)}, values.LIST
            return {"expr": values.expression(value)}, values.LIST
        try:
            settings = {"expr": values.standing_alone(values.expression(value))}
            if shows_moments(value) and database.time_zone() != "UTC":
                settings["time_zone"] = "UTC"  # which Python has them in
            return settings, value.kind
        except Untold:
            if value.kind != values.TEXT:
                raise
            return {"template": values.template(value)}, values.TEXT

    @staticmethod
    def constant(value: Any) -> Const:
        if callable(value):
            if value not in EMPTY:
                raise Untold(f"the default that {getattr(value, '__name__', value)}() gives")
            value = EMPTY[value]
        if not isinstance(value, (str, bool, int, float, list, tuple, dict, type(None))):
            value = str(value)
        return Const(value)

    @staticmethod
    def add_type(settings: dict[str, Any], kind: str, field: SearchField) -> None:
        """The type, where the content does not give it."""
        if field.is_multivalued:
            if "from" not in settings or kind != values.LIST:
                settings["type"] = "multi_value"
            return
        if field.field_type not in TYPES:
            raise Untold(f"a field of the kind {field.field_type}")
        name, told = TYPES[field.field_type]
        if kind not in told:
            settings["type"] = name


def shows_moments(value: Value) -> bool:
    """Whether it prints a moment, or a part of one, which Python has in UTC."""
    return project.USE_TZ and any(
        isinstance(v, Call) and v.name in ("strftime", *values.TIME_METHODS) and v.args[0].kind == values.DATETIME
        for v in values.parts(value)
    )
