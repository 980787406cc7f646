"""The `source:` and the time zone, of Django's settings."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connections

from haystream.reasons import Untold

PASSWORD = "${DATABASE_PASSWORD}"
SCHEMES = {"postgresql": "postgres", "mysql": "mysql"}
PORTS = {"postgres": "5432", "mysql": "3306", "mariadb": "3306"}
SSL = {"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"}


def source(alias: str) -> dict[str, Any]:
    """The config's `source:`. A password is never in it: the environment gives it."""
    connection = connections[alias]
    s = connection.settings_dict
    scheme = SCHEMES.get(connection.vendor)
    if scheme is None:
        raise Untold(f"the database {alias} is {connection.vendor}; PostgreSQL, MySQL and MariaDB are tailed")
    if scheme == "mysql" and is_mariadb(connection):
        scheme = "mariadb"
    user = quote(s["USER"] or "", safe="")
    if s["PASSWORD"]:
        user += ":" + PASSWORD
    host, parameters = s["HOST"] or "", {}
    if host.startswith("/"):
        parameters["host" if scheme == "postgres" else "socket"], host = host, ""
    parameters |= options(scheme, s.get("OPTIONS") or {})
    address = f"{f'[{host}]' if ':' in host else host or 'localhost'}:{s['PORT'] or PORTS[scheme]}"
    url = f"{scheme}://{user + '@' if user else ''}{address}/{quote(s['NAME'], safe='')}"
    return {"url": url + ("?" + urlencode(parameters, safe="/") if parameters else "")}


def options(scheme: str, given: dict[str, Any]) -> dict[str, str]:
    if scheme == "postgres":
        return {name: str(given[name]) for name in sorted(SSL & given.keys())}
    found = {}
    ssl = given.get("ssl") or {}
    for theirs, ours in (("ca", "ssl-ca"), ("cert", "ssl-cert"), ("key", "ssl-key")):
        if isinstance(ssl, dict) and ssl.get(theirs):
            found[ours] = str(ssl[theirs])
    if given.get("ssl_mode"):
        found["ssl-mode"] = str(given["ssl_mode"])
    return found


def is_mariadb(connection: Any) -> bool:
    """As the server says; without one it is taken for MySQL."""
    try:
        return connection.mysql_is_mariadb
    except Exception:  # whatever a driver raises where nobody answers
        return False


def time_zone() -> str:
    """That Django shows moments in."""
    return settings.TIME_ZONE or "UTC"
