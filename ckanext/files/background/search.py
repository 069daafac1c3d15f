"""Finding jobs among millions: each question is answered in a time that depends on no table's size.

An index gives the ids of jobs, the newest first: all, or the jobs of a user, of a task, or of
certain states and queues. Conditions that this index knows nothing of are looked up job by job,
for :data:`WINDOW` jobs at most. So an answer may end before the oldest job, and says where the next
one begins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import schema
from .sql import part, query

WINDOW = 2000
"""Jobs that are looked at for the filters that have no index, as a text has none."""

MOST = 1000
"""Jobs that are counted."""

_NEWEST = 2**63 - 1

_CONDITIONS = {
    "user_id": "f.user_id = :user_id",
    "status": "j.status = ANY(CAST(:status AS procrastinate_job_status[]))",
    "task": "j.task_name = :task",
    "queue": "j.queue_name = :queue",
    "text": "strpos(lower(files_searched(f.title, j.task_name, j.args, f.text, f.error)), "
    "lower(:text)) > 0",
    "has_rq_id": "EXISTS (SELECT FROM files_rq_job WHERE job_id = j.id) = :has_rq_id",
}
"""The condition of each filter."""

_SOURCES = {
    "id": ("id",),
    "task_id": ("task_id",),
    "user": ("user_id",),
    "states": ("status", "queue"),
    "task": ("task",),
    "all": (),
}
"""The filters that each index answers; the query is called ``jobs_of_...``."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Jobs that were found, the newest first."""

    ids: list[int]
    next: int | None
    """Older jobs may match: they are found before this id. None if there are none."""

    is_short: bool = False
    """The page is not full, and ends with the jobs that were looked at."""

    @property
    def end(self) -> int | None:
        """The id before which all these jobs and older ones are, and no newer one.

        None if there are none.
        """
        return self.ids[0] + 1 if self.ids else self.next


@dataclasses.dataclass(frozen=True)
class Count:
    """How many jobs match."""

    number: int
    is_exact: bool
    """False: there are more, or older ones were not looked at."""


class Search:
    """Jobs that match all of some filters.

    :param filters: any of ``id`` (a list of ids), ``task_id``, ``user_id``, ``status`` (a list of
        states), ``task``, ``queue``, ``has_rq_id`` (whether ``toolkit.enqueue_job`` was called
        for it), and ``text``, a part of the title, of the name of the task, of short arguments, of
        the progress or of the first line of the error.
    """

    def __init__(self, filters: Mapping[str, Any]) -> None:
        self._source = _source(filters)
        known = _SOURCES[self._source]
        self._rest = [name for name in filters if name not in known and name in _CONDITIONS]
        self._values = {"queue": None, "status": None, **filters}

    def find(self, limit: int, offset: int = 0, before: int | None = None) -> Found:
        """Return the ids of the newest jobs.

        :param before: only of older jobs than this one.
        """
        window = WINDOW if self._rest else min(offset + limit + 1, _NEWEST)
        values = {"before": before or _NEWEST, "limit": limit + 1, "offset": offset}
        ids = list(self._execute("found_jobs", window, **values).scalars())
        if len(ids) > limit:
            return Found(ids[:limit], next=ids[limit - 1] if limit else None)
        return Found(ids, self._end_of_window(before) if self._rest else None, is_short=True)

    def count(self, newest: Found | None = None, before: int | None = None) -> Count:
        """Return how many jobs match, counted up to :data:`MOST`.

        :param newest: what :meth:`find` has found as the first page, which may be all.
        :param before: only older jobs than this one.
        """
        if newest and newest.is_short and len(newest.ids) <= MOST:
            return Count(len(newest.ids), is_exact=newest.next is None)
        window = WINDOW if self._rest else MOST + 1
        values = {"before": before or _NEWEST, "limit": MOST + 1}
        number = self._execute("count_found_jobs", window, **values).scalar()
        if number > MOST:
            return Count(MOST, is_exact=False)
        return Count(number, is_exact=not self._rest or self._end_of_window(before) is None)

    def _end_of_window(self, before: int | None) -> int | None:
        """Return the oldest job that was looked at, if there may be older ones."""
        row = self._execute("window_of_jobs", WINDOW, before=before or _NEWEST).one()
        return row.oldest if row.size == WINDOW else None

    def _execute(self, name: str, window: int, **values: Any) -> Any:
        rest = " AND ".join(_CONDITIONS[each] for each in self._rest) or "true"
        statement = query(name, source=part(f"jobs_of_{self._source}"), rest=rest)
        return schema.connection().execute(statement, {**self._values, **values, "window": window})


def _source(filters: Mapping[str, Any]) -> str:
    """Return the index that leads to the fewest jobs, as far as the filters tell."""
    for name, source in (("id", "id"), ("task_id", "task_id"), ("user_id", "user")):
        if name in filters:
            return source
    # of most tasks most jobs have succeeded
    if "task" in filters and "succeeded" in filters.get("status", ["succeeded"]):
        return "task"
    return "states" if filters.keys() & {"queue", "status"} else "all"
