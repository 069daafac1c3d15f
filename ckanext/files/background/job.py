"""A job that was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Job:
    """The row of a call that a worker will run.

    It is written, and becomes true with the commit of ``ckan.model.Session``.
    Awaiting it gives the job itself.
    """

    id: int

    task_id: str | None = None
    """What the caller of :func:`send_task` named it."""

    user_id: str | None = None
    """The user who asked for it; None where nobody is logged in, as in scripts."""

    def __await__(self) -> Generator[Any, None, Job]:
        return self
        yield


listeners: list[Callable[[Job], None]] = []
"""Called with each job right after its row was written, before the commit."""
