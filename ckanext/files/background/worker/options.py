"""How a worker works."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """Options of a worker."""

    queues: tuple[str, ...] = ()
    """Which queues it works for; none for all."""

    concurrency: int = 1
    """How many steps it runs at a time, each in a thread of its own."""

    wait: bool = True
    """False to end when nothing waits any more."""

    timeout: float = 0
    """Seconds that a step of a task without a timeout may take; 0 for ever."""

    shutdown_timeout: float = 30
    """Seconds that running steps get to end when the worker is to stop."""

    frozen_after: float = 30
    """Seconds without a sign of life after which a worker is taken for dead."""

    most_rescues: int = 10
    """How often a step may lose its worker before its job fails."""
