"""Copies of CKAN's database in which the jobs are done, dropped at the end."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import psycopg2
from sqlalchemy.engine import URL, make_url

VARIABLE = "CKAN_SQLALCHEMY_URL"

_TABLES = """
    CREATE TABLE benchmark_write (number bigint NOT NULL);
    CREATE TABLE benchmark_request (number bigint NOT NULL);
"""


class Databases:
    """One copy for each name."""

    def __init__(self, names: set[str]) -> None:
        self._url = make_url(os.environ[VARIABLE])
        self._copies = {name: f"{self._url.database}_benchmark_{name}" for name in names}

    def __enter__(self) -> Databases:
        # a benchmark that was killed has left them
        self._drop()
        for copy in self._copies.values():
            _execute(self._url, f'CREATE DATABASE "{copy}" TEMPLATE "{self._url.database}"')
            _execute(self._url.set(database=copy), _TABLES)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop()

    def url(self, name: str) -> str:
        """Return the address of a copy."""
        url: Any = self._url.set(database=self._copies[name])
        return url.render_as_string(hide_password=False)

    def _drop(self) -> None:
        for copy in self._copies.values():
            _execute(self._url, f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')


def _execute(url: URL, sql: str) -> None:
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        connection.cursor().execute(sql)
    finally:
        connection.close()
