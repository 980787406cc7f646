"""Fills the library; with --change, does to it what an application does in a day."""

import datetime
import uuid
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from library.models import Book, BookGenre, Branch, Genre, Label, Loan, Person, Publisher, Review, Tag

UTC = datetime.timezone.utc
WORDS = [
    "river",
    "stone",
    "<b>light</b>",
    "&",
    "shadow",
    "winter",
    "garden",
    "letter",
    "ocean",
    "silent",
    "running",
    "mountains",
    "history",
    "cooking",
]


def moment(day: int, microsecond: int = 0) -> datetime.datetime:
    return datetime.datetime(2021, 1, 1, 22, 30, 15, microsecond, tzinfo=UTC) + datetime.timedelta(days=day)


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--change", action="store_true")

    def handle(self, *args, **options):
        (change if options["change"] else fill)()


@transaction.atomic
def fill():
    users = [
        get_user_model().objects.create(username=f"user{i}", first_name=f"Åsa{i}", last_name="O'Neil & <co>")
        for i in range(5)
    ]
    tags = [Tag.objects.create(name=name) for name in ("classic", "new", "sold-out", "zürich", "<odd>")]
    roots = [Genre.objects.create(name=name) for name in ("fiction", "non-fiction")]
    genres = roots + [Genre.objects.create(name=f"genre {i}", parent=roots[i % 2]) for i in range(6)]
    people = [Person.objects.create(first_name=f"First{i}", last_name=f"Last{i:02}") for i in range(12)]
    for i, person in enumerate(people):
        person.mentor = people[i // 2] if i % 3 else None
        person.save()
        person.friends.add(*people[i + 1 : i + 3])
    houses = [
        Publisher.objects.create(
            id=uuid.UUID(int=i + 1), name=f"House {i}", founded=datetime.date(1900 + i, 2, 3) if i % 2 else None
        )
        for i in range(4)
    ]
    for i in range(4):
        Branch.objects.create(
            name=f"Branch {i}",
            city="Gent" if i % 2 else "Århus",
            latitude=51 + i / 8,
            longitude=4.25 * i,
            opened=datetime.date(2001, 1 + i, 9),
            manager=users[i],
        )
    for i in range(60):
        book(i, users, tags, genres, people, houses)


def book(i, users, tags, genres, people, houses):
    b = Book.objects.create(
        title=f"{WORDS[i % len(WORDS)]} and {WORDS[(i * 7 + 3) % len(WORDS)]} {i}",
        slug=f"book-{i}",
        isbn=["", f"978-{i:07}", "withdrawn"][i % 3 if i % 10 else 2],
        extra=[{}, {"medium": "paper", "size": {"h": i}, "colours": ["red", "grün"]}, {"medium": None, "colours": []}][i % 3],
        status="ppdpw"[i % 5],
        format=1 + i % 3,
        summary=" ".join(WORDS[(i + k) % len(WORDS)] for k in range(i % 30)),
        price=Decimal(i * 111) / 100,
        rating=None if i % 4 == 0 else max(0, i - 5) / 8,
        pages=None if i % 5 == 0 else i * 17,
        in_print=i % 2 == 0,
        on_loan=(None, True, False)[i % 3],
        pub_date=None if i % 6 == 0 else datetime.date(1990 + i % 30, 1 + i % 12, 1 + i % 28),
        created=moment(i, i * 1001 if i % 3 else 0),
        available_from=moment(i) if i % 9 else datetime.datetime(2100, 1, 1, tzinfo=UTC),
        author=people[i % 12],
        editor=users[i % 5] if i % 3 else None,
        publisher=houses[i % 4] if i % 5 else None,
    )
    b.tags.add(*tags[: i % 6])
    for k in range(i % 4):
        BookGenre.objects.create(book=b, genre=genres[(i + k) % len(genres)], main=k == 0)
    for k in range(i % 3):
        Label.objects.create(word=f"Label{k}", content_object=b)
    Label.objects.create(word="of a person", content_object=people[i % 12])
    for k in range(i % 5):
        Review.objects.create(
            book=b,
            user=users[k],
            text=f"{WORDS[(i + k) % 12]} <i>review</i> {k}",
            stars=1 + (i + k) % 5,
            created=moment(k),
            deleted=moment(k) if k == 2 else None,
        )


def change():
    """Everything that the ORM does to rows, by every way it has."""
    books = list(Book.objects.order_by("id"))
    users = list(get_user_model().objects.order_by("id"))
    Tag.objects.bulk_create([Tag(name=f"bulk {i}") for i in range(3)])
    Book.objects.filter(id__lte=books[9].id).update(title="Updated at once", status="p")
    for b in books[10:20]:
        b.rating, b.summary = 4.5, "bulk updated"
    Book.objects.bulk_update(books[10:20], ["rating", "summary"])
    books[20].tags.set(Tag.objects.filter(name__startswith="bulk"))
    books[21].tags.clear()
    books[22].genres.add(Genre.objects.first(), through_defaults={"main": True})
    Person.objects.filter(last_name="Last03").update(last_name="Renamed")
    Person.objects.get(last_name="Last05").friends.clear()
    Review.objects.filter(book=books[24]).update(deleted=moment(900))
    Review.everything.filter(book=books[23]).update(deleted=None)
    Review.objects.create(book=books[25], user=users[0], text="late", created=moment(901))
    Label.objects.filter(object_id=books[26].id).delete()
    Publisher.objects.filter(id=uuid.UUID(int=2)).delete()  # SET NULL
    Person.objects.get(last_name="Last11").delete()  # cascades to books, and to all that refers to them
    Genre.objects.get(name="fiction").delete()
    Branch.objects.filter(city="Gent").update(name="Moved", opened=datetime.date(2020, 2, 29))
    Branch.objects.order_by("id").last().delete()
    Loan.objects.create(book=books[27], reader=users[1], due=datetime.date(2030, 1, 1))
    with transaction.atomic():
        kept = Tag.objects.create(name="kept")
        books[28].tags.add(kept)
        try:
            with transaction.atomic():
                books[29].tags.add(kept)
                Book.objects.filter(id=books[29].id).update(title="never seen")
                raise RuntimeError
        except RuntimeError:
            pass
    Book.objects.filter(id=books[30].id).update(available_from=datetime.datetime(2100, 1, 1, tzinfo=UTC))
    books[31].delete()
    Genre.objects.create(name="last of all")
