"""Fixtures of tests with real workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from ckan.common import config

from ckanext.files.background import schema
from ckanext.files.tests.support import sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.broken_network import Network
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.jobs import S, change
from ckanext.files.tests.support.workers import Workers

WORKERS_KNOW = (tasks, sample)
"""Forks of the tests know the tasks that are imported here."""


@pytest.fixture(scope="module", autouse=True)
def schema_installed(loaded: Any) -> None:
    """The tables are there."""
    schema.ensure(engine())


@pytest.fixture(autouse=True)
def no_jobs(schema_installed: None) -> Iterator[None]:
    """The tables are empty before and after a test."""
    _empty()
    yield
    model.Session.remove()
    _empty()


@pytest.fixture
def workers(tmp_path: Path, pytestconfig: pytest.Config, no_jobs: None) -> Iterator[Workers]:
    """Workers that end with the test."""
    yield from _workers(tmp_path, pytestconfig)


@pytest.fixture
def commands(tmp_path: Path, pytestconfig: pytest.Config, no_jobs: None) -> Iterator[Workers]:
    """Workers that CKAN's command starts; the others are forks of the tests."""
    yield from _workers(tmp_path, pytestconfig, by_command=True)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A network that fails when the test wants it; workers that are forked now use it."""
    network = Network()
    through = {**config, "sqlalchemy.url": network.url}
    monkeypatch.setattr("ckanext.files.background.worker.environment.config", through)
    yield network
    network.close()


@pytest.fixture
def seldom_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are forked now look at the tables once an hour.

    What they do sooner, a notification has caused.
    """
    monkeypatch.setattr("ckanext.files.background.worker.worker._HEARTBEAT_INTERVAL", 3600.0)


@pytest.fixture(scope="module")
def lasting_workers(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, schema_installed: None
) -> Iterator[Workers]:
    """Workers that run jobs of all tests of a module."""
    yield from _workers(tmp_path_factory.mktemp("workers"), pytestconfig)


def _workers(
    folder: Path, pytestconfig: pytest.Config, by_command: bool = False
) -> Iterator[Workers]:
    ini = Path(str(pytestconfig.getoption("--ckan-ini"))).resolve()
    workers = Workers(folder, ini, by_command)
    yield workers
    workers.stop()


def _empty() -> None:
    for table in ("jobs", "periodic_defers"):
        change(f"DELETE FROM {S}.procrastinate_{table}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the workers' logs with a test that fails."""
    report = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed:
        for workers in values.values():
            if isinstance(workers, Workers):
                report.sections += workers.logs().items()
    return report
