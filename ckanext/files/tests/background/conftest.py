"""Fixtures of the tests of background tasks."""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from sqlalchemy import text

from ckanext.files.background import Job, call, schema, task
from ckanext.files.background.app import app as procrastinate
from ckanext.files.background.record import JobRecord
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.jobs import shown
from ckanext.files.tests.support.step_owner import StepOwner


@pytest.fixture(scope="module", autouse=True)
def job_tables(loaded: Any) -> None:
    """Create or update the tables, and delete the jobs of other tests."""
    schema.ensure(model.meta.engine)
    _empty()


@pytest.fixture(autouse=True)
def no_jobs_left(job_tables: None) -> Iterator[None]:
    """Delete all jobs after a test."""
    yield
    model.Session.remove()
    _empty()


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    """CKAN's test application, made once for each module: it takes a second."""
    return loaded()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"job-{uuid.uuid4().hex}"


@pytest.fixture
def ran() -> list[Any]:
    """What the tasks of a test note when they run."""
    return []


@pytest.fixture
def run(tasks: TasksManager) -> Callable[[Job], JobRecord]:
    """Run a job, and all others that wait; return what is known of it then."""

    def run(job: Job) -> JobRecord:
        tasks.run_pending_jobs()
        return shown(job)

    return run


@pytest.fixture
def owner() -> Iterator[StepOwner]:
    """A worker that the test controls."""
    owner = StepOwner()
    yield owner
    owner.close()


@pytest.fixture
def make_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a function within a test a task, until the end of the test.

    A second function of the same name replaces the first one, as another version of its source.
    """
    monkeypatch.setattr(call, "_tasks", dict(call._tasks))

    def make_task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        if function is None:
            return functools.partial(make_task, **options)
        function.__qualname__ = function.__name__  # as at the top level
        return task(**options)(function)

    return make_task


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
        for known, old in list(call._tasks.items()):
            if old.__module__ == name:
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


def _empty() -> None:
    with engine().begin() as connection:
        connection.execute(text(f"DELETE FROM {schema.SCHEMA}.procrastinate_jobs"))
