from django.apps import AppConfig


class HaystreamConfig(AppConfig):
    name = "haystream"
    verbose_name = "Haystream"
