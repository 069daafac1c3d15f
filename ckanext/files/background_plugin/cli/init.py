"""``ckan files background init``."""

from __future__ import annotations

import click
from ckan import model

from ckanext.files.background import schema


@click.command()
def init() -> None:
    """Make the tables of background tasks, or bring them up to date.

    They are in a schema of their own, beside CKAN's tables. Stop the workers
    before an update. Safe to run again.
    """
    made = schema.install(model.Session.get_bind())
    done = "made" if made else "up to date"
    click.secho(f"The tables in schema {schema.SCHEMA} are {done}", fg="green")
