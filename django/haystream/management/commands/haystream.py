"""manage.py haystream: prints the config that the project's search indexes amount to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from haystream.reasons import Untold
from haystream.yaml import dump


class Command(BaseCommand):
    help = (
        "Prints a Haystream config that makes the documents of this project's django-haystack indexes. "
        "What a person has to decide is left out, and marked by a TODO with its file and line."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--index",
            action="append",
            metavar="ALIAS/MODEL",
            help="an alias of HAYSTACK_CONNECTIONS, a model (app.model) of it, or both; may be repeated. Default: all models of default",
        )
        parser.add_argument(
            "--output",
            metavar="FILE",
            help="write to a file; templates are named relative to its folder. Default: standard output, and the working directory",
        )
        parser.add_argument("--name", default="", help="the pipeline's name. Default: the database's")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            import haystack  # noqa: F401
        except ImportError as e:
            raise CommandError("django-haystack is not installed") from e
        from haystream.config import Config, Wanted

        output = Path(options["output"]).resolve() if options["output"] else None
        folder = output.parent if output else Path.cwd()
        try:
            config = Config([Wanted.parse(text) for text in options["index"] or ["default"]], folder, options["name"])
        except Untold as e:
            raise CommandError(str(e)) from e
        text = dump(config.document)
        if output:
            output.write_text(text, encoding="utf-8")
        else:
            self.stdout.write(text, ending="")
        for todo in config.todos:
            self.stderr.write(self.style.WARNING(todo))
