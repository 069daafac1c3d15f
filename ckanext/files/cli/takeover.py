"""``ckan files takeover`` from ckanext-files 1.x."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import click
from ckan import model
from ckan.common import config_declaration

from ckanext.files.backport.tables import file_table
from ckanext.files.errors import FilesError
from ckanext.files.store.stored import Stored, list_storages
from ckanext.files.upgrade.old_options import OptionsReport, translate_options
from ckanext.files.upgrade.table_check import TableCheck
from ckanext.files.upgrade.takeover import adapt_tables, look_at_tables, tables_exist

from .missing_files import look_for_missing
from .options import DRY_RUN, JSON
from .output import print_heading, print_json, print_list, print_nothing

_MAX_LISTED = 20


class _LookedFor(NamedTuple):
    """The files of a storage after a look at their bytes."""

    stored: Stored

    missing: list[str] | None
    """Ids of files without bytes; None if the storage cannot be asked."""


@click.command()
@DRY_RUN
@JSON
def takeover(dry_run: bool, as_json: bool) -> None:
    """Take over the files of ckanext-files 1.x.

    Checks its tables column by column and repairs all differences in one
    transaction. Prints the options that the configuration file needs to keep the
    present behaviour. Rows and files stay where they are; a difference that the
    command cannot repair is printed, and then nothing is changed.

    You can run it any number of times. The exit code is 1 when it cannot repair a
    table, or a storage is not configured.
    """
    engine: Any = model.Session.get_bind()
    if not tables_exist(engine):
        print_nothing(
            "There is nothing to take over: this portal has no tables of ckanext-files 1.x.",
            as_json=as_json,
        )
        return
    try:
        check = look_at_tables(engine) if dry_run else adapt_tables(engine)
    except FilesError as error:
        raise click.ClickException(str(error)) from error
    options = translate_options(tk.config, config_declaration)
    if not as_json:
        _print_tables(check, dry_run=dry_run)
        _print_options(options)
    looked_for = [] if check.obstacles else _look_for_files(engine)
    if as_json:
        _print_json(check, options, looked_for, dry_run=dry_run)
    elif looked_for:
        _print_files(looked_for)
    if check.obstacles or not all(one.stored.is_configured for one in looked_for):
        sys.exit(1)


def _print_json(
    check: TableCheck, options: OptionsReport, looked_for: Sequence[_LookedFor], *, dry_run: bool
) -> None:
    tables = {**check._asdict(), "steps": [step.text for step in check.steps]}
    found = [
        {
            "storage": stored.storage,
            "files": stored.files,
            "is_configured": stored.is_configured,
            "missing": missing,
        }
        for stored, missing in looked_for
    ]
    print_json(
        {
            "tables_exist": True,
            "dry_run": dry_run,
            "tables": tables,
            "options": options._asdict(),
            "storages": found,
        }
    )


def _print_tables(check: TableCheck, *, dry_run: bool) -> None:
    print_heading("Tables")
    if check.obstacles:
        click.secho("Nothing has been changed, because this stands in the way:", fg="red")
        print_list(check.obstacles)
        click.echo(
            "Tables of other versions than 1.3.4 may differ: bring the portal to ckanext-files "
            "1.3.4 and run its migrations (ckan db upgrade -p files) before you take it over."
        )
    elif check.steps:
        click.echo("This is to be done:" if dry_run else "This was done:")
        print_list([step.text for step in check.steps])
    else:
        click.secho("They are as they should be.", fg="green")
    print_list(check.remarks)


def _print_options(report: OptionsReport) -> None:
    print_heading("Options")
    if report.lines:
        click.echo("Add these lines to the section [app:main] of the configuration file:\n")
        for line in report.lines:
            click.echo(line)
        click.echo()
    else:
        click.secho("The configuration has all that it needs.", fg="green")
    if report.remarks:
        click.echo("What is different, or has no equivalent:")
        print_list(report.remarks)


def _look_for_files(engine: Any) -> list[_LookedFor]:
    with engine.connect() as connection:
        return [
            _LookedFor(stored, look_for_missing(connection, file_table, stored))
            for stored in list_storages(connection, file_table)
        ]


def _print_files(looked_for: Sequence[_LookedFor]) -> None:
    print_heading("Files")
    for stored, missing in looked_for:
        if not stored.is_configured:
            click.secho(
                f"{stored.storage}: {stored.files} files in a storage that is not configured",
                fg="red",
            )
        elif missing is None:
            click.echo(f"{stored.storage}: {stored.files} files, which cannot be looked for")
        else:
            _print_missing(stored, missing)


def _print_missing(stored: Stored, missing: Sequence[str]) -> None:
    click.secho(
        f"{stored.storage}: {stored.files} files, of which the bytes of {len(missing)} are missing",
        fg="yellow" if missing else "green",
    )
    print_list(missing[:_MAX_LISTED], len(missing))
