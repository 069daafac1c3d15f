"""Fixtures of tests with real processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.support.server import CkanServers


@pytest.fixture
def servers(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[CkanServers]:
    """CKAN servers that end with the test."""
    yield from _servers(tmp_path, pytestconfig)


@pytest.fixture(scope="module")
def lasting_servers(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[CkanServers]:
    """CKAN servers that serve all tests of a module."""
    yield from _servers(tmp_path_factory.mktemp("servers"), pytestconfig)


def _servers(folder: Path, pytestconfig: pytest.Config) -> Iterator[CkanServers]:
    servers = CkanServers(folder, Path(str(pytestconfig.getoption("--ckan-ini"))).resolve())
    yield servers
    servers.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the servers' logs with a test that fails."""
    report = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed:
        for servers in values.values():
            if isinstance(servers, CkanServers):
                report.sections += servers.logs().items()
    return report
