"""Timeouts of functions and of their callbacks, as exceptions that RQ's users catch."""

from __future__ import annotations

import threading
from typing import Any

from rq import timeouts

from ckanext.files.background import StepTimeout
from ckanext.files.background.worker.execution import Interruptible


class JobTimeoutException(StepTimeout, timeouts.JobTimeoutException):
    """Interrupts a function whose job has passed its timeout, or is to end at once.

    As with RQ, the function may catch it, and return or clean up.
    """

    what = "job"

    def __init__(self, *words: str) -> None:
        super().__init__()
        # RQ's own timer, if code has used it, has replaced the constructor of its class
        self.args = words or ("The job has passed its timeout, or is to end at once",)


class CallbackTimer(timeouts.BaseDeathPenalty):
    """Interrupts a callback of a job that takes too long.

    RQ's class for threads changes the exception for all others, and may interrupt what comes
    after the callback.
    """

    def __init__(self, timeout: float, exception: Any = None, **_of_rq: Any) -> None:
        super().__init__(timeout, exception)
        code = Interruptible(JobTimeoutException, may_catch=True)
        self._code = code.within()
        self._timer = threading.Timer(timeout, lambda: code.interrupt(lambda: None))

    def setup_death_penalty(self) -> None:
        self._code.__enter__()
        self._timer.start()

    def cancel_death_penalty(self) -> None:
        self._timer.cancel()
        self._code.__exit__(None, None, None)
