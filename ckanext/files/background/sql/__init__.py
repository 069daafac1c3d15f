"""The SQL of background tasks, by subject, and the functions that load it.

``tables.sql`` and the files in ``functions`` are scripts that
:mod:`ckanext.files.background.schema` installs. The files in ``queries`` have named
queries: each begins with a line such as ``-- name: cancel_jobs``.

Queries name tables and functions without their schema; the loader adds it. A
parameter is ``:name``, and ``{name}`` stands for a part that Python composes.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import dialect
from sqlalchemy.sql.elements import TextClause

SCHEMA = "ckanext_files_background"

_FOLDER = Path(__file__).parent

# channels of notifications have no schema
_NAME = re.compile(r"\b(?=(?:procrastinate|files)_)(?!procrastinate_(?:any_)?queue_v1)")

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)


@cache
def query(name: str, **parts: str) -> TextClause:
    """Return a named query for a connection of SQLAlchemy.

    :param parts: SQL for each part that the query has in braces.
    """
    return sa.text(qualified(_queries()[name].format(**parts)))


def part(name: str) -> str:
    """Return a named query as a part of another one."""
    return _queries()[name]


@cache
def driver_query(name: str) -> str:
    """Return a named query for a cursor of psycopg2."""
    return for_driver(_queries()[name])


def for_driver(sql: str) -> str:
    """Return a query, as :func:`read_queries` reads it, for a cursor of psycopg2."""
    return str(sa.text(qualified(sql)).compile(dialect=dialect()))


@cache
def qualified(sql: str) -> str:
    """Return SQL with the schema in front of each name of ours and of Procrastinate's."""
    return _NAME.sub(f"{SCHEMA}.", sql)


@cache
def scripts() -> tuple[str, str]:
    """Return the script that creates tables, and the one that creates functions."""
    functions = sorted(_FOLDER.glob("functions/*.sql"))
    return (_FOLDER / "tables.sql").read_text(), "\n".join(path.read_text() for path in functions)


@cache
def _queries() -> dict[str, str]:
    return read_queries(_FOLDER / "queries")


def read_queries(folder: Path) -> dict[str, str]:
    """Return the named queries in the files of a folder."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = _HEADER.split(path.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            found[name] = _COMMENT.sub("", text).strip()
    return found
