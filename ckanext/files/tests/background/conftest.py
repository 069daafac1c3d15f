"""Fixtures of the tests of background tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ckan import model
from sqlalchemy import text

from ckanext.files.background import schema


@pytest.fixture(autouse=True)
def job_tables(loaded: Any) -> Iterator[None]:
    """The tables are there, and empty before and after a test."""
    engine: Any = model.meta.engine
    with engine.connect() as connection:
        missing = not schema.is_installed(connection)
    if missing:
        schema.install(engine)
    _empty(engine)
    yield
    model.Session.remove()
    _empty(engine)


@contextmanager
def looking() -> Iterator[Any]:
    """Look from a second connection: only what is committed is there."""
    engine: Any = model.meta.engine
    with engine.connect() as connection:
        yield connection


def _empty(engine: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {schema.SCHEMA}.procrastinate_jobs"))
