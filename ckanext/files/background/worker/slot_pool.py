"""The slots of a worker, and what its main thread does for the steps that they run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from psycopg2 import DataError
from psycopg2.errors import LockNotAvailable

from ..retry import classify_failure
from .execution import Execution
from .queries import OwnedJob
from .slot import Slot
from .supply import RETRY_PAUSE, JobSupply

log = logging.getLogger(__name__)

_ATTEMPTS = 10
"""How often a worker that stops tries to write an end whose job is locked."""


class SlotPool:
    """Starts slots, watches over deadlines and aborts, publishes progress, hands jobs back.

    All but the slots themselves runs in the main thread.
    """

    def __init__(
        self, supply: JobSupply, request_context: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self._supply = supply
        self._queries = supply.queries
        self._request_context = request_context
        self._slots: list[Slot] = []
        self._unknown_jobs: set[tuple[int, int, int]] = set()
        self.stuck: list[Execution] = []
        """Steps that are not atomic and cannot be interrupted: they may commit until the end."""

    def start(self) -> None:
        """Start as many slots as the worker's concurrency."""
        for number in range(self._supply.options.concurrency):
            self._start_slot(number)

    def executions(self) -> list[Execution]:
        """Return the steps that run at the moment."""
        return [execution for slot in self._slots if (execution := slot.execution)]

    def alive(self) -> list[Slot]:
        """Return the slots whose threads run."""
        return [slot for slot in self._slots if slot.is_alive()]

    def has_failed(self) -> bool:
        """Return whether a thread has ended although the worker does not stop."""
        return not all(slot.is_alive() for slot in self._slots) and not self._supply.stopping

    def next_checks(self, now: float) -> list[float]:
        """Return when :meth:`check_deadlines` has something to do, by the monotonic clock."""
        return [at for execution in self.executions() if (at := execution.next_check(now))]

    def publish_progress(self) -> None:
        """Write the progress of each step that has changed."""
        for execution in self.executions():
            self._publish(execution)

    def check_jobs(self) -> None:
        """Release jobs that no slot runs, and request aborts.

        A COMMIT whose answer was lost may have claimed such a job. The request for an abort may
        have come while the worker was not connected to hear of it.
        """
        held = {execution.key for execution in self.executions()}
        unknown = {(*job.key, job.step) for job in self.request_aborts() if job.key not in held}
        # a job that is unknown only once at a step may be one that a slot is about to run
        for job_id, attempts, _ in unknown & self._unknown_jobs:
            log.warning("Job %s was claimed by a commit that got lost", job_id)
            self._queries.release(job_id, attempts, None)
        self._unknown_jobs = unknown
        self.check_deadlines()

    def request_aborts(self) -> list[OwnedJob]:
        """Request the steps of cancelled jobs to end; return all jobs that belong to the worker.

        So must steps whose job was taken away.
        """
        begun = self.executions()  # their jobs were claimed before the query
        owned = self._queries.owned()
        found = {job.key: job for job in owned}
        for execution in self.executions():
            job = found.get(execution.key)
            if job is None and execution in begun:
                execution.lose()
            if job and job.abort_requested:
                execution.abort_requested = True
            if job and job.interrupt:
                execution.cancel()
        return owned

    def check_deadlines(self) -> None:
        """Interrupt steps whose deadline has passed, and give up threads that are stuck."""
        now = time.monotonic()
        for slot in list(self._slots):
            execution = slot.execution
            if execution is None or not execution.is_overdue(now):
                continue
            if execution.is_stuck(now):
                self._give_up(slot, execution)
            elif not execution.interruptible.interrupted:
                self._interrupt(execution)

    def hand_back_jobs(self) -> None:
        """Undo the steps that run, and leave all jobs of the worker to others.

        A step that is not atomic goes on until the end of its process: its job stays the worker's,
        and others rescue it after that.
        """
        for execution in self.executions():
            if not execution.committed:
                log.warning("Job %s is handed back", execution.job.id)
            if execution.atomic:
                self._queries.end_sessions(execution.backend_pids)
        kept = [execution.job.id for execution in [*self.open_steps(), *self.stuck]]
        _try_often(lambda: self._queries.release_all(kept))
        for execution in self.stuck:
            _try_often(lambda stuck=execution: self._write_stuck(stuck))

    def open_steps(self) -> list[Execution]:
        """Return the steps that run and are not atomic."""
        return [execution for execution in self.executions() if not execution.atomic]

    def _start_slot(self, number: int) -> None:
        slot = Slot(self._supply, self._request_context, number)
        self._slots.append(slot)
        slot.start()

    def _publish(self, execution: Execution) -> None:
        progress = (execution.context.percent, execution.context.text)
        if progress == execution.published:
            return
        try:
            done = self._queries.publish(execution.job, execution.context)
        except DataError:
            log.exception("The progress of job %s cannot be published", execution.job.id)
            done = True
        if done:
            execution.published = progress

    def _interrupt(self, execution: Execution) -> None:
        # within the interrupt: after its end another step may use the same connections
        execution.interruptible.interrupt(
            lambda: self._queries.cancel_statements(execution.backend_pids)
        )

    def _give_up(self, slot: Slot, execution: Execution) -> None:
        """Replace the thread of a slot that cannot be interrupted, or end the worker with it."""
        if not execution.atomic:
            log.error("Job %s: %s: the worker ends", execution.job.id, _stuck_error(execution))
            self.stuck.append(execution)
            self._supply.stop()
        elif execution.committed:
            log.warning("Job %s: its callbacks of on_commit take long", execution.job.id)
        elif not self._fail_stuck(slot, execution):
            return
        slot.given_up = True
        self._slots.remove(slot)
        if not self._supply.stopping:
            self._start_slot(len(self._slots))

    def _fail_stuck(self, slot: Slot, execution: Execution) -> bool:
        """Fail the job of a stuck step, and end its sessions: the step cannot commit any more.

        :returns: False if the step has ended at the last moment, or if its end is being written.
        """
        self._queries.end_sessions(execution.backend_pids)
        try:
            self._write_stuck(execution)
        except LockNotAvailable:
            return False  # the next check tries it again
        if slot.execution is not execution or execution.committed:
            return False
        log.error("Job %s: %s", execution.job.id, _stuck_error(execution))
        return True

    def _write_stuck(self, execution: Execution) -> None:
        """Write that a stuck step has failed, unless it has just ended."""
        failure = classify_failure(_stuck_error(execution), execution.job)
        self._queries.fail(execution.job, execution.context, failure)


def _try_often(write: Callable[[], None]) -> None:
    """Write what has to wait for a lock of another transaction; give up after some attempts."""
    for _ in range(_ATTEMPTS):
        with suppress(LockNotAvailable):
            write()
            return
        time.sleep(RETRY_PAUSE)
    log.error("The end of a step could not be written, as its row is locked: others rescue its job")


def _stuck_error(execution: Execution) -> BaseException:
    return execution.interruption(" and could not be interrupted")
