"""The queues that code names: workers and commands know them before their first job."""

from __future__ import annotations

from collections.abc import Iterable

from .call import all_tasks
from .periodic import scheduled

_added: set[str] = set()


def in_code() -> set[str]:
    """Return the queues that tasks and schedules of this process name, and the added ones."""
    named = {task.options["queue"] for task in all_tasks()} | _added
    return named | {str(each.configure_kwargs.get("queue")) for each in scheduled().values()}


def add(names: Iterable[str]) -> None:
    """Make queues known that no task or schedule names."""
    _added.update(names)


def remove(names: Iterable[str]) -> None:
    """Forget queues that were added, if they were."""
    _added.difference_update(names)
