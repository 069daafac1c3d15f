"""CKAN's own tests of jobs on our rows: what they look at in Redis is looked up in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan.lib import jobs
from ckan.tests import helpers
from ckan.tests.pytest_ckan import ckan_setup

from ckanext.files.ckan_jobs.queue import Queue
from ckanext.files.tests.ckan_jobs.extensions.on_rows import all_jobs
from ckanext.files.tests.support.server import write_ini

DOES_NOT_APPLY = {
    "test_fork_within_a_transaction": "the session that asks has a change and never commits it: "
    "the job belongs to that commit",
}
"""Tests that do not apply, and why."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in (each for each in items if here in each.path.parents):
        if item.name in DOES_NOT_APPLY:
            item.add_marker(pytest.mark.skip(reason=DOES_NOT_APPLY[item.name]))


@pytest.fixture(autouse=True)
def jobs_of_postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(helpers.RQTestBase, "all_jobs", all_jobs)
    # RQ 1.16 makes a queue without a connection only after this
    getattr(jobs, "_connect", lambda: None)()
    yield
    assert type(jobs.get_queue()) is Queue  # also after the commands have loaded the plugins again


@pytest.fixture
def clean_queues(no_jobs_left: None) -> None:
    """Takes the place of CKAN's."""


@pytest.fixture
def ckan_config(ckan_config: Any) -> Any:
    """CKAN's fixture. The mark of a test names its own plugins: these remain the loaded ones."""
    ckan_config["ckan.plugins"] = ckan_setup._config["ckan.plugins"]
    return ckan_config


@pytest.fixture
def with_plugins(loaded: Any) -> None:
    """Takes the place of CKAN's, which would load the plugins again for each test."""


@pytest.fixture
def cli(ini: Path, tmp_path: Path) -> Any:
    """CKAN's fixture, with a configuration file that has the plugin."""
    path = tmp_path / "jobs.ini"
    write_ini(path, ini, {"ckan.plugins": "files files_background files_jobs"})
    return helpers.CKANCliRunner(env={"CKAN_INI": str(path)})
