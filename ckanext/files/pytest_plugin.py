"""Fixtures for the tests of other extensions.

pytest loads this module wherever ckanext-files is installed, so it imports nothing
else of the extension before a test uses a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ckan.tests.helpers import CKANTestApp

    from ckanext.files.background.testing import TasksManager


@pytest.fixture
def tasks(app: CKANTestApp) -> Iterator[TasksManager]:
    """Background jobs in a test, to look at and to run.

    Creates or updates the tables if necessary, and deletes all jobs before and
    after the test. Needs the extra ``ckanext-files[background]``. Load the plugins
    of the test before it, for example with ``with_plugins``.
    """
    from ckan import model

    from ckanext.files.background import schema
    from ckanext.files.background.testing import TasksManager

    schema.ensure(model.Session.get_bind())
    manager = TasksManager(app.flask_app)
    manager.reset()
    yield manager
    manager.reset()


@pytest.fixture
def tqmanager(tasks: TasksManager) -> TasksManager:
    """The fixture ``tasks`` by another name."""
    return tasks
