from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0004_remove")]

    operations = [migrations.AlterField("book", "summary", models.TextField(blank=True, db_column="blurb"))]
