"""``ckan files check`` and ``ckan files repair-index``: what a killed process has left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import Capability, get_storage, is_configured, storages
from ckanext.files.store.stored import find_strays, list_storages
from ckanext.files.transaction.index_repair import (
    datasets_to_repair,
    make_all_due,
    repair_due,
    table_exists,
)
from ckanext.files.uploads import find_stray_bytes

from .completion import complete_storages
from .missing_files import look_for_missing
from .options import JSON
from .output import ProgressBar, print_heading, print_json

_PAUSE = 0.5


class _Checked(NamedTuple):
    """A storage after the check."""

    storage: str

    files: int
    """Number of its rows."""

    missing: list[str] | None
    """Ids of files without bytes; None if the storage cannot be asked."""

    strays: list[str] | None
    """Locations without a row; None if the storage was not scanned."""


@click.command()
@click.argument("storage", nargs=-1, shell_complete=complete_storages)
@JSON
def check(storage: Sequence[str], as_json: bool) -> None:
    """Find rows without bytes, and bytes without a row, in all storages or the given ones.

    Lists the ids of files whose bytes are missing, and the locations of bytes that
    no row names. A crash leaves such bytes, and so does a change that bypasses
    CKAN. An upload that is under way is listed, too. Nothing is changed.

    Without a storage, also lists files in the folder of uploads that belong to no
    upload. Nothing uses them any more.

    The exit code is 1 when something is listed.
    """
    for name in storage:
        if not is_configured(name):
            raise click.BadParameter(f"There is no option ckan.files.storage.{name}.type")
    engine: Any = model.Session.get_bind()
    with engine.connect() as connection:
        found = _check(connection, storage)
    spool = None if storage else [str(path) for path in find_stray_bytes()]
    if as_json:
        print_json({"storages": [checked._asdict() for checked in found], "spool": spool})
    else:
        _print(found)
        if spool is not None:
            _print_found("Bytes without an upload", [("spool", spool)])
    if spool or any(checked.missing or checked.strays for checked in found):
        sys.exit(1)


def _check(connection: Any, chosen: Sequence[str]) -> list[_Checked]:
    rows = {stored.storage: stored for stored in list_storages(connection, file_table)}
    of_ckan = storages_of_ckan()
    ours = [name for name in storages if name not in of_ckan]
    found: list[_Checked] = []
    for name in chosen or dict.fromkeys([*rows, *ours]):
        stored = rows.get(name)
        missing = look_for_missing(connection, file_table, stored) if stored else []
        strays = _strays(connection, name) if name in (chosen or ours) else None
        found.append(_Checked(name, stored.files if stored else 0, missing, strays))
    return found


def _strays(connection: Any, name: str) -> list[str] | None:
    if not get_storage(name).supports(Capability.SCAN):
        return None
    with ProgressBar(f"Scanning {name}") as bar:
        bar.begin()
        return find_strays(connection, file_table, name, bar.add)


def _print(found: Sequence[_Checked]) -> None:
    for checked in found:
        if checked.files and checked.missing is None:
            click.secho(
                f"{checked.storage}: {checked.files} files cannot be looked for", fg="yellow"
            )
    _print_found("Rows without bytes", [(one.storage, one.missing or []) for one in found])
    _print_found("Bytes without a row", [(one.storage, one.strays or []) for one in found])


def _print_found(title: str, found: Sequence[tuple[str, list[str]]]) -> None:
    print_heading(f"{title}: {sum(len(items) for _, items in found)}")
    for storage, items in found:
        for item in items:
            click.echo(f"{storage}\t{item}")


@click.command("repair-index")
@JSON
def repair_index(as_json: bool) -> None:
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
    with ProgressBar("Repairing datasets") as bar:
        repaired, failed = _repair(bar)
    if as_json:
        print_json({"repaired": repaired, "failed": failed})
    else:
        _print_repaired(repaired, failed)
    if failed:
        sys.exit(1)


def _repair(bar: ProgressBar) -> tuple[set[str], dict[str, str]]:
    """Return the ids of the datasets that were repaired, and the errors about others."""
    repaired: set[str] = set()
    failed: dict[str, str] = {}
    left = len(datasets_to_repair())
    bar.begin(left)
    while True:
        for repair in repair_due():
            repaired.add(repair.package_id)
            failed.pop(repair.package_id, None)
            if repair.error:
                failed[repair.package_id] = repair.error
        before, left = left, len(datasets_to_repair() - failed.keys())
        bar.add(max(before - left, 0))
        if not left:
            return repaired - failed.keys(), failed
        time.sleep(_PAUSE)


def _print_repaired(repaired: set[str], failed: dict[str, str]) -> None:
    if not repaired and not failed:
        click.echo("There is nothing to repair.")
    for package_id in sorted(repaired):
        click.secho(f"{package_id}: Solr has what the database has", fg="green")
    for package_id, error in sorted(failed.items()):
        click.secho(f"{package_id}: {error}", fg="red")
