"""``ckan files background shell``."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from ckan import model
from procrastinate.shell import ProcrastinateShell

from ckanext.files.background import schema
from ckanext.files.background.app import app


class _Shell(ProcrastinateShell):
    """Procrastinate's, which commits what each of its commands has done."""

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


@click.command()
def shell() -> None:
    """Look at queues, tasks, locks and jobs in a shell."""
    schema.check(model.Session.connection())
    _Shell(app.job_manager).cmdloop()
