"""Interrupting a thread, at a place where that is allowed."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import StepTimeout

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Interruptible:
    """Code of a thread that another thread may interrupt, by :class:`StepTimeout`.

    The exception is raised between two instructions of Python: code that waits
    elsewhere gets it when it is back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self.interrupted = False

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let the code within be interrupted, and nothing after it.

        :raises StepTimeout: it was, even if it has caught that.
        """
        with self._lock:
            self.interrupted = False
            self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._shut()
        if self.interrupted:
            raise StepTimeout

    def interrupt(self, waken: Callable[[], None]) -> None:
        """Interrupt the code, if it still runs.

        :param waken: called to end what it waits for; the code does not end before that has.
        """
        with self._lock:
            if self._thread is not None:
                self.interrupted = True
                _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(StepTimeout))
                waken()

    def _shut(self) -> None:
        try:
            with self._lock:
                self._thread = None
            # an interrupt that came at the last moment is raised here, and not later
            for _ in range(2):
                pass
        except StepTimeout:
            self._thread = None
            self.interrupted = False
