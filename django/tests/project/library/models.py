"""Models with every kind of field and relation that search indexes are made of."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import reverse
from django.utils import timezone


class Tag(models.Model):
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Label(models.Model):
    """A word on anything, as tagging packages have it."""

    word = models.CharField(max_length=40)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.BigIntegerField(db_index=True)
    content_object = GenericForeignKey()

    class Meta:
        ordering = ["id"]


class Genre(models.Model):
    name = models.CharField(max_length=60)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Person(models.Model):
    first_name = models.CharField(max_length=60)
    last_name = models.CharField(max_length=60)
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="pupils")
    friends = models.ManyToManyField("self", blank=True)

    class Meta:
        ordering = ["last_name", "first_name"]

    def __str__(self):
        return self.get_full_name()

    def get_full_name(self):
        return f"{self.first_name} {self.last_name}"

    @property
    def sort_name(self):
        return "%s, %s" % (self.last_name, self.first_name)


class Publisher(models.Model):
    """A key that the application makes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    founded = models.DateField(null=True, blank=True)

    def __str__(self):
        return self.name


class Place(models.Model):
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=60)
    latitude = models.FloatField()
    longitude = models.FloatField()

    def __str__(self):
        return self.name


class Branch(Place):
    """Multi-table inheritance: name and city are columns of another table."""

    opened = models.DateField()
    manager = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="branches")


class PublishedManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(status="p")


class Book(models.Model):
    DRAFT, PUBLISHED, WITHDRAWN = "d", "p", "w"
    STATUS = [(DRAFT, "Draft"), (PUBLISHED, "Published"), (WITHDRAWN, "Withdrawn & gone")]
    FORMATS = [("Paper", [(1, "Hardcover"), (2, "Paperback")]), (3, "E-book")]

    title = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    isbn = models.CharField(max_length=13, blank=True)
    extra = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=1, choices=STATUS, default=DRAFT)
    format = models.SmallIntegerField(choices=FORMATS, default=1)
    summary = models.TextField(blank=True, db_column=settings.SUMMARY_COLUMN)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=Decimal("0"))
    rating = models.FloatField(null=True, blank=True)
    pages = models.PositiveIntegerField(null=True, blank=True)
    in_print = models.BooleanField(default=True)
    on_loan = models.BooleanField(null=True)
    pub_date = models.DateField(null=True, blank=True)
    created = models.DateTimeField(default=timezone.now)
    available_from = models.DateTimeField(default=timezone.now)
    author = models.ForeignKey(Person, models.CASCADE, related_name="books")
    editor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True, blank=True, db_column="house")
    tags = models.ManyToManyField(Tag, blank=True, related_name="books")
    genres = models.ManyToManyField(Genre, through="BookGenre", related_name="books")
    labels = GenericRelation(Label)

    objects = models.Manager()
    published = PublishedManager()

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        return reverse("book", args=[self.slug])

    @property
    def rated(self):
        if self.rating is None:
            return "unrated"
        return f"rated in {self.author.last_name}'s book"

    @property
    def latest_review(self):
        return self.review_set.last()

    @property
    def is_long(self):
        return self.pages is not None and self.pages > 400


class BookGenre(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    genre = models.ForeignKey(Genre, models.CASCADE)
    main = models.BooleanField(default=False)


class ReviewManager(models.Manager):
    """Soft delete: rows stay, and nobody sees them."""

    def get_queryset(self):
        return super().get_queryset().filter(deleted__isnull=True)


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.TextField()
    stars = models.IntegerField(default=3)
    created = models.DateTimeField(default=timezone.now)
    deleted = models.DateTimeField(null=True, blank=True)

    objects = ReviewManager()
    everything = models.Manager()

    class Meta:
        ordering = ["created", "id"]

    def __str__(self):
        return self.text


class Loan(models.Model):
    """Not in the search: what the daemon must leave alone."""

    book = models.ForeignKey(Book, models.CASCADE)
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    due = models.DateField()
