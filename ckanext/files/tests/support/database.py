"""A database of its own, for what cannot be done to the database of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg2
from ckan import model
from ckan.cli.db import db
from ckan.common import config
from sqlalchemy import engine_from_config

from ckanext.files.background_plugin.cli import get_commands
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.waiting import wait_for


class Database:
    """A database of its own on the server that the tests have."""

    def __init__(self, name: str) -> None:
        self._administration = os.environ["CKAN_SQLALCHEMY_URL"]
        self.name = name
        self.url = f"{self._administration.rpartition('/')[0]}/{name}"

    def create(self) -> None:
        self._administer(f"CREATE DATABASE {self.name}")

    def drop(self) -> None:
        """Drop it, also while processes are connected.

        ``WITH (FORCE)`` fails while PostgreSQL vacuums it: that only an administrator may end.
        """
        sessions = f"FROM pg_stat_activity WHERE datname = '{self.name}' AND usename = current_user"
        look(f"SELECT count(pg_terminate_backend(pid)) {sessions}")
        wait_for(lambda: not look(f"SELECT count(*) {sessions}"))
        self._administer(f"DROP DATABASE {self.name}")

    def rows(self, query: str) -> list[Any]:
        with self.transaction() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def change(self, statements: str) -> None:
        with self.transaction() as cursor:
            cursor.execute(statements)
            cursor.connection.commit()

    def command(self, app: Any, line: str) -> Callable[[], None]:
        """Return what runs a command of CKAN in a fork of the tests, on this database."""

        def run() -> None:
            url = {"sqlalchemy.url": self.url}
            config.update(url)
            model.init_model(engine_from_config(url))
            outer = click.Context(click.Group())
            outer.meta["flask_app"] = app.flask_app
            click.Group(commands=[db, *get_commands()]).main(line.split(), "ckan", parent=outer)

        return run

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Hold a transaction open, and take back in the end what it did."""
        connection = psycopg2.connect(self.url)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def _administer(self, statement: str) -> None:
        connection = psycopg2.connect(self._administration)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()
