"""A plugin of pytest: the tests of another extension, with CKAN's jobs in PostgreSQL.

``pytest -p`` with the name of this module loads our plugins beside those that the tests want. What
CKAN's own fixtures look up in Redis they look up in the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model, plugins
from ckan.lib import jobs
from ckan.lib.redis import connect_to_redis
from ckan.tests import helpers
from ckan.tests.pytest_ckan import fixtures

from ckanext.files.background import schema

PLUGINS = "files files_background files_jobs"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Make our tables, when CKAN is loaded, and tell CKAN's fixtures where the jobs are."""
    schema.ensure(model.meta.engine)
    # a fixture of this module would lose against CKAN's of the same name
    setattr(fixtures, "_empty_queues", _empty_queues)  # noqa: B010
    setattr(helpers.RQTestBase, "all_jobs", all_jobs)  # noqa: B010


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each mark that names plugins name ours, too."""
    for node in dict.fromkeys(node for item in items for node in item.listchain()):
        node.own_markers[:] = map(_with_ours, node.own_markers)


def _with_ours(mark: Any) -> Any:
    if mark.name == "ckan_config" and mark.args[0] == "ckan.plugins":
        return pytest.mark.ckan_config("ckan.plugins", f"{PLUGINS} {mark.args[1]}").mark
    return mark


def _empty_queues() -> None:
    model.Session.remove()
    with model.meta.engine.begin() as connection:  # pyright: ignore[reportOptionalMemberAccess]
        connection.execute(sa.text(f"DELETE FROM {schema.SCHEMA}.procrastinate_jobs"))


def all_jobs(_: Any) -> list[Any]:
    """For ``RQTestBase``: the jobs that wait, of all queues."""
    return [job for queue in jobs.get_all_queues() for job in queue.jobs]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """Our plugins, for tests that load the extension beside what is loaded."""
    plugins.load(*PLUGINS.split())
    yield
    plugins.unload_all()


@pytest.fixture(scope="session", autouse=True)
def nothing_in_redis() -> Iterator[None]:
    """No test has asked RQ for a job."""
    yield
    assert connect_to_redis().keys("rq:*") == []
