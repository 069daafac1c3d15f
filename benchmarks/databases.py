"""Copies of CKAN's database, in which a benchmark may do what it likes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import make_url

DATABASE = "CKAN_SQLALCHEMY_URL"


@contextmanager
def copies(count: int) -> Iterator[list[str]]:
    """Give the addresses of copies of CKAN's database, which are dropped at the end."""
    url = make_url(os.environ[DATABASE])
    copies = [url.set(database=f"{url.database}_benchmark_{number}") for number in range(count)]
    make = f'CREATE DATABASE "{{}}" TEMPLATE "{url.database}"'
    drop = 'DROP DATABASE IF EXISTS "{}" WITH (FORCE)'
    # it is the only connection, as it has to be when the database is copied
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:

        def execute(sql: str) -> None:
            for copy in copies:
                connection.execute(sa.text(sql.format(copy.database)))

        # a benchmark that was killed has left some
        execute(drop)
        try:
            execute(make)
            yield [copy.render_as_string(hide_password=False) for copy in copies]
        finally:
            execute(drop)
