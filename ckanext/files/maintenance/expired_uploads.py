"""Removing resumable uploads that have expired."""

from __future__ import annotations

from ckanext.files.background import task
from ckanext.files.uploads import count_expired, remove_expired

from .batches import RETRY, BatchProgress

_NAME = "ckanext.files.maintenance.remove_expired_uploads"


@task(name=_NAME, lock=_NAME, retry=RETRY)
def remove_expired_uploads() -> str:
    """Remove uploads that have expired, with their bytes. Files that they have become stay.

    No dry run: an upload that has expired cannot be used any more, and a new upload removes some of
    them, too. An upload whose bytes cannot be removed stays for the next run.
    """
    here = BatchProgress(total=count_expired())
    for upload in remove_expired():
        here.note("left, see the log" if upload.error else "removed", [upload.id])
        here.done += 1
        here.publish()
    return here.finish()
