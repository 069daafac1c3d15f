"""The options of a worker, as its command line sets them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ckan.common import config

_PREFIX = "ckanext.files.background"


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """Options of a worker."""

    queues: tuple[str, ...] = ()
    """Queues whose jobs it runs; empty for all."""

    concurrency: int = 1
    """Steps that it runs at a time, each in a thread of its own."""

    wait: bool = True
    """False to end when no job waits any more."""

    timeout: float = 0
    """Seconds that a step may take if its task has no timeout; 0 for no limit."""

    shutdown_timeout: float = 30
    """Seconds that running steps get to end when the worker stops."""

    frozen_after: float = 30
    """Seconds without a heartbeat after which other workers take it for dead."""

    most_rescues: int = 10
    """How often a step may lose its worker before its job fails."""

    max_idle: float | None = None
    """Seconds without a job after which it ends; None for never."""

    max_jobs: int = 0
    """Jobs after which a new process takes its place; 0 for no limit. For a concurrency of 1."""

    @property
    def may_end(self) -> bool:
        """Whether it may end without a signal, and none takes its place."""
        return not self.wait or self.max_idle is not None


def configured_options(**given: Any) -> WorkerOptions:
    """Return options of the command line, and the site's options for all workers."""
    names = ("timeout", "shutdown_timeout", "frozen_after", "most_rescues")
    return WorkerOptions(**{name: config[f"{_PREFIX}.{name}"] for name in names}, **given)
