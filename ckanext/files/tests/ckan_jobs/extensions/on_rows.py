"""A plugin of pytest: the tests of another extension, with CKAN's jobs in PostgreSQL.

``pytest -p`` with the name of this module loads our plugins beside those that the tests want, and
lets the fixtures of CKAN that look into Redis look into the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.lib import jobs
from ckan.tests import helpers
from ckan.tests.pytest_ckan import fixtures

from ckanext.files.background import schema
from ckanext.files.ckan_jobs.queue import Queue

PLUGINS = "files files_background files_jobs"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """When CKAN is loaded, make our tables, and tell CKAN's fixtures where the jobs are."""
    schema.ensure(model.meta.engine)
    # a fixture of a plugin of pytest would lose against CKAN's of the same name
    vars(fixtures)["_empty_queues"] = _empty
    vars(helpers.RQTestBase)["all_jobs"] = _all_jobs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each mark that names plugins name ours, too."""
    for node in dict.fromkeys(node for item in items for node in item.listchain()):
        node.own_markers[:] = map(_with_ours, node.own_markers)


def _with_ours(mark: Any) -> Any:
    if mark.name == "ckan_config" and mark.args[0] == "ckan.plugins":
        return pytest.mark.ckan_config("ckan.plugins", f"{PLUGINS} {mark.args[1]}").mark
    return mark


@pytest.fixture(autouse=True)
def jobs_are_rows() -> Iterator[None]:
    """Check that a test has not asked Redis meanwhile."""
    yield
    assert type(jobs.get_queue()) is Queue
