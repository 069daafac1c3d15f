"""One step of a job: one run of a call, in one commit.

What the step has changed, where the job goes on, its progress and the fence
become true together: if the job is not this worker's any more, nothing does.
CKAN's actions may commit within a step as they like, see
:mod:`ckanext.files.transaction`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from ckan import model
from procrastinate.retry import RetryDecision

from ckanext.files.transaction import Block

from .call import Call
from .claim import Claim, stored
from .context import JobContext, running
from .errors import JobAborted, LostJobError, MaxRetriesExceededError, UnknownTaskError
from .infrastructure import MOST_PAUSES, culprit, pause_after
from .options import job_options
from .registry import find
from .retry import Retry, bounded, latest
from .schema import SCHEMA
from .values import legible

_END = (
    f"SELECT _outcome, _next, _transaction FROM {SCHEMA}.files_end_step("
    "%(job)s, %(worker)s, %(attempts)s, %(call)s, %(percent)s, %(text)s, %(queues)s, %(claim)s)"
)

_FAIL = (
    f"SELECT {SCHEMA}.files_fail(%(job)s, %(worker)s, %(attempts)s, %(status)s,"
    " %(error)s, %(traceback)s, %(percent)s, %(text)s, %(at)s, %(outage)s, %(call)s,"
    " %(queue)s, %(priority)s, %(lock)s)"
)


class StepOwner(Protocol):
    """Who runs steps: a slot of a worker, or a test."""

    worker_id: int

    def next_queues(self) -> tuple[bool, list[str] | None]:
        """Tell whether to claim another job at the end of the step, and from which queues."""
        ...

    def committed(self) -> None:
        """Hear that the step is done, before its callbacks of ``on_commit`` run."""
        ...


@dataclasses.dataclass(frozen=True)
class End:
    """How a step ended."""

    outcome: str
    """``finished``, ``stays``, ``gave way``, ``aborted``, ``failed``, ``retry`` or ``lost``."""

    next: Claim | None = None
    """What to run next: this job or another one."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """What is to be kept of a step that failed."""

    status: str = "failed"
    error: str = ""
    traceback: str = ""
    at: dt.datetime | None = None
    """When to try it again; None for never."""

    outage: bool = False
    """The infrastructure is to blame: that is no try of the task."""

    call: Call | None = None
    queue: str | None = None
    priority: int | None = None
    lock: str | None = None


def perform(claim: Claim, context: JobContext, hands: StepOwner, within: Any) -> End:
    """Run a step of a job in one commit.

    :param within: a context manager, in which the task's code runs.
    :raises LostJobError: the job is not this worker's any more.
    """
    with Block(eager=True) as block:
        with within:
            result, percent = _run(claim.call, context)
        return _end(claim, context, result, percent, hands, block)


def _run(call: Call, context: JobContext) -> tuple[Any, float | None]:
    """Run the call of a step; return its result, and the progress after it."""
    with running(context):
        result = find(call.task_name).run(call)
        if isinstance(result, Call):
            following = find(result.task_name).percent_of(result)
            return result, context.percent if following is None else following
        return result, None if context.percent is None and context.text is None else 100.0


def _end(
    claim: Claim,
    context: JobContext,
    result: Any,
    percent: float | None,
    hands: StepOwner,
    block: Block,
) -> End:
    """Write the end of a step into its transaction, and claim what comes next.

    :raises LostJobError: the job is not this worker's any more.
    """
    call = result if isinstance(result, Call) else None
    session = model.Session()
    session.flush()
    block.commit_with_last_statement()
    claims, queues = hands.next_queues()
    if block.callbacks:
        claims = False  # a callback may take long: the next job must not wait for it
        block.callbacks.insert(0, hands.committed)
    values = {
        "job": claim.id,
        "worker": hands.worker_id,
        "attempts": claim.attempts,
        "call": json.dumps(stored(call)) if call else None,
        "percent": percent,
        "text": context.text,
        "queues": queues,
        "claim": claims,
    }
    outcome, following, transaction_id = _driver_row(session, _END, values)
    block.set_transaction_id(transaction_id)
    if outcome == "lost":
        raise LostJobError(f"Job {claim.id} was taken away from worker {hands.worker_id}")
    if outcome == "stays":
        assert call
        return End(outcome, claim.after(call))
    return End(outcome, Claim.read(following))


def _driver_row(session: Any, query: str, values: dict[str, Any]) -> Any:
    """Run a query in the session's transaction, past SQLAlchemy: that doubles what it costs."""
    with session.connection().connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def fail(claim: Claim, context: JobContext, failure: Failure, worker_id: int, cursor: Any) -> bool:
    """Write that a step failed; tell whether the job was still this worker's.

    :param cursor: of the driver, of a connection that commits.
    """
    values = {
        **dataclasses.asdict(failure),
        "job": claim.id,
        "worker": worker_id,
        "attempts": claim.attempts,
        "percent": context.percent,
        "text": context.text,
        "call": json.dumps(stored(failure.call)) if failure.call else None,
    }
    cursor.execute(_FAIL, values)
    return bool(cursor.fetchone()[0])


def judge(error: BaseException, claim: Claim) -> Failure:
    """Decide what becomes of a job whose step has raised an error."""
    trace = _printed(traceback.format_exception, error)
    failure = Failure(error=_line(error), traceback=trace)
    pause = pause_after(error, claim.outages)
    if pause is not None:
        return _after_outage(failure, culprit(error), claim.outages + 1, pause)
    if isinstance(error, Retry):
        return dataclasses.replace(failure, at=error.at, call=error.call)
    if isinstance(error, JobAborted):
        return dataclasses.replace(failure, status="aborted")
    if isinstance(error, MaxRetriesExceededError):
        return failure
    try:
        return _again(failure, _decide(error, claim))
    except Exception as broken:
        also = _printed(traceback.format_exception, broken)
        return dataclasses.replace(
            failure,
            traceback=f"{trace}\nThe retry strategy of the task fails, too:\n\n{also}",
        )


def _after_outage(failure: Failure, service: str | None, pauses: int, seconds: int) -> Failure:
    return dataclasses.replace(
        failure,
        error=f"{service} cannot be reached, pause {pauses} of {MOST_PAUSES}: {failure.error}",
        at=dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=seconds),
        outage=True,
    )


def _decide(error: BaseException, claim: Claim) -> RetryDecision | None:
    """Ask the task's retry strategy, if it has one."""
    try:
        strategy = find(claim.call.task_name).retry_strategy
    except UnknownTaskError:
        return None
    try:
        again = strategy and strategy.get_retry_exception(error, claim.for_strategy())
    except OverflowError:  # no date is so far away
        return RetryDecision(retry_at=latest())
    return again.retry_decision if again else None


def _again(failure: Failure, decision: RetryDecision | None) -> Failure:
    if decision is None:
        return failure
    # refuses what the table of jobs cannot hold
    job_options(decision.queue, decision.lock, None, decision.priority)
    return dataclasses.replace(
        failure,
        at=bounded(decision.retry_at),
        queue=decision.queue,
        priority=decision.priority,
        lock=decision.lock,
    )


def _line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, Retry) else None
    return _printed(traceback.format_exception_only, cause or error).strip()


def _printed(write: Callable[[BaseException], list[str]], error: BaseException) -> str:
    try:
        return legible("".join(write(error)))
    except Exception as broken:  # classes of exceptions are code of tasks, too
        return f"{type(error).__qualname__}, which cannot be printed: {type(broken).__name__}"
