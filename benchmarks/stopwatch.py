"""When the database and the search index answered during a call."""

from __future__ import annotations

import functools
import time
from typing import Any

import pysolr
from ckan import model


class Stopwatch:
    """Notes the end of each real COMMIT and of each change of the search index."""

    def __init__(self) -> None:
        self._commits: list[float] = []
        self._answers: list[float] = []
        # past all events: here the driver is told to commit
        dialect: Any = model.Session.get_bind().dialect
        dialect.do_commit = _noting(dialect.do_commit, self._commits)
        solr: Any = pysolr.Solr
        solr.add = _noting(solr.add, self._answers)

    def start(self) -> None:
        self._commits.clear()
        self._answers.clear()
        self._cpu_began = time.process_time()
        self._began = time.perf_counter()

    def stop(self) -> dict[str, Any]:
        """Return what happened since the start; times are in seconds.

        ``cpu`` is the time that this process computed, ``ahead`` that in which
        the index tells of what is not yet committed, ``between`` that from the
        first COMMIT to the last.
        """
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu_began
        ahead = [
            next(commit for commit in self._commits if commit > answer) - answer
            for answer in self._answers
        ]
        return {
            "seconds": seconds,
            "cpu": cpu,
            "commits": len(self._commits),
            "ahead": max(ahead),
            "between": self._commits[-1] - self._commits[0],
        }


def _noting(function: Any, times: list[float]) -> Any:
    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        times.append(time.perf_counter())
        return result

    return noting
