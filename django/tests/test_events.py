"""BusinessMetric by HTTP, and what HAYSTREAM says of tokens, time and errors."""

import base64
import contextlib
import datetime
import http.server
import json
import os
import sys
import threading
import unittest
import urllib.error
from pathlib import Path as File
from unittest import mock

PROJECT = File(__file__).parent / "project"
sys.path[:0] = [str(PROJECT), str(PROJECT.parent.parent)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.db import OperationalError, connections, transaction  # noqa: E402
from django.test import override_settings  # noqa: E402

from haystream import BusinessMetric  # noqa: E402

# A database that is always there.
memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
connections.settings = connections.configure_settings({**settings.DATABASES, "memory": memory})


class Daemon(http.server.BaseHTTPRequestHandler):
    """Answers as it is told, and keeps what it was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers.get("Authorization"), json.loads(body)))
        self.server.go_on.wait()
        status, answer = self.server.answer
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody has waited so long
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.daemon = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Daemon)
        self.daemon.asked, self.daemon.answer, self.daemon.go_on = [], (202, {"ids": ["x"]}), threading.Event()
        self.daemon.go_on.set()
        self.address = f"127.0.0.1:{self.daemon.server_address[1]}"
        thread = threading.Thread(target=self.daemon.serve_forever)
        thread.start()
        self.addCleanup(self.daemon.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.daemon.shutdown)
        self.addCleanup(self.daemon.go_on.set)
        self.addCleanup(connections["memory"].close)

    def by_http(self, **given):
        return override_settings(HAYSTREAM={"URL": f"http://{self.address}", "DATABASE": "memory", **given})

    def push(self, **given):
        """Push an event by HTTP with some settings."""
        with self.by_http(**given):
            return BusinessMetric("a metric").push({"n": 1})

    def test_request(self):
        event = self.push(URL=f"http://{self.address}/behind/")
        [(path, authorization, body)] = self.daemon.asked
        created = datetime.datetime.fromisoformat(body.pop("created").replace("Z", "+00:00"))
        self.assertEqual((path, authorization, body), ("/behind/events/a%20metric", None, {"n": 1, "id": event}))
        self.assertLess(abs(datetime.datetime.now(datetime.timezone.utc) - created), datetime.timedelta(minutes=1))

    def test_own_id_and_time(self):
        with self.by_http():
            BusinessMetric("a metric").push({"id": 7, "n": 1})
            BusinessMetric("a metric").push({"created": "2026-11-29", "n": 1})
        first, second = [body for _, _, body in self.daemon.asked]
        self.assertEqual(first, {"id": 7, "n": 1})
        self.assertEqual(second["created"], "2026-11-29")

    def test_token(self):
        self.push(TOKEN="a token")
        self.push(URL=f"http://ann:se%40cret@{self.address}")
        self.push(URL=f"http://ann:se%40cret@{self.address}", TOKEN="a token")
        basic = "Basic " + base64.b64encode(b"ann:se@cret").decode()
        self.assertEqual([asked[1] for asked in self.daemon.asked], ["Bearer a token", basic, "Bearer a token"])

    def test_key_of_search(self):
        self.daemon.answer = (200, {"hits": {"hits": []}})
        given = {"ELASTICSEARCH": f"http://{self.address}", "ELASTICSEARCH_API_KEY": "a key", "DATABASE": "memory"}
        with override_settings(HAYSTREAM=given):
            self.assertEqual(BusinessMetric("m", index="alias").search({"size": 0}), {"hits": {"hits": []}})
        self.assertEqual(self.daemon.asked, [("/alias/_search", "ApiKey a key", {"size": 0})])

    def test_timeout(self):
        self.daemon.go_on.clear()  # it takes the request, and does not answer
        with self.assertRaises(OSError) as caught:
            self.push(TIMEOUT=0.1, ON_ERROR="raise")
        self.assertIn("timed out", str(caught.exception))

    def test_refused(self):
        self.daemon.answer = (429, {"error": "the queue is full"})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.push(ON_ERROR="raise")
        caught.exception.close()
        self.assertIn("the queue is full", str(caught.exception))

    def test_errors_are_logged_by_http(self):
        self.daemon.answer = (503, {"error": "this daemon stands by"})
        for given in [{}, {"ON_ERROR": "log"}]:
            with self.subTest(given), self.assertLogs("haystream", "ERROR") as logged:
                self.assertEqual(len(self.push(**given)), 36)  # the id, all the same
            self.assertIn("an event of a metric was not pushed", logged.output[0])
            self.assertIn("this daemon stands by", logged.output[0])

    def test_commit(self):
        metric = BusinessMetric("a metric", using="memory")
        with self.by_http():
            with transaction.atomic("memory"):
                metric.push({"n": 1})
                self.assertEqual(self.daemon.asked, [])
            self.assertEqual(len(self.daemon.asked), 1)
            with self.assertRaises(ZeroDivisionError), transaction.atomic("memory"):
                metric.push({"n": 2})
                _ = 1 / 0
            self.assertEqual(len(self.daemon.asked), 1)

    def test_errors_of_the_database(self):
        """A failure is raised, or logged and takes nothing else of the transaction with it."""
        database = connections["memory"]
        with database.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (n INT)")
        for on_error in ["", "raise", "log"]:
            given = {"DATABASE": "memory", "TABLE": "missing", "ON_ERROR": on_error}
            mysql = mock.patch.object(database, "vendor", "mysql")
            with self.subTest(on_error), override_settings(HAYSTREAM=given), mysql:
                if on_error == "log":
                    with self.assertLogs("haystream", "ERROR") as logged, transaction.atomic("memory"):
                        BusinessMetric("m").push({})
                        with database.cursor() as cursor:
                            cursor.execute("INSERT INTO kept VALUES (1)")
                    self.assertIn("no such table", logged.output[0])
                    continue
                with self.assertRaises(OperationalError), transaction.atomic("memory"):
                    BusinessMetric("m").push({})
        with database.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM kept")
            self.assertEqual(cursor.fetchone()[0], 1)

    def test_database_without_a_log(self):
        unfit = self.assertRaisesRegex(ImproperlyConfigured, "sqlite has no log")
        with override_settings(HAYSTREAM={"DATABASE": "memory"}), unfit:
            BusinessMetric("m").push({})

    def test_wrong_settings(self):
        for given, said in [
            ({"ON_ERROR": "ignore"}, "HAYSTREAM\\['ON_ERROR'\\] is 'ignore'; it is 'raise' or 'log'"),
            ({"TOKENS": "x"}, "HAYSTREAM has TOKENS; its keys are URL, TOKEN"),
        ]:
            with self.subTest(given), self.assertRaisesRegex(ImproperlyConfigured, said):
                self.push(**given)
        self.assertEqual(self.daemon.asked, [])

    def test_no_dict(self):
        with override_settings(HAYSTREAM={"DATABASE": "memory"}), self.assertRaises(TypeError):
            BusinessMetric("m").push(["no", "event"])
