"""A job in the hands of a worker."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from procrastinate.jobs import Job as ProcrastinateJob

from .call import Call
from .context import JobContext


@dataclasses.dataclass(frozen=True)
class Claim:
    """A job that a worker has claimed, as it was then.

    The worker owns it as long as the row is ``doing``, with that worker and
    that number of attempts.
    """

    row: dict[str, Any]
    """What the SQL function ``files_claim`` tells."""

    @classmethod
    def read(cls, description: str | None) -> Claim | None:
        """Return what was claimed, if anything was."""
        return cls(json.loads(description)) if description else None

    @property
    def id(self) -> int:
        return self.row["id"]

    @property
    def attempts(self) -> int:
        return self.row["attempts"]

    @property
    def outages(self) -> int:
        """How often the infrastructure has failed the next step."""
        return self.row["outages"]

    @property
    def call(self) -> Call:
        """What the next step runs."""
        call = self.row["call"]
        if call:
            return Call(call["task"], call["args"])
        return Call(self.row["task_name"], self.row["args"])

    def after(self, call: Call) -> Claim:
        """Return the claim after a step that goes on with a call."""
        row = {**self.row, "call": stored(call), "step": self.row["step"] + 1, "retries": 0}
        return Claim({**row, "outages": 0})

    def context(self, aborting: Callable[[], bool]) -> JobContext:
        """Return what the step can know."""
        row = self.row
        return JobContext(
            id=row["id"],
            call=self.call,
            attempts=row["attempts"],
            step=row["step"],
            retries=row["retries"],
            user_id=row["user_id"],
            task_id=row["task_id"],
            queue=row["queue_name"],
            priority=row["priority"],
            lock=row["lock"],
            aborting=aborting,
        )

    def for_strategy(self) -> ProcrastinateJob:
        """Return the job as a retry strategy wants it: attempts are those of the present step."""
        row = self.row
        at = row["scheduled_at"]
        return ProcrastinateJob(
            id=row["id"],
            status="doing",
            queue=row["queue_name"],
            priority=row["priority"],
            lock=row["lock"],
            queueing_lock=row["queueing_lock"],
            task_name=row["task_name"],
            task_kwargs=row["args"],
            scheduled_at=_time(at) if at else None,
            attempts=row["retries"],
        )


def stored(call: Call) -> dict[str, Any]:
    """Return a call as the table keeps it."""
    return {"task": call.task_name, "args": call.args}


def _time(text: str) -> dt.datetime:
    # Python 3.10 reads neither every number of digits nor a zone without minutes
    from dateutil.parser import isoparse

    return isoparse(text)
