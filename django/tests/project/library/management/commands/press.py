"""Pushes events by views that go well and by views that fail, and outside of any."""

import datetime

from django.core.management.base import BaseCommand
from django.db import connection
from django.test import Client

from haystream import BusinessMetric

TABLE = """CREATE TABLE IF NOT EXISTS haystream_event (
    id CHAR(36) PRIMARY KEY,
    name VARCHAR(100) NOT NULL,
    created TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    body JSON NOT NULL
) ENGINE=%s"""


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--table", action="store_true")
        parser.add_argument("--search")

    def handle(self, *args, **options):
        if options["table"]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM information_schema.ENGINES WHERE ENGINE = 'BLACKHOLE' AND SUPPORT <> 'NO'")
                blackhole = cursor.fetchone()[0]  # MariaDB may be without its plugin
                cursor.execute(TABLE % ("BLACKHOLE" if blackhole else "InnoDB"))
            return
        if options["search"]:
            query = {"query": {"term": {"action": "kept"}}}
            found = BusinessMetric("business_metric", index=options["search"]).search(query)
            self.stdout.write(",".join(sorted(hit["_source"]["user"] for hit in found["hits"]["hits"])))
            return
        client = Client(raise_request_exception=False)
        assert client.post("/press/kept/").status_code == 200
        assert client.post("/press/undone/?fail").status_code == 500
        other = BusinessMetric("another")
        assert other.push({"id": "given", "action": "outside", "at": datetime.date(2026, 1, 2)}) == "given"
        self.stdout.write(BusinessMetric("business_metric").push({"action": "outside"}))
