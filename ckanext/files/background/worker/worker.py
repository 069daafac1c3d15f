"""A worker process."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask.ctx import RequestContext
from flask.sessions import SecureCookieSession
from psycopg2 import DataError
from psycopg2.errors import LockNotAvailable

from .. import schema
from ..call import all_tasks
from ..errors import BackgroundError
from ..job import ClaimedJob
from ..retry import classify_failure
from .engine import name_sessions, new_engine, watch_sessions
from .listener import Listener
from .options import WorkerOptions
from .outage import LOST, Outage, first_line
from .queries import WorkerQueries, application_name
from .repairs import Repairs
from .schedule import Schedule
from .slot import Running, Slot
from .wake_signal import WakeSignal

log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between signs of life, and looks after dead workers."""

_GRACE = 5.0
"""Seconds that a step gets to end after its timeout, before its thread is given up."""

_BREATH = 0.05
"""Seconds in which a slot claims what was heard of; the connection is its own then."""

_BACK_OFF = 0.5
"""Seconds between attempts to reach the database."""


class Worker:
    """Runs jobs until it is told to stop.

    The main thread listens, gives signs of life, rescues the jobs of dead
    workers, defers periodic tasks and watches over timeouts; slots run steps.

    :param parent: the process without which this one shall not go on.
    """

    def __init__(self, flask_app: Any, options: WorkerOptions, parent: int | None = None) -> None:
        self._flask_app = flask_app
        with flask_app.test_request_context() as request:
            self._environ = request.request.environ
        self.options = options
        self._parent = parent
        self.stopping = False
        self.wake_signal = WakeSignal()
        self._engine: Any = new_engine(options.concurrency)
        self.queries = WorkerQueries(self._engine)
        self._listener = Listener(self._engine, options.queues)
        self._schedule = Schedule()
        self._outage = Outage()
        self._slots: list[Slot] = []
        self._strays: set[tuple[int, int]] = set()
        self._ticked = 0.0
        self._rung = False

    def run(self) -> None:
        """Work; returns when the worker was told to stop and has done so.

        :raises NotInstalledError: the tables are missing.
        """
        with self._engine.connect() as connection:
            schema.check(connection)
        worker_id = self.queries.register(self.options.queues, self.options.concurrency)
        name_sessions(self._engine, application_name(worker_id))
        watch_sessions(self._engine)
        self._listener.open(worker_id)
        log.info("Worker %s knows: %s", worker_id, ", ".join(t.name for t in all_tasks()))
        for number in range(self.options.concurrency):
            self._start_slot(number)
        Repairs(self).start()
        try:
            while not self.stopping:
                self._reconnecting(self._turn)
        finally:
            self._end()

    def stop(self, *_: Any) -> None:
        """Have the worker stop, once the steps that run have ended. A signal handler."""
        self.stopping = True
        self._listener.poke()

    def request_context(self) -> Any:
        """Return what CKAN's code expects around it. For slots."""
        # with a session of its own, which nobody has to look up or sign
        return RequestContext(self._flask_app, dict(self._environ), session=SecureCookieSession())

    def obtain(self) -> ClaimedJob | None:
        """Wait for a job and claim it; None when the worker stops. For slots."""
        while not self.stopping:
            heard = self.wake_signal.listen()
            try:
                idle = not self.options.wait and not self.queries.owned()
                # after that: what runs may have written another one before it ended
                claim = self.queries.claim(self.options.queues)
            except LOST as error:
                self._outage.notice(error)
                time.sleep(_BACK_OFF)
                continue
            if claim is not None:
                return claim
            if idle:
                self.stop()
                break
            self.wake_signal.wait(heard)
        return None

    def release(self, running: Running) -> None:
        """Hand back a job whose step has lost its connection."""
        # of which PostgreSQL may know nothing: its locks would be in the way
        self.queries.end_sessions(running.pids)
        self.queries.release(running.claim.id, running.claim.attempts, self.options.most_rescues)
        self.wake_signal.ring()

    def insist(self, write: Callable[[], Any]) -> None:
        """Write something, as soon as the database can be reached. For slots."""
        told = False
        while True:
            try:
                write()
                return
            except LockNotAvailable as error:
                if not told:
                    log.warning("The end of a step cannot be written yet: %s", first_line(error))
                told = True
            except LOST as error:
                self._outage.notice(error)
            time.sleep(_BACK_OFF)

    def _start_slot(self, number: int) -> None:
        slot = Slot(self, number)
        self._slots.append(slot)
        slot.start()

    def _turn(self) -> None:
        """Wait for something to do, and do it."""
        for notification in self._listener.wait(self._patience()):
            if notification["type"] == "job_inserted":
                self._rung = True
                self.wake_signal.ring()
            else:
                self._abort_those()
        self._watch_deadlines()
        if time.monotonic() >= self._ticked + _TICK:
            self._tick()

    def _patience(self) -> float:
        now = time.monotonic()
        ends = [self._ticked + _TICK]
        ends += [at for running in self._running() if (at := running.next_look(now, _GRACE))]
        if self._rung:
            self._rung = False
            ends.append(now + _BREATH)
        elif self.wake_signal.waiting:
            due = self.queries.next_due()
            if due is not None and due <= 0:
                self.wake_signal.ring()
            elif due is not None:
                ends.append(now + due)
        return min(ends) - now

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        if self._parent and os.getppid() != self._parent:
            log.error("The process that looks after this worker is gone")
            self.stop()
        if not self.queries.beat():
            raise BackgroundError(
                f"Worker {self.queries.worker_id} was away for so long that the others forgot it"
            )
        self._outage.end()
        if not all(slot.is_alive() for slot in self._slots) and not self.stopping:
            raise BackgroundError("A thread of the worker has failed for the reason above")
        for worker_id, count in self._rescue().items():
            log.warning("Rescued %s jobs of worker %s", count, worker_id)
        for running in self._running():
            self._publish(running)
        self._look_after_jobs()
        self._schedule.defer()
        self.queries.forget_dead()
        self.wake_signal.ring(everybody=True)

    def _rescue(self) -> dict[int, int]:
        return self.queries.rescue(self.options.frozen_after, self.options.most_rescues)

    def _running(self) -> Iterable[Running]:
        return [running for slot in self._slots if (running := slot.running)]

    def _publish(self, running: Running) -> None:
        progress = (running.context.percent, running.context.text)
        if progress == running.published:
            return
        try:
            told = self.queries.publish(running.claim, running.context)
        except DataError:
            log.exception("The progress of job %s cannot be told", running.claim.id)
            told = True
        if told:
            running.published = progress

    def _look_after_jobs(self) -> None:
        """Hand back jobs of this worker that no slot knows of, and notice those that shall end.

        A COMMIT whose answer was lost may have claimed one, and nobody may have
        listened when somebody wanted a job to end.
        """
        held = {(running.claim.id, running.claim.attempts) for running in self._running()}
        strays = self._abort_those() - held
        for job_id, attempts in strays & self._strays:
            log.warning("Job %s was claimed by a commit that got lost", job_id)
            self.queries.release(job_id, attempts, None)
        self._strays = strays
        self._watch_deadlines()

    def _abort_those(self) -> set[tuple[int, int]]:
        """Tell the steps that shall end; return id and attempts of all jobs of the worker."""
        owned = self.queries.owned()
        found = {(job.id, job.attempts): job for job in owned}
        for running in self._running():
            job = found.get((running.claim.id, running.claim.attempts))
            if job and job.shall_end:
                running.aborted = True
            if job and job.at_once:
                running.end_at_once()
        return set(found)

    def _watch_deadlines(self) -> None:
        now = time.monotonic()
        for slot in list(self._slots):
            running = slot.running
            if running is None or running.deadline is None or now < running.deadline:
                continue
            if now >= running.deadline + _GRACE:
                self._give_up(slot, running)
            elif not running.interruptible.interrupted:
                # another step may use its connections as soon as it has ended
                running.interruptible.interrupt(
                    lambda running=running: self.queries.cancel_statements(running.pids)
                )

    def _give_up(self, slot: Slot, running: Running) -> None:
        """Leave a thread that cannot be interrupted to itself; another one goes on with jobs."""
        if running.committed:
            log.warning("Job %s: its callbacks of on_commit take long", running.claim.id)
        elif not self._fail_overdue(slot, running):
            return
        slot.given_up = True
        self._slots.remove(slot)
        self._start_slot(len(self._slots))

    def _fail_overdue(self, slot: Slot, running: Running) -> bool:
        """Have a step fail that cannot be interrupted, so that it can commit nothing any more.

        :returns: False if it has ended at the last moment, or if its end is being written.
        """
        error = running.overdue(" and could not be interrupted")
        self.queries.end_sessions(running.pids)
        try:
            self.queries.fail(
                running.claim, running.context, classify_failure(error, running.claim)
            )
        except LockNotAvailable:
            return False  # the next time
        if slot.running is not running or running.committed:
            return False
        log.error("Job %s: %s", running.claim.id, error)
        return True

    def _reconnecting(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except LOST as error:
            self._outage.notice(error)
            if self._listener.is_open:
                time.sleep(_BACK_OFF)  # it was another connection
                return
            try:
                # at once: without its lock the worker looks dead
                self._listener.open(self.queries.worker_id)
                self.wake_signal.ring(everybody=True)  # for what nobody has heard of meanwhile
            except LOST:
                time.sleep(_BACK_OFF)

    def _end(self) -> None:
        """Let the steps that run end, or hand their jobs back."""
        self.stopping = True
        self.wake_signal.ring(everybody=True)
        self._tell_what_it_waits_for()
        end = time.monotonic() + self.options.shutdown_timeout
        while (rest := end - time.monotonic()) > 0 and (working := self._working()):
            working[0].join(min(rest, _TICK))
            self._reconnecting(self._look_after_steps)
        try:
            self._hand_back()
        except LOST as error:
            # PostgreSQL undoes what runs, and the other workers look after jobs of one that is gone
            log.warning("The database cannot be told of the end: %s", first_line(error))
        self._listener.close()
        self.queries.close()

    def _hand_back(self) -> None:
        """Undo the steps that run, and leave their jobs to others."""
        for running in self._running():
            if not running.committed:
                log.warning("Job %s is handed back", running.claim.id)
            self.queries.end_sessions(running.pids)
        self.queries.release_all()
        self.queries.unregister()

    def _tell_what_it_waits_for(self) -> None:
        names = ", ".join(
            f"job {running.claim.id} ({running.claim.call.task_name})"
            for running in self._running()
        )
        waits = f"waits up to {self.options.shutdown_timeout:g} seconds for {names}"
        log.info("Worker %s stops: %s", self.queries.worker_id, waits if names else "no step runs")

    def _working(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.is_alive()]

    def _look_after_steps(self) -> None:
        """What the steps need that run while the worker ends."""
        self.queries.beat()
        self._abort_those()
        self._watch_deadlines()
        for running in self._running():
            self._publish(running)


def run_worker(flask_app: Any, options: WorkerOptions, parent: int | None = None) -> None:
    """Run a worker in this process until a signal, or the end of its parent, ends it."""
    worker = Worker(flask_app, options, parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    worker.run()
