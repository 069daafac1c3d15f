"""The execution of a step by a slot: its deadline, and how another thread interrupts it.

The worker's main thread reads and changes what the slot's thread runs. A step
that has passed its deadline is interrupted in its own code only, never while its
end is written. A task may end its timeout before that code ends.

What a step that is not atomic has committed stays. So such a step may catch the
interrupt, and gets time to clean up; nothing but the end of its process stops it
for certain.
"""

from __future__ import annotations

import ctypes
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckanext.files.errors import CommitUnknownError

from ..call import RegisteredTask
from ..context import JobContext
from ..errors import JobAborted, LostJobError, StepTimeout
from ..job import ClaimedJob
from ..retry import pgcodes

_GRACE = 5.0
"""Seconds that a step gets to end after its deadline, before the worker gives up its thread."""

_OPEN_GRACE = 60.0
"""Likewise for a step that is not atomic, before the worker itself ends. RQ has as much."""

_CONFLICTS = ("40001", "40P01")
"""PostgreSQL's codes for a serialization failure and a deadlock: it undoes one transaction."""

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Interruptible:
    """Code of a thread that another thread may interrupt, by an exception.

    Python raises the exception between two of its instructions: code that waits
    in C, as for a socket, gets it after the wait.

    :param may_catch: whether the code may go on to its end if it has caught the exception.
    """

    def __init__(self, error: type[StepTimeout] = StepTimeout, may_catch: bool = False) -> None:
        self.error = error
        self._may_catch = may_catch
        self._lock = threading.Lock()
        self._thread: int | None = None
        self.interrupted = False
        self.ended = False
        """The code has ended, whatever its thread does now."""

    @contextmanager
    def within(self) -> Iterator[None]:
        """Allow interrupts of the code within, and of nothing after it.

        :raises StepTimeout: it was interrupted, also if the code has caught that and may not.
        """
        with self._lock:
            self.interrupted = False
            self._thread = threading.get_ident()
        try:
            yield
        finally:
            self.end()
        if self.interrupted and not self._may_catch:
            raise self.error

    def interrupt(self, end_wait: Callable[[], None]) -> None:
        """Interrupt the code, if it still runs.

        :param end_wait: ends what the code waits for; the code cannot end before that returns.
        """
        with self._lock:
            if self._thread is not None:
                self.interrupted = True
                _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(self.error))
                end_wait()

    def end(self) -> None:
        """Let nothing interrupt the code any more; of its own thread."""
        try:
            with self._lock:
                self._thread = None
            # Python raises a late interrupt in this loop, and not after it
            for _ in range(2):
                pass
        except StepTimeout:
            self._thread = None
            self.interrupted = False
        self.ended = True


@dataclasses.dataclass
class Execution:
    """The step that a slot runs."""

    job: ClaimedJob
    context: JobContext
    timeout: float
    """Seconds; 0 for no limit."""

    atomic: bool = True
    """Whether the step is one commit."""

    started_at: float = dataclasses.field(default_factory=time.monotonic)
    published: tuple[float | None, str | None] = (None, None)
    """The progress that the job's row shows."""

    abort_requested: bool = False
    timeout_ended: bool = False
    """The task needs no limit any more, see :attr:`.JobContext.end_timeout`."""

    backend_pids: set[int] = dataclasses.field(default_factory=set)
    """The PostgreSQL processes of the step's connections."""

    connection_failed: bool = False
    """The step has lost its connection, or got none: it runs again, whatever its error is."""

    conflicted: bool = False
    """PostgreSQL has undone the step because of a conflict: it runs again, likewise."""

    cancelled_at: float | None = None
    """When a user cancelled the job at once, by the monotonic clock."""

    lost: bool = False
    """The job does not belong to the worker any more, but a step that is not atomic goes on."""

    committed: bool = False
    """The step has committed, and its callbacks of ``on_commit`` run."""

    interruptible: Interruptible = dataclasses.field(default_factory=Interruptible)

    @property
    def key(self) -> tuple[int, int]:
        """What shows whether the worker still owns the job: its id and number of attempts."""
        return self.job.id, self.job.attempts

    @property
    def deadline(self) -> float | None:
        """When the main thread interrupts the step, by the monotonic clock."""
        if self.interruptible.ended and not self.atomic:
            return None  # its end may have to wait for the database
        if self.cancelled_at is not None:
            return self.cancelled_at
        if self.timeout_ended or not self.timeout:
            return None
        return self.started_at + self.timeout

    def follow(self, task: RegisteredTask) -> None:
        """Take what the task determines about its steps, before this one begins.

        Until then the step cannot be interrupted, and has the timeout of the worker.
        """
        timeout = task.timeout_of(self.job.id)
        if timeout is not None:
            self.timeout = timeout
        self.atomic = task.atomic
        self.interruptible = Interruptible(task.timeout_error, may_catch=not task.atomic)
        self.context.end_timeout = self.end_timeout

    def end_timeout(self) -> None:
        """Interrupt the step no more; only a user or the end of the worker ends it now."""
        self.interruptible.end()
        self.timeout_ended = True

    def cancel(self) -> None:
        """Move the deadline to this moment."""
        if self.cancelled_at is None:
            self.cancelled_at = time.monotonic()

    def lose(self) -> None:
        """Note that the job was taken away. A step that can still commit something must end."""
        if not self.atomic:
            self.lost = True
            self.cancel()

    def is_overdue(self, now: float) -> bool:
        """Return whether the deadline has passed."""
        return self.deadline is not None and now >= self.deadline

    def is_stuck(self, now: float) -> bool:
        """Return whether the step has not ended in the time of grace after its deadline."""
        return self.deadline is not None and now >= self.deadline + self._grace

    def next_check(self, now: float) -> float | None:
        """Return when :meth:`is_overdue` or :meth:`is_stuck` becomes true next."""
        if self.deadline is None or now < self.deadline:
            return self.deadline
        return self.deadline + self._grace

    @property
    def _grace(self) -> float:
        return _GRACE if self.atomic else _OPEN_GRACE

    def ends_by_interrupt(self, error: BaseException) -> bool:
        """Return whether a step that has raised an error has failed because of an interrupt.

        One that is not atomic may catch its timeout, and fail in its own words.
        """
        if not (self.atomic or self.cancelled_at or isinstance(error, StepTimeout)):
            return False
        return self.interruptible.interrupted

    def interruption(self, more: str = "") -> JobAborted | LostJobError | StepTimeout:
        """Return the error of the step, after an interrupt.

        :param more: the rest of the sentence.
        """
        if self.lost:
            return LostJobError(f"The job was taken away while the step ran{more}")
        if self.cancelled_at is not None:
            return JobAborted(f"The job was cancelled while the step ran{more}")
        error = self.interruptible.error
        return error(f"The {error.what} took longer than {self.timeout:g} seconds{more}")

    def must_run_again(self, error: BaseException) -> bool:
        """Return whether the database caused the error of the step, and not the task.

        A step that is not atomic has failed after a conflict, which has undone only a part of
        it. A lost connection is like a lost worker.
        """
        if self.connection_failed or isinstance(error, CommitUnknownError):
            return True
        return self.atomic and (self.conflicted or is_conflict(error))


def is_conflict(error: BaseException) -> bool:
    """Return whether PostgreSQL has undone a transaction because of another one."""
    return any(code in _CONFLICTS for code in pgcodes(error))
