"""``ckan files takeover``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import ckan.plugins.toolkit as tk
import click
from ckan import model
from ckan.common import config_declaration

from ckanext.files.backport.tables import file_table
from ckanext.files.errors import FilesError
from ckanext.files.store.stored import Stored, find_missing, list_storages
from ckanext.files.upgrade.old_options import OptionsReport, translate_options
from ckanext.files.upgrade.table_check import TableCheck
from ckanext.files.upgrade.takeover import adapt_tables, are_there, look_at_tables

from .progress import Progress

_SHOWN = 20


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
def takeover(dry_run: bool) -> None:
    """Take over the files of ckanext-files 1.x.

    Checks its tables column by column and puts right what differs, in one
    transaction. Prints the options that the configuration file needs for things
    to be as they were. The rows and the files themselves stay where they are;
    what is not understood is named and not changed.

    It may be run any number of times. The exit code is 1 when something stands
    in the way: of the tables, or because a storage is not configured.
    """
    engine: Any = model.Session.get_bind()
    if not are_there(engine):
        click.echo("There is nothing to take over: this portal has no tables of ckanext-files 1.x.")
        return
    try:
        check = look_at_tables(engine) if dry_run else adapt_tables(engine)
    except FilesError as error:
        raise click.ClickException(str(error)) from error
    _print_tables(check, dry_run=dry_run)
    _print_options(translate_options(tk.config, config_declaration))
    lacking = [] if check.obstacles else _print_files(engine)
    if check.obstacles or lacking:
        sys.exit(1)


def _print_tables(check: TableCheck, *, dry_run: bool) -> None:
    _heading("Tables")
    if check.obstacles:
        click.secho("Nothing has been changed, because this stands in the way:", fg="red")
        _list(check.obstacles)
        click.echo(
            "Tables of other versions than 1.3.4 may differ: bring the portal to ckanext-files "
            "1.3.4 and run its migrations (ckan db upgrade -p files) before you take it over."
        )
    elif check.steps:
        click.echo("This is to be done:" if dry_run else "This was done:")
        _list([step.text for step in check.steps])
    else:
        click.secho("They are as they should be.", fg="green")
    _list(check.remarks)


def _print_options(report: OptionsReport) -> None:
    _heading("Options")
    if report.lines:
        click.echo("Add these lines to the section [app:main] of the configuration file:\n")
        for line in report.lines:
            click.echo(line)
        click.echo()
    else:
        click.secho("The configuration has all that it needs.", fg="green")
    if report.remarks:
        click.echo("What is different, or has no equivalent:")
        _list(report.remarks)


def _print_files(engine: Any) -> list[Stored]:
    """Return the storages that are not configured."""
    _heading("Files")
    lacking: list[Stored] = []
    with engine.connect() as connection:
        for stored in list_storages(connection, file_table):
            if not stored.is_configured:
                lacking.append(stored)
                click.secho(
                    f"{stored.storage}: {stored.files} files in a storage that is not configured",
                    fg="red",
                )
            elif not stored.can_be_asked:
                click.echo(f"{stored.storage}: {stored.files} files, which cannot be looked for")
            else:
                with Progress(f"Looking into {stored.storage}") as bar:
                    bar.begin(stored.files)
                    missing = find_missing(connection, file_table, stored, bar.add)
                _print_missing(stored, missing)
    return lacking


def _print_missing(stored: Stored, missing: Sequence[str]) -> None:
    click.secho(
        f"{stored.storage}: {stored.files} files, of which the bytes of {len(missing)} are missing",
        fg="yellow" if missing else "green",
    )
    _list(missing[:_SHOWN])
    if len(missing) > _SHOWN:
        click.echo(f"  and {len(missing) - _SHOWN} more")


def _heading(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _list(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"  - {line}")
