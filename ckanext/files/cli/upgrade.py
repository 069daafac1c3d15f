"""``ckan files takeover`` from ckanext-files 1.x, and ``ckan files to-core`` from CKAN 2.11."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import ckan.plugins.toolkit as tk
import click
from ckan import model
from ckan.common import config_declaration

from ckanext.files import capabilities
from ckanext.files.backport.tables import file_table
from ckanext.files.errors import FilesError
from ckanext.files.store.stored import Stored, find_missing, list_storages
from ckanext.files.upgrade.core_move import CoreMove
from ckanext.files.upgrade.old_options import OptionsReport, translate_options
from ckanext.files.upgrade.table_check import TableCheck
from ckanext.files.upgrade.takeover import adapt_tables, look_at_tables, tables_exist
from ckanext.files.upgrade.to_core import OLD_TABLES, look_at_core_move, move_to_core

from .output import ProgressBar, print_heading, print_list

_MAX_LISTED = 20

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only report what the command would do.")


@click.command()
@_DRY_RUN
def takeover(dry_run: bool) -> None:
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


def _print_files(engine: Any) -> list[Stored]:
    """Return the storages that are not configured."""
    print_heading("Files")
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
                with ProgressBar(f"Looking into {stored.storage}") as bar:
                    bar.begin(stored.files)
                    missing = find_missing(connection, file_table, stored, bar.add)
                _print_missing(stored, missing)
    return lacking


def _print_missing(stored: Stored, missing: Sequence[str]) -> None:
    click.secho(
        f"{stored.storage}: {stored.files} files, of which the bytes of {len(missing)} are missing",
        fg="yellow" if missing else "green",
    )
    print_list(missing[:_MAX_LISTED], len(missing))


@click.command("to-core")
@_DRY_RUN
def to_core(dry_run: bool) -> None:
    """Move files from CKAN 2.11 into the tables of CKAN 2.12.

    For a portal that was upgraded: rows, owners, pins and history move into CKAN's
    own tables in one transaction. Files keep their ids and stay where they are
    stored; the old tables stay as they are. Downloads go on meanwhile, uploads
    wait.

    You can run it any number of times: rows that CKAN has already stay as they
    are. The exit code is 1 when something stands in the way; then nothing has
    changed.
    """
    if not capabilities.CORE_FILES:
        raise click.ClickException(
            "This CKAN has no files of its own to move to. Upgrade to CKAN 2.12 first; until then "
            "the files work where they are."
        )
    engine: Any = model.Session.get_bind()
    try:
        with ProgressBar("Moving files") as bar:
            move = (
                look_at_core_move(engine) if dry_run else move_to_core(engine, bar.begin, bar.add)
            )
    except FilesError as error:
        raise click.ClickException(str(error)) from error
    if not move.tables_exist:
        click.echo("There is nothing to move: this portal has no tables of files of CKAN 2.11.")
    elif move.obstacles:
        _print_obstacles(move)
        sys.exit(1)
    else:
        _print_counts(move, dry_run=dry_run)


def _print_obstacles(move: CoreMove) -> None:
    click.secho("Nothing has been changed, because this stands in the way:", fg="red")
    for obstacle in move.obstacles:
        print_heading(f"{obstacle.text}:")
        print_list(obstacle.places, obstacle.number)
        click.echo(obstacle.advice)


def _print_counts(move: CoreMove, *, dry_run: bool) -> None:
    moved = "to be moved" if dry_run else "moved"
    for count in move.storages:
        line = f"{count.storage}: {count.waiting} {moved}, {count.there} already there"
        if count.gone:
            line += f", {count.gone} deleted since an earlier move"
        click.echo(line)
    click.secho(
        f"{move.waiting} files {moved}, with {move.owners} owners and {move.transfers} lines of "
        "history",
        fg="green",
    )
    for warning in move.warnings:
        click.secho(warning, fg="yellow")
    if not dry_run:
        click.echo(
            "The old tables are as they were. When you are sure not to go back to CKAN 2.11:\n"
            f"  DROP TABLE {', '.join(OLD_TABLES)};"
        )
