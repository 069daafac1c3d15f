"""Jobs and queues as code of RQ's users sees them."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import rq
import sqlalchemy as sa
from ckan import model
from ckan.lib import jobs
from ckan.tests import factories
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Dependency

from ckanext.files.background import ArgumentError, record
from ckanext.files.ckan_jobs import store
from ckanext.files.ckan_jobs.errors import DuplicateJobError, RedisNeededError, TextError
from ckanext.files.ckan_jobs.job import Job
from ckanext.files.ckan_jobs.queue import Queue
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, change, engine, look, rows
from ckanext.files.tests.support.jobs import S, effects_of

UTC = dt.timezone.utc


def work(*_: Any) -> str:
    """What jobs of these tests do."""
    current = rq.get_current_job()
    return current.id if current else "outside"


class Worker:
    """An object with a method that jobs call."""

    def __init__(self, answer: int) -> None:
        self.answer = answer

    def work(self) -> int:
        return self.answer


@pytest.fixture
def queue(name: str) -> Any:
    return jobs.get_queue(name)


def row(job: Any) -> Any:
    """Return the row of a job that waits or is history, as another connection sees it."""
    query = f"""
        SELECT j.*, f.title, f.user_id, r.current, r.hash, r.origin
        FROM {S}.files_rq_job r JOIN {S}.procrastinate_jobs j ON j.id = r.job_id
        LEFT JOIN {S}.files_job f ON f.job_id = j.id WHERE r.rq_id = :id ORDER BY j.id DESC LIMIT 1
    """
    return rows(query, id=job.id)[0]


def set_state(job: Any, state: str) -> None:
    change(f"UPDATE {S}.procrastinate_jobs SET status = '{state}' WHERE id = :id", id=row(job).id)


def test_what_a_job_has(queue: Any, name: str) -> None:
    before = dt.datetime.now(UTC).replace(tzinfo=None)
    options = {"timeout": "24h", "ttl": 5, "failure_ttl": 6, "result_ttl": 7, "meta": {"a": 1}}
    asked = tk.enqueue_job(
        work, ["token"], {"b": 2}, title="Title", queue=name, rq_kwargs=dict(options)
    )
    for job in (asked, jobs.job_from_id(asked.id), queue.fetch_job(asked.id), queue.jobs[0]):
        assert isinstance(job, rq.job.Job)
        assert (job, hash(job)) == (asked, hash(asked))
        assert (job.args, job.kwargs, job.func) == (["token"], {"b": 2}, work)
        assert job.description == f"{__name__}.work('token', b=2)"
        assert job.meta == {"a": 1, "title": "Title"}
        assert (job.origin, job.timeout) == (f"ckan:test:{name}", 24 * 3600)
        assert (job.ttl, job.failure_ttl, job.result_ttl) == (5, 6, 7)
        assert job.created_at.replace(tzinfo=None) >= before
        assert job.enqueued_at
        assert job.enqueued_at.replace(tzinfo=None) >= before
        assert job.get_status() == "queued"
        assert job.is_queued
    assert tk.get_action("job_show")({"ignore_auth": True}, {"id": asked.id})["title"] == "Title"


def test_row_shows_no_arguments(queue: Any, name: str) -> None:
    """Workers and pages have the function and the title. Arguments hold tokens."""
    tk.enqueue_job(work, ["secret-token"], title="Title", queue=name)
    found = row(queue.jobs[0])
    assert (found.queue_name, found.task_name, found.title) == (name, f"{__name__}.work", "Title")
    shown = record.find(found.id)
    assert shown
    assert "secret-token" not in f"{shown} {found}"  # bytes are shown as an address
    assert b"secret-token" in bytes(found.hash)  # negative control: only there


def test_user_who_asked(queue: Any, app: Any) -> None:
    user = factories.User()
    with app.flask_app.test_request_context():
        from ckan.common import login_user

        login_user(model.User.get(user["id"]))
        assert row(queue.enqueue(work)).user_id == user["id"]
    assert row(queue.enqueue(work)).user_id is None


def test_methods_and_paths(queue: Any) -> None:
    """A path instead of a function is not imported here: only the worker may have it."""
    method = queue.enqueue(Worker(3).work)
    assert row(method).task_name == f"{__name__}.Worker.work"
    assert queue.fetch_job(method.id).func() == 3
    path = queue.enqueue("far.away")
    assert row(path).task_name == path.func_name == "far.away"


def test_background_task(queue: Any) -> None:
    """A worker would look for the arguments of a task elsewhere, and run it without them."""
    with pytest.raises(ArgumentError, match=r"use its method delay\(\)"):
        queue.enqueue(sample.write.name, "x")
    assert queue.is_empty()


def test_long_names(name: str) -> None:
    queue = jobs.get_queue(f"{name}-" + "ü" * 40)
    other = jobs.get_queue(f"{name}-" + "ü" * 41)
    job = queue.enqueue("a" * 200)
    assert len(row(job).queue_name.encode()) <= 40
    assert len(row(job).task_name) == 128
    assert row(job).queue_name != row(other.enqueue(work)).queue_name
    assert queue.job_ids == [job.id]


@pytest.mark.parametrize(
    ("rq_id", "queue_name", "words"),
    [
        ("a\0", "b", "NUL"),
        ("\ud83d", "b", "surrogate"),
        (os.urandom(5000).hex(), "b", "longer than 1000 bytes"),
        ("a" * 5000 + "\0", "b", "job 'a{40}' has a NUL"),
        ("a", "b\0", "NUL"),
        ("a", "\ud83d", "surrogate"),
        ("a", "b" * 1001, "longer than 1000 bytes"),
    ],
    ids=range(7),
)
def test_texts_that_tables_cannot_hold(
    rq_id: str, queue_name: str, words: str, name: str, effects: Effects
) -> None:
    """They are refused with words, and the caller's transaction goes on."""
    queue: Any = jobs.get_queue(queue_name)
    effects.write(name)
    job = queue.create_job(work)
    job._id = rq_id
    with pytest.raises(TextError, match=words):
        queue.enqueue_job(job)
    if queue_name == "b":
        with pytest.raises(TextError, match=words):
            queue.enqueue(work, depends_on=Dependency([job]))
        assert queue.fetch_job(rq_id) is None
    model.Session.commit()
    assert effects_of(name) == [name]


def test_title_that_tables_cannot_hold() -> None:
    """Pages show it with other characters, and the job keeps it."""
    job = tk.enqueue_job(work, title="a\0\ud83d")
    assert row(job).title == "a\N{REPLACEMENT CHARACTER}?"
    assert Job.fetch(job.id).meta["title"] == "a\0\ud83d"


def test_order(queue: Any) -> None:
    first, second = queue.enqueue(work), queue.enqueue(work)
    front = queue.enqueue_call(work, at_front=True)
    assert queue.jobs == queue.get_jobs() == [front, first, second]
    assert queue.job_ids == queue.get_job_ids() == [front.id, first.id, second.id]
    assert (queue.count, len(queue), len(queue.jobs)) == (3, 3, 3)
    assert queue.get_job_position(second) == 2
    assert queue.get_job_position("other") is None
    assert not queue.is_empty()


def test_jobs_are_a_list(queue: Any) -> None:
    asked = [queue.enqueue(work) for _ in range(5)]
    assert not jobs.get_queue("no-such-queue").jobs
    assert queue.jobs
    assert asked[2] in queue.jobs
    assert [*queue.jobs] == asked
    assert queue.jobs + asked == asked + queue.jobs == asked * 2
    for index in (0, 4, -1, slice(2), slice(1, 3), slice(-2, None), slice(9), slice(None)):
        assert queue.jobs[index] == asked[index]
        assert queue.jobs[:200][index] == asked[index]
    for index in (slice(-4, 2), slice(None, -1), slice(3, 0, -1), slice(0, 4, 2)):
        assert queue.jobs[index] == asked[index]
    with pytest.raises(IndexError):
        queue.jobs[5]


def test_slice_reads_no_more(queue: Any) -> None:
    """However many jobs wait, in this queue and in others, and however old the statistics are."""
    for _ in range(3):
        queue.enqueue(work)
    # the statistics know no current job
    change(f"UPDATE {S}.files_rq_job SET current = false")
    change(f"ANALYZE {S}.files_rq_job, {S}.procrastinate_jobs")
    change(f"UPDATE {S}.files_rq_job SET current = true WHERE origin = :name", name=queue.name)
    put = f"""
        SELECT {S}.files_rq_put(q || n, o, q, 't', 0, NULL, NULL, NULL, hash, signature,
            NULL, false, false)
        FROM {S}.files_rq_job, generate_series(1, 3000) n,
            (VALUES (:origin, :queue), ('ckan:test:b', 'b')) AS v (o, q) WHERE rq_id = :id
    """
    change(put, origin=queue.name, queue=row(queue.jobs[0]).queue_name, id=queue.job_ids[0])
    read = f"""
        SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables
        WHERE schemaname = '{S}'
    """

    def reads(length: int) -> int:
        before = model.Session.execute(sa.text(read)).scalar_one()
        assert len(queue.job_ids[:length]) == length
        return model.Session.execute(sa.text(read)).scalar_one() - before

    assert reads(10) <= 40
    assert reads(3003) >= 3003  # negative control


def test_one_write_unless_there_is_a_title(queue: Any, name: str) -> None:
    job = tk.enqueue_job(work, queue=name)
    xmin = look(f"SELECT xmin::text FROM {S}.files_rq_job WHERE rq_id = :id", id=job.id)
    assert xmin == look(f"SELECT xmin::text FROM {S}.procrastinate_jobs WHERE id = {row(job).id}")
    job = tk.enqueue_job(work, queue=name, title="Title")
    xmin = look(f"SELECT xmin::text FROM {S}.files_rq_job WHERE rq_id = :id", id=job.id)
    assert xmin != look(f"SELECT xmin::text FROM {S}.procrastinate_jobs WHERE id = {row(job).id}")


def test_enqueue_at(queue: Any) -> None:
    soon = dt.datetime.now(UTC) + dt.timedelta(hours=1)
    job = queue.enqueue_at(soon, work, 1, at_front=True)
    local = queue.enqueue_at(soon.astimezone().replace(tzinfo=None), work)
    later = queue.enqueue_in(dt.timedelta(hours=2), work)
    assert row(job).scheduled_at == row(local).scheduled_at == soon
    assert row(job).priority == 1
    assert 7100 < (row(later).scheduled_at - dt.datetime.now(UTC)).total_seconds() <= 7200
    registry = queue.scheduled_job_registry
    assert registry.get_job_ids() == [job.id, local.id, later.id]
    assert registry.get_job_ids(1, 1) == [local.id]
    assert (registry.count, len(registry)) == (3, 3)
    assert job in registry
    assert "other" not in registry
    assert queue.jobs == []
    assert queue.empty() == 0  # as with RQ
    assert jobs.job_from_id(job.id).get_status() == "scheduled"
    assert jobs.job_from_id(job.id).enqueued_at is None


def test_scheduled_again(queue: Any, name: str) -> None:
    """A job is there once: for the same time as it was, for another one instead of the first."""
    soon = dt.datetime.now(UTC) + dt.timedelta(hours=1)
    later = soon + dt.timedelta(hours=1)
    states = f"""
        SELECT string_agg(status::text, ' ' ORDER BY id) FROM {S}.procrastinate_jobs WHERE id IN
            (SELECT job_id FROM {S}.files_rq_job WHERE rq_id = '{name}')
    """
    job = queue.create_job(work, job_id=name)
    for _ in range(2):
        queue.schedule_job(job, soon)
    assert look(states) == "todo"
    queue.schedule_job(job, later)
    assert row(job).scheduled_at == later
    assert look(states) == "cancelled todo"
    for _ in range(2):
        queue.enqueue_at(later, work, job_id=name)  # each time another job, with the same id
    assert look(states) == "cancelled cancelled cancelled todo"
    assert queue.scheduled_job_registry.get_job_ids() == [name]


def test_job_id_is_used_again(queue: Any, name: str) -> None:
    """A waiting job is replaced, as CKAN's datastore expects. One that runs goes on."""
    first = queue.enqueue_in(dt.timedelta(hours=1), work, 1, job_id=name)
    first_row = row(first).id
    second = queue.enqueue(work, 2, job_id=name)
    assert look(f"SELECT status FROM {S}.procrastinate_jobs WHERE id = {first_row}") == "cancelled"
    assert jobs.job_from_id(name).args == (2,)
    set_state(second, "doing")
    worker = f"INSERT INTO {S}.procrastinate_workers DEFAULT VALUES RETURNING id"
    with engine().begin() as connection:
        worker_id = connection.execute(sa.text(worker)).scalar()
    change(
        f"UPDATE {S}.procrastinate_jobs SET worker_id = {worker_id} WHERE id = :id",
        id=row(second).id,
    )
    second_row = row(second).id
    queue.enqueue(work, 3, job_id=name)
    assert look(f"SELECT status FROM {S}.procrastinate_jobs WHERE id = {second_row}") == "doing"
    assert jobs.job_from_id(name).args == (3,)
    assert queue.job_ids == [name]
    change(f"DELETE FROM {S}.procrastinate_workers WHERE id = {worker_id}")


def test_save_and_refresh(queue: Any) -> None:
    job = queue.enqueue(work)
    found = jobs.job_from_id(job.id)
    found.meta["progress"] = 5
    found.save_meta()
    job.refresh()
    assert job.meta["progress"] == 5
    found.meta["title"] = "New"
    found.save()
    assert job.get_meta()["title"] == "New"
    assert row(job).title == "New"
    found.delete()
    found.meta["title"] = "Gone"
    found.save()
    assert row(job).title == "New"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("doing", "started"),
        ("succeeded", "finished"),
        ("failed", "failed"),
        ("cancelled", "canceled"),
        ("aborted", "stopped"),
    ],
)
def test_states(queue: Any, state: str, status: str) -> None:
    job = queue.enqueue(work)
    set_state(job, state)
    assert job.get_status() == queue.fetch_job(job.id).get_status(refresh=False) == status
    assert queue.jobs == []
    registries = {
        name: getattr(queue, f"{name}_job_registry").get_job_ids()
        for name in ("scheduled", "started", "finished", "failed", "canceled")
    }
    assert [name for name, ids in registries.items() if ids] == (
        [] if status == "stopped" else [status]
    )


def test_delete(queue: Any) -> None:
    """The row stays as history, but no code of RQ finds it."""
    job = queue.enqueue(work)
    job.delete()
    assert (row(job).status, row(job).current) == ("cancelled", False)
    assert not Job.exists(job.id)
    assert queue.fetch_job(job.id) is None
    with pytest.raises(NoSuchJobError):
        Job.fetch(job.id)
    with pytest.raises(NoSuchJobError):
        job.refresh()
    with pytest.raises(InvalidJobOperation):
        job.get_status()
    with pytest.raises(KeyError):
        jobs.job_from_id(job.id)
    job.delete()


def test_cancel_and_requeue(queue: Any) -> None:
    job, other = queue.enqueue(work), queue.enqueue(work)
    job.cancel()
    queue.remove(other)
    assert [row(each).status for each in (job, other)] == ["cancelled"] * 2
    assert job.is_canceled
    with pytest.raises(InvalidJobOperation):
        job.cancel()
    with pytest.raises(InvalidJobOperation):
        job.requeue()
    set_state(job, "failed")
    assert job.requeue() == job
    assert queue.jobs == [job]


def test_empty(queue: Any, name: str) -> None:
    asked = [queue.enqueue(work) for _ in range(3)]
    other = jobs.get_queue(f"{name}-other").enqueue(work)
    running = queue.enqueue(work)
    set_state(running, "succeeded")
    assert tk.get_action("job_clear")({"ignore_auth": True}, {"queues": [name]}) == [name]
    assert queue.is_empty()
    assert {row(job).status for job in asked} == {"cancelled"}
    assert Job.fetch_many([asked[0].id, other.id, running.id]) == [None, other, running]
    queue.enqueue(work)
    queue.delete(delete_jobs=False)
    assert queue.count == 1
    queue.delete()
    assert queue.count == 0


def test_current_job(queue: Any) -> None:
    job = queue.enqueue(work)
    assert queue.fetch_job(job.id).perform() == job.id
    assert work() == "outside"


def test_queues_of_this_site(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("b", "a", "a"):
        jobs.enqueue(work, queue=f"{name}-{suffix}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tk.config, "ckan.site_id", "testing")
        jobs.enqueue(work, queue="c")
        patch.setitem(tk.config, "ckan.site_id", "t")
        jobs.enqueue(work, queue="c")
    found = jobs.get_all_queues()
    assert [queue.name for queue in found] == [f"ckan:test:{name}-{s}" for s in "ab"]
    assert all(queue is jobs.get_queue(f"{name}-{s}") for queue, s in zip(found, "ab", strict=True))


def with_option(queue: Any, **options: Any) -> Any:
    """Return a new job with what RQ of CKAN 2.12 sets for its options."""
    job = queue.create_job(work)
    vars(job).update(options)
    return job


@pytest.mark.parametrize(
    "use",
    [
        lambda queue: queue.connection.lpush("x"),
        lambda queue: queue.push_job_id("x"),
        lambda queue: queue.enqueue_in(dt.timedelta(1), work, depends_on=["a"]),
        lambda queue: queue.enqueue(work, pipeline=object()),
        lambda queue: queue.enqueue_job(with_option(queue, repeats_left=2)),
        lambda queue: queue.schedule_job(with_option(queue, webhooks=["x"]), dt.datetime.now(UTC)),
        lambda queue: queue.enqueue_many([Queue.prepare_data(work)]),
        lambda _: Queue.all(connection=Queue("x").connection),
    ],
)
def test_only_redis_can_do(queue: Any, use: Any) -> None:
    with pytest.raises(RedisNeededError, match="PostgreSQL"):
        use(queue)
    assert queue.is_empty()


@pytest.mark.parametrize(
    "use",
    [
        lambda job: job.cancel(enqueue_dependents=True),
        lambda job: job.delete(delete_dependents=True),
        lambda job: job.requeue(at_front=True),
    ],
)
def test_only_redis_can_do_it_with_a_job(queue: Any, use: Any) -> None:
    job = queue.enqueue(work)
    with pytest.raises(RedisNeededError, match="PostgreSQL"):
        use(job)
    assert job.get_status() == "queued"


def test_place_of_a_later_run(queue: Any) -> None:
    """By the job, and by the id of the row."""
    job = queue.enqueue(work)
    change(f"UPDATE {S}.procrastinate_jobs SET attempts = 1 WHERE id = :id", id=row(job).id)
    later = Job.from_row(store.find([job.id])[job.id], run_id=f"{job.id}-run-2")
    assert queue.get_job_position(later) == queue.get_job_position(job.id) == 0
    assert queue.remove(later) == 1
    assert queue.is_empty()


@pytest.mark.parametrize("state", ["todo", "doing"])
def test_save_of_a_job_that_was_replaced(queue: Any, name: str, state: str) -> None:
    """The newer job keeps what it was asked for with."""
    first = queue.enqueue(work, "first", job_id=name)
    set_state(first, state)
    running = Job.fetch(name)
    queue.enqueue(work, "second", job_id=name)
    for job in (first, running):
        job.meta["progress"] = 1
        job.save_meta()
        job.save()
    assert Job.fetch(name).args == ("second",)
    assert Job.fetch(name).meta == {"title": None}


def test_unique_while_a_deleted_one_runs(queue: Any, name: str) -> None:
    """A deleted job has lost its id, and its run goes on: until its end there is no second one."""
    first = queue.enqueue(work, job_id=name)
    set_state(first, "doing")
    job_id = row(first).id
    worker = f"(SELECT worker_id FROM {S}.procrastinate_register_worker_v1())"
    change(
        f"UPDATE {S}.procrastinate_jobs SET worker_id = {worker} WHERE id = :id",
        id=job_id,
    )
    first.delete()
    assert store.statuses([name]) == {name: "doing"}
    second = queue.create_job(work, job_id=name)
    with pytest.raises(DuplicateJobError):
        queue.enqueue_job(second, unique=True)
    change(f"UPDATE {S}.procrastinate_jobs SET status = 'succeeded' WHERE id = :id", id=job_id)
    assert store.statuses([name]) == {}
    queue.enqueue_job(second, unique=True)
    assert store.statuses([name]) == {name: "todo"}


@pytest.mark.parametrize("state", ["todo", "doing"])
def test_unique(queue: Any, name: str, state: str) -> None:
    """The id is taken while a job with it waits or runs, and not by one that has ended."""
    first = queue.create_job(work, args=(1,), job_id=name)
    queue.enqueue_job(first, unique=True)
    set_state(first, state)
    second = queue.create_job(work, args=(2,), job_id=name)
    soon = dt.datetime.now(UTC) + dt.timedelta(hours=1)
    for ask in (
        lambda: queue.enqueue_job(second, unique=True),
        lambda: queue.schedule_job(second, soon, unique=True),
    ):
        with pytest.raises(DuplicateJobError):
            ask()
    assert Job.fetch(name).args == (1,)
    assert look(f"SELECT count(*) FROM {S}.procrastinate_jobs WHERE queue_name = '{name}'") == 1
    set_state(first, "failed")
    queue.enqueue_job(second, unique=True)
    assert Job.fetch(name).args == (2,)
    queue.enqueue_job(first)  # negative control
    assert Job.fetch(name).args == (1,)
