"""Removing bytes after the commit that has forgotten them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from ckan import model

from ckanext.files.background import task

from ..removal import remove_all
from ..stored_file import StoredFile, as_data
from .retrying import AGAIN

_DATA = ("location", "size", "content_type", "hash", "storage_data")
_BYTES_OF_ONE_JOB = 500


@task(name="ckanext.files.maintenance.remove_bytes", retry=AGAIN)
def remove_bytes(storage: str, files: Sequence[dict[str, Any]]) -> int:
    """Remove bytes, but for those that a row names.

    The rows were forgotten by the commit that has asked for this job, so a
    process that is killed in between leaves nothing behind.

    :param files: ``location`` and so on of each, as its row had them.
    :returns: how many were still there.
    """
    engine = model.Session.get_bind().engine
    return len(remove_all(engine, storage, map(as_data, files)))


def remove_later(files: Iterable[StoredFile], seconds: float | None = None) -> None:
    """Have bytes removed once the present transaction is committed.

    :param seconds: how long after that, for those who have just read the row.
    """
    deferrer = remove_bytes.configure(countdown=seconds)
    for storage, some in groupby(sorted(files, key=_storage), key=_storage):
        data = [{name: getattr(file, name) for name in _DATA} for file in some]
        for start in range(0, len(data), _BYTES_OF_ONE_JOB):
            deferrer.delay(storage, data[start : start + _BYTES_OF_ONE_JOB])


def _storage(file: StoredFile) -> str:
    return file.storage
