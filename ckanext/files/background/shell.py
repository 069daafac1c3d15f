"""Procrastinate's shell on the jobs of this portal."""

from __future__ import annotations

import asyncio
from typing import Any

from ckan import model
from procrastinate.shell import ProcrastinateShell

from . import schema
from .app import app


class Shell(ProcrastinateShell):
    """Commits what each of its commands has done."""

    intro = "Procrastinate's shell on the jobs of this portal. Type help or ? to list commands.\n"
    prompt = "background> "

    def onecmd(self, line: str) -> bool:
        try:
            return bool(super().onecmd(line))
        finally:
            model.Session.commit()

    def async_to_sync(self, coro: Any, **kwargs: Any) -> Any:
        # in this thread: the session, and what is to be committed, is the thread's
        return asyncio.run(coro(**kwargs))

    def emptyline(self) -> bool:
        return False


def run_shell() -> None:
    """Read commands from stdin until it ends.

    :raises NotInstalledError: the tables are missing.
    """
    schema.check(model.Session.connection())
    Shell(app.job_manager).cmdloop()
