from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("library", "0002_add")]

    operations = [
        migrations.RenameField("book", "subtitle", "tagline"),
        migrations.RenameModel("Shelf", "Rack"),
        # A column that nothing uses, and some that documents are made of.
        migrations.AlterField("book", "tagline", models.TextField(null=True)),
        migrations.AlterField("book", "pages", models.BigIntegerField(null=True, blank=True)),
        migrations.AlterField("book", "title", models.CharField(max_length=300)),
        migrations.AlterField("tag", "name", models.TextField()),
    ]
