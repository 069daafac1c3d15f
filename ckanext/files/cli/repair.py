"""``ckan files check`` and ``ckan files repair-index``: what a killed process has left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import Capability, get_storage, is_configured, storages
from ckanext.files.store.stored import find_missing, find_strays, list_storages
from ckanext.files.transaction.index_repair import (
    datasets_to_repair,
    make_all_due,
    repair_due,
    table_exists,
)

from .output import ProgressBar, print_heading

_PAUSE = 0.5


@click.command()
@click.argument("storage", nargs=-1)
def check(storage: Sequence[str]) -> None:
    """Find rows without bytes, and bytes without a row, in all storages or the given ones.

    Lists the ids of files whose bytes are missing, and the locations of bytes that
    no row names. A crash leaves such bytes, and so does a change that bypasses
    CKAN. An upload that is under way is listed, too. Nothing is changed.

    The exit code is 1 when something is listed.
    """
    for name in storage:
        if not is_configured(name):
            raise click.ClickException(f"There is no option ckan.files.storage.{name}.type")
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        missing = _missing(connection, storage)
        strays = _strays(connection, storage)
    _print_found("Rows without bytes", missing)
    _print_found("Bytes without a row", strays)
    if any(missing.values()) or any(strays.values()):
        sys.exit(1)


def _missing(connection: Any, chosen: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stored in list_storages(connection, file_table):
        if chosen and stored.storage not in chosen:
            continue
        if not stored.can_be_asked:
            click.secho(f"{stored.storage}: {stored.files} files cannot be looked for", fg="yellow")
            continue
        with ProgressBar(stored.storage) as bar:
            bar.begin(stored.files)
            found[stored.storage] = find_missing(connection, file_table, stored, bar.add)
    return found


def _strays(connection: Any, chosen: Sequence[str]) -> dict[str, list[str]]:
    of_ckan = storages_of_ckan()
    names = chosen or [name for name in storages if name not in of_ckan]
    return {
        name: find_strays(connection, file_table, name)
        for name in names
        if get_storage(name).supports(Capability.SCAN)
    }


def _print_found(title: str, found: dict[str, list[str]]) -> None:
    print_heading(f"{title}: {sum(map(len, found.values()))}")
    for storage, items in found.items():
        for item in items:
            click.echo(f"{storage}\t{item}")


@click.command("repair-index")
def repair_index() -> None:
    """Make Solr agree with the database after processes were killed.

    A process that is killed during a commit may leave Solr with a change of a
    dataset that the database does not have. A background worker repairs this
    within seconds, and so does the next action that commits with a queued task.
    This command is for portals that have neither.

    It looks at each dataset three times, because a request of the killed process
    may still be on its way: this takes about eight seconds. It looks only at
    datasets whose commit was interrupted; for all others there is ckan
    search-index rebuild.

    The exit code is 1 when a dataset could not be repaired. It is tried again
    later.
    """
    if not table_exists():
        raise click.ClickException(
            "The table files_index_intent is missing. Run: ckan db upgrade -p files"
        )
    make_all_due()
    repaired: set[str] = set()
    failed: dict[str, str] = {}
    while True:
        for repair in repair_due():
            repaired.add(repair.package_id)
            failed.pop(repair.package_id, None)
            if repair.error:
                failed[repair.package_id] = repair.error
        if not datasets_to_repair() - failed.keys():
            break
        time.sleep(_PAUSE)
    _print_repaired(repaired - failed.keys(), failed)
    if failed:
        sys.exit(1)


def _print_repaired(repaired: set[str], failed: dict[str, str]) -> None:
    if not repaired and not failed:
        click.echo("There is nothing to repair.")
    for package_id in sorted(repaired):
        click.secho(f"{package_id}: Solr has what the database has", fg="green")
    for package_id, error in sorted(failed.items()):
        click.secho(f"{package_id}: {error}", fg="red")
