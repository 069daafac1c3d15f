"""What the tests ask of jobs: in a step, of the session, and over another connection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, JobContext, Task, control, current_job, record, schema
from ckanext.files.background.task import Deferrer
from ckanext.files.tests.support.effects import change, engine, look, rows
from ckanext.files.tests.support.waiting import wait_for

S = schema.SCHEMA

UNKNOWN = 4_000_000_000
"""Id of a job that does not exist."""


def running() -> JobContext:
    """Return the job whose step runs here."""
    job = current_job()
    assert job
    return job


def shown(job: Job) -> record.JobRecord:
    """Return the record of a job that exists, as the session has it."""
    found = record.find(job.id)
    assert found
    return found


def seconds_to_wait(job: Job) -> float:
    """Return the seconds until a job that was put off is due."""
    at = shown(job).scheduled_at
    assert at
    return (at - dt.datetime.now(dt.timezone.utc)).total_seconds()


def let_time_pass() -> None:
    """Make all jobs due that were put off, and commit what the session has changed."""
    put_off = "status = 'todo' AND scheduled_at IS NOT NULL"
    past = "now() - interval '1 second'"
    query = f"UPDATE {S}.procrastinate_jobs SET scheduled_at = {past} WHERE {put_off}"
    model.Session.execute(sa.text(query))
    model.Session.commit()


def defer(task: Task[Any] | Deferrer, *arguments: Any, **more: Any) -> Job:
    """Defer a job, and commit."""
    job = task.delay(*arguments, **more)
    model.Session.commit()
    return job


def begun(task: Task[Any] | Deferrer, name: str, *arguments: Any) -> Job:
    """Defer a job, and wait until its task has written that it has begun."""
    job = defer(task, name, *arguments)
    wait_for_effect(f"{name}-begun")
    return job


def cancel(job: Job, *, now: bool = False) -> str | None:
    """Cancel a job, and commit; return the state that it has then."""
    status = control.cancel(job.id, now=now)
    model.Session.commit()
    return status


def retry(job: Job) -> bool:
    """Try a job again, and commit; return whether it had ended."""
    found = control.retry(job.id)
    model.Session.commit()
    return found


def state(job: Job, column: str = "status") -> Any:
    """Return a column of a job, or of what is kept beside it."""
    query = f"""
        SELECT {column} FROM {S}.procrastinate_jobs j LEFT JOIN {S}.files_job f ON f.job_id = j.id
        WHERE j.id = :id
    """
    return look(query, id=job.id)


def events_of(job: Job) -> list[str]:
    """Return what the history tells of a job, the first thing first."""
    query = f"SELECT type::text FROM {S}.procrastinate_events WHERE job_id = :id ORDER BY id"
    return [type_ for (type_,) in rows(query, id=job.id)]


@contextmanager
def locked_by_us(job: Job) -> Iterator[None]:
    """Hold a lock on the row of a job, as a transaction does that has changed it."""
    lock = sa.text(f"SELECT FROM {S}.procrastinate_jobs WHERE id = :id FOR UPDATE")
    with engine().begin() as connection:
        connection.execute(lock, {"id": job.id})
        yield


def effects_of(prefix: str) -> list[str]:
    query = "SELECT name FROM files_test_effect WHERE starts_with(name, :prefix) ORDER BY name"
    return [name for (name,) in rows(query, prefix=prefix)]


def wait_for_job(*jobs: Job, status: str = "succeeded") -> None:
    """Wait until jobs have ended; they must have ended so."""
    for job in jobs:
        wait_for(lambda job=job: state(job) not in ("todo", "doing"))
        assert state(job) == status, state(job, "f.traceback")


def last_heartbeat(worker: int) -> Any:
    return look(f"SELECT last_heartbeat FROM {S}.procrastinate_workers WHERE id = :id", id=worker)


def wait_for_heartbeats(worker: int, times: int = 1) -> None:
    for _ in range(times):
        before = last_heartbeat(worker)
        wait_for(lambda before=before: last_heartbeat(worker) > before)


def wait_for_effect(name: str) -> None:
    wait_for(lambda: effects_of(name))


def effect_at_once(name: str) -> None:
    """Write an effect, and commit it at once."""
    change("INSERT INTO files_test_effect VALUES (:name)", name=name)


def let_go(name: str) -> None:
    """Have a task go on that waits for the test, see ``worker_tasks.wait_until_let_go``."""
    effect_at_once(f"go-{name}")


# other databases of the server may have workers of the same names
_SESSIONS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'ckan-files-worker:' || :worker
"""


def sessions_of(worker: int | str) -> list[int]:
    """Return PostgreSQL's processes for a worker, or for ``%``, which is all."""
    return [pid for (pid,) in rows(_SESSIONS, worker=str(worker))]


def listener_of(worker: int) -> int | None:
    """Return PostgreSQL's process for the connection by which a worker hears of jobs."""
    return look(f"{_SESSIONS} AND query ~ '^LISTEN'", worker=str(worker))


def cut(pids: list[int]) -> None:
    """Cut connections, as an administrator or a broken network does."""
    for pid in pids:
        look("SELECT pg_terminate_backend(:pid)", pid=pid)
