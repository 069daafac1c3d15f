"""``ckan files claim``."""

from __future__ import annotations

import sys
from typing import Any

import click
from ckan import model

from ckanext.files.upgrade.claim import Claiming, ClaimReport
from ckanext.files.upgrade.stored_field import OWNER_TYPES, StoredField

from .options import DRY_RUN, JSON, HintedChoice
from .output import ProgressBar, print_json, print_numbers, print_table


class _OwnerType(HintedChoice):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "dataset":
            self.fail("CKAN calls a dataset 'package' here.", param, ctx)
        return super().convert(value, param, ctx)


@click.command()
@click.argument("owner_type", type=_OwnerType(OWNER_TYPES))
@click.argument("field")
@DRY_RUN
@click.option(
    "--type", "of_type", metavar="DATASET_TYPE", help="Only datasets (or groups) of this type."
)
@click.option("--no-pin", is_flag=True, help="Do not pin the files, as pin=False of the validator.")
@click.option(
    "--trust-sysadmins",
    is_flag=True,
    help="Also give files of sysadmins to what they neither made nor edit.",
)
@JSON
def claim(
    owner_type: str,
    field: str,
    dry_run: bool,
    of_type: str | None,
    no_pin: bool,
    trust_sysadmins: bool,
    as_json: bool,
) -> None:
    """Give files to the datasets, resources and so on that name them already.

    For a portal that adds files_transfer_ownership to a FIELD which has values:
    each dataset (package), resource, group, organization or user becomes the owner
    of the files that its stored FIELD names, as if it had been saved again.

    FIELD is the name in the schema. Write subfields as parts.doc, fields of
    resources whose files belong to the dataset as resources.doc, and fields of
    users as my_plugin.portrait, as in their plugin_extras.

    A file is given if it has no owner, belongs to another part of the same
    dataset, or belongs to a user who may edit what names it. A sysadmin may edit
    everything, so a sysadmin must have made the dataset or be an editor of its
    organization. All other files are refused, and listed with the reason.

    The command commits after each batch. You can interrupt it and run it again.
    The exit code is 1 when a file was refused.
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
    with ProgressBar("Looking and giving") as bar:
        bar.begin(run.count())
        report = run.run(bar.add)
    if as_json:
        _print_json(report, dry_run=dry_run)
    else:
        _print(report, field, dry_run=dry_run)
    if report.refused:
        sys.exit(1)


def _print_json(report: ClaimReport, *, dry_run: bool) -> None:
    refused = [refused._asdict() for refused in report.refused]
    print_json(
        {"dry_run": dry_run, "given": report.given, "theirs": report.theirs, "refused": refused}
    )


def _print(report: ClaimReport, field: str, *, dry_run: bool) -> None:
    if not (report.given or report.theirs or report.refused):
        click.echo(f"Nothing names a file in {field}.")
        return
    numbers = {
        "to be given" if dry_run else "given": len(report.given),
        "already theirs": len(report.theirs),
        "refused": len(report.refused),
    }
    print_numbers(numbers)
    if report.refused:
        click.secho("\nRefused:", fg="red")
        print_table([("file", f"named in {field} of", "because it"), *report.refused])
