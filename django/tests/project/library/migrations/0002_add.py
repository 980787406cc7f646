# What later versions of the application do to the tables; its models, as they are here, work with all of them but the last.

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]

    operations = [
        migrations.AddField("book", "subtitle", models.CharField(max_length=100, null=True)),
        migrations.AddField("person", "born", models.DateField(null=True)),
        migrations.AddField("bookgenre", "rank", models.IntegerField(null=True)),
        migrations.CreateModel(
            "Shelf",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=40)),
                ("book", models.ForeignKey("library.Book", django.db.models.deletion.CASCADE, null=True)),
            ],
        ),
    ]
