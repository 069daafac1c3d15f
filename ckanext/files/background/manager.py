"""The object ``manager``: tasks, schedules and jobs for code that expects one object for them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ckan import model

from . import schema
from .deferring import send_task
from .periodic import periodic
from .task import task


class Manager:
    """Tasks, schedules and jobs in one place.

    Opening it only checks the tables: CKAN's session writes the jobs.
    """

    def __init__(self) -> None:
        # as staticmethod of the class, task would lose its overloads for type checkers
        self.task = task
        """See :func:`~ckanext.files.background.task`."""

        self.periodic = periodic
        """See :func:`~ckanext.files.background.periodic`."""

        self.send_task = send_task
        """See :func:`~ckanext.files.background.send_task`."""

    def open_sync(self) -> Manager:
        """Check that jobs can be written; also as ``with manager.open_sync():``.

        :raises NotInstalledError: the tables are missing.
        """
        schema.check(model.Session.connection())
        return self

    def close_sync(self) -> None:
        """Do nothing: CKAN closes the session."""

    def open(self) -> Opening:
        """As :meth:`open_sync`, to be awaited or as ``async with manager.open():``."""
        return Opening(self)

    async def close(self) -> None:
        """As :meth:`close_sync`."""

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close_sync()


class Opening:
    """Result of :meth:`Manager.open`: it opens the manager when awaited or entered."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def __await__(self) -> Generator[Any, None, Manager]:
        return self._manager.open_sync()
        yield

    async def __aenter__(self) -> Manager:
        return self._manager.open_sync()

    async def __aexit__(self, *_: Any) -> None:
        await self._manager.close()


manager = Manager()
