"""The thread of a worker that puts the search index right, after processes that were killed."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from ckan import model

from ckanext.files.transaction.index_repair import repair_due

from .outage import LOST

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds between looks."""


class Repairs(threading.Thread):
    """Looks each second. Not the worker's main thread: that must not wait for Solr."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="repairs", daemon=True)
        self._worker = worker
        self._error = ""

    def run(self) -> None:
        while not self._worker.stopping:
            try:
                self._look()
                self._error = ""
            except LOST:
                pass  # the main thread says so
            except Exception as error:
                if str(error) != self._error:  # it is tried each second
                    log.warning("The search index cannot be looked after: %s", error)
                self._error = str(error)
            time.sleep(_PAUSE)

    def _look(self) -> None:
        with self._worker.request_context():
            try:
                for _ in repair_due():
                    if self._worker.stopping:
                        break
            finally:
                model.Session.remove()
