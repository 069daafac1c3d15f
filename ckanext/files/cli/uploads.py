"""``ckan files expire-uploads``: uploads that were never finished."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from ckanext.files.uploads import (
    RemovedUpload,
    UploadRefusedError,
    count_expired,
    remove_expired,
)

from .options import JSON
from .output import ProgressBar, print_heading, print_json, print_list


@click.command("expire-uploads")
@JSON
def expire_uploads(as_json: bool) -> None:
    """Remove resumable uploads that have expired, with their bytes.

    An upload expires when no bytes have come for the number of days in the option
    ckanext.files.uploads.expire_after. The files that uploads have become stay.

    The plugin files_background has a task for this, which runs by the clock. New
    uploads remove a few expired ones, too.

    The exit code is 1 when bytes could not be removed. The next run tries again.
    """
    try:
        removed = _remove()
    except UploadRefusedError as error:
        raise click.ClickException(str(error)) from error
    failed = {upload.id: upload.error for upload in removed if upload.error}
    unfinished = sum(not (upload.error or upload.was_finished) for upload in removed)
    done = len(removed) - len(failed)
    if as_json:
        print_json({"removed": done, "unfinished": unfinished, "failed": failed})
    else:
        _print(f"{done} uploads removed, {unfinished} of them unfinished", failed)
    if failed:
        sys.exit(1)


def _print(sentence: str, failed: Mapping[str, str]) -> None:
    click.echo(sentence)
    if failed:
        print_heading("Not removed:")
        print_list([f"{id_}: {error}" for id_, error in failed.items()])


def _remove() -> list[RemovedUpload]:
    removed: list[RemovedUpload] = []
    with ProgressBar("Removing uploads") as bar:
        bar.begin(count_expired())
        for upload in remove_expired():
            removed.append(upload)
            bar.add(1)
    return removed
