"""Running jobs within a test: on the real database, with the worker's own code for steps."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypedDict

from ckan import model
from flask import has_request_context

from ckanext.files.transaction import Block

from .context import JobContext
from .job import ClaimedJob
from .retry import classify_failure
from .sql import query
from .step import fail, perform

_FAILURES = (Exception, SystemExit, asyncio.CancelledError)
"""Errors of a step. Others end the test, such as Ctrl-C and ``pytest.fail``."""


class JobRow(TypedDict):
    """A job's row, by the names of Procrastinate's columns."""

    id: int
    queue_name: str
    task_name: str
    lock: str | None
    queueing_lock: str | None
    args: dict[str, Any]
    status: str
    scheduled_at: Any
    attempts: int


class RunSummary:
    """Result of :meth:`TasksManager.run_pending_jobs`; awaiting it gives it again."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        """The number of steps that were run."""

    def __await__(self) -> Generator[Any, None, RunSummary]:
        return self
        yield


class TasksManager:
    """The portal's jobs in a test; value of the fixture ``tasks``."""

    worker_id: int

    def __init__(self, flask_app: Any) -> None:
        self._flask_app = flask_app

    @property
    def jobs(self) -> dict[int, JobRow]:
        """All jobs by id, also jobs of the session's current transaction."""
        rows = model.Session.execute(query("all_jobs")).mappings()
        return {row["id"]: JobRow(**row) for row in rows}

    @property
    def pending_jobs(self) -> list[JobRow]:
        """The jobs that wait, also for a later time."""
        return self._with_status("todo")

    @property
    def finished_jobs(self) -> list[JobRow]:
        """The jobs that failed or succeeded."""
        return self._with_status("failed", "succeeded")

    @property
    def failed_jobs(self) -> list[JobRow]:
        """The jobs that failed."""
        return self._with_status("failed")

    @property
    def succeeded_jobs(self) -> list[JobRow]:
        """The jobs that succeeded."""
        return self._with_status("succeeded")

    def run_pending_jobs(self, commit: bool = True, most: int | None = None) -> RunSummary:
        """Run all steps of the jobs that may run now.

        Jobs that are put off to a later time stay. A failed job does not fail the
        test: look at :attr:`failed_jobs`.

        :param commit: False leaves all changes in the session's current
            transaction, which the test may roll back.
        :param most: end after so many steps, to look at a job between two of them.
        """
        if commit:
            model.Session.commit()
        # the end of a request closes the session, so it must be within the block
        with nullcontext() if commit else Block(eager=True, commit=False), self._context():
            self.worker_id = model.Session.execute(query("register_test_worker")).scalar_one()
            steps = 0
            while steps != most and (job := self._claim()):
                self._run_step(job)
                steps += 1
            model.Session.execute(query("unregister_worker"), {"worker": self.worker_id})
            model.Session.commit()
        return RunSummary(steps)

    def reset(self) -> None:
        """Delete all jobs and the past times of schedules; the next job has the id 1."""
        model.Session.rollback()
        for table in ("procrastinate_jobs", "procrastinate_periodic_defers", "files_schedule"):
            model.Session.execute(query("empty_table", table=table))
        model.Session.execute(query("reset_job_ids"))
        model.Session.commit()

    def next_queues(self) -> tuple[bool, list[str] | None]:
        """Return that a step claims no other job, see :class:`.StepOwner`."""
        return False, None

    def committed(self) -> None:
        """Do nothing: only a worker notes the commit of a step, see :class:`.StepOwner`."""

    def write_end(self, values: Mapping[str, Any]) -> str:
        """Write the end of a step that is not atomic, see :class:`.StepOwner`."""
        outcome = model.Session.execute(query("end_open_step"), values).scalar_one()
        model.Session.commit()
        return outcome

    def _with_status(self, *states: str) -> list[JobRow]:
        return [job for job in self.jobs.values() if job["status"] in states]

    def _claim(self) -> ClaimedJob | None:
        values = {"worker": self.worker_id, "queues": None}
        claimed = model.Session.execute(query("claim_job"), values).scalar()
        # as the heartbeat of a worker does: a job may have waited for one that has just ended
        if claimed is None and model.Session.execute(query("look_after_rq_jobs")).scalar():
            claimed = model.Session.execute(query("claim_job"), values).scalar()
        model.Session.commit()
        return ClaimedJob.read(claimed)

    def _run_step(self, job: ClaimedJob) -> None:
        context = job.context(lambda: False)
        try:
            perform(job, context, self, _outside_of_loops())
        except _FAILURES as error:
            self._fail(job, context, error)

    def _fail(self, job: ClaimedJob, context: JobContext, error: BaseException) -> None:
        connection: Any = model.Session.connection()
        with connection.connection.cursor() as cursor:
            fail(job, context, classify_failure(error, job), self.worker_id, cursor)
        model.Session.commit()

    @contextmanager
    def _context(self) -> Any:
        if has_request_context():
            yield
            return
        with self._flask_app.test_request_context():
            yield


@contextmanager
def _outside_of_loops() -> Iterator[None]:
    """Run a step outside of any event loop, as in a worker, also in an async test."""
    # asyncio has no public function for it, and another thread would have another session
    loop = asyncio._get_running_loop()  # noqa: SLF001
    asyncio._set_running_loop(None)  # noqa: SLF001
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001
