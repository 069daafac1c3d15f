"""The thread of a worker that repairs the search index, after processes that were killed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ckan import model

from ckanext.files.transaction.index_repair import repair_due

from .supply import LOST

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds between looks."""

_PATIENCE = 5.0
"""Seconds in which the last look may end."""


class Repairs(threading.Thread):
    """Looks each second; apart from the worker's main thread, which must not wait for Solr."""

    def __init__(self, request_context: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__(name="repairs", daemon=True)
        self._request_context = request_context
        self._error = ""
        self._ended = threading.Event()

    def end(self) -> None:
        """Let the thread end."""
        self._ended.set()

    def wait(self) -> None:
        """Wait until it has ended, but not for a Solr that does not answer."""
        self.join(_PATIENCE)

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._repair_due()
                self._error = ""
            except LOST:
                pass  # the main thread logs the outage
            except Exception as error:
                if str(error) != self._error:  # not once a second
                    log.warning("The search index cannot be looked after: %s", error)
                self._error = str(error)
            self._ended.wait(_PAUSE)

    def _repair_due(self) -> None:
        with self._request_context():
            try:
                for _ in repair_due():
                    if self._ended.is_set():
                        break
            finally:
                model.Session.remove()
