"""Telling of rows without bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckan import model

from ckanext.files.background import task

from ..arguments import check
from ..missing import can_be_asked, find_missing
from ..selection import Selection, in_storages
from ..walk import Walk, percent_of
from .retrying import AGAIN

_NAME = "ckanext.files.maintenance.report_missing"


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=AGAIN)
def report_missing(
    storages: Sequence[str] = (), batch: int = 500, walk: dict[str, Any] | None = None
) -> Any:
    """Tell which files have lost their bytes. Nothing is changed: a backup may have them.

    No byte is read; each file is asked for once.

    :param storages: only files in these; all if it is empty.
    :param batch: how many files are asked for in one step.
    """
    check(storages=storages, batch=batch)
    here, session = Walk.load(walk), model.Session()
    selection = Selection(in_storages(storages))
    if walk is None:
        here.total = selection.amount(session).files
    files = selection.page(session, here.after, batch)
    asked = [file for file in files if can_be_asked(file.storage)]
    missing = [f"{file.id} in {file.storage}" for file in find_missing(session, asked)]
    here.note("missing", missing)
    here.count("there", len(asked) - len(missing))
    here.count("cannot be asked for", len(files) - len(asked))
    here.done += len(files)
    here.tell()
    if len(files) < batch:
        return here.finish()
    here.after = files[-1].id
    return report_missing(storages, batch, here.state())
