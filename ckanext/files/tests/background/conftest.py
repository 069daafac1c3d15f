"""Fixtures of the tests of background tasks."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ckan import model
from sqlalchemy import text

from ckanext.files.background import Job, call, schema, task
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


def _empty() -> None:
    with engine().begin() as connection:
        connection.execute(text(f"DELETE FROM {schema.SCHEMA}.procrastinate_jobs"))
