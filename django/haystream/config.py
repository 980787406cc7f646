"""Puts a config together: all that the SearchIndex classes of a project amount to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from django.conf import settings
from django.db import connections, router

from haystream import conditions, database, schema
from haystream.fields import IndexFields
from haystream.reasons import Untold, place_of
from haystream.yaml import Comment

HEADING = "What this project's SearchIndex classes amount to, by manage.py haystream.\nCheck it with: haystream check"
NAMES = {
    "id_field": ("ID", "id"),
    "django_ct_field": ("DJANGO_CT", "django_ct"),
    "django_id_field": ("DJANGO_ID", "django_id"),
}


@dataclass(frozen=True)
class Wanted:
    """What --index asks for: an alias of HAYSTACK_CONNECTIONS, a model of it."""

    alias: str
    model: str = ""  # app_label.model_name; empty: all

    @classmethod
    def parse(cls, text: str) -> Wanted:
        alias, slash, model = text.partition("/")
        if not slash and "." in alias:
            alias, model = "default", alias
        return cls(alias, model.lower())


@dataclass(frozen=True)
class Chosen:
    """A SearchIndex whose documents are wanted."""

    alias: str
    model: str
    index: Any
    backend: Any
    unified: Any


class Config:
    """A project's config. document is what haystream.yaml writes, todos the things that need a person."""

    def __init__(self, wanted: list[Wanted], folder: File, name: str = ""):
        import haystack

        self.options, self.folder = haystack.connections.connections_info, folder
        self.todos: list[str] = []
        chosen = [c for alias in dict.fromkeys(w.alias for w in wanted) for c in self.choose(alias, wanted)]
        if not chosen:
            raise Untold("there is no SearchIndex")
        db = self.database(chosen)
        self.zoned = connections[db].vendor == "postgresql"
        self.schema = schema.Schema()
        indexes = self.indexes(chosen)
        self.document: dict[str, Any] = {Comment(HEADING): None, "name": name or pipeline_name(db)}
        if database.time_zone() != "UTC":
            self.document["time_zone"] = database.time_zone()
        sections = {
            "source": database.source(db),
            "sink": {"elasticsearch": sink(self.options[chosen[0].alias])},
            "tables": self.tables(),
            "indexes": indexes,
        }
        for section, content in sections.items():
            if content:
                self.document |= {Comment(""): None, section: content}

    def todo(self, e: Untold) -> Comment:
        self.todos.append(e.todo())
        return Comment(e.todo())

    def choose(self, alias: str, wanted: list[Wanted]) -> list[Chosen]:
        """The indexes of an alias that are asked for, by their models' names."""
        import haystack
        from haystack.utils import get_model_ct

        if alias not in self.options:
            raise Untold(f"HAYSTACK_CONNECTIONS has no {alias}; it has {', '.join(self.options)}")
        connection = haystack.connections[alias]
        unified, backend = connection.get_unified_index(), connection.get_backend()
        found = {get_model_ct(model): index for model, index in unified.get_indexes().items()}
        models = {w.model for w in wanted if w.alias == alias}
        if missing := models - found.keys() - {""}:
            raise Untold(
                f"{alias} has no SearchIndex of {', '.join(sorted(missing))}; it has {', '.join(sorted(found))}"
            )
        must_be_elasticsearch(alias, backend)
        return [
            Chosen(alias, model, index, backend, unified)
            for model, index in sorted(found.items())
            if "" in models or model in models
        ]

    @staticmethod
    def database(chosen: list[Chosen]) -> str:
        databases = dict.fromkeys(router.db_for_read(c.index.get_model()) for c in chosen)
        if len(databases) > 1:
            raise Untold(
                f"the models are in several databases, {', '.join(databases)}; write a config for each: --index ALIAS/MODEL"
            )
        return next(iter(databases))

    def indexes(self, chosen: list[Chosen]) -> dict[str, Any]:
        several = len({c.alias for c in chosen}) > 1
        definitions: dict[str, Any] = {}
        for c in chosen:
            if definitions:
                definitions[Comment("")] = None
            name = c.model.replace(".", "_")
            definitions[f"{c.alias}_{name}" if several else name] = self.definition(c)
        return definitions

    def definition(self, c: Chosen) -> dict[str, Any]:
        definition: dict[str, Any] = {
            "index": self.options[c.alias]["INDEX_NAME"],
            "table": schema.table_name(c.index.get_model()),
        }
        method = type(c.index).index_queryset
        try:
            where = conditions.of_queryset(lambda: c.index.index_queryset(using=c.alias), self.schema, method)
            if where:
                definition["where"] = where
        except Untold as e:  # until somebody has decided, nothing is shown that should not be
            definition[self.todo(Untold(f"where: {e}", e.place).at(place_of(method)))] = None
            definition["where"] = "false"
        definition["haystack"] = {"model": c.model, **self.use_tz(), **own_names()}
        if hasattr(settings, "HAYSTACK_IDENTIFIER_METHOD"):
            definition[self.todo(Untold(f"id: what {settings.HAYSTACK_IDENTIFIER_METHOD}() gives"))] = None
        definition["fields"] = self.fields(c)
        if own := own_settings(c.backend):
            definition["settings"] = own
        return definition

    def use_tz(self) -> dict[str, bool]:
        """Where the type of a timestamp does not tell what Django makes of it."""
        return {} if self.zoned and settings.USE_TZ else {"use_tz": settings.USE_TZ}

    def fields(self, c: Chosen) -> dict[str, Any]:
        found: dict[str, Any] = {}
        try:
            fields = IndexFields(c.index, self.schema, c.backend, c.unified, self.folder)
        except Untold as e:
            return {self.todo(e.at(place_of(type(c.index)))): None}
        for name, field in c.index.fields.items():
            before = self.schema.save()
            try:
                settings = fields.field(name)
                if settings is not None:
                    found[field.index_fieldname] = short(settings, field.index_fieldname)
            except Untold as e:
                self.schema.restore(before)
                found[self.todo(Untold(f"{name}: {e}", e.place))] = None
        declared = {f.index_fieldname for f in c.index.fields.values()}
        for name, place in fields.places.items():
            if name not in declared:
                found[self.todo(Untold(f"{name}: prepare() sets it, and it is no field of the class", place))] = None
        return found

    def tables(self) -> dict[str, Any]:
        tables = self.schema.yaml()
        for (table, relation), note in sorted(self.schema.notes.items()):
            relations = tables.get(table, {}).get("relations", {})
            if relation in relations:
                comment = self.todo(Untold(f"{table}.{relation}: {note}"))
                tables[table]["relations"] = {
                    key: value
                    for name, entry in relations.items()
                    for key, value in ([(comment, None)] if name == relation else []) + [(name, entry)]
                }
        return tables


def short(settings: dict[str, Any], name: str) -> Any:
    """A field in its shortest form."""
    if settings == {"from": name}:
        return {}
    if set(settings) == {"from"}:
        return settings["from"]
    if settings.get("from") == name:
        return {k: v for k, v in settings.items() if k != "from"}
    return settings


def pipeline_name(db: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", str(connections[db].settings_dict["NAME"])) or "haystream"


def own_names() -> dict[str, str]:
    """What the project's settings call id, django_ct and django_id, where it is something else."""
    from haystack import constants

    names = {setting: getattr(constants, constant) for setting, (constant, _) in NAMES.items()}
    return {setting: name for setting, name in names.items() if name != NAMES[setting][1]}


def must_be_elasticsearch(alias: str, backend: Any) -> None:
    try:
        from haystack.backends.elasticsearch_backend import ElasticsearchSearchBackend
    except Exception as e:
        raise Untold("django-haystack's Elasticsearch backend cannot be imported; install elasticsearch") from e
    if not isinstance(backend, ElasticsearchSearchBackend):
        raise Untold(
            f"the connection {alias} is no Elasticsearch; give the project one with "
            "haystack.backends.elasticsearch7_backend.Elasticsearch7SearchEngine"
        )


def own_settings(backend: Any) -> dict[str, Any]:
    """Settings of the index that a project's own backend adds to haystack's."""
    bases = [c for c in type(backend).__mro__ if c.__module__.startswith("haystack.")]
    usual = [c.DEFAULT_SETTINGS for c in bases if hasattr(c, "DEFAULT_SETTINGS")]
    return {} if backend.DEFAULT_SETTINGS in usual else backend.DEFAULT_SETTINGS.get("settings", {})


def sink(options: dict[str, Any]) -> dict[str, Any]:
    """The config's sink, of a connection's options; secrets come from the environment."""
    urls = options["URL"] if isinstance(options["URL"], (list, tuple)) else [options["URL"]]
    user, addresses = "", []
    for url in urls:
        parts = urlsplit(url if "//" in url else "http://" + url)
        user = unquote(parts.username or "") or user
        addresses.append(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/"))
    auth = (options.get("KWARGS") or {}).get("http_auth")
    if isinstance(auth, str):
        auth = auth.split(":", 1)
    user = user or (auth[0] if auth else "")
    found: dict[str, Any] = {"addresses": addresses}
    if user:
        found |= {"username": user, "password": "${ELASTICSEARCH_PASSWORD}"}
    return found
