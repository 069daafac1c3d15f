"""One step of a job: one run of a call, in one commit.

The changes of the step, where the job goes on, its progress and the fence commit
together. If the worker has lost the job, nothing commits. CKAN's actions may commit
within a step as they like, see :mod:`ckanext.files.transaction`.
"""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ckan import model

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
    """Run a step of a job in one commit.

    :param within: entered around the task's code.
    :raises LostJobError: the job is not this worker's any more.
    """
    with Block(eager=True) as block:
        with within:
            result, percent = _run(job.call, context)
        return _end(job, context, result, percent, owner, block)


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
    call = result if isinstance(result, Call) else None
    session = model.Session()
    session.flush()
    block.commit_with_last_statement()
    claims, queues = owner.next_queues()
    if block.callbacks:
        claims = False  # a callback may take long: the next job must not wait for it
        block.callbacks.insert(0, owner.committed)
    values = {
        "job": job.id,
        "worker": owner.worker_id,
        "attempts": job.attempts,
        "call": stored_call(call),
        "percent": percent,
        "text": context.text,
        "queues": queues,
        "claim": claims,
    }
    outcome, following, transaction_id = _driver_row(session, driver_query("end_step"), values)
    block.set_transaction_id(transaction_id)
    if outcome == "lost":
        raise LostJobError(f"Job {job.id} was taken away from worker {owner.worker_id}")
    if outcome == "stays":
        assert call
        return StepResult(outcome, job.after(call))
    return StepResult(outcome, ClaimedJob.read(following))


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
