"""``ckan files background shell``."""

from __future__ import annotations

import click

from ckanext.files.background.shell import run_shell


@click.command()
def shell() -> None:
    """Look at queues, tasks, locks and jobs in a shell."""
    run_shell()
