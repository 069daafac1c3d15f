"""``ckan files repair-index``."""

from __future__ import annotations

import sys
import time

import click

from ckanext.files.transaction.index_repair import (
    datasets_to_repair,
    make_all_due,
    repair_due,
    table_exists,
)

_PAUSE = 0.5


@click.command("repair-index")
def repair_index() -> None:
    """Make Solr agree with the database after processes were killed.

    A process that is killed while it commits may leave Solr with a change of a
    dataset that was not committed. A background worker puts that right within
    seconds, and so does the next action that commits with a queued task. This
    command is for portals where neither comes.

    Each dataset is looked at three times, because what a killed process has
    sent may still be on its way: that takes some eight seconds. Nothing is done
    to datasets of which no commit was interrupted; ckan search-index rebuild is
    for these.

    The exit code is 1 when Solr could not be put right about a dataset. Then
    that is tried again later.
    """
    if not table_exists():
        raise click.ClickException(
            "The table files_index_intent is missing. Run: ckan db upgrade -p files"
        )
    make_all_due()
    repaired: set[str] = set()
    failed: dict[str, str] = {}
    while True:
        for look in repair_due():
            repaired.add(look.package_id)
            failed.pop(look.package_id, None)
            if look.error:
                failed[look.package_id] = look.error
        if not datasets_to_repair() - failed.keys():
            break
        time.sleep(_PAUSE)
    _print(repaired - failed.keys(), failed)
    if failed:
        sys.exit(1)


def _print(repaired: set[str], failed: dict[str, str]) -> None:
    if not repaired and not failed:
        click.echo("There is nothing to repair.")
    for package_id in sorted(repaired):
        click.secho(f"{package_id}: Solr tells what the database tells", fg="green")
    for package_id, error in sorted(failed.items()):
        click.secho(f"{package_id}: {error}", fg="red")
