"""The object ``manager``: the same by other names, for code that has one."""

from __future__ import annotations

from ckan import model

from . import schema
from .periodic import periodic
from .sending import send_task
from .task import task


class Manager:
    """Tasks, schedules and jobs in one place.

    There is nothing to open: jobs are written through CKAN's session. Opening
    checks that the tables are there.
    """

    task = staticmethod(task)
    periodic = staticmethod(periodic)
    send_task = staticmethod(send_task)

    def open_sync(self) -> Manager:
        """Check that jobs can be written.

        :raises NotInstalledError: the tables are missing.
        """
        schema.check(model.Session.connection())
        return self

    def close_sync(self) -> None:
        """Do nothing: the session is CKAN's."""

    async def open(self) -> Manager:
        """As :meth:`open_sync`."""
        return self.open_sync()

    async def close(self) -> None:
        """As :meth:`close_sync`."""


manager = Manager()
