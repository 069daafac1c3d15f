"""The commands ``ckan files background ...``, one module each."""

from __future__ import annotations

import click

from ckanext.files.cli import files

from .init import init
from .shell import shell
from .status import status
from .worker import worker

__all__ = ["get_commands"]


@files.group()
def background() -> None:
    """Background tasks: set them up, work, and look after jobs."""


background.add_command(init)
background.add_command(shell)
background.add_command(status)
background.add_command(worker)


def get_commands() -> list[click.Command]:
    """Return what CKAN adds to its own commands: the group of the plugin ``files``, with ours."""
    return [files]
