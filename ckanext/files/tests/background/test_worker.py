"""Parts of a worker: its statements beside those that end steps, and the process above it."""

from __future__ import annotations

import ctypes
import datetime as dt
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files import advisory_locks, background
from ckanext.files.background import Job, control, search, sql
from ckanext.files.background.job import ClaimedJob
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker import WorkerOptions, processes
from ckanext.files.background.worker.queries import WorkerQueries, name_of_tasks
from ckanext.files.background.worker.slot_pool import SlotPool
from ckanext.files.background.worker.supply import JobSupply
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.crash import fork
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.jobs import defer, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")

PAST = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


@contextmanager
def registered() -> Iterator[WorkerQueries]:
    queries = WorkerQueries(engine())
    queries.register()
    yield queries
    queries.unregister()
    queries.close()


@pytest.fixture
def queries() -> Iterator[WorkerQueries]:
    with registered() as queries:
        yield queries


def ask(task: Any = sample.noop, *args: Any, **options: Any) -> Job:
    return defer(task.configure(**options), *args)


def claim_all(queries: WorkerQueries) -> dict[int, ClaimedJob]:
    claims = iter(lambda: queries.claim([]), None)
    return {claim.id: claim for claim in claims if claim}


def published(queries: WorkerQueries, claim: ClaimedJob) -> bool:
    """Publish a progress."""
    context = claim.context(bool)
    context.percent = 42.5
    return queries.publish(claim, context)


def row_and_history(job: Job) -> tuple[Any, Any]:
    """Return the row of a job and its history."""
    row = f"SELECT to_jsonb(j) FROM {SCHEMA}.procrastinate_jobs j WHERE id = :id"
    events = f"SELECT jsonb_agg(to_jsonb(e) ORDER BY id) FROM {SCHEMA}.procrastinate_events e"
    return look(row, id=job.id), look(f"{events} WHERE job_id = :id", id=job.id)


def test_jobs_that_have_lost_their_workers_run_apart(queries: WorkerQueries) -> None:
    """Once may be an accident; twice at the same step may be the job's own doing."""
    jobs = [ask().id for _ in range(3)]
    for lost in (jobs, jobs[:2]):
        claims = claim_all(queries)
        assert list(claims) == jobs
        for job_id in lost:
            queries.release(job_id, claims[job_id].attempts, 10)
        queries.release_all()
    with registered() as other:
        query = sa.text(f"SELECT {SCHEMA}.files_claim(NULL, :worker, true)")
        with engine().begin() as step:
            first = step.execute(query, {"worker": queries.worker_id}).scalar_one()
            assert json.loads(first)["id"] == jobs[0]
            assert list(claim_all(queries)) == [jobs[2]]
        assert claim_all(queries) == {}
        assert list(claim_all(other)) == [jobs[1]]


def test_job_that_no_slot_runs(queries: WorkerQueries) -> None:
    """It is released at the second look, unless it was at another step at the first one."""
    job = ask(sample.count_down, "x", 1, 1)
    claim = claim_all(queries)[job.id]
    pool = SlotPool(JobSupply(queries, WorkerOptions(), on_stop=lambda: None), nullcontext)
    pool.check_jobs()
    change(f"INSERT INTO {SCHEMA}.files_job (job_id, step) VALUES (:id, 1)", id=job.id)
    pool.check_jobs()
    assert state(job, "worker_id") == queries.worker_id
    pool.check_jobs()
    assert state(job, "worker_id") is None
    assert list(claim_all(queries)) == [claim.id]


def test_job_that_was_to_end_does_not_begin_again(queries: WorkerQueries) -> None:
    """Its worker was lost before the task had looked for that."""
    job = ask()
    claim = claim_all(queries)[job.id]
    assert control.cancel(job.id) == "doing"
    model.Session.commit()
    queries.release(job.id, claim.attempts, 10)
    assert state(job) == "aborted"
    assert claim_all(queries) == {}


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({}, False),
        ({"lock": "a"}, True),
        ({"lock": "a", "eta": PAST}, True),
        ({"lock": "a", "countdown": 3600}, False),
        ({"lock": "a", "queue": "mails"}, False),
        ({"lock": "a", "queue": "mails", "eta": PAST}, False),
    ],
    ids=str,
)
def test_job_with_a_lock_that_waits(options: Any, waits: bool) -> None:
    """A step that goes on must let its worker claim such a job."""
    ask(**options)
    query = f"SELECT {SCHEMA}.files_locked_job_waits(CAST(:queues AS varchar[]))"
    assert look(query, queues=["default"]) is waits
    assert look(query, queues=None) is (waits or "queue" in options)
    with registered() as other:
        ask(**{**options, "eta": None, "countdown": None, "priority": 1})
        other.claim(["default", "mails"])
        assert look(query, queues=None) is False
        other.release_all()


@pytest.mark.parametrize(
    "options", [{}, {"eta": PAST}, {"lock": "a"}, {"queueing_lock": "b"}, {"priority": 5}], ids=str
)
def test_job_that_is_handed_back_is_what_it_was(
    options: Any, queries: WorkerQueries, name: str
) -> None:
    """At its first step; it does not look as if a worker had ever had it."""
    job = ask(sample.tell, name, 1, "x", **options)
    before = row_and_history(job)
    assert published(queries, claim_all(queries)[job.id])
    queries.release_all()
    assert row_and_history(job) == before
    assert state(job, "percent") is None
    assert list(claim_all(queries)) == [job.id]


def test_handed_back_beside_a_job_with_the_same_queueing_lock(queries: WorkerQueries) -> None:
    """The other one waits already: as after a retry, this one waits without that lock."""
    job = ask(queueing_lock="b")
    assert claim_all(queries)
    other = ask(queueing_lock="b")
    queries.release_all()
    assert state(job) == state(other) == "todo"
    assert list(claim_all(queries)) == [job.id, other.id]


def test_handed_back_after_a_retry(queries: WorkerQueries, tasks: TasksManager, name: str) -> None:
    job = sample.flaky.delay(name, 3)
    tasks.run_pending_jobs(most=1)
    before = row_and_history(job)
    assert (before[0]["status"], before[0]["attempts"]) == ("todo", 1)
    assert claim_all(queries)
    queries.release_all()
    assert row_and_history(job) == before


def test_progress_stays_out_of_the_way_of_the_steps_end(queries: WorkerQueries) -> None:
    """It waits for no transaction, none waits for it, and it does not come after the end."""
    job = ask()
    claim = claim_all(queries)[job.id]
    assert published(queries, claim)
    assert state(job, "percent") == 42.5
    lock = sa.text(f"SELECT id FROM {SCHEMA}.procrastinate_jobs WHERE id = :id FOR UPDATE")
    end = sa.text(
        f"SELECT _outcome FROM {SCHEMA}.files_end_step"
        "(:id, :worker, :attempts, NULL, 100, 'done', NULL, false)"
    )
    values = {"id": job.id, "worker": queries.worker_id, "attempts": claim.attempts}
    with ThreadPoolExecutor(1) as thread, engine().begin() as ending:
        ending.execute(lock, values)  # as the end of a step begins
        assert thread.submit(published, queries, claim).result(5) is False
        assert ending.execute(end, values).scalar_one() == "finished"
    assert not published(queries, claim)
    assert state(job, "percent") == 100


# the process that looks after workers; these do nothing but stay there


SECONDS_TO_STAY = 60
"""Then the workers end by themselves, if the test has not ended them."""

PR_SET_CHILD_SUBREAPER = 36
ORPHAN = "(sleep 0.1; exit 1) >/dev/null 2>&1 & echo $!"
PID = sa.text("SELECT pg_backend_pid()")


def test_connections_and_orphans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of two workers has connections of its own, and is replaced when it dies.

    Also of an extension's engine, and of a session that was left within a transaction. The
    first process of a container becomes the parent of those that have lost theirs: no workers.
    """
    log, url, engines = tmp_path / "log", engine().url, []

    def run() -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        processes.log.addHandler(logging.FileHandler(log))
        engines.append(sa.create_engine(url))
        engines[0].connect().close()
        model.Session.execute(sa.text("SELECT 1"))
        processes.run_processes(None, WorkerOptions(wait=False), 2)

    def work(*_: Any, parent: int) -> None:
        with engines[0].connect() as connection:
            used = [each.execute(PID).scalar() for each in (connection, model.Session)]
            orphan = int(subprocess.check_output(["sh", "-c", ORPHAN]))
            unfinished = tmp_path / f"{os.getpid()}.unfinished"
            unfinished.write_text(json.dumps([orphan, *used]))
            unfinished.rename(unfinished.with_suffix(".note"))
            time.sleep(SECONDS_TO_STAY)

    def noted(workers: int) -> dict[int, list[int]]:
        """Wait until so many workers have noted something; return what, by their ids."""
        files = wait_for(lambda: len(all_ := list(tmp_path.glob("*.note"))) == workers and all_)
        return {int(file.stem): json.loads(file.read_text()) for file in files}

    monkeypatch.setattr(processes, "run_worker", work)
    pid = fork(run)
    try:
        (orphan, *one), (other_orphan, *other) = noted(2).values()
        assert len({*one, *other}) == 4
        for each in (orphan, other_orphan):
            wait_for(lambda pid=each: not Path(f"/proc/{pid}").exists())
        killed = min(noted(2))
        os.kill(killed, signal.SIGKILL)
        noted(3)
        assert log.read_text().count("has ended") == 1
        assert f"Worker process {killed} has ended" in log.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


# the SQL of all parts


def test_every_query_is_used() -> None:
    """And every query that a module asks for exists."""
    room = Path(next(iter(background.__path__)))
    code = "".join(path.read_text() for path in room.rglob("*.py"))
    used = set(re.findall(r'(?:query|_value|_execute|_executed|_signal)\(\s*"(\w+)"', code))
    queries = "".join(path.read_text() for path in room.glob("sql/queries/*.sql"))
    used |= {f"jobs_of_{source}" for source in search._SOURCES}
    assert used == set(re.findall(r"^-- name: (\w+)$", queries, re.MULTILINE))


def test_key_of_a_lock_in_a_function() -> None:
    """It is the number that Python has, which SQL cannot import."""
    _, functions = sql.scripts()
    [key] = re.findall(r"advisory\w+\((\d+),", functions)
    assert int(key) == advisory_locks.SUSPECT_JOBS


def test_sessions_of_tasks_have_the_name_that_is_looked_for() -> None:
    """PostgreSQL cuts long names and replaces letters: the database of a worker has any name."""
    long = "données-" * 8
    names = {name_of_tasks(2**31 - 1, database) for database in (long + "1", long + "2")}
    assert len(names) == 2
    for name in names:
        with engine().connect() as connection:
            set_name = sa.text("SELECT set_config('application_name', :name, true)")
            connection.execute(set_name, {"name": name})
            found = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            assert connection.execute(sa.text(found)).scalar_one() == name
