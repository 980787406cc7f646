"""Takes over a text template: finds what it uses of the models, and writes it so that its names are those of the tables.

A template that can be used as it is stays a file. One with names that the tables do not have (an inherited column, one of another
name), or with includes that the daemon would not find, is written into the config, with just those places changed.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from django.template import Engine, TemplateDoesNotExist, TemplateSyntaxError, defaulttags, engines, loader_tags
from django.template.base import FilterExpression, Node, NodeList, TextNode, Variable, VariableNode
from django.template.smartif import Literal
from django.templatetags import i18n

from haystream import values
from haystream.reasons import Place, Untold
from haystream.values import Path

if TYPE_CHECKING:
    from haystream.schema import Schema

ROW_METHODS = {"first", "last"}
DATE_PARTS = {"year", "month", "day", "hour", "minute", "second", "microsecond"}
# Tags whose text stays, and whose parts are looked at.
INNER = {
    defaulttags.ForNode,
    defaulttags.IfNode,
    defaulttags.WithNode,
    defaulttags.AutoEscapeControlNode,
    defaulttags.FilterNode,
    defaulttags.SpacelessNode,
    defaulttags.FirstOfNode,
    defaulttags.CycleNode,
    defaulttags.IfChangedNode,
    defaulttags.VerbatimNode,
    defaulttags.TemplateTagNode,
    defaulttags.CommentNode,
    defaulttags.LoadNode,
    defaulttags.RegroupNode,
    defaulttags.WidthRatioNode,
    defaulttags.ResetCycleNode,
    i18n.TranslateNode,
    i18n.BlockTranslateNode,
}

Names = dict[str, Path | None]  # of a template's variables: rows, and None for what is no row


class Template:
    def __init__(self, names: list[str], schema: Schema, row: Path, folder: File):
        self.schema, self.folder = schema, folder
        self.engine = debugging_engine()
        self.template = self.find(names)
        self.text = self.rewritten(self.template, {"object": row})

    def settings(self) -> dict[str, Any]:
        """The field's settings: a file where nothing had to be changed and the config can name it."""
        file = File(self.template.origin.name)
        if self.text == self.template.source and file.is_relative_to(self.folder) and self.text:
            return {"template_file": str(file.relative_to(self.folder))}
        return {"template": self.text}

    def includes(self, name: str, template: Any, found: Any) -> bool:
        """Whether the daemon finds the file that a template includes: in its folder, or in one around it below the config's."""
        file, wanted = File(template.origin.name), File(found.origin.name)
        if not file.is_relative_to(self.folder):
            return False
        folders = [f for f in file.parents if f.is_relative_to(self.folder)]
        return next((f / name for f in folders if (f / name).is_file()), None) == wanted

    def find(self, names: list[str]) -> Any:
        for name in names:
            try:
                return self.engine.get_template(name)
            except TemplateDoesNotExist:
                continue
            except TemplateSyntaxError as e:
                raise Untold(f"the template {name}: {e}") from e
        raise Untold(f"there is no template {' or '.join(names)}")

    def rewritten(self, template: Any, names: Names) -> str:
        """The template's source with its names as the tables have them, and with its includes."""
        walk = Walk(self, template)
        walk.nodes(template.nodelist, names)
        text = template.source
        for (start, end), new in sorted(walk.edits.items(), reverse=True):
            text = text[:start] + new + text[end:]
        return text


def debugging_engine() -> Engine:
    """The project's engine, as one that knows where in a file each tag stands."""
    for backend in engines.all():
        e = getattr(backend, "engine", None)
        if isinstance(e, Engine):
            return Engine(
                dirs=e.dirs,
                debug=True,
                loaders=uncached(e.loaders),
                libraries=e.libraries,
                builtins=[b for b in e.builtins if b not in Engine.default_builtins],
                autoescape=e.autoescape,
            )
    raise Untold("no engine of Django's own template language is configured")


def uncached(loaders: list[Any]) -> list[Any]:
    return [
        loader
        for given in loaders
        for loader in (given[1] if isinstance(given, (list, tuple)) and given[0].endswith("cached.Loader") else [given])
    ]


class Walk:
    """One way through a template's nodes."""

    def __init__(self, owner: Template, template: Any):
        self.owner, self.template = owner, template
        self.schema = owner.schema
        self.edits: dict[tuple[int, int], str] = {}
        self.token: Any = None

    def untold(self, message: str) -> Untold:
        return Untold(message, Place(self.template.origin.name, self.token.lineno if self.token else 0))

    def nodes(self, nodes: NodeList, names: Names) -> None:
        for node in nodes:
            if isinstance(node, TextNode):
                continue
            self.token = node.token
            try:
                self.node(node, names)
            except Untold as e:
                self.token = node.token
                raise e.at(Place(self.template.origin.name, node.token.lineno)) from e

    def node(self, node: Node, names: Names) -> None:
        match node:
            case VariableNode():
                self.printed(node.filter_expression, names)
            case loader_tags.IncludeNode():
                self.include(node, names)
            case _ if type(node) not in INNER:
                raise self.untold(f"the tag {node.token.contents.split()[0]}")
            case defaulttags.ForNode():
                rows = self.expression(node.sequence, names)
                row = rows if rows is not None and rows.kind == values.ROWS and len(node.loopvars) == 1 else None
                inner = {**names, "forloop": None, **dict.fromkeys(node.loopvars)}
                if row is not None:
                    inner[node.loopvars[0]] = Path((), values.ROW, row.model, many=True)
                self.nodes(node.nodelist_loop, inner)
                self.nodes(node.nodelist_empty, names)
            case defaulttags.IfNode():
                for condition, nodes in node.conditions_nodelists:
                    self.condition(condition, names)
                    self.nodes(nodes, names)
            case defaulttags.WithNode():
                self.nodes(
                    node.nodelist, {**names, **{n: self.expression(e, names) for n, e in node.extra_context.items()}}
                )
            case defaulttags.FirstOfNode():
                for e in node.vars:
                    self.printed(e, names)
            case defaulttags.CycleNode():
                for e in node.cyclevars:
                    self.printed(e, names)
            case defaulttags.IfChangedNode():
                for e in node._varlist:
                    self.expression(e, names)
                self.nodes(node.nodelist_true, names)
                self.nodes(node.nodelist_false, names)
            case defaulttags.RegroupNode():
                self.expression(node.target, names)
                names[node.var_name] = None
            case defaulttags.WidthRatioNode():
                for e in (node.val_expr, node.max_expr, node.max_width):
                    self.expression(e, names)
            case i18n.BlockTranslateNode():
                self.nodes_of_translation(node, names)
            case i18n.TranslateNode():
                self.expression(node.filter_expression, names)
            case (
                defaulttags.CommentNode()
                | defaulttags.LoadNode()
                | defaulttags.ResetCycleNode()
                | defaulttags.TemplateTagNode()
                | defaulttags.VerbatimNode()
            ):
                pass
            case _:
                if isinstance(node, defaulttags.FilterNode):
                    self.filters(node.filter_expr)
                self.nodes(node.nodelist, names)

    def nodes_of_translation(self, node: Any, names: Names) -> None:
        inner = {**names, **{n: self.expression(e, names) for n, e in node.extra_context.items()}}
        for token in (*node.singular, *node.plural):
            if token.token_type.name == "VAR" and inner.get(token.contents.split("|")[0].split(".")[0]) is not None:
                raise self.untold(f"{token.contents} inside of a translation")

    def include(self, node: Any, names: Names) -> None:
        if not isinstance(node.template.var, str):
            raise self.untold("an include whose name is computed")
        name = "".join(node.template.var)  # no SafeString, which no path takes
        inner = {n: self.expression(e, names) for n, e in node.extra_context.items()}
        found = self.owner.find([name])
        text = self.owner.rewritten(found, inner if node.isolated_context else {**names, **inner})
        if text == found.source and self.owner.includes(name, self.template, found):
            return
        bits = [b for b in node.token.split_contents()[2:] if b not in ("with", "only")]
        if bits:
            text = f"{{% with {' '.join(bits)} %}}{text}{{% endwith %}}"
        self.edits[node.token.position] = text

    def condition(self, literal: Any, names: Names) -> None:
        """The values in an {% if %}, which are the leaves of its tree."""
        if literal is None:
            return
        if isinstance(literal, Literal):
            self.expression(literal.value, names)
            return
        self.condition(literal.first, names)
        self.condition(literal.second, names)

    def printed(self, e: FilterExpression, names: Names) -> None:
        """A value that is printed: of a row its __str__."""
        found = self.expression(e, names)
        if found is not None and found.kind == values.ROW:
            self.schema.printed(found)

    def edit(self, old: str, new: str) -> None:
        """Writes another name in the tag at hand."""
        start, end = self.token.position
        text = self.edits.get((start, end), self.template.source[start:end])
        self.edits[start, end] = re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w])", new, text)

    def filters(self, e: FilterExpression, names: Names | None = None) -> bool:
        for function, args in e.filters:
            function = inspect.unwrap(function)
            if function.__module__ != "django.template.defaultfilters":
                raise self.untold(f"the filter {function.__name__} of {function.__module__}")
            for is_variable, arg in args:
                if is_variable and names is not None:
                    self.variable(arg, names)
        return bool(e.filters)

    def expression(self, e: Any, names: Names) -> Path | None:
        """The row or rows that a value is; None: neither."""
        if e is None or not isinstance(e, FilterExpression):
            return None
        filtered = self.filters(e, names)
        found = self.variable(e.var, names) if isinstance(e.var, Variable) else None
        if filtered and found is not None and found.kind == values.ROWS:
            last = inspect.unwrap(e.filters[-1][0]).__name__
            if last in ("dictsort", "dictsortreversed", "slice_filter"):
                return found
            return Path((), values.ROW, found.model, many=True) if last in ("first", "last", "random") else None
        return found

    def variable(self, variable: Variable, names: Names) -> Path | None:
        if variable.literal is not None or not variable.lookups:
            return None
        first, *rest = variable.lookups
        if first not in names:
            if first in ("True", "False", "None"):
                return None
            raise self.untold(f"{first}, which is not given to the template")
        at: Path | None = names[first]
        spelled = [first]
        for i, name in enumerate(rest):
            if at is None:
                return None
            if at.kind == values.ROW:
                at, added = self.named(at, name)
                spelled += added
                continue
            spelled.append(name)
            if at.kind == values.ROWS:
                if name in ROW_METHODS or name.isdigit():
                    at = Path((), values.ROW, at.model, many=True, nullable=True)
                elif name in ("count", "exists", "length"):
                    at = None
                elif name != "all":
                    raise self.untold(f"{'.'.join(variable.lookups[: i + 2])}")
                continue
            if at.kind in (values.JSON, values.LIST, values.OTHER) or (
                at.kind in (values.DATE, values.DATETIME) and name in DATE_PARTS
            ):
                return None
            raise self.untold(f"{name} of {'.'.join(variable.lookups[: i + 1])}")
        if spelled != list(variable.lookups):
            self.edit(".".join(variable.lookups), values.dotted(spelled))
        return at

    def named(self, row: Path, name: str) -> tuple[Path, list[str]]:
        """What row.name is, and how the template has to spell it."""
        at = Path((), values.ROW, row.model, many=row.many)
        value = self.schema.attribute(at, name)
        if not isinstance(value, Path):
            if value.kind != values.TEXT:
                raise self.untold(f"{name} of {row.model.__name__}, which is computed and no text")
            value = self.schema.computed(at, name, value)
        if not value.names or not value.plain:
            raise self.untold(f"{name} of {row.model.__name__}")
        return value, list(value.names)
