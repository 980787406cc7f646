"""Asks every kind of question that a SearchQuerySet can, and prints the answers as JSON."""

import datetime
import json

from django.contrib.gis.geos import Point
from django.contrib.gis.measure import D
from django.core.management.base import BaseCommand
from haystack.inputs import AutoQuery, Clean, Exact
from haystack.query import SQ, SearchQuerySet

from library.models import Book, Branch, Genre, Person, Publisher, Review

MODELS = {m._meta.label_lower: m for m in (Book, Branch, Genre, Person, Publisher, Review)}


def ids(results, ordered=False):
    found = [r.id for r in results]
    return found if ordered else sorted(found)


def questions(using, models):
    sqs = SearchQuerySet(using=using).models(*(MODELS[m] for m in models))

    def of(model):
        return SearchQuerySet(using=using).models(MODELS[model])

    yield "count", sqs.count()
    yield "all", ids(sqs.all())
    yield "models", {m: of(m).count() for m in models}
    yield "content", ids(sqs.filter(content="branch"))
    yield "auto query", ids(sqs.auto_query("branch -moved"))
    yield (
        "pagination",
        [r.id for r in sqs.order_by("django_ct", "django_id")[3:9]]
        + [r.id for r in sqs.order_by("django_ct", "django_id")[9:12]],
    )
    if "library.review" in models:
        reviews = of("library.review")
        yield "stemming", ids(reviews.filter(content="reviews"))
        yield "range", ids(reviews.filter(created__gte=datetime.datetime(2021, 1, 2)))
        yield "in", ids(reviews.filter(stars_exact__in=[1, 5]))
        yield "exclude", ids(reviews.exclude(content="river"))
        yield "or", ids(reviews.filter(SQ(content="river") | SQ(content="stone")))
        yield "order", [[r.stars, r.created.isoformat()] for r in reviews.order_by("-created", "django_id")]
        yield "facet", reviews.facet("stars").facet_counts()
        yield "narrow", ids(reviews.narrow("stars_exact:3"))
        yield (
            "date facet",
            reviews.date_facet("created", datetime.date(2021, 1, 1), datetime.date(2021, 2, 1), "day").facet_counts(),
        )
        yield "highlight", sorted((r.id, r.highlighted) for r in reviews.filter(content="river").highlight())
        yield "load_all", sorted((r.id, str(r.object), r.object.user.username) for r in reviews.load_all())
        yield "stored", sorted((r.id, str(r.get_stored_fields()["created"])) for r in reviews)
        yield "values", sorted(reviews.values_list("book", flat=True))
        yield "more_like_this", ids(reviews.more_like_this(Review.objects.order_by("id").first())[:500])
        yield "clean", ids(reviews.filter(content=Clean("river AND (")))
    if "library.branch" in models:
        branches = of("library.branch")
        yield "exact", ids(branches.filter(name_exact=Exact("Branch 2")))
        yield "near", ids(branches.dwithin("location", Point(4.25, 51.125), D(km=30)))
        yield "distance", ids(branches.distance("location", Point(0, 51)).order_by("distance"), ordered=True)
        yield "opened", [str(r.opened) for r in branches.order_by("opened")]
    if "library.book" in models:
        books = of("library.book")
        yield "autocomplete", ids(books.autocomplete(title_auto="mou"))
        yield "ngram", ids(books.filter(title_part="ount"))
        yield "facets", books.facet("tags").facet("author").facet("status").facet_counts()
        yield "multi-value", ids(books.filter(tags="zürich"))
        yield "price", ids(books.filter(price_number__lt=20))
        yield "boolean", ids(books.filter(in_print="true"))
        yield "date", ids(books.filter(pub_date__lte=datetime.date(2000, 1, 1)))
        yield "similar", ids(books.more_like_this(Book.published.order_by("id")[1])[:500])
        yield (
            "months",
            books.date_facet("created", datetime.date(2021, 1, 1), datetime.date(2021, 6, 1), "month").facet_counts(),
        )
        yield "phrases", ids(books.filter(content=AutoQuery('"and garden"')))
    if "library.person" in models:
        yield "people", ids(of("library.person").autocomplete(name_auto="last0"))


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--using", default="default")
        parser.add_argument("--models", required=True)

    def handle(self, *args, **options):
        answers = dict(questions(options["using"], options["models"].split(",")))
        self.stdout.write(json.dumps(answers, default=str, ensure_ascii=False))
