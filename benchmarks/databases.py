"""Copies of CKAN's database, in which a benchmark may do what it likes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ProgrammingError

DATABASE = "CKAN_SQLALCHEMY_URL"

_PATIENCE = 60
"""Seconds."""


@contextmanager
def copies(count: int) -> Iterator[list[str]]:
    """Give the addresses of copies of CKAN's database, which are dropped at the end."""
    url = make_url(os.environ[DATABASE])
    copies = [url.set(database=f"{url.database}_benchmark_{number}") for number in range(count)]
    make = f'CREATE DATABASE "{{}}" TEMPLATE "{url.database}"'
    # it is the only connection, as it has to be when the database is copied
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:

        def drop_all() -> None:
            for copy in copies:
                _drop(connection, str(copy.database))

        drop_all()  # a benchmark that was killed has left some
        try:
            for copy in copies:
                connection.execute(sa.text(make.format(copy.database)))
            yield [copy.render_as_string(hide_password=False) for copy in copies]
        finally:
            drop_all()


def _drop(connection: Connection, database: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))
            return
        except ProgrammingError as error:
            # PostgreSQL vacuums it, and only a superuser may end that
            if not isinstance(error.orig, InsufficientPrivilege) or time.monotonic() > end:
                raise
            time.sleep(1)
