"""The indexes of the table of files that searches need.

The table is CKAN's own on 2.12: this extension adds indexes to it, and no column. Without them a
search finds the same files, and takes longer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SAWarning

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
    f"idx_{file_table}_search_type": f"(({CONTENT_TYPE}))",
}


_COLUMNS = frozenset({"id", "name", "plugin_data", "content_type", "size", "created"})


def create_indexes(connection: Connection) -> None:
    """Create those that are missing. Requests that change files wait meanwhile, for seconds.

    Tables of ckanext-files 1.x may lack a column. They get the indexes with it, from
    ``ckan files takeover``.
    """
    inspector: Any = sa.inspect(connection)
    if not {column["name"] for column in inspector.get_columns(file_table.name)} >= _COLUMNS:
        return
    for name, index in _INDEXES.items():
        statement = f"CREATE INDEX IF NOT EXISTS {name} ON {file_table} {index}"
        connection.execute(sa.text(statement))


def drop_indexes(connection: Connection) -> None:
    """Drop those that are there."""
    for name in _INDEXES:
        connection.execute(sa.text(f"DROP INDEX IF EXISTS {name}"))


@contextmanager
def without_reflection_warnings() -> Iterator[None]:
    """Let SQLAlchemy 1.4 leave out these indexes without a warning about each.

    It cannot read indexes of expressions from a database, and nothing compares these ones.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", SAWarning)
        yield
