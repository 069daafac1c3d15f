"""Fixtures of the tests of background tasks."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from sqlalchemy import text

from ckanext.files.background import call, schema
from ckanext.files.background.app import app as procrastinate


@pytest.fixture(autouse=True)
def job_tables(loaded: Any) -> Iterator[None]:
    """Create the tables if necessary, and delete all jobs before and after a test."""
    engine: Any = model.meta.engine
    schema.ensure(engine)
    _empty(engine)
    yield
    model.Session.remove()
    _empty(engine)


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    """CKAN's test application, made once for each module: it takes a second."""
    return loaded()


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Import a module from its source, as one of an extension; forget its tasks after the test.

    A second source of the same name replaces the first one and its tasks, as an
    upgrade of the extension does.
    """
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(call, "_tasks", dict(call._tasks))
    schedules = procrastinate.periodic_registry
    monkeypatch.setattr(schedules, "periodic_tasks", dict(schedules.periodic_tasks))
    made: set[str] = set()

    def define(source: str, name: str = "files_test_tasks") -> Any:
        for known, task in list(call._tasks.items()):
            if task.__module__ == name:
                del call._tasks[known]
        made.add(name)
        sys.modules.pop(name, None)
        (tmp_path / f"{name}.py").write_text(
            "from ckanext.files.background import *\n" + textwrap.dedent(source)
        )
        # Python would take a file of the same second and size for the compiled one
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield define
    for name in made:
        sys.modules.pop(name, None)


def _empty(engine: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {schema.SCHEMA}.procrastinate_jobs"))
