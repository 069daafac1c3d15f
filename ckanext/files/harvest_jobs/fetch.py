"""The fetch and import stages of a harvest object, run by a worker.

Both are one commit, with the state of the object and the dataset: an object that has ended
is not fetched again. A kill or an error undoes all of it, and the object is tried again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ckan.common import config
from ckanext.harvest import queue as harvest  # pyright: ignore[reportMissingImports]

from ckanext.files.background import current_job
from ckanext.files.transaction import Block

from . import records
from .message import deliver
from .options import ATOMIC
from .stage import FETCH


def fetch(harvest_object_id: str) -> None:
    """Fetch and import an object, unless that was done before.

    After the last try the object has the state ERROR, so that its harvest job can finish.

    :raises NotHarvestedError: ckanext-harvest wants the object to be tried again.
    """
    try:
        with _one_commit():
            if records.lock_in_progress(harvest_object_id):
                deliver(FETCH, harvest_object_id, harvest.fetch_callback)
    except Exception as error:
        if _is_last_try():
            records.end_object(harvest_object_id, f"{type(error).__name__}: {error}")
        raise


def _one_commit() -> AbstractContextManager[Any]:
    return Block(eager=True) if config[ATOMIC] else nullcontext()


def _is_last_try() -> bool:
    context = current_job()
    return context is None or context.retries >= FETCH.retries
