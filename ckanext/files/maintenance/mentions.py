"""Finding files that any row of the database names.

A field may name a file without owning it: the field has no validator, had none
when the dataset was saved, or contains a link in a text. So this module reads
each row of each table as text, also of other plugins, and searches it for ids.

It does not find what another database names (the datastore), a table that
CKAN's user may not read, another site, and an id in another form than CKAN
writes it. It leaves out a file's own rows, and tables that only record the past.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from ckanext.files.background.schema import SCHEMA
from ckanext.files.backport import tables as of_backport
from ckanext.files.store.models import array_literal, file_table, history_table, owner_table

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_PAST = frozenset({"activity", "activity_detail", "tracking_raw", "tracking_summary"})
_OURS = frozenset(
    table.name
    for table in (
        history_table,
        of_backport.file_table,
        of_backport.owner_table,
        of_backport.history_table,
    )
)

_WHOLE = ("CAST(t.* AS text)", "true")
# tables that can name a file only in some columns (as text) and some rows
_PARTS = {
    file_table.name: ("CAST(t.plugin_data AS text)", "t.id <> wanted.id"),
    owner_table.name: ("t.owner_id", "t.file_id <> wanted.id"),
    "procrastinate_jobs": ("CAST(t.args AS text)", "t.status IN ('todo', 'doing')"),
}

_TABLES = sa.text("""
    SELECT pg_class.oid::regclass::text, relname
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition AND relispopulated
        AND (nspname <> :background OR relname = 'procrastinate_jobs')
        AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
        AND has_schema_privilege(pg_namespace.oid, 'USAGE')
        AND has_table_privilege(pg_class.oid, 'SELECT')
    ORDER BY pg_class.oid
""")


def can_be_found(file_id: str) -> bool:
    """Return whether an id has the form of the ids that CKAN makes."""
    return re.fullmatch(_ID, file_id) is not None


def find_mentioned(engine: Engine, ids: Collection[str]) -> set[str]:
    """Return the ids that a committed row names.

    Reads the whole database once, for any number of ids. Reads each table in its
    own transaction, so that a migration that alters one waits for one only.

    :param ids: of the form that CKAN makes, see :func:`can_be_found`.
    """
    found: set[str] = set()
    with engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table, name in connection.execute(_TABLES, {"background": SCHEMA}).all():
            rest = set(ids) - found
            if rest and not _is_left_out(name):
                query = _mentioned(table, *_PARTS.get(name, _WHOLE))
                found.update(connection.execute(query, {"ids": array_literal(rest)}).scalars())
    return found


def _is_left_out(name: str) -> bool:
    if name in _PARTS:
        return False
    return name in _OURS or name in _PAST or name.endswith("_revision")


def _mentioned(table: str, text: str, condition: str) -> Any:
    return sa.text(f"""
        SELECT DISTINCT wanted.id
        FROM {table} AS t
            CROSS JOIN LATERAL regexp_matches({text}, '{_ID}', 'g') AS match
            JOIN unnest(CAST(:ids AS text[])) AS wanted (id) ON wanted.id = match[1]
        WHERE {condition}
    """)
