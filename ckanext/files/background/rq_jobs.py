"""What workers do for the jobs of ``toolkit.enqueue_job``, beside running them."""

from __future__ import annotations

from typing import Any

from .sql import driver_query


def look_after(cursor: Any) -> tuple[int, int]:
    """Let jobs run that have waited for others to end, and empty results whose time is over.

    For each heartbeat. It waits for no lock, and where there is nothing to do it writes nothing.

    :param cursor: of a connection that commits each statement by itself.
    :returns: how many jobs, and how many results.
    """
    cursor.execute(driver_query("look_after_rq_jobs"))
    return cursor.fetchone()
