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
    "idx_files_search_words": f"USING gin ({WORDS})",
    "idx_files_search_name": f"({NAME_KEY}, id)",
    "idx_files_search_created": "(created, id)",
    "idx_files_search_size": "(size, id)",
    "idx_files_search_suffix": f"(({SUFFIX}))",
    "idx_files_search_content_type": f"(({CONTENT_TYPE}))",
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
