"""``ckan files to-core``."""

from __future__ import annotations

import sys
from typing import Any

import click
from ckan import model

from ckanext.files import capabilities
from ckanext.files.errors import FilesError
from ckanext.files.upgrade.core_move import CoreMove
from ckanext.files.upgrade.to_core import OLD_TABLES, look_at_core_move, move_to_core

from .progress import Progress


@click.command("to-core")
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
def to_core(dry_run: bool) -> None:
    """Move files from CKAN 2.11 into the tables of CKAN 2.12.

    After an upgrade of CKAN: rows, owners, pins and history move into CKAN's
    own tables in one transaction. Files keep their ids and stay where they are
    stored; the old tables stay as they are. Downloads go on meanwhile, uploads
    wait.

    It may be run any number of times: what CKAN has already is left alone. The
    exit code is 1 when something stands in the way; then nothing has changed.
    """
    if not capabilities.CORE_FILES:
        raise click.ClickException(
            "This CKAN has no files of its own to move to. Upgrade to CKAN 2.12 first; until then "
            "the files work where they are."
        )
    engine: Any = model.Session.get_bind()
    try:
        with Progress("Moving files") as bar:
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
        click.secho(f"\n{obstacle.text}:", bold=True)
        for place in obstacle.places:
            click.echo(f"  - {place}")
        if obstacle.number > len(obstacle.places):
            click.echo(f"  and {obstacle.number - len(obstacle.places)} more")
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
