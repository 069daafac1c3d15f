"""The options of a worker, as its command line sets them."""

from __future__ import annotations

import dataclasses


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
