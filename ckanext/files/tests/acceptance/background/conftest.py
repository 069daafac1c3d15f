"""Fixtures of tests with real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from ckan.common import config

from ckanext.files.background import schema
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.proxy import Proxy, database_through_proxy
from ckanext.files.tests.support.workers import Workers

WORKERS_KNOW = (tasks, sample)
"""Forks of the tests know the tasks that are imported here."""


WAITS = {
    "worker": ("_HEARTBEAT_INTERVAL", "RETRY_PAUSE"),
    "supply": ("RETRY_PAUSE",),
    "repairs": ("_PAUSE",),
    "processes": ("_PAUSE",),
}


@pytest.fixture(scope="module", autouse=True)
def brisk() -> Iterator[None]:
    """Workers that are forked from the tests wait a fifth of what others do."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in WAITS.items():
            found = import_module(f"ckanext.files.background.worker.{module}")
            for name in names:
                patch.setattr(found, name, getattr(found, name) / 5)
        yield


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    """CKAN's test application, which forks serve or work with."""
    schema.ensure(engine())
    return loaded()


@pytest.fixture(autouse=True)
def no_jobs(app: Any) -> Iterator[None]:
    """The tables are empty before and after a test."""
    _empty()
    yield
    model.Session.remove()
    _empty()


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """With which the effects of a test's jobs begin."""
    return unique("job")


@pytest.fixture
def workers(ini: Path, tmp_path: Path, app: Any, no_jobs: None) -> Iterator[Workers]:
    """Forks of the tests that end with the test."""
    workers = Workers(tmp_path, ini, app)
    yield workers
    workers.stop()


@pytest.fixture
def commands(ini: Path, tmp_path: Path, no_jobs: None) -> Iterator[Workers]:
    """Workers that CKAN's command starts."""
    workers = Workers(tmp_path, ini)
    yield workers
    workers.stop()


@pytest.fixture(scope="module")
def lasting_workers(
    ini: Path, tmp_path_factory: pytest.TempPathFactory, app: Any
) -> Iterator[Workers]:
    """Forks of the tests that run jobs of all tests of a module."""
    workers = Workers(tmp_path_factory.mktemp("workers"), ini, app)
    yield workers
    workers.stop()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A network that fails when the test wants it; workers that are forked now use it."""
    with database_through_proxy() as (network, url):
        through = {**config, "sqlalchemy.url": url.render_as_string(hide_password=False)}
        monkeypatch.setattr("ckanext.files.background.worker.environment.config", through)
        yield network


@pytest.fixture
def only_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are forked now have no heartbeat, not even at their start.

    What they do, a notification has caused.
    """
    monkeypatch.setattr("ckanext.files.background.worker.worker._HEARTBEAT_INTERVAL", 1e9)
    # no second look comes after one that is too early on a busy machine
    monkeypatch.setattr("ckanext.files.background.worker.worker._CLAIM_TIME", 1.0)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are forked now give up a step soon that cannot be interrupted."""
    monkeypatch.setattr("ckanext.files.background.worker.execution._GRACE", 1.0)


def _empty() -> None:
    for table in ("jobs", "periodic_defers"):
        change(f"DELETE FROM {S}.procrastinate_{table}")
