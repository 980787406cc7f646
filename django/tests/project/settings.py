"""A library as a project that has used django-haystack for years would have it.

The environment says which servers to use, so that one project serves all tests.
"""

import json
import os
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "tests only"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"

USE_TZ = os.environ.get("PROJECT_USE_TZ", "1") == "1"
TIME_ZONE = os.environ.get("PROJECT_TIME_ZONE", "Europe/Amsterdam")
LANGUAGE_CODE = "en-us"
USE_I18N = False

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "haystack",
    "haystream",
    "library",
]

# What the column of a book's summary is called: a later migration renames it.
SUMMARY_COLUMN = os.environ.get("PROJECT_SUMMARY_COLUMN", "summary")

ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def database(url: str) -> dict:
    parts = urlsplit(url)
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


DATABASES = {
    "default": database(os.environ.get("PROJECT_DATABASE", "postgres://library:secret@db.example.com:5432/library"))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if DATABASES["default"]["ENGINE"] == ENGINES["mysql"]:
    import pymysql

    pymysql.install_as_MySQLdb()
    DATABASES["default"]["OPTIONS"] = {"charset": "utf8mb4"}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
    },
]

SEARCH = os.environ.get("PROJECT_SEARCH", "http://127.0.0.1:9200")
HAYSTACK_CONNECTIONS = {
    # What the queries of the site ask. SILENTLY_FAIL off: a test must see what fails.
    alias: {
        "ENGINE": "haystack.backends.elasticsearch7_backend.Elasticsearch7SearchEngine",
        "URL": SEARCH,
        "INDEX_NAME": os.environ.get(variable, index),
        "SILENTLY_FAIL": False,
        "TIMEOUT": 60,
    }
    for alias, variable, index in [
        ("default", "PROJECT_INDEX", "library"),
        ("haystack", "PROJECT_HAYSTACK_INDEX", "library_haystack"),
    ]
}

# LocationField's points need two libraries, which wheels of others bring; importing those loads what the libraries need.
for setting, package, library in [
    ("GEOS_LIBRARY_PATH", "shapely", "libgeos_c"),
    ("GDAL_LIBRARY_PATH", "pyogrio", "libgdal"),
]:
    folder = Path(import_module(package).__file__).parent.parent / f"{package}.libs"
    globals()[setting] = str(next(folder.glob(f"{library}-*")))

HAYSTREAM = json.loads(os.environ.get("PROJECT_HAYSTREAM", "{}"))
