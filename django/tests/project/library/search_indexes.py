"""Search indexes with every shape that the command takes over, and some that it cannot."""

from django.utils import timezone
from haystack import indexes

from library.models import Book, Branch, Genre, Person, Publisher, Review


class BookIndex(indexes.SearchIndex, indexes.Indexable):
    text = indexes.CharField(document=True, use_template=True)
    title = indexes.CharField(model_attr="title", boost=1.125)
    title_auto = indexes.EdgeNgramField(model_attr="title")
    title_part = indexes.NgramField(model_attr="title")
    slug = indexes.CharField(model_attr="slug", indexed=False)
    summary = indexes.CharField(use_template=True, stored=False, null=True)
    status = indexes.CharField(model_attr="status", faceted=True)
    status_label = indexes.CharField(model_attr="get_status_display")
    format = indexes.IntegerField(model_attr="format")
    format_label = indexes.CharField()
    price = indexes.DecimalField(model_attr="price")
    price_number = indexes.FloatField(model_attr="price")
    rating = indexes.FloatField(model_attr="rating", null=True)
    pages = indexes.IntegerField(model_attr="pages", default=0)
    in_print = indexes.BooleanField(model_attr="in_print")
    on_loan = indexes.BooleanField(model_attr="on_loan", null=True)
    is_long = indexes.BooleanField()
    pub_date = indexes.DateField(model_attr="pub_date", null=True, faceted=True)
    created = indexes.DateTimeField(model_attr="created")
    author = indexes.CharField(model_attr="author", faceted=True)
    author_last = indexes.CharField(model_attr="author__last_name")
    author_sort = indexes.CharField(model_attr="author__sort_name")
    mentor = indexes.CharField(model_attr="author__mentor__last_name", null=True)
    editor = indexes.CharField(model_attr="editor__username", default="nobody")
    publisher = indexes.CharField(model_attr="publisher__name", null=True)
    publisher_facet = indexes.FacetCharField(facet_for="publisher")
    publisher_id = indexes.CharField(model_attr="publisher_id", null=True)
    tags = indexes.MultiValueField(faceted=True)
    tag_names = indexes.MultiValueField(model_attr="tags__name", null=True)
    genres = indexes.MultiValueField(null=True)
    genre_ids = indexes.MultiValueField()
    labels = indexes.MultiValueField()
    reviewers = indexes.MultiValueField()
    review_count = indexes.IntegerField()
    stars = indexes.MultiValueField()
    kind = indexes.CharField()
    shelf = indexes.CharField()
    credit = indexes.CharField()
    url = indexes.CharField(model_attr="get_absolute_url", indexed=False)
    created_text = indexes.CharField(model_attr="created")
    rating_text = indexes.CharField(model_attr="rating", null=True)
    day_text = indexes.EdgeNgramField(model_attr="pub_date", null=True)
    mood = indexes.CharField(null=True)
    year = indexes.IntegerField(model_attr="pub_date__year", null=True)
    month = indexes.IntegerField()
    created_day = indexes.CharField()
    some_tags = indexes.MultiValueField()
    tags_backwards = indexes.MultiValueField()
    title_words = indexes.MultiValueField()
    title_length = indexes.IntegerField(null=True)
    first_reviewer = indexes.CharField(null=True)
    last_review = indexes.CharField(null=True)
    ratings = indexes.MultiValueField()
    medium = indexes.CharField(null=True)
    colours = indexes.MultiValueField()
    height = indexes.IntegerField(null=True)
    people = indexes.MultiValueField()

    def get_model(self):
        return Book

    def get_updated_field(self):
        return "created"

    def index_queryset(self, using=None):
        return (
            self.get_model()
            .published.filter(available_from__lte=timezone.now())
            .exclude(isbn="withdrawn")
            .select_related("author")
        )

    def prepare_format_label(self, obj):
        return obj.get_format_display()

    def prepare_is_long(self, obj):
        return bool(obj.pages and obj.pages > 400)

    def prepare_tags(self, obj):
        return [tag.name for tag in obj.tags.all()]

    def prepare_genres(self, obj):
        return list(obj.genres.values_list("name", flat=True))

    def prepare_genre_ids(self, obj):
        return [genre.pk for genre in obj.genres.all()]

    def prepare_labels(self, obj):
        return [label.word for label in obj.labels.all()]

    def prepare_reviewers(self, obj):
        return [review.user.username for review in obj.review_set.all()]

    def prepare_review_count(self, obj):
        return obj.review_set.count()

    def prepare_stars(self, obj):
        return [r.stars for r in obj.review_set.all() if r.stars > 2]

    def prepare_kind(self, obj):
        return "book"

    def prepare_shelf(self, obj):
        if obj.in_print:
            return obj.slug
        return "archive"

    def prepare_credit(self, obj):
        return f"{obj.title} by {obj.author.get_full_name()}"

    def prepare(self, obj):
        self.prepared_data = super().prepare(obj)
        self.prepared_data["title_length"] = len(self.prepared_data["title"])
        if obj.in_print:
            self.prepared_data["people"] += [obj.author.last_name]
        return self.prepared_data

    def prepare_people(self, obj):
        people = [review.user.username for review in obj.review_set.all()]
        people += [friend.last_name for friend in obj.author.friends.order_by("pk")[:2]]
        return people

    def prepare_month(self, obj):
        return obj.created.month

    def prepare_created_day(self, obj):
        return obj.created.strftime("%d %b %Y, %H:%M")

    def prepare_some_tags(self, obj):
        return [tag.name for tag in obj.tags.all()[:2]]

    def prepare_tags_backwards(self, obj):
        return [tag.name for tag in obj.tags.order_by("-pk")]

    def prepare_title_words(self, obj):
        return [word.strip().lower() for word in obj.title.split(" ") if word.strip()]

    def prepare_first_reviewer(self, obj):
        review = obj.review_set.filter(stars__gte=3).first()
        return review.user.username if review else None

    def prepare_last_review(self, obj):
        return obj.latest_review.text[:12] if obj.latest_review else None

    def prepare_ratings(self, obj):
        return [r.stars for r in Review.objects.filter(book=obj, stars__gte=2)]

    def prepare_medium(self, obj):
        return obj.extra.get("medium") or "unknown"

    def prepare_colours(self, obj):
        return [colour.upper() for colour in obj.extra.get("colours", [])]

    def prepare_height(self, obj):
        return obj.extra["size"]["h"] if "size" in obj.extra else None

    def prepare_mood(self, obj):
        # What no column tells: a person has to decide.
        words = obj.summary.split()
        return max(words, key=len) if words else None


class PersonIndex(indexes.SearchIndex, indexes.Indexable):
    text = indexes.CharField(document=True, use_template=True)
    name = indexes.CharField(model_attr="get_full_name")
    name_auto = indexes.EdgeNgramField(model_attr="last_name")
    friends = indexes.MultiValueField()
    pupils = indexes.MultiValueField()

    def get_model(self):
        return Person

    def prepare(self, obj):
        data = super().prepare(obj)
        data["friends"] = [friend.last_name for friend in obj.friends.all()]
        data["pupils"] = [pupil.last_name for pupil in obj.pupils.all()]
        return data


class PublisherIndex(indexes.SearchIndex, indexes.Indexable):
    text = indexes.CharField(document=True, model_attr="name")
    founded = indexes.DateTimeField(model_attr="founded", null=True)

    def get_model(self):
        return Publisher


class BranchIndex(indexes.SearchIndex, indexes.Indexable):
    text = indexes.CharField(document=True, use_template=True, template_name="search/branch.txt")
    name = indexes.CharField(model_attr="name", faceted=True)
    opened = indexes.DateField(model_attr="opened")
    manager = indexes.CharField(model_attr="manager")
    location = indexes.LocationField()

    def get_model(self):
        return Branch

    def prepare_location(self, obj):
        return "%s,%s" % (obj.latitude, obj.longitude)


class GenreIndex(indexes.ModelSearchIndex, indexes.Indexable):
    class Meta:
        model = Genre
        fields = ["name"]


class ReviewIndex(indexes.SearchIndex, indexes.Indexable):
    text = indexes.CharField(document=True, model_attr="text")
    book = indexes.CharField(model_attr="book__title")
    user = indexes.CharField(model_attr="user")
    stars = indexes.IntegerField(model_attr="stars", faceted=True)
    created = indexes.DateTimeField(model_attr="created")

    def get_model(self):
        return Review
