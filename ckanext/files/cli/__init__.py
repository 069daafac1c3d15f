"""The commands ``ckan files ...``, one module each."""

from __future__ import annotations

import click

from .check import check
from .claim import claim
from .repair_index import repair_index
from .takeover import takeover
from .to_core import to_core

__all__ = ["get_commands"]


@click.group()
def files() -> None:
    """Files: check them, move them in from elsewhere, and on to CKAN's own tables."""


files.add_command(check)
files.add_command(claim)
files.add_command(repair_index)
files.add_command(takeover)
files.add_command(to_core)


def get_commands() -> list[click.Command]:
    """Return what CKAN adds to its own commands."""
    return [files]
