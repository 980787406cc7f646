"""Goes on writing as an application does, by every way that the ORM has, at random from a seed, also while migrations run."""

import random
import subprocess
import sys
import uuid
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction

from library.management.commands.populate import WORDS, moment
from library.models import Book, BookGenre, Branch, Genre, Label, Person, Publisher, Review, Tag


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--migrate", nargs="*", default=[], help="migrations that run beside")

    def handle(self, *args, **options):
        writer = Writer(options["seed"])
        if options["migrate"]:
            writer.give_way(True)
        for migration in options["migrate"]:
            writer.beside = subprocess.Popen([sys.executable, "manage.py", "migrate", "library", migration, "-v0"])
            while writer.beside.poll() is None:
                writer.transaction()
            if writer.beside.returncode:
                raise CommandError(f"migrate {migration} has failed")
        writer.beside = None
        writer.give_way(False)
        writer.transactions(60)
        self.stdout.write(" ".join(f"{name}:{count}" for name, count in sorted(writer.done.items())))


class RolledBack(Exception):
    pass


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seed = seed
        self.number = 0
        self.beside = None  # the migration that runs
        self.done = {}
        self.ways = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")]

    def give_way(self, first):
        """Wait for a lock not as long as a migration does, which must not be the one that ends in a deadlock. MySQL and
        MariaDB see none between a table that is being altered and a row, and wait in seconds."""
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", ["200ms" if first else "0"])
            else:
                timeout = "1" if first else "DEFAULT"
                cursor.execute(f"SET SESSION lock_wait_timeout = {timeout}, innodb_lock_wait_timeout = {timeout}")

    def transactions(self, number):
        for _ in range(number):
            self.transaction()

    def transaction(self):
        """One to four writes, in a transaction or each in its own, some of them rolled back to a savepoint."""
        try:
            if self.random.random() < 0.3:
                return self.write()
            with transaction.atomic():
                for _ in range(self.random.randint(1, 4)):
                    self.savepoint()
                if self.random.random() < 0.2:
                    transaction.on_commit(self.do_review)
                if self.random.random() < 0.1:
                    raise RolledBack
        except RolledBack:
            pass
        except DatabaseError:
            if not self.beside:  # a migration stands in the way: a deadlock, a foreign key of a table that is being altered
                raise

    def savepoint(self):
        try:
            with transaction.atomic():
                self.write()
                if self.random.random() < 0.2:
                    raise RolledBack
        except RolledBack:
            pass

    def write(self):
        way = self.random.choice(self.ways)
        way()
        self.done[way.__name__[3:]] = self.done.get(way.__name__[3:], 0) + 1

    def some(self, model, limit=3):
        rows = list(model.objects.order_by("pk"))
        return self.random.sample(rows, min(len(rows), self.random.randint(1, limit)))

    def one(self, model):
        return self.some(model, 1)[0]

    def text(self):
        self.number += 1
        words = " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, 6)))
        return f"{words} {self.seed}-{self.number}"

    def name(self):
        """A name that every database sorts in the same way: where rows come by name, text is sorted by its bytes."""
        self.number += 1
        return f"written-{self.seed}-{self.number:05}"

    def new_book(self):
        title = self.text()
        return Book(
            title=title,
            extra=self.random.choice([{}, {"medium": title, "size": {"h": self.number}, "colours": [title]}]),
            slug=f"written-{self.seed}-{self.number}",
            status=self.random.choice("ppd"),
            format=self.random.choice([1, 2, 3]),
            price=Decimal(self.random.randint(0, 9999)) / 100,
            pages=self.random.choice([None, 0, 99, 900]),
            created=moment(self.number),
            available_from=moment(self.number),
            author=self.one(Person),
            publisher=self.random.choice([None, self.one(Publisher)]),
        )

    def do_create(self):
        book = self.new_book()
        book.save()
        book.tags.add(*self.some(Tag))
        book.genres.add(*self.some(Genre), through_defaults={"main": True})

    def do_bulk_create(self):
        books = Book.objects.bulk_create([self.new_book() for _ in range(5)])
        books = Book.objects.filter(slug__in=[book.slug for book in books])  # MySQL tells no keys
        BookGenre.objects.bulk_create([BookGenre(book=book, genre=self.one(Genre)) for book in books])
        Label.objects.bulk_create([Label(word=self.text()[:40], content_object=book) for book in books])

    def do_bulk_update(self):
        books = self.some(Book, 8)
        for book in books:
            book.title, book.rating, book.in_print = self.text(), self.random.random() * 5, not book.in_print
        Book.objects.bulk_update(books, ["title", "rating", "in_print"], batch_size=3)

    def do_update(self):
        Book.objects.filter(pk__gte=self.one(Book).pk, status="p").update(summary=self.text())

    def do_update_parent(self):
        Person.objects.filter(pk=self.one(Person).pk).update(last_name=self.name().title())

    def do_save_fields(self):
        book = self.one(Book)
        book.author, book.status = self.one(Person), self.random.choice("pdw")
        book.save(update_fields=["author", "status"])

    def do_update_or_create(self):
        Tag.objects.get_or_create(name=self.name())
        Tag.objects.update_or_create(pk=self.one(Tag).pk, defaults={"name": self.name()})

    def do_m2m(self):
        book, tags = self.one(Book), self.some(Tag)
        self.random.choice([book.tags.add, book.tags.remove, lambda *tags: book.tags.set(tags)])(*tags)

    def do_m2m_from_the_other_side(self):
        self.one(Tag).books.set(self.some(Book, 5))

    def do_m2m_clear(self):
        self.random.choice([self.one(Book).tags, self.one(Tag).books, self.one(Person).friends]).clear()

    def do_friends(self):
        self.one(Person).friends.add(*self.some(Person))

    def do_review(self):
        Review.objects.create(book=self.one(Book), user=self.one(get_user_model()), text=self.text(), created=moment(self.number))

    def do_soft_delete(self):
        Review.everything.filter(book=self.one(Book)).update(deleted=self.random.choice([None, moment(self.number)]))

    def do_inherited(self):
        branch = self.one(Branch)
        branch.name, branch.manager = self.text(), self.one(get_user_model())
        branch.save()

    def do_new_inherited(self):
        Branch.objects.create(
            name=self.text(), city="Oslo", latitude=self.random.random() * 80, longitude=2.5,
            opened=moment(self.number).date(), manager=self.one(get_user_model()),
        )

    def do_new_publisher(self):
        Publisher.objects.create(id=uuid.UUID(int=self.random.getrandbits(128), version=4), name=self.text())

    def do_delete(self):
        Book.objects.filter(pk__in=[book.pk for book in self.some(Book)]).delete()

    def do_delete_with_cascades(self):
        if Person.objects.count() > 6:
            self.one(Person).delete()

    def do_delete_set_null(self):
        if Publisher.objects.count() > 2:
            self.one(Publisher).delete()

    def do_delete_tag(self):
        if Tag.objects.count() > 3:
            self.one(Tag).delete()
