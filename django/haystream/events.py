"""Events that no model holds, pushed to Haystream and searched in Elasticsearch."""

import base64
import datetime
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
import uuid

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, transaction

__all__ = ["BusinessMetric"]

logger = logging.getLogger("haystream")

DEFAULTS = {
    "URL": "",  # of the daemon: push by HTTP
    "TOKEN": "",
    "DATABASE": "default",  # without a URL: push by this database
    "TABLE": "haystream_event",  # of MySQL and MariaDB
    "TIMEOUT": 5,  # seconds, of a request
    "ON_ERROR": "",  # raise or log; by default raise, and log by HTTP
    "ELASTICSEARCH": "http://localhost:9200",
    "ELASTICSEARCH_API_KEY": "",
}


def setting(name):
    """The value of a key of settings.HAYSTREAM."""
    given = getattr(settings, "HAYSTREAM", {})
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise ImproperlyConfigured(f"HAYSTREAM has {', '.join(unknown)}; its keys are {', '.join(DEFAULTS)}")
    value = given.get(name, DEFAULTS[name])
    if name == "ON_ERROR" and value not in ("", "raise", "log"):
        raise ImproperlyConfigured(f"HAYSTREAM['ON_ERROR'] is {value!r}; it is 'raise' or 'log'")
    return value


class BusinessMetric:
    """Events of a name, and the index that they are in.

    index is the alias in Elasticsearch where it has another name. using is a database other than
    HAYSTREAM["DATABASE"].
    """

    def __init__(self, name, index=None, using=None):
        self.name = name
        self.index = index or name
        self.using = using or setting("DATABASE")

    def push(self, body):
        """Push one event, a dict, and return its id: body["id"], or a new UUID.

        It is part of the transaction that is open in the database, and gone when that is rolled back. By HTTP
        it is sent when that is committed.
        """
        if not isinstance(body, dict):
            raise TypeError(f"an event is a dict, not {type(body).__name__}")
        body = {**body}
        if body.get("id") is None:
            body["id"] = str(uuid.uuid4())
            if body.get("created") is None:  # its id and time go together, so that the daemon has no repeat to look for
                body["created"] = datetime.datetime.now(datetime.timezone.utc)
        text = json.dumps(body, cls=DjangoJSONEncoder, allow_nan=False)
        if setting("URL"):
            transaction.on_commit(lambda: self._guard(self._send, text, setting("ON_ERROR") or "log"), using=self.using)
        else:
            self._guard(lambda text: self._write(body["id"], text), text, setting("ON_ERROR") or "raise")
        return body["id"]

    def search(self, body):
        """Ask Elasticsearch's _search with a request body, a dict, and return its answer."""
        url = f"{setting('ELASTICSEARCH').rstrip('/')}/{urllib.parse.quote(self.index, safe='')}/_search"
        key = setting("ELASTICSEARCH_API_KEY")
        return request(url, json.dumps(body, cls=DjangoJSONEncoder), f"ApiKey {key}" if key else "")

    def _guard(self, do, text, on_error):
        if on_error == "raise":
            do(text)
            return
        try:
            do(text)
        except Exception:
            logger.exception("an event of %s was not pushed", self.name)

    def _send(self, text):
        token = setting("TOKEN")
        url = f"{setting('URL').rstrip('/')}/events/{urllib.parse.quote(self.name, safe='')}"
        request(url, text, f"Bearer {token}" if token else "")

    def _write(self, event, text):
        connection = connections[self.using]
        if connection.vendor == "postgresql":
            statement = "SELECT pg_logical_emit_message(true, %s::text, %s::text)"
            values = [f"haystream.{self.name}", text]
        elif connection.vendor == "mysql":
            table = connection.ops.quote_name(setting("TABLE"))
            statement = f"INSERT INTO {table} (id, name, body) VALUES (%s, %s, %s)"
            values = [event, self.name, text]
        else:
            raise ImproperlyConfigured(
                f"{connection.vendor} has no log that events go by; set HAYSTREAM['URL'] to push them by HTTP"
            )
        if setting("ON_ERROR") == "log" and connection.in_atomic_block:
            with transaction.atomic(using=self.using), connection.cursor() as cursor:  # a failure takes no more with it
                cursor.execute(statement, values)
        else:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)


def request(url, text, authorization):
    """POST JSON and return the JSON of the answer. Errors are urllib's, with what the server says."""
    parts = urllib.parse.urlsplit(url)
    if parts.username and not authorization:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = {"Content-Type": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    asked = urllib.request.Request(url, text.encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=setting("TIMEOUT")) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.msg += f": {error.read(1000).decode(errors='replace').strip()}"
        raise
