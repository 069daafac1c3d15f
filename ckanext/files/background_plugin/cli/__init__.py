"""The commands ``ckan files background ...``, one module each."""

from __future__ import annotations

import click

from ckanext.files.cli import files

from .cancel import cancel
from .group import BackgroundGroup
from .init import init
from .listing import list_jobs
from .purge import purge
from .retry import retry
from .send import send
from .shell import shell
from .show import show
from .status import status
from .worker import worker

__all__ = ["get_commands"]


@files.group(cls=BackgroundGroup)
def background() -> None:
    """Background tasks: set them up, work, and look after jobs."""


background.add_command(cancel)
background.add_command(init)
background.add_command(list_jobs)
background.add_command(purge)
background.add_command(retry)
background.add_command(send)
background.add_command(shell)
background.add_command(show)
background.add_command(status)
background.add_command(worker)


def get_commands() -> list[click.Command]:
    """Return what CKAN adds to its own commands: the group of the plugin ``files``, with ours."""
    return [files]
