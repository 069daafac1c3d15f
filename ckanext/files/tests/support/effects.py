"""A table of the tests' own, and a second connection that watches the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.model import meta
from sqlalchemy import event
from sqlalchemy.engine import Engine


def engine() -> Engine:
    assert meta.engine
    return meta.engine


class Effects:
    """Rows that tasks write.

    The name is unique, but PostgreSQL only checks that at the COMMIT: writing
    one twice is a commit that fails.
    """

    def create_table(self) -> None:
        columns = "(name text UNIQUE DEFERRABLE INITIALLY DEFERRED)"
        change(f"CREATE TABLE IF NOT EXISTS files_test_effect {columns}")

    def write(self, name: str) -> None:
        """Write a row through CKAN's session, without a commit."""
        insert = sa.text("INSERT INTO files_test_effect VALUES (:name)")
        model.Session.execute(insert, {"name": name})

    def exists(self, name: str) -> bool:
        """Look for a committed row, over another connection."""
        return look("SELECT EXISTS (SELECT FROM files_test_effect WHERE name = :name)", name=name)


class Rows:
    """The rows of one test in that table, by short names."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def write(self, *names: str) -> None:
        """Write rows through CKAN's session, without a commit."""
        for name in names:
            Effects().write(f"{self._prefix}-{name}")

    @property
    def committed(self) -> set[str]:
        """The names of the committed rows, read over another connection."""
        query = "SELECT name FROM files_test_effect WHERE starts_with(name, :prefix)"
        found = rows(query, prefix=f"{self._prefix}-")
        return {name.removeprefix(f"{self._prefix}-") for (name,) in found}

    @staticmethod
    def lock() -> None:
        """Lock the table for an instant, over another connection.

        :raises OperationalError: a transaction that has written a row has not ended.
        """
        with engine().begin() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            connection.execute(sa.text("LOCK TABLE files_test_effect"))


def look(query: str, **parameters: Any) -> Any:
    """Return one value, read over another connection than the session's."""
    with engine().connect() as connection:
        return connection.execute(sa.text(query), parameters).scalar()


def rows(query: str, **parameters: Any) -> list[Any]:
    """Return what a query finds."""
    with engine().connect() as connection:
        return list(connection.execute(sa.text(query), parameters).all())


def change(statement: str, **parameters: Any) -> None:
    """Change something, and commit."""
    with engine().begin() as connection:
        connection.execute(sa.text(statement), parameters)


@contextmanager
def watch(query: str, **parameters: Any) -> Iterator[set[tuple[Any, ...]]]:
    """Run a query each millisecond over a second connection; collect what it has returned."""
    seen: set[tuple[Any, ...]] = set()
    started, stop = threading.Event(), threading.Event()

    def poll() -> None:
        with engine().connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            while not stop.is_set():
                seen.add(tuple(connection.execute(sa.text(query), parameters).one()))
                started.set()
                time.sleep(0.001)
            seen.add(tuple(connection.execute(sa.text(query), parameters).one()))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert started.wait(10)
        yield seen
    finally:
        stop.set()
        thread.join()


@contextmanager
def _listening(name: str, do: Callable[..., Any]) -> Iterator[None]:
    event.listen(engine(), name, do)
    try:
        yield
    finally:
        event.remove(engine(), name, do)


@contextmanager
def count_commits() -> Iterator[list[str]]:
    """Collect one entry for each real COMMIT of this process."""
    commits: list[str] = []
    with _listening("commit", lambda _: commits.append("COMMIT")):
        yield commits


@contextmanager
def at_each_commit(do: Callable[[], Any]) -> Iterator[None]:
    """Do something right before each real COMMIT of this process, but for its own."""
    with _at_each("commit", do):
        yield


@contextmanager
def at_each_begin(do: Callable[[], Any]) -> Iterator[None]:
    """Do something right before each transaction of this process, but for its own."""
    with _at_each("begin", do):
        yield


@contextmanager
def _at_each(name: str, do: Callable[[], Any]) -> Iterator[None]:
    busy = False

    def happening(_: Any) -> None:
        nonlocal busy
        if not busy:
            busy = True
            try:
                do()
            finally:
                busy = False

    with _listening(name, happening):
        yield


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the SQL that this process sends."""
    seen: list[str] = []

    def sending(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    with _listening("before_cursor_execute", sending):
        yield seen
