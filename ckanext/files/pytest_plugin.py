"""Fixtures for the tests of extensions that use this one.

Loaded by pytest wherever this extension is installed, so it imports nothing
until a fixture is used.
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
    """Look at background jobs and run them, in a test.

    Makes the tables if they are missing or out of date, and begins and ends
    without jobs. It needs the extra ``ckanext-files[background]``; load the
    plugins of your test before it, with ``with_plugins`` for example.
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
