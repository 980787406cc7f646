from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("library", "0003_rename_and_alter")]

    operations = [
        migrations.RemoveField("book", "tagline"),
        migrations.RemoveField("bookgenre", "rank"),
        migrations.DeleteModel("Rack"),
    ]
