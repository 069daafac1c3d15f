"""``ckan files to-core`` from CKAN 2.11."""

from __future__ import annotations

import sys
from typing import Any

import click
from ckan import model

from ckanext.files import capabilities
from ckanext.files.errors import FilesError
from ckanext.files.upgrade.core_move import CoreMove
from ckanext.files.upgrade.to_core import OLD_TABLES, look_at_core_move, move_to_core

from .options import DRY_RUN, JSON
from .output import ProgressBar, print_heading, print_json, print_list, print_nothing


@click.command("to-core")
@DRY_RUN
@JSON
def to_core(dry_run: bool, as_json: bool) -> None:
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
        print_nothing(
            "There is nothing to move: this portal has no tables of files of CKAN 2.11.",
            as_json=as_json,
        )
    elif as_json:
        _print_json(move, dry_run=dry_run)
    elif move.obstacles:
        _print_obstacles(move)
    else:
        _print_counts(move, dry_run=dry_run)
    if move.obstacles:
        sys.exit(1)


def _print_json(move: CoreMove, *, dry_run: bool) -> None:
    print_json(
        {
            "tables_exist": True,
            "dry_run": dry_run,
            "files": move.waiting,
            "owners": move.owners,
            "transfers": move.transfers,
            "storages": [count._asdict() for count in move.storages],
            "obstacles": [obstacle._asdict() for obstacle in move.obstacles],
            "warnings": move.warnings,
        }
    )


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
