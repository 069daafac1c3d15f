"""``ckan files claim``."""

from __future__ import annotations

import sys

import click
from ckan import model

from ckanext.files.upgrade.claim import Claiming, ClaimReport
from ckanext.files.upgrade.stored_field import OWNER_TYPES, StoredField

from .progress import Progress


@click.command()
@click.argument("owner_type", type=click.Choice(OWNER_TYPES))
@click.argument("field")
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
@click.option(
    "--type", "of_type", metavar="DATASET_TYPE", help="Only datasets (or groups) of this type."
)
@click.option("--no-pin", is_flag=True, help="As the validator does with pin=False.")
@click.option(
    "--trust-sysadmins",
    is_flag=True,
    help="Give files of sysadmins also to what they take no part in.",
)
def claim(
    owner_type: str,
    field: str,
    dry_run: bool,
    of_type: str | None,
    no_pin: bool,
    trust_sysadmins: bool,
) -> None:
    """Give files to what names them already.

    For a portal that adds files_transfer_ownership to a FIELD which has values:
    the files that stored datasets (package), resources, groups, organizations or
    users name there become theirs, as if each had been saved again.

    FIELD is the name in the schema. Subfields are written parts.doc, fields of
    resources whose files belong to the dataset resources.doc, and fields of
    users my_plugin.portrait, as in their plugin_extras.

    A file is given if it has no owner, belongs to another part of the same
    dataset, or belongs to a user who may edit what names it. A sysadmin may edit
    everything, so sysadmins have to have made the dataset or to be editors of
    its organization. All others are refused, and listed with the reason.

    Files change hands in batches, and the command can be interrupted and run
    again. The exit code is 1 when a file was refused.
    """
    if owner_type == "user" and of_type:
        raise click.UsageError("Users have no type.")
    run = Claiming(
        model.Session(),
        StoredField(owner_type, field, of_type),
        pin=not no_pin,
        trust_sysadmins=trust_sysadmins,
        dry_run=dry_run,
    )
    with Progress("Looking and giving") as bar:
        bar.begin(run.count())
        report = run.run(bar.add)
    _print(report, field, dry_run=dry_run)
    if report.refused:
        sys.exit(1)


def _print(report: ClaimReport, field: str, *, dry_run: bool) -> None:
    if not (report.given or report.theirs or report.refused):
        click.echo(f"Nothing names a file in {field}.")
        return
    for label, number in (
        ("to be given" if dry_run else "given", len(report.given)),
        ("already theirs", len(report.theirs)),
        ("refused", len(report.refused)),
    ):
        click.echo(f"{label:<15}{number:>10}")
    if report.refused:
        click.secho("\nRefused:", fg="red")
        _print_table([("file", f"named in {field} of", "because it"), *report.refused])


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    widths = [max(len(row[number]) for row in rows) for number in (0, 1)]
    for file_id, where, reason in rows:
        click.echo(f"{file_id:<{widths[0]}}  {where:<{widths[1]}}  {reason}")
