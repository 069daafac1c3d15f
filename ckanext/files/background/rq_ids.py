"""The ids of the jobs of ``toolkit.enqueue_job``, as RQ gives them. Here a job has a number, too.

Each later run of a job has an id of its own. Functions may keep their job's id, and refuse to run
twice with it: xloader's table of jobs has it as its key.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import schema
from .errors import BackgroundError
from .options import checked_key
from .sql import query

_RUN = re.compile(r"(?P<rq_id>.+)-run-(?P<number>[1-9]\d{0,8})", re.DOTALL)


class Run(NamedTuple):
    """A run of a job."""

    rq_id: str
    number: int


def of_run(rq_id: str, attempts: int) -> str:
    """Return the id that a function has as its current job's.

    :param attempts: how many runs there were before.
    """
    return f"{rq_id}-run-{attempts + 1}" if attempts else rq_id


def read_run(run_id: str) -> Run | None:
    """Return which run has an id; None if it is the id of no later run."""
    found = _RUN.fullmatch(run_id)
    return Run(found["rq_id"], int(found["number"])) if found else None


def is_possible(rq_id: str) -> bool:
    """Return whether the tables can have an id: it is not too long, and has no character NUL."""
    try:
        checked_key(rq_id, "id of the job")
    except BackgroundError:
        return False
    return True


def find(rq_id: str) -> int | None:
    """Return the number of the newest job that has or had an id; a later run names its job.

    :raises NotInstalledError: the tables are missing.
    """
    if not is_possible(rq_id):
        return None
    later = read_run(rq_id)
    return _newest(Run(rq_id, 1)) or (_newest(later) if later else None)


def _newest(run: Run) -> int | None:
    values = {"rq_id": run.rq_id, "run": run.number}
    return schema.connection().execute(query("job_with_rq_id"), values).scalar()
