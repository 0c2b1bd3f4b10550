"""Tables for finding bodies by their words. They are no models: what they are differs from database to database."""

from django.db import migrations

SQLITE = (
    "CREATE TABLE analytics_bodytext (body_id integer PRIMARY KEY, text blob NOT NULL)",
    """CREATE VIRTUAL TABLE analytics_bodysearch USING fts5(
        text, content='', columnsize=0, detail=none, tokenize='unicode61 remove_diacritics 2')""",
)
POSTGRESQL = (
    "CREATE TABLE analytics_bodytext (body_id bigint PRIMARY KEY, text text NOT NULL)",
    "CREATE INDEX analytics_bodysearch ON analytics_bodytext USING gin (to_tsvector('simple', text))",
)


def create(apps, schema_editor):
    """Without FTS5 a SQLite has no search; everything else works."""
    statements = {"sqlite": SQLITE, "postgresql": POSTGRESQL}.get(schema_editor.connection.vendor, ())
    if statements is SQLITE and not has_fts5(schema_editor.connection):
        return
    for statement in statements:
        schema_editor.execute(statement)


def has_fts5(connection):
    """Whether this SQLite was built with it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
        return cursor.fetchone() is not None


def drop(apps, schema_editor):
    """On PostgreSQL the index goes with its table."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE IF EXISTS analytics_bodysearch")
    schema_editor.execute("DROP TABLE IF EXISTS analytics_bodytext")


class Migration(migrations.Migration):

    dependencies = [
        ("analytics", "0004_ledger"),
    ]

    operations = [
        migrations.RunPython(create, drop),
    ]
