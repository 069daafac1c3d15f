"""The indexes of the table of files that searches need.

The table is CKAN's own on 2.12: this extension adds indexes to it, and no column. Without them a
search finds the same files, and takes longer.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ckanext.files.store.models import file_table

from .formats import CONTENT_TYPE, SUFFIX
from .sorting import NAME_KEY
from .words import WORDS

_INDEXES = {
    f"idx_{file_table}_search_words": f"USING gin ({WORDS})",
    f"idx_{file_table}_search_name": f"({NAME_KEY}, id)",
    f"idx_{file_table}_search_created": "(created, id)",
    f"idx_{file_table}_search_size": "(size, id)",
    f"idx_{file_table}_search_suffix": f"(({SUFFIX}))",
    f"idx_{file_table}_search_content_type": f"(({CONTENT_TYPE}))",
}


def create_indexes(connection: Connection) -> None:
    """Create those that are missing. Requests that change files wait meanwhile, for seconds."""
    for name, index in _INDEXES.items():
        statement = f"CREATE INDEX IF NOT EXISTS {name} ON {file_table} {index}"
        connection.execute(sa.text(statement))


def drop_indexes(connection: Connection) -> None:
    """Drop those that are there."""
    for name in _INDEXES:
        connection.execute(sa.text(f"DROP INDEX IF EXISTS {name}"))
