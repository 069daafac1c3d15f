"""The commands ``ckan files background ...``: the group, and setting up the tables."""

from __future__ import annotations

from typing import Any

import click
from ckan import model

from ckanext.files.background import BackgroundError, schema
from ckanext.files.background.app import run_shell
from ckanext.files.cli import files
from ckanext.files.cli.options import JSON
from ckanext.files.cli.output import print_json

from .change_jobs import cancel, purge, retry, send
from .queues import pause, resume
from .show_jobs import list_jobs, show
from .workers import status, worker

__all__ = ["get_commands"]


class BackgroundGroup(click.Group):
    """Prints an error of the background as ``Error: ...``, with the exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BackgroundError as error:
            raise click.ClickException(str(error)) from error


@files.group(cls=BackgroundGroup)
def background() -> None:
    """Set up background tasks, run workers, and look after jobs."""


@background.command()
@JSON
def init(as_json: bool) -> None:
    """Make the tables of background tasks, or bring them up to date.

    They are in their own schema, beside CKAN's tables. Stop the workers before an
    update. You can run it again at any time.
    """
    made = schema.install(model.Session.get_bind())
    if as_json:
        print_json({"schema": schema.SCHEMA, "made": made})
    else:
        done = "made" if made else "up to date"
        click.secho(f"The tables in schema {schema.SCHEMA} are {done}", fg="green")


@background.command()
def shell() -> None:
    """Look at queues, tasks, locks and jobs in a shell."""
    run_shell()


for command in (cancel, list_jobs, pause, purge, resume, retry, send, show, status, worker):
    background.add_command(command)


def get_commands() -> list[click.Command]:
    """Return the commands of the plugin ``files``, to which the group is added."""
    return [files]
