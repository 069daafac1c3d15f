"""One step of a job: one run of a call, in one commit.

The changes of the step, where the job goes on, its progress and the fence commit
together. If the worker has lost the job, nothing commits. CKAN's actions may commit
within a step as they like, see :mod:`ckanext.files.transaction`.

The step of a task that is not atomic commits as it likes, and that is real. No transaction
is open but its own ones. After it the end is written apart, with the same fence: a worker
that is killed in between leaves a job that runs again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from ckan import model
from sqlalchemy.exc import SQLAlchemyError

from ckanext.files.transaction import Block

from .call import Call, find_task
from .context import JobContext, running
from .errors import LostJobError
from .job import ClaimedJob, stored_call
from .retry import Failure
from .sql import driver_query


class StepOwner(Protocol):
    """Runs steps: a slot of a worker, or a test."""

    worker_id: int

    def next_queues(self) -> tuple[bool, list[str] | None]:
        """Return whether to claim another job at the end of the step, and from which queues."""
        ...

    def committed(self) -> None:
        """Note that the step has committed; its callbacks of ``on_commit`` run after this."""
        ...

    def write_end(self, values: Mapping[str, Any]) -> str:
        """Write the end of a step that is not atomic, and commit it; return the outcome.

        :param values: of the query ``end_open_step``.
        """
        ...


@dataclasses.dataclass(frozen=True)
class StepResult:
    """How a step ended that raised no error."""

    outcome: str
    """``finished``, ``stays``, ``yielded`` or ``aborted``."""

    next: ClaimedJob | None = None
    """What to run next: this job or another one."""


def perform(
    job: ClaimedJob, context: JobContext, owner: StepOwner, within: AbstractContextManager[Any]
) -> StepResult:
    """Run a step of a job in one commit, unless its task is not atomic.

    :param within: entered around the task's code.
    :raises LostJobError: the job is not this worker's any more.
    """
    if not find_task(job.call.task_name).atomic:
        return _perform_open(job, context, owner, within)
    with Block(eager=True) as block:
        with within:
            result, percent = _run(job.call, context)
        return _end(job, context, result, percent, owner, block)


def _perform_open(
    job: ClaimedJob, context: JobContext, owner: StepOwner, within: AbstractContextManager[Any]
) -> StepResult:
    """Run a step that commits by itself, and write its end.

    :raises LostJobError: the job is not this worker's any more.
    """
    model.Session.remove()  # the search for the task may have read something
    try:
        with within:
            result, percent = _run(job.call, context)
    finally:
        with suppress(SQLAlchemyError):  # with its connection lost, nothing is left to undo
            model.Session.remove()
    outcome = owner.write_end(_end_values(job, context, result, percent, owner))
    if outcome == "lost":
        raise LostJobError(
            f"Job {job.id} was taken away from worker {owner.worker_id} while its step ran: "
            "the step may have run twice"
        )
    return StepResult(outcome)


def _run(call: Call, context: JobContext) -> tuple[Any, float | None]:
    """Run the call of a step; return its result, and the progress after it."""
    with running(context):
        result = find_task(call.task_name).run(call)
        if isinstance(result, Call):
            following = find_task(result.task_name).percent_of(result)
            return result, context.percent if following is None else following
        return result, None if context.percent is None and context.text is None else 100.0


def _end(
    job: ClaimedJob,
    context: JobContext,
    result: Any,
    percent: float | None,
    owner: StepOwner,
    block: Block,
) -> StepResult:
    """Write the end of a step into its transaction, and claim what comes next.

    :raises LostJobError: the job is not this worker's any more.
    """
    session = model.Session()
    session.flush()
    block.commit_with_last_statement()
    claims, queues = owner.next_queues()
    if block.callbacks:
        claims = False  # a callback may take long: the next job must not wait for it
        block.callbacks.insert(0, owner.committed)
    values = {
        **_end_values(job, context, result, percent, owner),
        "queues": queues,
        "claim": claims,
    }
    outcome, following, transaction_id = _driver_row(session, driver_query("end_step"), values)
    block.set_transaction_id(transaction_id)
    if outcome == "lost":
        raise LostJobError(f"Job {job.id} was taken away from worker {owner.worker_id}")
    if outcome == "stays":
        return StepResult(outcome, job.after(result))
    return StepResult(outcome, ClaimedJob.read(following))


def _end_values(
    job: ClaimedJob, context: JobContext, result: Any, percent: float | None, owner: StepOwner
) -> dict[str, Any]:
    return {
        "job": job.id,
        "worker": owner.worker_id,
        "attempts": job.attempts,
        "call": stored_call(result if isinstance(result, Call) else None),
        "percent": percent,
        "text": context.text,
    }


def _driver_row(session: Any, query: str, values: dict[str, Any]) -> Any:
    """Run a query in the session's transaction, past SQLAlchemy, which takes as long again."""
    with session.connection().connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def fail(
    job: ClaimedJob, context: JobContext, failure: Failure, worker_id: int, cursor: Any
) -> bool:
    """Write that a step failed; return whether the job was still this worker's.

    :param cursor: of the driver, on a connection that the caller commits.
    """
    values = {
        **dataclasses.asdict(failure),
        "job": job.id,
        "worker": worker_id,
        "attempts": job.attempts,
        "percent": context.percent,
        "text": context.text,
        "call": stored_call(failure.call),
    }
    cursor.execute(driver_query("fail_step"), values)
    return bool(cursor.fetchone()[0])
