"""Fixtures of tests with real workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import schema
from ckanext.files.tests.acceptance.background.jobs import S, change
from ckanext.files.tests.acceptance.background.workers import Workers
from ckanext.files.tests.effects import engine


@pytest.fixture(autouse=True)
def job_tables(loaded: Any) -> Iterator[None]:
    """The tables are there, and empty before and after a test."""
    with engine().connect() as connection:
        missing = not schema.is_installed(connection)
    if missing:
        schema.install(engine())
    _empty()
    yield
    model.Session.remove()
    _empty()


@pytest.fixture
def workers(tmp_path: Path, pytestconfig: pytest.Config, job_tables: None) -> Iterator[Workers]:
    """Workers that end with the test."""
    workers = Workers(tmp_path, Path(str(pytestconfig.getoption("--ckan-ini"))).resolve())
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
