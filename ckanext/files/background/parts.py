"""The parts of a job that is a chain: the calls that it runs, and which one it is at."""

from __future__ import annotations

import dataclasses
from itertools import zip_longest
from typing import Any

CHAIN = "ckanext.files.chain"
"""The name of the task that runs the calls of a chain, which functions in SQL know, too."""

_MOST_NAMED = 5
"""Parts that a title names."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The calls of a :func:`~ckanext.files.background.chain` with which a job began or goes on."""

    tasks: list[str]
    """The names of their tasks, of the first hundred."""

    total: int
    done: int
    """Calls that have ended."""

    @property
    def is_over(self) -> bool:
        """Whether all parts have succeeded."""
        return self.done >= self.total

    def states(self, status: str) -> list[tuple[str, str | None]]:
        """Return each task with the state of its call; None if the call has not begun.

        :param status: the state of the job.
        """
        begun = ["succeeded"] * self.done + [status]
        return list(zip_longest(self.tasks, begun[: len(self.tasks)]))

    @property
    def number(self) -> int:
        """The number of the present part, or of the last one, from 1."""
        return min(self.done + 1, self.total)

    @property
    def name(self) -> str:
        """The name of the present part; empty if the chain is too long to know."""
        return short_name(self.tasks[self.number - 1]) if self.number <= len(self.tasks) else ""


def read_parts(value: dict[str, Any] | None) -> Parts | None:
    """Return what the SQL function ``files_parts`` describes."""
    return Parts(**value) if value else None


def is_chain(task: str, parts: Any) -> bool:
    """Return whether a job with such parts began with its chain, which its arguments describe."""
    return task == CHAIN and parts is not None


def title_of(task: str, parts: Parts | None, title: str | None = None) -> str:
    """Return what lists call a job: its task, or of a chain its parts, as ``load → publish``.

    A job whose task has returned a chain keeps its title: this name was chosen for all its parts.

    :param title: what the caller who asked for the job calls it.
    """
    if title:
        return title
    if not (is_chain(task, parts) and parts and parts.tasks):
        return task
    names = [short_name(name) for name in parts.tasks[:_MOST_NAMED]]
    return " → ".join([*names, "…"] if parts.total > len(names) else names)


def short_name(task: str) -> str:
    """Return the name of a task without its module."""
    return task.rpartition(".")[2]
