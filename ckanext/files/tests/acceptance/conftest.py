"""Fixtures of tests with real processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files import capabilities
from ckanext.files.tests.support.server import CkanServers
from ckanext.files.tests.support.workers import Workers

collect_ignore = ["test_move.py"] if capabilities.CORE_FILES else []
"""The move starts on CKAN 2.11 and ends on CKAN 2.12: one run of it is enough."""


@pytest.fixture(scope="session")
def ini(pytestconfig: pytest.Config) -> Path:
    """The configuration file of the tests."""
    return Path(str(pytestconfig.getoption("--ckan-ini"))).resolve()


@pytest.fixture
def servers(ini: Path, tmp_path: Path) -> Iterator[CkanServers]:
    """CKAN servers that end with the test."""
    servers = CkanServers(tmp_path, ini)
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def lasting_servers(ini: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkanServers]:
    """CKAN servers that serve all tests of a module."""
    servers = CkanServers(tmp_path_factory.mktemp("servers"), ini)
    yield servers
    servers.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of servers and workers with a test that fails."""
    report = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed:
        for processes in values.values():
            if isinstance(processes, (CkanServers, Workers)):
                report.sections += processes.logs().items()
    return report
