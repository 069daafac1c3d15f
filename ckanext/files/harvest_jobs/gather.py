"""The gather stage of a harvest job, run by a worker.

It may take hours, and commits as the harvester does. The messages for fetch are written in
one commit at its end. If the worker is killed before that commit, the stage runs again, and
what it had gathered is deleted; after it there is nothing left to do.
"""

from __future__ import annotations

import datetime as dt

from ckanext.harvest import queue as harvest  # pyright: ignore[reportMissingImports]

from ckanext.files.background import Retry, current_job
from ckanext.files.transaction import Block

from . import records
from .errors import NotHarvestedError
from .message import deliver
from .publisher import collected
from .stage import GATHER, RETRY_WAIT


def gather(harvest_job_id: str) -> None:
    """Gather the objects of a harvest job, and let each one be fetched.

    An error of the harvester is the end, as with ckanext-harvest.

    :raises Retry: ckanext-harvest wants the job to be tried again.
    """
    if records.is_sent(harvest_job_id):
        return
    if records.is_gathered(harvest_job_id) and not _is_repeated():
        return  # :mod:`.recovery` looks after its objects
    records.delete_gathered(harvest_job_id)
    with collected() as messages:
        try:
            deliver(GATHER, harvest_job_id, harvest.gather_callback)
        except NotHarvestedError as error:
            at = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=RETRY_WAIT)
            raise Retry(at, None) from error
    with Block(eager=True):
        for stage, about in messages:
            stage.put(about)


def _is_repeated() -> bool:
    context = current_job()
    return context is not None and context.attempts > 0
