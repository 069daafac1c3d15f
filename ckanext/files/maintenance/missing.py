"""Rows whose bytes are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.background import task
from ckanext.files.store.storages import get_storage
from ckanext.files.store.stored import can_be_asked, exists

from .arguments import check
from .batches import RETRY, BatchProgress, percent_of
from .selection import Selection, StoredFile, in_storages, still_in_place

_NAME = "ckanext.files.maintenance.report_missing"


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=RETRY)
def report_missing(
    storages: Sequence[str] = (), batch: int = 500, progress: dict[str, Any] | None = None
) -> Any:
    """Report files whose bytes are missing. Nothing is changed: a backup may have the bytes.

    The task asks the storage once for each file, and reads no byte.

    :param storages: only files in these storages; empty for all.
    :param batch: files that one step looks for.
    """
    check(storages=storages, batch=batch)
    here, session = BatchProgress.load(progress), model.Session()
    selection = Selection(in_storages(storages))
    if progress is None:
        here.total = selection.amount(session).files
    files = selection.page(session, here.after, batch)
    asked = [file for file in files if can_be_asked(file.storage)]
    missing = [f"{file.id} in {file.storage}" for file in find_missing(session, asked)]
    here.note("missing", missing)
    here.count("with their bytes", len(asked) - len(missing))
    here.count("cannot be asked for", len(files) - len(asked))
    here.done += len(files)
    here.publish()
    if len(files) < batch:
        return here.finish()
    here.after = files[-1].id
    return report_missing(storages, batch, here.state())


def find_missing(session: Session, files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return the files whose bytes are missing. No byte is read.

    :param files: in storages that can report whether a file exists.
    """
    missing = [file for file in files if not exists(get_storage(file.storage), file.data)]
    return still_in_place(session, missing)
