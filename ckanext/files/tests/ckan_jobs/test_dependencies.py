"""Jobs that wait for the end of others: RQ's ``depends_on``."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from rq.job import Dependency

from ckanext.files.background import control, record
from ckanext.files.background.sql import driver_query
from ckanext.files.background.testing import TasksManager
from ckanext.files.ckan_jobs.job import Job
from ckanext.files.tests.ckan_jobs.test_queue import queue, row, set_state, work
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.effects import change, engine, look, rows
from ckanext.files.tests.support.jobs import S

__all__ = ["queue"]


def states(*asked: Any) -> list[str]:
    return [each.get_status() for each in asked]


def look_after() -> tuple[int, int]:
    """Do what the heartbeat of a worker does; return how many jobs and results it was."""
    with engine().begin() as connection:
        return tuple(connection.exec_driver_sql(driver_query("look_after_rq_jobs")).one())


def free() -> int:
    """Do likewise; return how many jobs wait no more."""
    return look_after()[0]


def test_chain_of_three(queue: Any) -> None:
    """Each one begins when the one before it has succeeded, by whichever registry one looks."""
    first = queue.enqueue(work)
    second = queue.enqueue(work, depends_on=first)
    third = queue.enqueue(work, depends_on=[second.id, first], at_front=True)
    assert states(first, second, third) == ["queued", "deferred", "deferred"]
    assert third.is_deferred
    assert Job.fetch(third.id).dependency_ids == [second.id, first.id]
    assert queue.jobs == [first]
    assert (queue.count, len(queue.deferred_job_registry)) == (1, 2)
    assert queue.scheduled_job_registry.get_job_ids() == []
    set_state(first, "doing")
    assert free() == 0
    set_state(first, "succeeded")
    assert free() == 1
    assert states(second, third) == ["queued", "deferred"]
    set_state(second, "succeeded")
    assert (free(), free()) == (1, 0)
    assert queue.jobs == [third]
    assert look(f"SELECT count(*) FROM {S}.files_rq_dependency") == 0


@pytest.mark.parametrize("end", ["failed", "cancelled", "aborted"])
def test_dependency_that_has_not_succeeded(queue: Any, end: str) -> None:
    """It holds up the others for ever, unless they allow that; a second run frees them."""
    first = queue.enqueue(work)
    strict = queue.enqueue(work, depends_on=first)
    tolerant = queue.enqueue(work, depends_on=Dependency([first], allow_failure=True))
    set_state(first, end)
    assert free() == 1
    assert states(strict, tolerant) == ["deferred", "queued"]
    set_state(first, "succeeded")
    assert free() == 1
    assert states(strict) == ["queued"]


def test_dependency_on_a_later_run(queue: Any) -> None:
    """As a function asks that has begun again: ``depends_on=rq.get_current_job()``."""
    first = queue.enqueue(work)
    set_attempts = f"UPDATE {S}.procrastinate_jobs SET attempts = 1 WHERE id = :id"
    change(set_attempts, id=row(first).id)
    set_state(first, "doing")
    second = queue.enqueue(work, depends_on=Job.fetch(f"{first.id}-run-2"))
    assert states(second) == ["deferred"]
    set_state(first, "succeeded")
    assert free() == 1


def test_dependency_that_is_deleted(queue: Any) -> None:
    first = queue.enqueue(work)
    strict = queue.enqueue(work, depends_on=first)
    tolerant = queue.enqueue(work, depends_on=Dependency([first], allow_failure=True))
    first.delete()
    assert free() == 1
    assert states(strict, tolerant) == ["deferred", "queued"]


def test_dependency_that_is_deleted_after_its_end(queue: Any) -> None:
    """It has succeeded, though its id is gone before the next heartbeat."""
    first = queue.enqueue(work)
    later = queue.enqueue(work, depends_on=first)
    set_state(first, "succeeded")
    first.delete()
    assert free() == 1
    assert states(later) == ["queued"]


def test_nothing_to_wait_for(queue: Any, name: str) -> None:
    """Ids that no job has are of jobs that ended long ago, as RQ takes them; also the own one."""
    done = queue.enqueue(work)
    set_state(done, "succeeded")
    later = queue.enqueue(work, job_id=name, depends_on=[done, "unknown", name])
    assert later.get_status(refresh=False) == "queued"
    assert queue.jobs == [later]
    types = f"SELECT type FROM {S}.procrastinate_events WHERE job_id = {row(later).id}"
    assert [event.type for event in record.history(row(later).id)] == ["deferred"]
    assert len(rows(types)) == 2  # negative control: the year 9000, which people do not see
    failed = queue.enqueue(work)
    set_state(failed, "failed")
    assert queue.enqueue(work, depends_on=failed).get_status(refresh=False) == "deferred"


def test_dependency_that_is_replaced(queue: Any, name: str) -> None:
    queue.enqueue(work, 1, job_id=name)
    later = queue.enqueue(work, depends_on=name)
    replacement = queue.enqueue(work, 2, job_id=name)
    assert free() == 0
    set_state(replacement, "succeeded")
    assert free() == 1
    assert states(later) == ["queued"]


def test_job_that_waits_is_cancelled(queue: Any) -> None:
    """It is forgotten; run again, it waits for nothing."""
    first = queue.enqueue(work)
    later, other = (queue.enqueue(work, depends_on=first) for _ in range(2))
    assert queue.empty() == 1  # as RQ, which empties the list of what could run
    later.cancel()
    assert free() == 0
    assert states(later, other) == ["canceled", "deferred"]
    assert look(f"SELECT count(*) FROM {S}.files_rq_dependency") == 1
    control.retry(row(later).id)
    model.Session.commit()
    assert states(later) == ["queued"]


def test_circle(queue: Any, name: str) -> None:
    """Jobs that wait for each other are shown, and go on after one of them was run again."""
    second = queue.enqueue(work, depends_on=queue.enqueue(work, job_id=name))
    first = queue.enqueue(work, job_id=name, depends_on=second)
    assert free() == 0
    assert states(first, second) == ["deferred", "deferred"]
    said = output("list", "--status", "waiting")
    assert said.count("waits for the jobs on which it depends") == 2
    for one, other in ((first, second), (second, first)):
        named = f"job {row(other).id} ({other.id})  waiting"
        assert f"Waits for\n  {named}\n" in output("show", one.id)
    assert '"depends_on": []' in output("show", "--json", queue.enqueue(work).id)
    for command in ("cancel", "retry"):
        output(command, str(row(first).id))
    assert states(first, second) == ["queued", "deferred"]
    set_state(first, "succeeded")
    assert free() == 1


def test_with_the_commit(queue: Any) -> None:
    """The chain is written by one commit, and taken back by one rollback."""
    model.Session.add(model.Tag(name="tag"))
    first = queue.enqueue(work)
    later = queue.enqueue(work, depends_on=first)
    assert later.get_status() == "deferred"
    model.Session.rollback()
    assert Job.fetch_many([first.id, later.id]) == [None, None]


def test_what_people_see(queue: Any) -> None:
    """No year 9000, neither on pages nor in commands; a job for a time is no such job."""
    first = queue.enqueue(work)
    later = row(queue.enqueue(work, depends_on=first)).id
    timed = row(queue.enqueue_in(dt.timedelta(hours=1), work)).id
    shown = record.find(later)
    assert shown
    assert (shown.status, shown.dependent, shown.scheduled_at) == ("todo", True, None)
    assert record.find(timed).dependent is False  # pyright: ignore[reportOptionalMemberAccess]
    assert "waits for the jobs on which it depends" in output("list")
    assert "9000" not in output("list") + output("show", str(later)) + output("list", "--json")
    sysadmin: Any = {"ignore_auth": True}
    assert tk.get_action("files_job_show")(sysadmin, {"id": later})["dependent"]


def test_locked_job_is_left_for_later(queue: Any) -> None:
    """A heartbeat does not wait for a transaction that changes the job."""
    first = queue.enqueue(work)
    later = queue.enqueue(work, depends_on=first)
    set_state(first, "succeeded")
    lock = f"SELECT 1 FROM {S}.procrastinate_jobs WHERE id = {row(later).id} FOR UPDATE"
    with engine().begin() as connection:
        connection.exec_driver_sql(lock)
        assert free() == 0
    assert free() == 1


def test_with_the_fixture(tasks: TasksManager, queue: Any) -> None:
    first = queue.enqueue(work)
    second = queue.enqueue(work, depends_on=first)
    third = queue.enqueue(work, depends_on=second)
    assert tasks.run_pending_jobs().steps == 3
    assert states(first, second, third) == ["finished"] * 3


def test_one_that_waits_looks_at_no_other(queue: Any) -> None:
    """However many jobs there are, and however old the statistics."""
    first = queue.enqueue(work)
    put = f"""
        SELECT {S}.files_rq_put('x' || n, origin, 'q', 't', 0, NULL, NULL, NULL, hash, signature,
            ARRAY[rq_id], false, false)
        FROM {S}.files_rq_job, generate_series(1, 2000) n WHERE rq_id = :id
    """
    read = f"""
        SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables
        WHERE schemaname = '{S}'
    """
    change(f"ANALYZE {S}.files_rq_dependency, {S}.files_rq_job, {S}.procrastinate_jobs")
    change(put, id=first.id)
    model.Session.remove()
    engine().dispose()  # other connections have planned for few jobs
    model.Session.execute(sa.text("SELECT txid_current()"))  # so the session writes the jobs
    before = model.Session.execute(sa.text(read)).scalar_one()
    for number in range(10):  # PostgreSQL plans for one job first, and then for any
        queue.enqueue(work, depends_on=first, job_id=f"y{number}")
    assert 10 <= model.Session.execute(sa.text(read)).scalar_one() - before <= 300
