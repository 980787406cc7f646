"""The command, over the whole project and over single ideas."""

import datetime
import io
import os
import sys
import unittest
import uuid
from decimal import Decimal
from pathlib import Path as File
from unittest import mock

PROJECT = File(__file__).parent / "project"
sys.path[:0] = [str(PROJECT), str(PROJECT.parent.parent)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
os.chdir(PROJECT)

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402
from django.db.models import Count, F, Q  # noqa: E402
from django.db.models.functions import Now  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402
from library.models import Book, Branch, Genre, Person, Review, Tag  # noqa: E402

from haystream import conditions, database, methods, values, yaml  # noqa: E402
from haystream.config import Wanted, sink  # noqa: E402
from haystream.reasons import Untold  # noqa: E402
from haystream.schema import Schema, table_name  # noqa: E402
from haystream.templates import Template  # noqa: E402
from haystream.values import Path  # noqa: E402

UTC = datetime.timezone.utc


def run(*args: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("haystream", *args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


class CommandTest(unittest.TestCase):
    maxDiff = None

    def test_whole_project(self):
        text, todos = run()
        golden = PROJECT.parent / "golden.yaml"
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(text, encoding="utf-8")
        self.assertEqual(text, golden.read_text(encoding="utf-8"))
        self.assertEqual(todos, "TODO library/search_indexes.py:168: mood: `obj.summary.split()`\n")
        self.assertNotIn("secret", text)

    def test_some_indexes(self):
        text, _ = run("--index", "library.genre", "--index", "default/library.publisher", "--name", "few")
        self.assertIn("name: few\n", text)
        self.assertIn("library_genre:", text)
        self.assertIn("library_publisher:", text)
        self.assertNotIn("library_book", text)
        self.assertNotIn("tables:", text)

    def test_another_connection(self):
        text, _ = run("--index", "haystack/library.genre")
        self.assertIn("index: library_haystack\n", text)

    def test_unknown_names(self):
        for wanted, message in [
            ("nowhere", "HAYSTACK_CONNECTIONS has no nowhere"),
            ("library.nothing", "default has no SearchIndex of library.nothing"),
        ]:
            with self.assertRaisesRegex(CommandError, message):
                run("--index", wanted)

    def test_output(self):
        folder = PROJECT / "templates"
        try:
            run("--index", "library.genre", "--output", str(folder / "config.yaml"))
            self.assertIn("template_file: search/indexes/library/genre_text.txt", (folder / "config.yaml").read_text())
        finally:
            (folder / "config.yaml").unlink()

    def test_wanted(self):
        self.assertEqual(Wanted.parse("other"), Wanted("other"))
        self.assertEqual(Wanted.parse("library.Book"), Wanted("default", "library.book"))
        self.assertEqual(Wanted.parse("other/library.book"), Wanted("other", "library.book"))


class SourceTest(unittest.TestCase):
    def url(self, **changes: object) -> str:
        given = {**settings.DATABASES["default"], **changes}
        connection = django.db.connections["default"]
        saved = connection.settings_dict
        try:
            connection.settings_dict = {**saved, **given}
            return database.source("default")["url"]
        finally:
            connection.settings_dict = saved

    @unittest.skipUnless(settings.DATABASES["default"]["ENGINE"].endswith("postgresql"), "URLs of PostgreSQL")
    def test_urls(self):
        self.assertEqual(self.url(), "postgres://library:${DATABASE_PASSWORD}@db.example.com:5432/library")
        self.assertEqual(self.url(PASSWORD="", USER="a@b"), "postgres://a%40b@db.example.com:5432/library")
        self.assertEqual(self.url(HOST="", PORT="", USER="", PASSWORD=""), "postgres://localhost:5432/library")
        self.assertEqual(
            self.url(HOST="/run/pg"), "postgres://library:${DATABASE_PASSWORD}@localhost:5432/library?host=/run/pg"
        )
        self.assertEqual(
            self.url(HOST="::1", OPTIONS={"sslmode": "require"}),
            "postgres://library:${DATABASE_PASSWORD}@[::1]:5432/library?sslmode=require",
        )

    def test_sink(self):
        self.assertEqual(
            sink({"URL": "https://elastic:pw@es:9200/"}),
            {"addresses": ["https://es:9200"], "username": "elastic", "password": "${ELASTICSEARCH_PASSWORD}"},
        )
        self.assertEqual(sink({"URL": ["es1:9200", "es2:9200"], "KWARGS": {"http_auth": ("u", "p")}})["username"], "u")


class ConditionTest(unittest.TestCase):
    def check(self, make, expected):
        self.assertEqual(conditions.of_queryset(make, Schema()), expected)

    def test_comparisons(self):
        books = Book.objects
        moment = datetime.datetime(2020, 5, 1, 12, tzinfo=UTC)
        for make, expected in [
            (lambda: books.all(), ""),
            (lambda: books.none(), "false"),
            (lambda: books.filter(status="p", pages__gt=3), 'pages > 3 && status == "p"'),
            (lambda: books.filter(in_print=True).filter(on_loan=False), "in_print && on_loan == false"),
            (lambda: books.exclude(in_print=True), "!in_print"),
            (
                lambda: books.filter(Q(status="p") | Q(pages=1, format=2)),
                'status == "p" || (format == 2 && pages == 1)',
            ),
            (lambda: books.filter(~Q(status="p")), '!(status == "p")'),
            (lambda: books.filter(status__in=["d", "p"]), 'status in ["d", "p"]'),
            (lambda: books.filter(pub_date__isnull=False), "pub_date != nil"),
            (lambda: books.filter(price__gte=Decimal("9.50")), "price >= 9.50"),
            (lambda: books.filter(created__lt=moment), 'created < "2020-05-01T12:00:00Z"'),
            (lambda: books.filter(pages__range=(1, 9)), "pages >= 1 && pages <= 9"),
            (lambda: books.filter(created__year=2020), 'created >= "2020-01-01" && created < "2021-01-01"'),
            (lambda: books.filter(title__icontains="X"), 'lower(title) contains "x"'),
            (lambda: books.filter(title__startswith='"'), 'title startsWith "\\""'),
            (lambda: books.filter(pages=F("format")), "pages == format"),
            (lambda: books.filter(author__last_name="B"), 'author.last_name == "B"'),
            (lambda: books.filter(author__mentor__first_name="C"), 'author.mentor.first_name == "C"'),
            (lambda: books.filter(publisher=uuid.UUID(int=1)), 'house == "00000000-0000-0000-0000-000000000001"'),
            (lambda: Branch.objects.filter(city="Gent"), 'place_ptr.city == "Gent"'),
            (lambda: books.filter(created__lte=Now()), "created <= now()"),
            (lambda: books.filter(created__lte=timezone.now()), "created <= now()"),
            (
                lambda: books.filter(created__gt=timezone.now() - datetime.timedelta(days=30)),
                'created > now() - duration("720h")',
            ),
            (lambda: books.filter(pub_date__lte=datetime.date.today()), "pub_date <= now()"),
            (lambda: books.filter(pub_date__lt=timezone.localdate()), 'pub_date <= now() - duration("24h")'),
            (lambda: books.filter(pub_date=datetime.date(2020, 1, 2)), 'pub_date == "2020-01-02"'),
            (lambda: Review.objects.all(), "deleted == nil"),
        ]:
            with self.subTest(expected):
                self.check(make, expected)

    def test_untold(self):
        for make, message in [
            (lambda: Book.objects.filter(tags__name="x"), "many rows"),
            (lambda: Book.objects.all()[:3], "slice"),
            (lambda: Book.objects.annotate(n=Count("tags")).filter(n__gt=1), "aggregation"),
            (lambda: Book.objects.filter(author__in=Person.objects.all()), "subquery"),
            (lambda: Book.objects.filter(title__regex="x"), "regex"),
            (lambda: Book.objects.exclude(tags__name="x"), "in a queryset"),
            (lambda: Book.objects.union(Book.objects.all()), "union"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(Untold, message):
                conditions.of_queryset(make, Schema())


def constant(self, obj):
    return 5


def path(self, obj):
    return obj.author.mentor.last_name


def doubled(self, obj):
    full = obj.title.strip()
    return "%s (%s)" % (full.upper(), obj.format)


def formatted(self, obj):
    return "{} - {x}".format(obj.title, x=obj.slug)


def choice(self, obj):
    if obj.status == Book.DRAFT:
        return None
    elif obj.pages is None:
        return 0
    return obj.pages * 2


def either(self, obj):
    return obj.isbn or obj.slug


def loop(self, obj):
    names = []
    for tag in obj.tags.all():
        if tag.name != "x":
            names.append(tag.name.lower())
    return names


def filtered(self, obj):
    return [r.user.username for r in obj.review_set.filter(stars__gte=3, deleted__isnull=True)]


def excluded(self, obj):
    return [r.stars for r in obj.review_set.exclude(text__icontains="X", stars=1)]


def counted(self, obj):
    return obj.review_set.filter(stars=5).count()


def exists(self, obj):
    return obj.tags.exists() and not obj.editor


def joined(self, obj):
    return ", ".join(t.name for t in obj.tags.all())


def totalled(self, obj):
    return sum(r.stars for r in obj.review_set.all())


def attempted(self, obj):
    try:
        return obj.publisher.name
    except AttributeError:
        return None


def chained(self, obj):
    return 1 < obj.pages <= 9


def listed(self, obj):
    return [obj.title, "x"]


def keys(self, obj):
    return list(obj.tags.values_list("pk", flat=True))


def own(self, obj):
    return str(obj)


def rows(self, obj):
    return [str(tag) for tag in obj.tags.all()]


def displayed(self, obj):
    return obj.get_status_display().lower()


def url(self, obj):
    return obj.get_absolute_url()


def some(self, obj):
    return [t.name for t in obj.tags.all()[:3]]


def first_tag(self, obj):
    tag = obj.tags.filter(name__startswith="x").first()
    return tag.name if tag else ""


def first_by_place(self, obj):
    return obj.tags.all()[0].name


def last_reviewer(self, obj):
    return obj.review_set.last().user.username


def sorted_tags(self, obj):
    return [t.name for t in obj.tags.order_by("-name")[:2]]


def year(self, obj):
    return obj.pub_date.year


def month_of_parent(self, obj):
    return "%s" % obj.author.books.first().created.month


def formatted_date(self, obj):
    return obj.created.strftime("%Y-%m-%dT%H:%M:%SZ")


def json_get(self, obj):
    return obj.extra.get("medium")


def json_item(self, obj):
    return obj.extra["size"]["h"]


def json_default(self, obj):
    return obj.extra.get("medium", "x")


def json_or(self, obj):
    return obj.extra.get("odd key") or None


def json_list(self, obj):
    return [c["name"] for c in obj.extra["colours"]]


def json_test(self, obj):
    return "size" in obj.extra


def lines(self, obj):
    return [line.strip() for line in obj.summary.split("\n") if line.strip()]


def added(self, obj):
    names = [t.name for t in obj.tags.all()]
    names += [r.user.username for r in obj.review_set.all()]
    return names + ["x"]


def cut(self, obj):
    return int(obj.isbn[:3])


def by_model(self, obj):
    return [r.stars for r in Review.objects.filter(book=obj)]


def by_key(self, obj):
    return Review.objects.filter(book_id=obj.pk, stars=5).count()


def renamed(self, obj):
    names = [t.name for t in obj.tags.all()]
    return [n.upper() for n in names]


def has_one(self, obj):
    return hasattr(obj, "title")


def surprising(self, obj):
    return sorted(obj.title, key=len)


def nested(self, obj):
    return [[r.user.username for r in b.review_set.all()] for b in obj.author.books.all()]


def called(self, obj):
    return uuid.uuid4().hex


def mutated(self, obj):
    obj.title += "!"
    return obj.title


def skipping(self, obj):
    if obj.in_print:
        raise SkipDocument  # noqa: F821


def odd_format(self, obj):
    return obj.created.strftime("%s")


def middle(self, obj):
    return [t.name for t in obj.tags.all()[obj.pages :]]


def other_manager(self, obj):
    return [r.stars for r in Review.everything.filter(book=obj)]


def sorted_by_another(self, obj):
    return [r.stars for r in obj.review_set.order_by("user__username")]


def no_relation(self, obj):
    return [r.stars for r in Review.objects.filter(stars=3)]


class MethodTest(unittest.TestCase):
    def read(self, function) -> str:
        value = methods.read(function, Schema(), Path((), values.ROW, Book), object())
        if isinstance(value, Path) and value.plain:
            return str(value)
        return values.standing_alone(values.expression(value))

    def test_told(self):
        for function, expected in [
            (constant, "5"),
            (path, "author.mentor.last_name"),
            (doubled, 'upper(trim(title)) + " (" + string(format) + ")"'),
            (formatted, 'title + " - " + slug'),
            (choice, 'status == "d" ? nil : (pages == nil ? 0 : (pages * 2))'),
            (either, 'isbn != "" ? isbn : slug'),
            (loop, 'map(filter(tags, !(.name == "x")), lower(.name))'),
            (filtered, "map(filter(review_set, .stars >= 3 && .deleted == nil), .user.username)"),
            (
                excluded,
                'map(filter(review_set, !(lower(.text) contains lower("X") && .stars == 1)), .stars)',
            ),
            (counted, "len(map(filter(review_set, .stars == 5), 1))"),
            (exists, "len(tags) > 0 && !(editor.id != nil)"),
            (joined, 'join(map(tags, .name), ", ")'),
            (totalled, "sum(map(review_set, .stars))"),
            (attempted, "publisher.name"),
            (chained, "1 < pages && pages <= 9"),
            (listed, '[title, "x"]'),
            (keys, "tags.id"),
            (own, "title"),
            (rows, "tags.name"),
            (displayed, "lower(get_status_display)"),
            (url, '"/books/" + slug + "/"'),
            (some, "map(tags[:3], .name)"),
            (
                first_tag,
                'first(filter(tags, .name startsWith "x")).id != nil ? first(filter(tags, .name startsWith "x")).name : ""',
            ),
            (first_by_place, "first(tags).name"),
            (last_reviewer, "last(review_set).user.username"),
            (sorted_tags, "map(tags_by_name_desc[:2], .name)"),
            (year, "int(pub_date.Year())"),
            (month_of_parent, "string(int(first(author.books).created.Month()))"),
            (formatted_date, 'string(created.Format("2006-01-02T15:04:05Z"))'),
            (json_get, "extra.medium"),
            (json_item, "extra.size.h"),
            (json_default, '"medium" in extra ? extra.medium : "x"'),
            (
                json_or,
                """toJSON(extra["odd key"]) not in ['""', "0", "false", "[]", "{}"] ? extra["odd key"] : nil""",
            ),
            (json_list, "map(extra.colours, .name)"),
            (json_test, '"size" in extra'),
            (lines, r'map(filter(split(summary, "\n"), trim(#) != ""), trim(#))'),
            (added, 'concat(concat(map(tags, .name), map(review_set, .user.username)), ["x"])'),
            (cut, "int(isbn[:3])"),
            (by_model, "review_set.stars"),
            (by_key, "len(map(filter(review_set, .stars == 5), 1))"),
            (renamed, "map(map(tags, .name), upper(#))"),
            (has_one, "true"),
        ]:
            with self.subTest(function.__name__):
                self.assertEqual(self.read(function), expected)

    def test_untold(self):
        line = surprising.__code__.co_firstlineno
        with self.assertRaises(Untold) as caught:
            self.read(surprising)
        self.assertTrue(
            caught.exception.todo().startswith(f"TODO {File(__file__)}:{line + 1}: ")
            or f":{line + 1}: " in caught.exception.todo()
        )
        for function in (
            nested,
            called,
            mutated,
            skipping,
            odd_format,
            middle,
            other_manager,
            sorted_by_another,
            no_relation,
        ):
            with self.subTest(function.__name__), self.assertRaises(Untold):
                self.read(function)


class SchemaTest(unittest.TestCase):
    def meaning(self, model, *names: str) -> tuple[str, dict]:
        schema = Schema()
        at = Path((), values.ROW, model)
        for name in names:
            at = schema.attribute(at, name)
        return str(at), schema.yaml()

    def test_relations(self):
        for model, names, path, relation in [
            (Book, ("author", "last_name"), "author.last_name", None),
            (Book, ("publisher", "name"), "publisher.name", {"table": "library_publisher", "column": "house"}),
            (Book, ("pk",), "id", None),
            (Branch, ("city",), "place_ptr.city", None),
            (
                Genre,
                ("children",),
                "children",
                {"table": "library_genre", "column": "parent_id", "many": True, "order_by": ["name"]},
            ),
            (
                Tag,
                ("books",),
                "books",
                {
                    "table": "library_book",
                    "through": "library_book_tags",
                    "column": "tag_id",
                    "target_column": "book_id",
                    "many": True,
                },
            ),
            (
                Person,
                ("friends",),
                "friends",
                {
                    "table": "library_person",
                    "through": "library_person_friends",
                    "column": "from_person_id",
                    "target_column": "to_person_id",
                    "many": True,
                    "order_by": ["last_name", "first_name"],
                },
            ),
            (
                Book,
                ("review_set",),
                "review_set",
                {
                    "table": "library_review",
                    "column": "book_id",
                    "many": True,
                    "order_by": ["created", "id"],
                    "where": "deleted == nil",
                },
            ),
            (
                get_user_model(),
                ("branches",),
                "branches",
                {"table": "library_branch", "column": "manager_id", "many": True},
            ),
        ]:
            with self.subTest(path):
                found, tables = self.meaning(model, *names)
                self.assertEqual(found, path)
                declared = tables.get(model._meta.db_table, {}).get("relations", {}).get(names[0])
                self.assertEqual(declared, relation)

    def test_generic_key(self):
        with self.assertRaisesRegex(Untold, "rows of any table"):
            self.meaning(Book, "labels", "content_object")

    def test_missing(self):
        with self.assertRaisesRegex(Untold, "Book has no nothing"):
            self.meaning(Book, "nothing")


class TemplateTest(unittest.TestCase):
    def render(self, text: str, model=Book, **files: str) -> tuple[str, dict]:
        loaders = [
            ("django.template.loaders.locmem.Loader", {"t.txt": text, **{f"{k}.txt": v for k, v in files.items()}})
        ]
        backend = {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
        schema = Schema()
        with override_settings(TEMPLATES=[backend]):
            return Template(["t.txt"], schema, Path((), values.ROW, model), File.cwd()).text, schema.yaml()

    def test_kept(self):
        text = "{% for t in object.tags.all %}{{ t.name|upper }}{{ forloop.counter }}{% endfor %}{{ object.created.year }}{% if object.pages > 3 %}x{% endif %}"
        self.assertEqual(self.render(text)[0], text)

    def test_renamed(self):
        for model, text, expected in [
            (
                Branch,
                "{{ object.name|upper }} {{ object.pk }}",
                "{{ object.place_ptr.name|upper }} {{ object.place_ptr_id }}",
            ),
            (Book, "{{ object.publisher_id }}", "{{ object.house }}"),
            (
                get_user_model(),
                "{% for b in object.branches.all %}{{ b.city }}{% endfor %}",
                "{% for b in object.branches.all %}{{ b.place_ptr.city }}{% endfor %}",
            ),
        ]:
            self.assertEqual(self.render(text, model)[0], expected)

    def test_computed(self):
        _, tables = self.render(
            "{{ object }} {{ object.author }} {{ object.author.sort_name }} {{ object.get_status_display }}"
        )
        self.assertEqual(tables["library_book"]["computed"], {"__str__": "{{ .title }}"})
        self.assertEqual(
            tables["library_book"]["choices"], {"status": {"d": "Draft", "p": "Published", "w": "Withdrawn & gone"}}
        )
        self.assertEqual(
            tables["library_person"]["computed"],
            {"__str__": "{{ .first_name }} {{ .last_name }}", "sort_name": "{{ .last_name }}, {{ .first_name }}"},
        )

    def test_null(self):
        """None is no zero and no empty text."""
        for text, expected in [
            (
                "{{ object.rated }}",
                "{{ if eq .rating nil }}unrated{{ else }}rated in {{ .author.last_name }}'s book{{ end }}",
            ),
        ]:
            self.assertEqual(self.render(text)[1]["library_book"]["computed"]["rated"], expected)

    def test_included(self):
        text, _ = self.render('{% include "part.txt" with x=object.author only %}.', part="{{ x.last_name }}\n")
        self.assertEqual(text, "{% with x=object.author %}{{ x.last_name }}\n{% endwith %}.")

    def test_untold(self):
        for text, message in [
            ("\n{{ object.nothing }}", "Book has no nothing"),
            ("\n{{ other.title }}", "other, which is not given"),
            ("\n{% now 'Y' %}", "the tag now"),
            ("\n{% extends 'x.txt' %}", "the tag extends"),
            ("\n{% include object.title %}", "computed"),
            ("\n{% load highlight %}{% highlight object.title with object.slug %}", "the tag highlight"),
            ("\n{{ object.is_long }}", "computed and no text"),
        ]:
            with self.subTest(text), self.assertRaisesRegex(Untold, message) as caught:
                self.render(text)
            self.assertIn(2, (caught.exception.place.line, 2 if "extends" in text else 0))


class NameTest(unittest.TestCase):
    """Names of tables and columns that are no plain words."""

    def test_tables(self):
        for table, expected in [
            ("library_book", "library_book"),
            ('stock"."item', "stock.item"),
            ('"stock"."item"', "stock.item"),
            ("stock`.`item", "stock.item"),
            ("library.book", '"library.book"'),
            ('stock"."an.item', 'stock."an.item"'),
            ('"quoted"', "quoted"),
        ]:
            meta = mock.Mock(db_table=table)
            self.assertEqual(table_name(mock.Mock(_meta=meta)), expected)

    def test_label_of_none(self):
        field = Book._meta.get_field("on_loan")
        self.addCleanup(setattr, field, "choices", field.choices)
        field.choices = [(None, "unknown"), (True, "yes")]
        with (
            mock.patch.object(Book, "get_on_loan_display", vars(Book)["get_status_display"], create=True),
            self.assertRaisesRegex(Untold, "get_on_loan_display of Book, whose choices have a label for None"),
        ):
            Schema().display(Path((), values.ROW, Book), "get_on_loan_display")

    def test_columns(self):
        for names, expression, element in [
            (("a", "b"), "a.b", ".a.b"),
            (("a", "b c"), 'a["b c"]', '.a["b c"]'),
            (("b c", "d"), '$env["b c"].d', '#["b c"].d'),
        ]:
            self.assertEqual(values.members(names), expression)
            self.assertEqual(values.members(names, "."), element)
        self.assertEqual(values.dotted(("a", "b")), "a.b")
        with self.assertRaisesRegex(Untold, "the column 'b c' in a template"):
            values.dotted(("a", "b c"))


class YamlTest(unittest.TestCase):
    def test_scalars(self):
        for value, expected in [
            ("plain", "plain"),
            ("two words", "two words"),
            ("true", '"true"'),
            ("12", '"12"'),
            ("1a", '"1a"'),
            ("a: b", '"a: b"'),
            ("a #b", '"a #b"'),
            ("", '""'),
            (" x", '" x"'),
            ('a "b"', "'a \"b\"'"),
            ("ü", '"ü"'),
            ("*", '"*"'),
            (None, "null"),
            (True, "true"),
            (Decimal("1.50"), "1.50"),
            ("no", '"no"'),
            ("a - b", "a - b"),
            ("-", '"-"'),
            ("a\nb", '"a\\nb"'),
        ]:
            with self.subTest(value):
                self.assertEqual(yaml.scalar(value), expected)

    def test_block(self):
        text = yaml.dump(
            {"a": {"b": {"c": 1, "d": [1, "x"]}}, yaml.Comment("one\ntwo"): None, "t": "x\ny\n", "u": "x\ny"}
        )
        self.assertEqual(text, "a:\n  b:\n    c: 1\n    d: [1, x]\n# one\n# two\nt: |\n  x\n  y\nu: |-\n  x\n  y\n")


if __name__ == "__main__":
    unittest.main()
