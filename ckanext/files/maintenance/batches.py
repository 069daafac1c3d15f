"""Progress and retries of jobs that go through files in batches.

The progress travels through the steps of a job as an argument. A step logs the
ids of the files that it has found after its commit, up to a bound.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Collection, Sequence
from typing import Any

from ckanext.files.background import JobAborted, RetryStrategy, current_job, set_progress
from ckanext.files.errors import FilesError
from ckanext.files.transaction import after_commit

log = logging.getLogger(__name__)

MAX_LOGGED = 1000
"""Ids of one kind that a job writes into the log."""

_UNREACHABLE = 10
"""Files in a row that cannot be read when their storage counts as unavailable."""


@dataclasses.dataclass
class BatchProgress:
    """The progress of a job that goes through files."""

    after: str = ""
    """The id of the last file, or another key, that the job has finished."""

    done: float = 0
    total: float = 0
    """All that the job has to do, in files or bytes."""

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    """The numbers of files that the job has found, by kind."""

    @classmethod
    def load(cls, state: dict[str, Any] | None) -> BatchProgress:
        """Return the progress that the last step has passed on; the beginning for None."""
        return cls(**state) if state else cls()

    def state(self) -> dict[str, Any]:
        """Return the argument for the next step."""
        return dataclasses.asdict(self)

    @property
    def percent(self) -> float:
        # uploads may have added files since the job has counted them
        return min(100.0, 100.0 * self.done / self.total) if self.total else 0.0

    @property
    def text(self) -> str:
        """A summary for people."""
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.items())

    def count(self, kind: str, number: int) -> None:
        """Count files of a kind."""
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def note(self, kind: str, items: Collection[str]) -> None:
        """Count files of a kind, and log them after the commit of the step."""
        room = MAX_LOGGED - self.counts.get(kind, 0)
        self.count(kind, len(items))
        for item in list(items)[: max(0, room)]:
            after_commit(functools.partial(log.info, "%s: %s: %s", _job_name(), kind, item))
        if 0 < room < len(items):
            after_commit(functools.partial(log.info, "%s: %s: and more", _job_name(), kind))

    def publish(self, activity: str = "") -> None:
        """Set the progress of the job, and end the job if a user has cancelled it.

        :param activity: what the step does at present.
        :raises JobAborted: a user has cancelled the job.
        """
        job = current_job()
        if job is None:
            return
        set_progress(self.percent, "; ".join(filter(None, (self.text, activity))))
        if job.should_abort():
            raise JobAborted(f"Cancelled at {self.percent:.0f} percent: {self.text}")

    def finish(self) -> str:
        """Publish and log the summary of the job in its last step; return it."""
        self.done = self.total
        text = self.text or "nothing to do"
        self.publish("" if self.text else text)
        after_commit(functools.partial(log.info, "%s: %s", _job_name(), text))
        return text


def percent_of(progress: dict[str, Any] | None = None, **_: Any) -> float:
    """Return the percentage at which a call begins; for ``@task(percent=...)``."""
    return BatchProgress.load(progress).percent


def _job_name() -> str:
    job = current_job()
    return f"Job {job.id}, {job.call.task_name}" if job else __package__ or ""


class _RetryUnlessRefused(RetryStrategy):
    """Try a step again after errors that may pass: of the database, or of a storage.

    This extension would refuse the same files or arguments again, so its own
    errors end the job.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> Any:
        """Return when to try the step again; None for never."""
        if isinstance(exception, FilesError):
            return None
        return super().get_retry_decision(exception=exception, job=job)


RETRY = _RetryUnlessRefused(max_attempts=5, exponential_wait=5)
"""Waits 5, 25, 125, 625 and 3125 seconds: an hour in all."""


def check_reachable(reasons: Sequence[str]) -> None:
    """Check that a storage is available, after a step has read files from it.

    :param reasons: for each file why it cannot be read; empty if it can.
    :raises OSError: the last ten files cannot be read.
    """
    last = reasons[-_UNREACHABLE:]
    if len(last) == _UNREACHABLE and all(last):
        raise OSError(f"The storage cannot be read any more: {last[-1]}")
