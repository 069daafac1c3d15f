"""``ckan files check``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import Capability, get_storage, is_configured, storages
from ckanext.files.store.stored import find_missing, find_strays, list_storages

from .progress import Progress


@click.command()
@click.argument("storage", nargs=-1)
def check(storage: Sequence[str]) -> None:
    """Find files and rows that miss each other, in all storages or the given ones.

    Lists rows whose bytes are missing, by the files' ids, and bytes that no row
    names, by their locations: what a crash has left, or somebody who went past
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
    _print("Rows without bytes", missing)
    _print("Bytes without a row", strays)
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
        with Progress(stored.storage) as bar:
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


def _print(title: str, found: dict[str, list[str]]) -> None:
    click.secho(f"\n{title}: {sum(map(len, found.values()))}", bold=True)
    for storage, items in found.items():
        for item in items:
            click.echo(f"{storage}\t{item}")
