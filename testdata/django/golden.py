"""Renders templates with Django and writes what comes out to golden.json.

    python3 -m venv /tmp/django && /tmp/django/bin/pip install 'django==5.2.*' tzdata
    /tmp/django/bin/python testdata/django/golden.py

The Go test of mapping/template/django renders the same templates and compares.
"""

import datetime
import json
import os
import pathlib
import sys
import time
import types
from decimal import Decimal

import django
from django.conf import settings

ZONES = ["UTC", "Europe/Prague", "America/New_York"]
FILES = {}

# An app to which the models below belong.
sys.modules["golden"] = types.ModuleType("golden")
sys.modules["golden"].__path__ = [str(pathlib.Path(__file__).parent)]

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["golden", "django.contrib.humanize"],
    USE_TZ=True,
    TIME_ZONE="UTC",
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", FILES)]},
    }],
)
django.setup()

from django.db import connection, models  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from django.utils import timezone  # noqa: E402


# Models, with a row or two each.


class Org(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        app_label = "golden"


class Person(models.Model):
    first = models.CharField(max_length=50)
    last = models.CharField(max_length=50)
    born = models.DateField(null=True)
    org = models.ForeignKey(Org, models.CASCADE, null=True)

    class Meta:
        app_label = "golden"

    def __str__(self):
        return self.get_full_name()

    def get_full_name(self):
        return f"{self.first} {self.last}"


class Tag(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        app_label = "golden"
        ordering = ["name"]

    def __str__(self):
        return self.name


class Note(models.Model):
    STATUS = [("d", "Draft & more"), ("p", "Published")]
    title = models.CharField(max_length=50)
    status = models.CharField(max_length=1, choices=STATUS)
    level = models.IntegerField(choices=[(1, "low"), (2, "high")], null=True)
    author = models.ForeignKey(Person, models.CASCADE, related_name="written")
    editor = models.ForeignKey(Person, models.CASCADE, null=True, related_name="edited")
    tags = models.ManyToManyField(Tag, related_name="+")

    class Meta:
        app_label = "golden"


class Comment(models.Model):
    note = models.ForeignKey(Note, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE, null=True)
    body = models.CharField(max_length=50)
    votes = models.IntegerField(null=True)

    class Meta:
        app_label = "golden"
        ordering = ["id"]


MODELS = [Org, Person, Tag, Note, Comment]


def fill():
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    org = Org.objects.create(name="A & B")
    ann = Person.objects.create(first="Ann", last="O'Neil", born=datetime.date(1990, 5, 3), org=org)
    bob = Person.objects.create(first="Bob", last="<Lee>")
    note = Note.objects.create(title="Title <1>", status="d", level=2, author=ann)
    note.tags.add(*[Tag.objects.create(name=name) for name in ["sql", "go", "<py>"]])
    for person, body, votes in [(ann, "first", 3), (None, "second & last", None), (bob, "third", 1), (bob, "fourth", 1)]:
        Comment.objects.create(note=note, person=person, body=body, votes=votes)
    Note.objects.create(title="", status="x", author=bob, editor=ann)


# Values that templates see by name.

UTC = datetime.timezone.utc
PEOPLE = [
    {"name": "Bob", "age": 30, "city": {"n": "Y"}},
    {"name": "Ann", "age": 25, "city": {"n": "X"}},
    {"name": "Cid", "age": 30, "city": {"n": "Y"}},
]
VALUES = {
    "s": "hello World",
    "html": "<b>\"Tom\" & 'Jerry'</b>",
    "empty": "",
    "uni": "Žluťoučký kůň Straße ǆ e\u0301",
    "multi": "line one\nline two\r\n\r\nsecond <para>\n\n\nthird",
    "spaces": "  a  b\tc \n d  ",
    "quoted": "it's 1st \"they're\" O'NEIL 2ND x\\y;",
    "digits": "12345",
    "number": " 42 ",
    "floaty": "3.75",
    "zero": 0,
    "one": 1,
    "neg": -7,
    "n": 1234567,
    "big": 12345678901234567890,
    "f": 3.14159,
    "f2": 2.0,
    "f3": 1e20,
    "f4": 1.5e-7,
    "f5": -0.05,
    "nan": float("nan"),
    "inf": float("-inf"),
    "dec": Decimal("19.90"),
    "dec0": Decimal("0.00"),
    "dec2": Decimal("-1234567.895"),
    "t": True,
    "fa": False,
    "none": None,
    "lst": ["a", "<b>", 3, None, 1.5, True],
    "texts": ["x", "<y>", "z"],
    "ints": [3, 1, 2],
    "el": [],
    "nested": ["States", ["Kansas", ["Lawrence", "Topeka"], "Illinois & co"]],
    "pairs": [["a", 1], ["b", 2]],
    "dct": {"a": 1, "b": "<x>", "c": [1, 2], "d": {"e": None}},
    "ed": {},
    "people": PEOPLE,
    "repeated": ["a", "a", "b", "b", "a"],
    "dt": datetime.datetime(2024, 2, 29, 12, 30, 0, 1, tzinfo=UTC),
    "dt2": datetime.datetime(2024, 7, 1, 23, 5, 9, tzinfo=UTC),
    "midnight": datetime.datetime(2023, 12, 31, 0, 0, tzinfo=UTC),
    "noon": datetime.datetime(1999, 1, 1, 12, 0, tzinfo=UTC),
    "fold": datetime.datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
    "naive": datetime.datetime(2024, 3, 31, 8, 4, 5, 678900),
    "day": datetime.date(2024, 2, 29),
    "old": datetime.date(987, 11, 12),
    "tm": datetime.time(14, 3, 9),
    "tm2": datetime.time(0, 0),
    "link": "See http://example.com/a?b=c&d=%7Ee, www.x.org. (https://y.net/z_(w)) or me@example.com! foo.com/bar <http://q.com>",
    "markup": "<p>One <b>two three</b> four<br/>five &amp; six <i>seven</i></p>",
    "broken": "a < b <b x='>'>c</b> & d &copy; e &#65; <!-- no --> <script>x<y</script> <? pi ?> <a href=\"x\"",
}

TEXT = ["s", "html", "empty", "uni", "multi", "spaces", "quoted", "digits", "n", "f", "dec", "t", "none", "lst", "dct.nope", "day"]
NUMBERS = ["zero", "one", "neg", "n", "big", "f", "f2", "f3", "f4", "f5", "dec", "dec0", "dec2", "t", "none", "s", "digits", "number", "floaty", "empty", "lst", "dct.nope"]
ALL = [name for name in VALUES if name not in ("link", "markup", "broken", "people", "repeated")] + ["dct.nope", "dct.d.e", "lst.1", "people.0.name", "people.9.name"]
DATES = ["dt", "dt2", "midnight", "noon", "naive", "day", "old", "tm", "tm2", "s", "empty", "none", "n", "dct.nope"]
LETTERS = "aAbcdDeEfFgGhHiIjlLmMnNoOPrsStTUuwWyYzZ"


def each(inputs, *filters):
    return ["{{ %s|%s }}" % (name, filter) for filter in filters for name in inputs]


FILES.update({
    "part.txt": "[{{ s }}{{ x }}]",
    "loop.txt": "{{ forloop.counter }}{% cycle 'a' 'b' %}{% ifchanged r %}!{% endifchanged %}",
    "only.txt": "({{ x }})",
    "deep/one.txt": "1{% include './two.txt' %}{% include 'deep/two.txt' %}",
    "deep/two.txt": "2{% include '../part.txt' with x=3 %}",
})

# Templates that are rendered in one zone.
CASES = [
    # what is printed
    *["{{ %s }}" % name for name in ALL],
    *["{%% autoescape off %%}{{ %s }}{%% endautoescape %%}" % name for name in ALL],
    '{{ "<b>" }}{{ \'it"s\' }}{{ "a\\"b\\\\c" }}{{ 5 }}{{ -3 }}{{ 1.50 }}{{ 1e3 }}{{ +7 }}',
    '{{ _("text & more") }}|{{ True }}{{ False }}{{ None }}|{{ none.x }}|{{ s.nope }}',
    "{{ s.upper }}|{{ s.title }}|{{ s.0 }}|{{ s.99 }}|{{ html.lower }}|{{ s.split }}|{{ spaces.strip }}|{{ s.isdigit }}{{ digits.isdigit }}",
    "{{ dct.c.1 }}|{{ dct.c.9 }}|{{ lst.1 }}|{{ nested.1.1.0 }}",
    "{{ dt.year }}-{{ dt.month }}-{{ dt.day }} {{ dt.hour }}:{{ dt.minute }}:{{ dt.second }}.{{ dt.microsecond }} {{ day.weekday }}{{ day.isoweekday }} {{ day.isoformat }} {{ dt.date }} {{ dt.time }} {{ dt.isoformat }} {{ tm.hour }}",
    "plain text < & >", "{# comment #}x{# {{ s }} #}", "a{{s}}b{{  s  }}c", "{{ s|upper|lower|title }}", "{{ s | upper }}", "{{ s|default:none }}", "{{ empty|default:html }}", "{{ none|default:0 }}",

    # filters of text
    *each(TEXT, "addslashes", "capfirst", "lower", "upper", "title", "slugify", "wordcount", "make_list", "linebreaks", "linebreaksbr", "linenumbers", "escape", "force_escape",
          "safe", "escapejs", "iriencode", "urlencode", "urlencode:''", "striptags", "cut:' '", "cut:'l'", "cut:';'", "center:20", "ljust:'20'", "rjust:20", "center:5", "center:none", "center:'x'",
          "truncatechars:5", "truncatechars:1", "truncatechars:0", "truncatechars:'x'", "truncatechars:100", "truncatewords:1", "truncatewords:2", "truncatewords:'0'", "truncatewords:50", "wordwrap:5", "wordwrap:12",
          "length", "first", "last", "slice:'2'", "slice:':3'", "slice:'1:-1'", "slice:'::2'", "slice:'::-1'", "slice:'x'", "slice:'5:1:-2'", "slice:none", "pluralize", "yesno", "default:'d'", "default_if_none:'d'"),
    *each(["s", "html", "digits"], "phone2numeric"), "{{ none|phone2numeric }}",
    *["{{ html|%s|%s }}" % (a, b) for a in ("safe", "escape", "upper", "force_escape", "lower") for b in ("upper", "lower", "cut:'o'", "linebreaks", "escape", "force_escape", "title", "truncatechars:9", "capfirst", "addslashes", "add:'x'", "add:html", "default:'x'", "first", "slice:':4'", "make_list", "striptags", "urlize", "center:40", "stringformat:'s'", "join:'-'", "slugify")],
    "{% autoescape off %}{{ html|linebreaks }}{{ html|escape }}{{ html|force_escape }}{{ multi|linebreaksbr }}{{ multi|linenumbers }}{{ texts|join:'<' }}{{ lst|join:', ' }}{{ nested|unordered_list }}{{ link|urlize }}{% endautoescape %}",
    *["{{ %s|urlize }}|{{ %s|urlizetrunc:12 }}" % (name, name) for name in ["link", "s", "html", "markup", "none", "n"]],
    "{{ link|safe|urlize }}", "{{ 'x.com; a&b.com;;; (http://a.b/c) [www.d.e] mailto:x@y.z http://[::1]/ HTTP://UP.com' |urlize }}", "{{ 'http://a.b/%20c d?x=1+2&y=%41#f' |urlize }}",
    *["{{ %s|striptags }}|{{ %s|truncatechars_html:12 }}|{{ %s|truncatewords_html:3 }}" % (name, name, name) for name in ["markup", "broken", "html", "s", "multi", "none"]],
    *["{{ %r|striptags }}" % text for text in ["a<b", "a<b>c", "<<b>>x", "a<!-- x > y -->b", "<a href='x>y'>t</a>", "x & y; &lt;b&gt; &#x41; &#65 &amp", "1 < 2 > 0", "<script>a<b</script>c", "</>x</ b>", "<b", "a<b c", "<!doctype html>x", "<?php y ?>z", "<br/>a<br />b", "<p =a>b", "AT&T rocks"]],
    *["{{ %r|truncatewords_html:2 }}|{{ %r|truncatechars_html:4 }}" % (text, text) for text in ["<p>one two three</p>", "<b>one</b> <i>two</i> three", "a<br>b<br/>c d e", "one &amp; two three", "<img src='x'>abcdef", "no tags here", "<p>ab</p>", "<p>abcd</p>", ""]],
    *["{{ markup|truncatechars_html:%d }}|{{ markup|truncatewords_html:%d }}" % (n, n) for n in range(0, 30, 3)],
    "{{ s|stringformat:'s' }}", *["{{ %s|stringformat:'%s' }}" % (name, spec) for name in ["n", "neg", "f", "f2", "f3", "dec", "t", "s", "none", "html", "big", "lst", "f5", "zero"] for spec in ["s", "d", "05d", "+d", "x", "X", "#o", ".2f", "e", "10.3f", "-10d", "g", "G", "r", "c", "%", "s items", "q", "", "010.1f", ".3s", "12s", "-12s", " d", "i%%", "a"]],
    "{{ uni|stringformat:'a' }}{{ uni|stringformat:'r' }}",

    # numbers
    *each(NUMBERS, "add:1", "add:'2'", "add:s", "add:f", "add:none", "add:lst", "divisibleby:2", "divisibleby:0", "get_digit:1", "get_digit:3", "get_digit:0", "get_digit:'x'", "filesizeformat", "floatformat", "floatformat:0", "floatformat:2", "floatformat:-2",
          "floatformat:'2g'", "floatformat:'-1gu'", "floatformat:'g'", "floatformat:'u'", "floatformat:'x'", "floatformat:f", "pluralize", "pluralize:'es'", "pluralize:'y,ies'", "pluralize:'a,b,c'", "yesno", "yesno:'a,b'", "yesno:'a,b,c'", "yesno:'a'", "default:'d'", "default_if_none:'d'", "length", "upper"),
    *["{{ %d|filesizeformat }}" % n for n in [1, 1023, 1024, 1536, 1048576, 1073741824, 1099511627776, 1125899906842624, -2048, 12345678901234567890]],
    *["{{ '%s'|floatformat:%s }}" % (n, p) for n in ["0.5", "1.5", "2.5", "-0.005", "1e3", "1e-3", "nan", "Infinity", "1_000.5", "0", "-0.0", "99.995", "1e250"] for p in ["0", "2", "-2", "'-3'"]],
    *["{%% load humanize %%}{{ %s|intcomma }}|{{ %s|ordinal }}|{{ %s|apnumber }}" % (name, name, name) for name in NUMBERS + ["html", "ints.0"]],
    *["{%% load humanize %%}{{ %d|ordinal }}" % n for n in [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 101, 111, 112, -1]],
    "{{ texts|add:ints }}", "{{ s|add:html }}", "{{ 'a'|add:'<b>' }}", "{{ dct|add:1 }}", "{{ day|add:1 }}",

    # lists
    *each(["lst", "texts", "ints", "el", "s", "html", "dct", "none", "n", "dct.nope", "pairs"], "join:', '", "join:'<br>'", "join:html", "join:1", "first", "last", "length", "slice:':2'", "unordered_list", "safeseq", "escapeseq", "safeseq|join:'-'", "escapeseq|join:'-'", "dictsort:0", "dictsort:'a'", "json_script", "json_script:'id'", "pluralize", "yesno", "make_list", "upper", "length"),
    "{{ nested|unordered_list }}", "{{ people|dictsort:'name' }}", "{{ people|dictsort:'age'|length }}", "{% for p in people|dictsort:'age' %}{{ p.name }}{% endfor %}", "{% for p in people|dictsortreversed:'age' %}{{ p.name }}{% endfor %}",
    "{% for p in people|dictsort:'city.n' %}{{ p.name }}{% endfor %}", "{{ people|dictsort:'nope' }}|", "{{ pairs|dictsortreversed:1 }}", "{{ lst|dictsort:'x' }}|",
    *["{{ %s|json_script:'x' }}" % name for name in ["dt", "naive", "day", "tm", "dec", "uni", "html", "dct", "nested", "f3", "t"]],

    # for
    "{% for x in lst %}{{ x }},{% endfor %}", "{% for x in lst reversed %}{{ x }},{% endfor %}", "{% for x in el %}x{% empty %}none{% endfor %}", "{% for x in none %}x{% empty %}none{% endfor %}", "{% for x in dct.nope %}x{% empty %}none{% endfor %}",
    "{% for x in s %}{{ x }}-{% endfor %}", "{% for k in dct %}{{ k }}{% endfor %}", "{% for k, v in dct.items %}{{ k }}={{ v }};{% endfor %}", "{% for k,v in pairs %}{{ k }}{{ v }}{% endfor %}", "{% for a , b in pairs reversed %}{{ a }}{{ b }}{% endfor %}",
    "{% for v in dct.values %}{{ v }};{% endfor %}", "{% for x in n %}{% endfor %}", "{% for a, b in ints %}{{ a }}{% endfor %}", "{% for a, b in s %}{% endfor %}",
    "{% for x in ints %}{{ forloop.counter }}{{ forloop.counter0 }}{{ forloop.revcounter }}{{ forloop.revcounter0 }}{{ forloop.first }}{{ forloop.last }} {% endfor %}",
    "{% for p in pairs %}{% for x in p %}{{ forloop.parentloop.counter }}.{{ forloop.counter }} {% endfor %}{% endfor %}", "{% for x in ints %}{{ forloop.parentloop.counter }}{% endfor %}|",
    "{% for x in ints %}{% for y in ints %}{% for z in ints %}{{ forloop.parentloop.parentloop.counter }}{% endfor %}{% endfor %}{% endfor %}",
    "{% for x in ints %}{{ x }}{% if not forloop.last %}, {% endif %}{% endfor %}", "{% for x in ints|slice:':2' %}{{ x }}{% endfor %}", "{% for s in texts %}{{ s }}{% endfor %}{{ s }}", "{% for x in html|make_list %}{{ x }}{% endfor %}",

    # if
    *["{%% if %s %%}yes{%% else %%}no{%% endif %%}" % condition for condition in [
        *ALL, "not s", "not empty", "s and empty", "s or empty", "empty or zero", "not s or one", "not not s", "s and not empty or zero", "zero and one or one", "zero or one and zero",
        "one == 1", "one == 1.0", "one == '1'", "one != 2", "n > 5", "n >= 1234567", "n < n", "n <= n", "s == 'hello World'", "s > 'a'", "s < 1", "none == None", "none is None", "none is not None", "t is True", "t == 1", "fa == 0", "dec == 19.9", "dec > 19", "f2 == 2", "zero == fa", "nan == nan", "inf < 0",
        "'hello' in s", "'x' in s", "'x' not in s", "1 in ints", "9 in ints", "'a' in dct", "1 in n", "1 not in n", "none in lst", "'' in s", "s in none", "day == day", "day < dt", "dt < dt2", "dt == naive", "dt < naive", "ints == ints", "ints < pairs", "ints > el", "dct == dct", "el == none", "dct.nope", "dct.nope == None", "not dct.nope", "dct.nope is None", "dct.nope == ''",
        "s|length > 5", "s|length == 11 and t", "dct.nope|length == 0", "dct.nope|default:'x' == 'x'", "n|divisibleby:2", "n|divisibleby:zero", "one < 2 == t", "one == 1 == t", "not one == 2", "not one in ints", "none == fa", "1 == 1 and 2 == 2 and 3 == 4", "t and 'x'", "'False'", "0", "0.0", "''", "big > n", "lst.9", "floaty > 3", "dec|floatformat == '19.9'", "uni == uni|safe", "one is 1", "tm > tm2", "none > 1", "none|default_if_none:3 > 1",
    ]],
    "{% if empty %}a{% elif zero %}b{% elif s %}c{% else %}d{% endif %}", "{% if empty %}a{% elif zero %}b{% endif %}|", "{% if s %}{% if empty %}a{% else %}b{% endif %}{% endif %}",

    # other tags
    "{% with x=s %}{{ x }}{% endwith %}{{ dct.x }}", "{% with x=s|upper y=1 %}{{ x }}{{ y }}{% endwith %}", "{% with s as x %}{{ x }}{% endwith %}", "{% with s as x and n as y %}{{ x }}{{ y }}{% endwith %}", "{% with x=dct.nope %}[{{ x }}{{ x|default:'d' }}{{ x|default_if_none:'e' }}]{% endwith %}", "{% with s=n %}{{ s }}{% endwith %}{{ s }}", "{% with x=html|safe %}{{ x }}{% endwith %}", "{% with a=1 %}{% with b=a %}{{ b }}{% endwith %}{% endwith %}",
    "{% comment %}{{ s }}{% nope %}{% endcomment %}x{% comment 'note' %}y{% endcomment %}", "{% autoescape off %}{{ html }}{% autoescape on %}{{ html }}{% endautoescape %}{{ html }}{% endautoescape %}", "{% spaceless %} <p> <b> x </b>  </p>\n{{ html }} <i> </i> {% endspaceless %}",
    "{% firstof empty zero s n %}{% firstof empty zero %}|{% firstof empty html %}|{% firstof empty 'a<b' %}|{% firstof dct.nope none n as x %}{{ x }}|{% firstof empty as y %}{{ y }}|{% firstof empty html|safe %}", "{% autoescape off %}{% firstof empty html %}{% endautoescape %}",
    "{% for x in ints %}{% cycle 'a' s html %}{% endfor %}", "{% for x in ints %}{% cycle 'a' 'b' as c %}{{ c }}{% endfor %}{% cycle 'x' 'y' as d silent %}{{ d }}{% cycle d %}{{ d }}", "{% for p in pairs %}{% for x in p %}{% cycle 1 2 3 %}{% endfor %}{% endfor %}", "{% for x in ints %}{% cycle 'a' 'b' %}{% if forloop.counter == 2 %}{% resetcycle %}{% endif %}{% endfor %}", "{% for x in ints %}{% cycle 'a' 'b' as q %}{% resetcycle q %}{% endfor %}", "{% for x in ints %}{% for y in ints %}{% cycle 'a' 'b' as z silent %}{{ z }}{% endfor %}{% endfor %}",
    "{% for x in repeated %}{% ifchanged %}{{ x }}{% endifchanged %}{% endfor %}", "{% for x in repeated %}{% ifchanged x %}{{ forloop.counter }}{% else %}.{% endifchanged %}{% endfor %}", "{% for p in people %}{% ifchanged p.age p.city.n %}{{ p.name }}{% endifchanged %}{% endfor %}", "{% for p in pairs %}{% for x in repeated %}{% ifchanged x %}{{ x }}{% endifchanged %}{% endfor %} {% endfor %}", "{% ifchanged s %}a{% endifchanged %}{% ifchanged %}{{ s }}{% endifchanged %}", "{% for x in lst %}{% ifchanged dct.nope %}n{% else %}o{% endifchanged %}{% endfor %}",
    "{% filter upper %}a{{ html }}{% endfilter %}", "{% filter force_escape|lower %}<A>{{ html }}{% endfilter %}", "{% filter cut:'a'|title %}banana split{% endfilter %}", "{% filter linebreaks %}{{ multi }}{% endfilter %}", "{% filter length %}x{% endfilter %}",
    "{% load i18n static humanize %}{% load trans from i18n %}x", "{% verbatim %}{{ s }}{% if %}{# x #}{% endverbatim %}{% verbatim z %}{% endverbatim %}{{ a }}{% endverbatim z %}",
    "".join("{%% templatetag %s %%}" % t for t in ["openblock", "closeblock", "openvariable", "closevariable", "openbrace", "closebrace", "opencomment", "closecomment"]),
    "{% widthratio n 2000000 100 %}|{% widthratio f f2 10 %}|{% widthratio one zero 10 %}|{% widthratio s 1 10 %}|{% widthratio 5 10 1 %}|{% widthratio 15 10 1 %}|{% widthratio neg 10 100 as w %}{{ w }}|{% widthratio none 1 1 %}|{% widthratio digits '100' '7' %}", "{% widthratio 1 2 s %}",
    "{% regroup people by age as g %}{% for x in g %}{{ x.grouper }}:{% for p in x.list %}{{ p.name }}{% endfor %};{% endfor %}", "{% regroup people|dictsort:'age' by age as g %}{% for a, l in g %}{{ a }}={{ l|length }} {% endfor %}{{ g|length }}{{ g.0.grouper }}", "{% regroup people by city.n|lower as g %}{% for x in g %}{{ x.grouper }}{% for p in x.list %}{{ p.name }}{% endfor %}{% endfor %}", "{% regroup none by x as g %}{{ g|length }}", "{% regroup people by nope as g %}{% for x in g %}{{ x.grouper }}{{ x.list|length }}{% endfor %}",
    "{% include 'part.txt' with x=1 %}", "{% include 'part.txt' with x=html %}", "{% with x=2 %}{% include 'part.txt' %}{% endwith %}", "{% include 'only.txt' with x=s only %}", "{% for r in repeated %}{% include 'loop.txt' %}{% endfor %}", "{% include 'deep/one.txt' %}", "{% autoescape off %}{% include 'part.txt' with x=html %}{% endautoescape %}", "{% include 'only.txt' with x=html|safe %}",
    "{% load i18n %}{% trans 'Hello & bye 50%' %}|{% translate s %}|{% trans html %}|{% trans 'x' as y %}{{ y }}|{% trans 'May' context 'month' %}|{% trans 'n' noop %}",
    "{% load i18n %}{% blocktrans %}a {{ s }} 50% {{ html }}{% endblocktrans %}|{% blocktranslate with x=html|upper y=n %}{{ x }}{{ y }}{% endblocktranslate %}|{% blocktrans count c=ints|length %}one {{ c }}{% plural %}many {{ c }}{% endblocktrans %}|{% blocktrans count c=one %}one {{ c }}{% plural %}many {{ c }}{% endblocktrans %}",
    "{% load i18n %}{% blocktrans trimmed %}\n  a {{ s }}\n   b \n\n c{{ n }}\n{% endblocktrans %}|{% blocktrans asvar v %}<{{ html }}>{% endblocktrans %}{{ v }}|{% blocktrans with s as q and n as w %}{{ q }}{{ w }}{% endblocktrans %}", "{% load i18n %}{% blocktrans count c=s %}a{% plural %}b{% endblocktrans %}",
    "{{ dt|timesince:dt2 }}|{{ dt2|timesince:dt }}|{{ noon|timesince:dt }}|{{ old|timesince:day }}|{{ midnight|timeuntil:dt }}|{{ dt|timeuntil:noon }}|{{ naive|timesince:dt }}|{{ empty|timesince:dt }}|{{ day|timeuntil:old }}|{{ noon|timesince:noon }}|{{ none|timesince:dt }}|{{ dt|timesince:day }}|{{ fold|timesince:dt2 }}|{{ dt2|timeuntil:midnight }}",
]

# Templates over models; object is a note.
ROWS = [
    "{{ object.title }}|{{ object.status }}|{{ object.level }}|{{ object.id }}|{{ object.pk }}|{{ object.get_status_display }}|{{ object.get_level_display }}|{{ object.author_id }}|{{ object.editor_id }}",
    "{{ object.author.first }}|{{ object.author.get_full_name }}|{{ object.author }}|{{ object.editor }}|{{ object.editor.first }}|{{ object.author.org.name }}|{{ object.editor.org.name }}|{{ object.author.born }}|{{ object.author.pk }}",
    "{% for c in object.comment_set.all %}{{ c.body }}/{{ c.person }}/{{ c.person.first }}/{{ c.votes }};{% empty %}none{% endfor %}", "{{ object.comment_set.count }}|{{ object.comment_set.all.count }}|{{ object.comment_set.exists }}|{{ object.tags.count }}|{{ object.tags.all|length }}",
    "{{ object.comment_set.first.body }}|{{ object.comment_set.all.last.person.last }}|{{ object.comment_set.all.1.body }}|{{ object.comment_set.all.9.body }}|{{ object.tags.first }}|{{ object.tags.first.name }}",
    "{{ object.tags.all|join:', ' }}|{% autoescape off %}{{ object.author }}{% endautoescape %}|{% for t in object.tags.all %}{{ t }}{% if not forloop.last %}, {% endif %}{% endfor %}|{% for t in object.tags.all reversed %}{{ t.name }}{% endfor %}",
    "{% if object.editor %}E{% else %}-{% endif %}{% if object.tags.all %}T{% else %}-{% endif %}{% if object.comment_set.exists %}C{% else %}-{% endif %}{% if object.tags.count > 2 %}many{% endif %}{% if object.editor is None %}none{% endif %}{% if object.editor == None %}none{% endif %}{% if not object.editor %}no{% endif %}",
    "{% with a=object.author %}{{ a.first }}{{ a.org.name }}{% endwith %}{% with e=object.editor %}[{{ e }}{{ e.first }}]{% endwith %}{% with c=object.comment_set.all %}{{ c.count }}{% for x in c %}{{ x.body }}{% endfor %}{{ c.0.body }}{% endwith %}",
    "{% regroup object.comment_set.all by votes as g %}{% for x in g %}{{ x.grouper }}:{% for c in x.list %}{{ c.body }},{% endfor %};{% endfor %}", "{% regroup object.comment_set.all by person.first as g %}{% for k, l in g %}{{ k }}={{ l|length }};{% endfor %}",
    "{% for c in object.comment_set.all|dictsort:'body' %}{{ c.body }},{% endfor %}", "{% for c in object.comment_set.all|dictsortreversed:'body' %}{{ c.body }},{% endfor %}", "{% for c in object.comment_set.all|slice:':2' %}{{ c.body }}{% endfor %}", "{{ object.tags.all.first|upper }}|{{ object.author|lower }}|{{ object.editor|default:'nobody' }}|{{ object.editor|default_if_none:'nobody' }}|{{ object.author|default:'nobody' }}",
    "{% for c in object.comment_set.all %}{% ifchanged c.person.first %}{{ c.person.first }}{% endifchanged %}{{ forloop.counter }}{% cycle 'a' 'b' %}{% endfor %}", "{% firstof object.editor object.author %}|{{ object.tags.all|length|add:1 }}|{{ object.comment_set.count|pluralize }}|{{ object.tags.all|pluralize }}", "{% include 'only.txt' with x=object.author.first only %}{% include 'only.txt' with x=object.author %}",
    "{{ object.level|default:'none' }}|{{ object.title|default:'untitled' }}|{{ object.get_status_display|upper }}|{% if object.get_level_display %}l{% endif %}|{% if object.status == 'd' %}draft{% endif %}",
]

# Templates that are rendered in every zone.
ZONED = [
    *["{{ %s }}" % name for name in ["dt", "dt2", "midnight", "noon", "naive", "day", "old", "tm", "tm2", "fold"]],
    *["{{ %s|date:'%s' }}" % (name, letter) for name in ["dt", "dt2", "naive", "day", "fold", "noon"] for letter in LETTERS],
    *["{{ %s|time:'%s' }}" % (name, letter) for name in ["dt", "tm", "tm2", "day"] for letter in LETTERS],
    *["{{ %s|date:'%s' }}" % (name, format) for name in DATES for format in ["Y-m-d", "DATE_FORMAT", "SHORT_DATE_FORMAT", "D, d M Y", "jS \\\\o\\\\f F", "\\\\Y\\\\e\\\\a\\\\r: Y", "", "l", "DATETIME_FORMAT", "P", "YEAR_MONTH_FORMAT", "MONTH_DAY_FORMAT", "x-k", "ž Y"]],
    *["{{ %s|date }}|{{ %s|time }}|{{ %s|time:'H:i' }}|{{ %s|time:'TIME_FORMAT' }}" % (name, name, name, name) for name in DATES],
    "{{ dt|date:'c' }} {{ dt|date:'r' }} {{ dt|date:'U' }} {{ dt|date:s }}", "{{ dt.hour }}{{ dt|upper }}|{{ dt|stringformat:'s' }}|{{ dt|default:'x' }}|{{ dt|lower|date:'Y' }}", "{% if dt|date:'H' == '12' %}twelve{% endif %}", "{% firstof dt %}|{% with x=dt %}{{ x }}{% endwith %}", "{% load i18n %}{% blocktrans %}{{ dt }}{% endblocktrans %}", "{{ dt|slice:':4' }}",
]


def encode(value):
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return {"$float": repr(value)}
        case Decimal():
            return {"$decimal": str(value)}
        case datetime.datetime():
            return {"$datetime": value.isoformat()}
        case datetime.date():
            return {"$date": value.isoformat()}
        case datetime.time():
            return {"$time": value.isoformat()}
        case list():
            return {"$list": [encode(v) for v in value]}
        case dict():
            return {"$dict": [[k, encode(v)] for k, v in value.items()]}
    raise TypeError(type(value))


def tables():
    """What there is of each model: columns, relations, methods; and the rows."""
    found = {}
    for model in MODELS:
        one = {"members": {}, "rows": {}}
        for field in model._meta.get_fields():
            if field.auto_created and not field.concrete or field.many_to_many:
                name = field.get_accessor_name() if field.auto_created else field.name
                one["members"][name] = {"many": field.related_model.__name__}
            elif field.many_to_one:
                one["members"][field.name] = {"one": field.related_model.__name__}
                one["members"][field.attname] = {}
            else:
                one["members"][field.name] = {}
                if field.choices:
                    one["members"]["get_%s_display" % field.name] = {}
        for method in ["get_full_name", "__str__"]:
            if method in model.__dict__:
                one["members"][method] = {}
        one["members"]["pk"] = {}
        for row in model.objects.order_by("pk"):
            values = {}
            for name, kind in one["members"].items():
                value = getattr(row, name)
                if "many" in kind:
                    value = [r.pk for r in value.all()]
                elif "one" in kind:
                    value = value and value.pk
                else:
                    value = encode(value() if callable(value) else value)
                values[name] = value
            one["rows"][row.pk] = values
        found[model.__name__] = one
    return found


def builtins():
    """The names of tags and filters: Django's own, and those of its libraries."""
    engine = Engine.get_default()
    libraries = engine.template_builtins + [engine.template_libraries[name] for name in ["cache", "i18n", "l10n", "static", "tz", "humanize"]]
    return {kind: sorted({name for library in libraries for name in getattr(library, kind)}) for kind in ["tags", "filters"]}


def set_zone(zone):
    settings.TIME_ZONE = os.environ["TZ"] = zone
    time.tzset()
    timezone.get_default_timezone.cache_clear()


def render(text, zone, **row):
    try:
        out = Engine.get_default().from_string(text).render(Context(VALUES | row))
    except Exception as e:
        return {"template": text, "zone": zone, "error": f"{type(e).__name__}: {e}"}
    return {"template": text, "zone": zone, "want": out}


def main():
    fill()
    cases = []
    for zone in ZONES:
        set_zone(zone)
        cases += [render(text, zone) for text in dict.fromkeys(ZONED)]
    set_zone("UTC")
    cases += [render(text, "UTC") for text in dict.fromkeys(CASES)]
    for note in Note.objects.order_by("pk"):
        cases += [render(text, "UTC", object=note) | {"note": note.pk} for text in ROWS]
    golden = {
        "django": django.get_version(),
        "builtins": builtins(),
        "files": FILES,
        "values": {name: encode(value) for name, value in VALUES.items()},
        "tables": tables(),
        "cases": cases,
    }
    def text(value):
        return json.dumps(value, ensure_ascii=False)

    lines = ",\n".join(map(text, golden.pop("cases")))
    head = ",\n".join(f"{text(key)}: {text(value)}" for key, value in golden.items())
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(f'{{{head},\n"cases": [\n{lines}\n]}}\n')
    errors = sum("error" in case for case in cases)
    print(f"{len(cases)} cases, {errors} of them errors, by Django {django.get_version()}")


main()
