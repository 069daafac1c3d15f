"""The commands ``ckan files ...``."""

from __future__ import annotations

import click

from .claim import claim
from .repair import check, repair_index
from .upgrade import takeover, to_core

__all__ = ["get_commands"]


@click.group()
def files() -> None:
    """Check files, take them over from elsewhere, and move them to CKAN's own tables."""


for command in (check, claim, repair_index, takeover, to_core):
    files.add_command(command)


def get_commands() -> list[click.Command]:
    """Return the commands that the plugin adds to CKAN's."""
    return [files]
