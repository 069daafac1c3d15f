"""A job in the shapes that its users get.

A caller gets a :class:`Job`, a worker a :class:`ClaimedJob`, the running task a
:class:`~ckanext.files.background.context.JobContext`, and people see a
:class:`~ckanext.files.background.record.JobRecord`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Generator
from typing import Any

from procrastinate.jobs import Job as ProcrastinateJob

from .call import Call
from .context import JobContext


@dataclasses.dataclass(frozen=True)
class Job:
    """The row of a call that a worker will run.

    It is written, and other connections see it after the commit of
    ``ckan.model.Session``. Awaiting it gives the job itself.
    """

    id: int

    task_id: str | None = None
    """The id that the caller of :func:`send_task` gave it."""

    user_id: str | None = None
    """The user who asked for it; None where no user is logged in, as in scripts."""

    def __await__(self) -> Generator[Any, None, Job]:
        return self
        yield


listeners: list[Callable[[Job], None]] = []
"""Called with each job right after its row was written, before the commit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobFields:
    """The fields that workers and people read of a job's row."""

    id: int
    task_id: str | None
    user_id: str | None
    task: str
    """The name of the task that the job began with."""

    queue: str
    priority: int
    lock: str | None
    queueing_lock: str | None
    scheduled_at: dt.datetime | None
    attempts: int
    step: int
    """Finished steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimedJob(JobFields):
    """A job as it was when a worker claimed it.

    The worker owns it as long as the row is ``doing``, with that worker and
    that number of attempts.
    """

    args: dict[str, Any]
    """The arguments of the job's first step."""

    call: Call
    """What the next step runs."""

    retries: int
    outages: int
    """How often the infrastructure has failed the next step."""

    @classmethod
    def read(cls, description: str | None) -> ClaimedJob | None:
        """Return the job that the SQL function ``files_claim`` describes, if it has found one."""
        if not description:
            return None
        row = json.loads(description)
        task, at = row.pop("task_name"), row.pop("scheduled_at")
        call = row.pop("call") or {"task": task, "args": row["args"]}
        return cls(
            task=task,
            queue=row.pop("queue_name"),
            scheduled_at=_time(at) if at else None,
            call=Call(call["task"], call["args"]),
            **row,
        )

    def after(self, call: Call) -> ClaimedJob:
        """Return the job after a step that goes on with a call."""
        return dataclasses.replace(self, call=call, step=self.step + 1, retries=0, outages=0)

    def context(self, aborting: Callable[[], bool]) -> JobContext:
        """Return the job as the running task sees it."""
        return JobContext(
            id=self.id,
            call=self.call,
            attempts=self.attempts,
            step=self.step,
            retries=self.retries,
            user_id=self.user_id,
            task_id=self.task_id,
            queue=self.queue,
            priority=self.priority,
            lock=self.lock,
            scheduled_at=self.scheduled_at,
            aborting=aborting,
        )

    def for_strategy(self) -> ProcrastinateJob:
        """Return the job for a retry strategy: its attempts count for the present step."""
        return ProcrastinateJob(
            id=self.id,
            status="doing",
            queue=self.queue,
            priority=self.priority,
            lock=self.lock,
            queueing_lock=self.queueing_lock,
            task_name=self.task,
            task_kwargs=self.args,
            scheduled_at=self.scheduled_at,
            attempts=self.retries,
        )


def stored_call(call: Call | None) -> str | None:
    """Return a call as the column ``call`` of a job keeps it, in JSON."""
    return json.dumps({"task": call.task_name, "args": call.args}) if call else None


def _time(text: str) -> dt.datetime:
    # Python 3.10 reads neither every number of digits nor a zone without minutes
    from dateutil.parser import isoparse

    return isoparse(text)
