"""A worker process: its main thread.

The main thread hears of new jobs and of aborts, sends heartbeats, rescues the
jobs of dead workers, defers periodic tasks and watches over the slots. It runs
no code of tasks and waits for no lock of theirs: other workers would take it
for dead.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from .. import schema
from ..call import all_tasks
from ..errors import BackgroundError
from .environment import (
    name_sessions,
    name_sessions_of_tasks,
    new_engine,
    request_contexts,
    watch_sessions,
)
from .listener import Listener
from .options import WorkerOptions
from .queries import WorkerQueries, application_name
from .repairs import Repairs
from .schedule import Schedule
from .slot_pool import SlotPool
from .supply import LOST, RETRY_PAUSE, JobSupply, first_line

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""They stop a worker."""

_HEARTBEAT_INTERVAL = 1.0
"""Seconds between heartbeats, and between looks at what notifications may have missed."""

_CLAIM_TIME = 0.05
"""Seconds in which the main thread leaves the connection to a slot that claims a new job."""


class Worker:
    """Runs jobs until it is stopped.

    :param parent: the process id of the parent; the worker stops when that is gone.
    """

    def __init__(self, flask_app: Any, options: WorkerOptions, parent: int | None = None) -> None:
        self._options = options
        self._parent = parent
        self._request_context = request_contexts(flask_app)
        self._engine: Any = new_engine(options.concurrency)
        self._queries = WorkerQueries(self._engine)
        self._listener = Listener(self._engine, options.queues)
        self._supply = JobSupply(self._queries, options, on_stop=self._listener.poke)
        self._slots = SlotPool(self._supply, self._request_context)
        self._repairs = Repairs(self._request_context)
        self._schedule = Schedule()
        self._last_heartbeat = 0.0
        self._heard_of_job = False
        self._busy_at = time.monotonic()
        self._begun_then = 0

    @property
    def steps(self) -> int:
        """How many steps it has run."""
        return self._supply.begun

    @property
    def used_up(self) -> bool:
        """Whether a new process is to take its place."""
        return self._supply.used_up

    def run(self) -> None:
        """Work; return after :meth:`stop`, when the slots have ended.

        :raises NotInstalledError: the tables are missing.
        :raises BackgroundError: it has to be replaced by a new process.
        """
        self._start()
        try:
            while not self._supply.stopping:
                self._reconnecting(self._loop_once)
        finally:
            self._end()
        if self._slots.stuck:
            raise BackgroundError("A step could not be interrupted, and ends with its worker")

    def stop(self, *_: Any) -> None:
        """Stop, once the steps that run have ended. A signal handler."""
        self._supply.stop()

    def _start(self) -> None:
        with self._engine.connect() as connection:
            schema.check(connection)
        worker_id = self._queries.register(self._options.queues, self._options.concurrency)
        name_sessions(self._engine, application_name(worker_id))
        name_sessions_of_tasks(self._queries.name_of_tasks(worker_id))
        watch_sessions(self._engine)
        self._listener.open(worker_id)
        tasks = [task.name for task in all_tasks()]
        log.debug("Worker %s knows: %s", worker_id, ", ".join(tasks))
        place = (os.getpid(), socket.gethostname())
        log.info("Worker %s (process %s on %s) knows %s tasks", worker_id, *place, len(tasks))
        self._slots.start()
        self._repairs.start()

    def _loop_once(self) -> None:
        """Wait for a notification, a deadline or the next heartbeat, and handle it."""
        for notification in self._listener.wait(self._seconds_to_wait()):
            if notification["type"] == "job_inserted":
                self._heard_of_job = True
                self._supply.wake_signal.send()
            else:
                self._slots.request_aborts()
        self._slots.check_deadlines()
        if time.monotonic() >= self._last_heartbeat + _HEARTBEAT_INTERVAL:
            self._heartbeat()

    def _seconds_to_wait(self) -> float:
        now = time.monotonic()
        ends = [self._last_heartbeat + _HEARTBEAT_INTERVAL, *self._slots.next_checks(now)]
        if self._heard_of_job:
            self._heard_of_job = False
            ends.append(now + _CLAIM_TIME)
        elif self._supply.wake_signal.waiting:
            due = self._queries.next_due()
            if due is not None and due <= 0:
                self._supply.wake_signal.send()
            elif due is not None:
                ends.append(now + due)
        return min(ends) - now

    def _heartbeat(self) -> None:
        self._last_heartbeat = time.monotonic()
        if self._parent and os.getppid() != self._parent:
            log.error("The process that looks after this worker is gone")
            self.stop()
        if not self._queries.beat():
            raise BackgroundError(
                f"Worker {self._queries.worker_id} was away for so long that the others forgot it"
            )
        self._supply.outage.end()
        if self._slots.has_failed():
            raise BackgroundError("A thread of the worker has failed for the reason above")
        self._rescue()
        self._slots.publish_progress()
        self._slots.check_jobs()
        self._schedule.defer()
        self._queries.forget_dead()
        self._queries.look_after_rq_jobs()
        self._stop_if_idle()
        self._supply.wake_signal.send_to_all()

    def _stop_if_idle(self) -> None:
        if self._slots.executions() or self.steps != self._begun_then:
            self._begun_then = self.steps
            self._busy_at = time.monotonic()
        limit = self._options.max_idle
        if limit is not None and time.monotonic() - self._busy_at >= limit:
            self.stop()

    def _rescue(self) -> None:
        options = self._options
        rescued = self._queries.rescue(options.frozen_after, options.most_rescues, options.queues)
        for worker_id, count in rescued.items():
            log.warning("Rescued %s jobs of worker %s", count, worker_id)

    def _reconnecting(self, work: Callable[[], None]) -> None:
        """Do something; if a connection is lost, connect again."""
        try:
            work()
        except LOST as error:
            self._supply.outage.notice(error)
            if self._listener.is_open:
                time.sleep(RETRY_PAUSE)  # the error came from another connection
                return
            try:
                # without a pause: other workers take one without its lock for dead
                self._listener.open(self._queries.worker_id)
                # notifications of new jobs may have been lost
                self._supply.wake_signal.send_to_all()
            except LOST:
                time.sleep(RETRY_PAUSE)

    def _end(self) -> None:
        """Wait for the steps that run, then hand back the jobs of the rest."""
        self._supply.stopping = True
        self._repairs.end()
        self._supply.wake_signal.send_to_all()
        self._log_end()
        end = time.monotonic() + self._options.shutdown_timeout
        while (rest := end - time.monotonic()) > 0 and (slots := self._slots.alive()):
            slots[0].join(min(rest, _HEARTBEAT_INTERVAL))
            self._reconnecting(self._watch_last_steps)
        try:
            self._slots.hand_back_jobs()
            self._queries.unregister()
        except LOST as error:
            # PostgreSQL undoes the steps that run, and other workers rescue their jobs
            log.warning("The end of the worker cannot be written: %s", first_line(error))
        self._repairs.wait()
        # otherwise the lock of the worker stays while the thread of such a step lives, which
        # refers to the connection: others take its job after that
        if not self._slots.open_steps():
            self._listener.close()
        self._queries.close()

    def _log_end(self) -> None:
        names = ", ".join(
            f"job {execution.job.id} ({execution.job.call.task_name})"
            for execution in self._slots.executions()
        )
        waits = f"waits up to {self._options.shutdown_timeout:g} seconds for {names}"
        log.info("Worker %s stops: %s", self._queries.worker_id, waits if names else "no step runs")

    def _watch_last_steps(self) -> None:
        self._queries.beat()
        self._slots.request_aborts()
        self._slots.check_deadlines()
        self._slots.publish_progress()


def run_worker(flask_app: Any, options: WorkerOptions, parent: int | None = None) -> bool:
    """Run a worker in this process until it gets a signal, or its parent ends.

    :returns: whether a new process is to take its place.
    """
    worker = Worker(flask_app, options, parent)
    for number in SIGNALS:
        signal.signal(number, worker.stop)
    worker.run()
    return worker.used_up
