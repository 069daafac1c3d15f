"""The thread of a worker that repairs the search index, after processes that were killed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ckan import model

from ckanext.files.transaction.index_repair import repair_due

from .supply import LOST, JobSupply

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds between looks."""


class Repairs(threading.Thread):
    """Looks each second; apart from the worker's main thread, which must not wait for Solr."""

    def __init__(
        self, supply: JobSupply, request_context: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        super().__init__(name="repairs", daemon=True)
        self._supply = supply
        self._request_context = request_context
        self._error = ""

    def run(self) -> None:
        while not self._supply.stopping:
            try:
                self._repair_due()
                self._error = ""
            except LOST:
                pass  # the main thread logs the outage
            except Exception as error:
                if str(error) != self._error:  # not once a second
                    log.warning("The search index cannot be looked after: %s", error)
                self._error = str(error)
            time.sleep(_PAUSE)

    def _repair_due(self) -> None:
        with self._request_context():
            try:
                for _ in repair_due():
                    if self._supply.stopping:
                        break
            finally:
                model.Session.remove()
