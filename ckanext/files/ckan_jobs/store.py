"""The rows of CKAN's jobs: in which queue they wait, their state, and the payload.

Every change is one statement that may be repeated when its answer was lost: the second time it
changes nothing. Only a job that was cancelled, changed or put off in between is written again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ckan.lib import jobs
from rq.defaults import DEFAULT_RESULT_TTL

from ckanext.files.background.deferring import requesting_user
from ckanext.files.background.errors import BackgroundError
from ckanext.files.background.options import MAX_NAME_LENGTH, MAX_QUEUE_BYTES, checked_key
from ckanext.files.background.rq_ids import is_possible, read_run
from ckanext.files.background.sql import driver_query, for_driver, read_queries
from ckanext.files.background.values import storable_text

from . import commit
from .errors import TextError
from .payload import Payload, sign_result

_HASH_LENGTH = 8
"""Characters of the hash that ends the name of a queue that is too long."""


class Row(NamedTuple):
    """A current job."""

    job_id: int
    rq_id: str
    origin: str
    status: str
    """As jobs have it, but ``scheduled`` while it waits for a time, ``deferred`` for other jobs."""

    payload: Payload


class Place(NamedTuple):
    """Where a new job goes."""

    origin: str
    """RQ's name of the queue."""

    task: str
    """The path of the function; longer ones are cut off."""

    at: dt.datetime | None = None
    """The time before which the job does not begin."""

    at_front: bool = False

    depends_on: Sequence[str] = ()
    """The ids of the jobs that end before this one begins. Ids that no job has do not count."""

    allow_failure: bool = False
    """Whether it begins also if they have not succeeded."""


def check(origin: str, *rq_ids: str) -> None:
    """Refuse what the tables cannot hold: a statement with it may end the caller's transaction.

    :param origin: RQ's name of the queue.
    :param rq_ids: the id of the job, and those for which it waits.
    :raises TextError: they cannot hold one of these.
    """
    try:
        checked_key(origin, "queue")
        for rq_id in rq_ids:
            checked_key(rq_id, "id of the job")
    except BackgroundError as error:
        raise TextError(str(error)) from None


def put(
    rq_id: str, payload: Payload, place: Place, title: str | None, unique: bool = False
) -> int | None:
    """Write a job, and return the id of its row; a job that waits and has the same id is cancelled.

    Its texts have passed :func:`check`.

    :param unique: write none instead if a job with the same id waits or runs, and return None.
    :raises NotInstalledError: the tables are missing.
    """
    values = {
        **_queue(place.origin),
        "task": place.task[:MAX_NAME_LENGTH],
        "priority": int(place.at_front),
        "at": place.at,
        "depends_on": list(place.depends_on),
        "allow_failure": place.allow_failure,
        "user_id": requesting_user(),
        "title": _title(title),
    }
    what = f"Job {rq_id} ({place.task})"
    return change("put", what, rq_id=rq_id, unique=unique, **values, **payload._asdict())


def save(job_id: int, payload: Payload, title: str | None) -> bool:
    """Write another payload of a job; return False if the row has lost its id meanwhile."""
    return change("save", job_id=job_id, title=_title(title), **payload._asdict())


def cancel(rq_id: str) -> int:
    """Cancel a job, unless a worker runs it; return how many jobs there were."""
    return change("cancel", f"The end of job {rq_id}", rq_id=rq_id)


def drop(rq_id: str) -> None:
    """Cancel a job likewise, and take its id from it: only the history keeps it."""
    change("drop", f"The end of job {rq_id}", rq_id=rq_id)


def retry(rq_id: str) -> bool:
    """Let a job that failed wait again; return False if it has not failed."""
    row = find([rq_id]).get(rq_id)
    if row is None or row.status != "failed":
        return False
    values = {"ids": [row.job_id]}
    return bool(commit.write(driver_query("retry_jobs"), values, f"The retry of job {rq_id}"))


def empty(origin: str) -> int:
    """Drop all jobs that wait in a queue, but for those that wait for a time; return how many."""
    return change("empty", f"The end of the jobs of queue {origin}", **_queue(origin))


def find(rq_ids: Iterable[str]) -> dict[str, Row]:
    """Return the jobs that exist of these, also by the ids of their later runs."""
    wanted = [rq_id for rq_id in rq_ids if is_possible(rq_id)]
    found = {row.rq_id: row for row in _rows("find", rq_ids=wanted)}
    for rq_id in wanted:
        if rq_id not in found and (later := read_run(rq_id)):
            for row in _rows("find_run", rq_id=later.rq_id, run=later.number):
                found[rq_id] = row
    return found


def statuses(rq_ids: Iterable[str]) -> dict[str, str]:
    """Return the states of the jobs that exist of these, see :class:`Row`, by their ids.

    A job that was deleted while a worker runs it exists until that run has ended.
    """
    return dict(read("statuses", rq_ids=list(rq_ids)))


def of_job(job_id: int) -> Row | None:
    """Return a job by the id that workers and pages have, even if its own id is given up."""
    return next(iter(_rows("of_job", job_id=job_id)), None)


def traceback(rq_id: str) -> str | None:
    """Return the traceback of a job that has failed."""
    found = read("traceback", rq_id=rq_id)
    return found[0][0] if found else None


def waiting(origin: str, offset: int = 0, limit: int | None = None) -> Sequence[Row]:
    """Return the jobs that wait in a queue, the first one first."""
    return _rows("waiting", **_queue(origin), offset=offset, limit=limit)


def count(origin: str) -> int:
    """Return how many jobs wait in a queue."""
    return read("count", **_queue(origin))[0][0]


def ids(origin: str, status: str) -> list[str]:
    """Return the ids of the jobs of a queue in a state, see :class:`Row`."""
    return [rq_id for (rq_id,) in read("ids", **_queue(origin), status=status)]


def origins(prefix: str) -> list[str]:
    """Return the queues that have had jobs, by name."""
    return [name for (name,) in read("origins", prefix=prefix)]


def last_id() -> int:
    """Return an id that all rows of later jobs exceed."""
    return read("last_id")[0][0]


def written(rq_id: str, after: int) -> list[Payload]:
    """Return the payloads of the jobs with an id that are newer than a row, current or not.

    :param after: the id of the row.
    """
    return [Payload(*map(bytes, row)) for row in read("written", rq_id=rq_id, after=after)]


def keep_result(job_id: int, rq_id: str, data: bytes | None, ttl: int | None) -> None:
    """Keep what a job has returned until its ``result_ttl`` is over, before its end is written.

    :param data: the value as RQ's serializer writes it; None to empty what is kept.
    :param ttl: seconds as RQ has them: None for the default, 0 for not at all, -1 for ever.
    """
    seconds = DEFAULT_RESULT_TTL if ttl is None else ttl
    if seconds:
        result = None if data is None else sign_result(rq_id, data)
        values = {"job_id": job_id, "seconds": seconds if seconds > 0 else None, "result": result}
        commit.write(_queries()["keep_result"], values)


def result(rq_id: str) -> bytes | None:
    """Return what :func:`keep_result` keeps of a job that has succeeded, with its signature."""
    found = read("result", rq_id=rq_id)
    return bytes(found[0][0]) if found and found[0][0] is not None else None


def _title(title: str | None) -> str | None:
    return None if title is None else storable_text(title)


def _queue(origin: str) -> dict[str, str]:
    return {"origin": origin, "queue": queue_name(origin)}


def queue_name(origin: str) -> str:
    """Return the name of the queue for our workers: without the prefix, and short enough."""
    plain = origin.removeprefix(jobs.add_queue_name_prefix(""))
    if len(plain.encode()) <= MAX_QUEUE_BYTES:
        return plain
    beginning = plain.encode()[: MAX_QUEUE_BYTES - _HASH_LENGTH - 1].decode(errors="ignore")
    return f"{beginning}-{hashlib.sha256(plain.encode()).hexdigest()[:_HASH_LENGTH]}"


def change(name: str, what: str | None = None, /, **values: Any) -> Any:
    """Run a statement of this room that changes jobs; return what it answers."""
    return commit.write(_queries()[name], values, what)[0][0]


def _rows(name: str, /, **values: Any) -> list[Row]:
    return [Row(*row[:-2], payload=Payload(*map(bytes, row[-2:]))) for row in read(name, **values)]


def read(name: str, /, **values: Any) -> commit.Rows:
    """Return the rows of a query of this room."""
    return commit.read(_queries()[name], values)


@cache
def _queries() -> dict[str, str]:
    found = read_queries(Path(__file__).parent)
    return {name: for_driver(sql) for name, sql in found.items()}
