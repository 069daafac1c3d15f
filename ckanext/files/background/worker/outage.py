"""Time in which the database cannot be reached."""

from __future__ import annotations

import logging
import threading
import time

from psycopg2 import InterfaceError, OperationalError
from sqlalchemy.exc import OperationalError as SessionOperationalError

log = logging.getLogger(__name__)

LOST = (OperationalError, InterfaceError, SessionOperationalError)
"""What tells that the database cannot be reached."""


class Outage:
    """Tells of it when it begins and when it is over, however many threads notice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None

    def notice(self, error: Exception) -> None:
        """Tell that the database cannot be reached, unless that is known."""
        with self._lock:
            if self._began is None:
                self._began = time.monotonic()
                log.warning(
                    "The worker has lost the database, and tries to reach it again: %s",
                    first_line(error),
                )

    def end(self) -> None:
        """Tell that the database can be reached again, if it could not be."""
        with self._lock:
            if self._began is not None:
                seconds = time.monotonic() - self._began
                log.info("The database can be reached again, after %.1f seconds", seconds)
                self._began = None


def first_line(error: BaseException) -> str:
    """Return what an error says, without what the driver adds on more lines."""
    return next(iter(str(error).splitlines()), type(error).__name__)
