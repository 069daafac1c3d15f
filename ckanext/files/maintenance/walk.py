"""How far a job is that goes through many files, and what it has found.

It travels through the steps of the job as an argument. Ids go into the log,
with the commit of the step that has found them, up to a bound.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Collection
from typing import Any

from ckanext.files.background import JobAborted, current_job, set_progress
from ckanext.files.transaction import after_commit

log = logging.getLogger(__name__)

MOST_IN_LOG = 1000
"""Ids of one kind that a job writes into the log."""


@dataclasses.dataclass
class Walk:
    """The state of a job that goes through files."""

    after: str = ""
    """The id of the last file, or another key, that was looked at."""

    done: float = 0
    total: float = 0
    """How much there is to do, in files or bytes."""

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    """How many there are of what was found."""

    @classmethod
    def load(cls, state: dict[str, Any] | None) -> Walk:
        """Go on where a step has ended; begin where there was none."""
        return cls(**state) if state else cls()

    def state(self) -> dict[str, Any]:
        """Return what the next step gets."""
        return dataclasses.asdict(self)

    @property
    def percent(self) -> float:
        # files may have come since they were counted
        return min(100.0, 100.0 * self.done / self.total) if self.total else 0.0

    @property
    def text(self) -> str:
        """What was found, for people."""
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.items())

    def count(self, kind: str, number: int) -> None:
        """Count what was found."""
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def note(self, kind: str, items: Collection[str]) -> None:
        """Count what was found, and have it logged when the step is committed."""
        room = MOST_IN_LOG - self.counts.get(kind, 0)
        self.count(kind, len(items))
        for item in list(items)[: max(0, room)]:
            after_commit(functools.partial(log.info, "%s: %s: %s", _who(), kind, item))
        if 0 < room < len(items):
            after_commit(functools.partial(log.info, "%s: %s: and more", _who(), kind))

    def tell(self, doing: str = "") -> None:
        """Let others see how far the job is; end it here if somebody wants it to end.

        :param doing: what it is at.
        :raises JobAborted: somebody does.
        """
        job = current_job()
        if job is None:
            return
        set_progress(self.percent, "; ".join(filter(None, (self.text, doing))))
        if job.should_abort():
            raise JobAborted(f"It was to end at {self.percent:.0f} percent: {self.text}")

    def finish(self) -> str:
        """Sum up, at the end of the last step."""
        self.done = self.total
        text = self.text or "nothing to do"
        self.tell("" if self.text else text)
        after_commit(functools.partial(log.info, "%s: %s", _who(), text))
        return text


def percent_of(walk: dict[str, Any] | None = None, **_: Any) -> float:
    """Return the progress at which a call begins; for ``@task(percent=...)``."""
    return Walk.load(walk).percent


def _who() -> str:
    job = current_job()
    return f"Job {job.id}, {job.call.task_name}" if job else __package__ or ""
