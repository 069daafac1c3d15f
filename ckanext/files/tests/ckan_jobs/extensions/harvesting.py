"""Tests of harvesting as jobs, with ckanext-harvest: ``test_harvesting.py`` runs them."""

from __future__ import annotations

import functools
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.lib import jobs
from ckan.logic import clear_actions_cache
from ckan.model import meta
from ckanext.harvest import queue, utils  # pyright: ignore[reportMissingImports]
from ckanext.harvest.model import HarvestJob, HarvestObject  # pyright: ignore[reportMissingImports]
from sqlalchemy import event

from ckanext.files.background import queue_names
from ckanext.files.ckan_jobs import to_redis
from ckanext.files.ckan_jobs_plugin import harvesting
from ckanext.files.harvest_jobs.errors import HarvestQueueError
from ckanext.files.harvest_jobs.fetch import fetch
from ckanext.files.tests.ckan_jobs.extensions import catalog
from ckanext.files.tests.support.crash import fork, was_killed
from ckanext.files.tests.support.jobs import S, let_time_pass
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import CKANS, Worker, Workers

pytestmark = [
    pytest.mark.usefixtures("with_plugins", "clean_db", "notes"),
    pytest.mark.ckan_config("ckan.plugins", "harvest files_test_catalog"),
]

SIZE = 3


@pytest.fixture
def clean_db(reset_db: Callable[[], None], migrate_db_for: Callable[[str], None]) -> None:
    reset_db()
    migrate_db_for("harvest")


@pytest.fixture
def notes(clean_db: None) -> Iterator[Callable[[], Counter[str]]]:
    """How often each stage has begun with each object."""
    columns = "(stage text, name text)"
    execute(
        f"CREATE TABLE IF NOT EXISTS {catalog.NOTES} {columns}",
        f"TRUNCATE {catalog.NOTES}",
        f"DELETE FROM {S}.procrastinate_jobs",
    )

    def counted() -> Counter[str]:
        with meta.engine.connect() as connection:  # pyright: ignore[reportOptionalMemberAccess]
            return Counter(
                f"{stage} {name}"
                for stage, name in connection.execute(sa.text(f"SELECT * FROM {catalog.NOTES}"))
            )

    yield counted
    catalog.failing.clear()


def execute(*statements: str) -> None:
    with meta.engine.begin() as connection:  # pyright: ignore[reportOptionalMemberAccess]
        for statement in statements:
            connection.execute(sa.text(statement))


def action(name: str, /, **values: Any) -> Any:
    user = tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"]
    context: Any = {"ignore_auth": True, "user": user, "model": model, "session": model.Session}
    return tk.get_action(name)(context, values)


@pytest.fixture
def source() -> str:
    values = {"title": "S", "name": "source", "url": f"catalog:{SIZE}", "source_type": "catalog"}
    return action("harvest_source_create", **values)["id"]


def create(source: str) -> str:
    return action("harvest_job_create", source_id=source, run=True)["id"]


def work(stage: str) -> None:
    """Run all jobs of a stage, as workers do."""
    jobs.Worker([f"harvest-{stage}"]).work(burst=True)
    model.Session.remove()


def waiting(stage: str) -> list[str]:
    return [job.args[0] for job in jobs.get_queue(f"harvest-{stage}").jobs]


def states() -> Counter[str]:
    model.Session.remove()
    return Counter(state for (state,) in model.Session.query(HarvestObject.state))


def finished(job_id: str) -> dict[str, Any]:
    """Let ckanext-harvest look after all, and return the harvest job."""
    action("harvest_jobs_run")
    model.Session.remove()
    job = action("harvest_job_show", id=job_id)
    model.Session.remove()
    return job


def test_from_source_to_datasets(source: str, notes: Callable[[], Counter[str]]) -> None:
    job_id = create(source)
    assert waiting("gather") == [job_id]
    work("gather")
    assert len(waiting("fetch")) == SIZE
    assert finished(job_id)["status"] == "Running"
    work("fetch")
    assert states() == {"COMPLETE": SIZE}
    job = finished(job_id)
    assert (job["status"], job["stats"]["added"]) == ("Finished", SIZE)
    assert set(notes().values()) == {1}
    assert not waiting("gather") + waiting("fetch")


@pytest.mark.parametrize("of_all", [False, True])
def test_one_commit_creates_and_sends(source: str, of_all: bool) -> None:
    """Neither a harvest job that runs without a job, nor one that is new for ever."""
    model.Session.remove()
    commits: list[str] = []

    def note_commit(_: Any) -> None:
        commits.append("")

    event.listen(meta.engine, "commit", note_commit)
    try:
        if of_all:
            action("harvest_job_create_all", run=True)
        else:
            create(source)
    finally:
        event.remove(meta.engine, "commit", note_commit)
    assert len(commits) == 1
    assert len(waiting("gather")) == 1


def test_replay_doubles_nothing(
    source: str, full_size: bool, notes: Callable[[], Counter[str]]
) -> None:
    """What harvest#420 did every five minutes: each object that has not ended was sent again."""
    job_id = create(source)

    def replay() -> None:
        for _ in range(1000 if full_size else 100):
            queue.get_gather_publisher().send({"harvest_job_id": job_id})
            for (object_id,) in model.Session.query(HarvestObject.id):
                queue.get_fetch_publisher().send({"harvest_object_id": object_id})
            model.Session.remove()

    replay()
    assert len(waiting("gather")) == 1
    work("gather")
    replay()
    assert len(waiting("fetch")) == SIZE
    work("fetch")
    replay()
    work("gather")
    work("fetch")
    assert states() == {"COMPLETE": SIZE}
    assert set(notes().values()) == {1}
    assert finished(job_id)["stats"]["added"] == SIZE


def test_gather_that_was_cut_off(source: str) -> None:
    """Its objects are there, but no job for them: they are gathered anew."""
    job_id = create(source)
    for _ in range(2):
        HarvestObject(guid="cut off", job=HarvestJob.get(job_id)).save()
    work("gather")
    assert states() == {"WAITING": SIZE}
    assert len(waiting("fetch")) == SIZE


def test_gather_that_fails(
    source: str, notes: Callable[[], Counter[str]], ckan_config: Any
) -> None:
    """It is not tried again, however often the site wants that for jobs of extensions."""
    ckan_config["ckanext.files.jobs.retries"] = ["1"]
    catalog.failing.add("gather")
    job_id = create(source)
    work("gather")
    assert finished(job_id)["status"] == "Finished"
    let_time_pass()
    work("gather")
    assert notes()[f"gather {job_id}"] == 1
    assert states() == {}


def test_message_for_what_is_gathered(source: str, notes: Callable[[], Counter[str]]) -> None:
    """Also after its jobs have gone: nothing is gathered again, and the objects go on."""
    job_id = create(source)
    work("gather")
    utils.purge_queues()
    queue.get_gather_publisher().send({"harvest_job_id": job_id})
    model.Session.remove()
    work("gather")
    assert notes()[f"gather {job_id}"] == 1
    finished(job_id)
    work("fetch")
    assert states() == {"COMPLETE": SIZE}
    assert finished(job_id)["status"] == "Finished"


def test_rescued_gather_after_its_jobs_have_gone(source: str) -> None:
    """Its messages were committed before the kill, and an object is fetched: that one stays."""
    create(source)
    work("gather")
    fetched, *others = waiting("fetch")
    fetch(fetched)
    execute(
        f"DELETE FROM {S}.procrastinate_jobs WHERE queue_name = 'harvest-fetch'",
        f"UPDATE {S}.procrastinate_jobs SET status = 'todo', attempts = 1",
    )
    work("gather")
    model.Session.remove()
    found = model.Session.query(HarvestObject.id, HarvestObject.state)
    expected = {fetched: "COMPLETE", **dict.fromkeys(others, "WAITING")}
    assert dict(map(tuple, found)) == expected


@contextmanager
def fetching(object_id: str, end: str) -> Iterator[None]:
    """Hold the transaction of a fetch, for ten seconds at most; then ``commit`` or ``rollback``."""
    change = sa.text("UPDATE harvest_object SET state = 'COMPLETE' WHERE id = :id")
    with meta.engine.connect() as connection:  # pyright: ignore[reportOptionalMemberAccess]
        transaction = connection.begin()
        connection.execute(change, {"id": object_id})
        at_last = threading.Timer(10, getattr(transaction, end))
        at_last.start()
        yield
        assert at_last.is_alive()
        at_last.cancel()
        getattr(transaction, end)()


def test_abort_during_a_fetch(source: str) -> None:
    """It does not wait for the fetch, which has the last word; all others have ended."""
    job_id = create(source)
    work("gather")
    with fetching(waiting("fetch")[0], "commit"):
        assert action("harvest_job_abort", id=job_id)["status"] == "Finished"
    assert states() == {"COMPLETE": 1, "ERROR": SIZE - 1}
    work("fetch")
    assert states() == {"COMPLETE": 1, "ERROR": SIZE - 1}


def test_abort_during_a_fetch_that_never_runs_again(source: str) -> None:
    """As its workers have died of it: the next look ends the object."""
    job_id = create(source)
    work("gather")
    with fetching(waiting("fetch")[0], "rollback"):
        action("harvest_job_abort", id=job_id)
    assert states() == {"WAITING": 1, "ERROR": SIZE - 1}
    end = "status = 'failed' WHERE queue_name = 'harvest-fetch'"
    execute(f"UPDATE {S}.procrastinate_jobs SET {end}")
    finished(job_id)
    assert states() == {"ERROR": SIZE}


def test_abort_leaves_other_changes(source: str) -> None:
    """The changes of its caller to objects that have ended."""
    first = create(source)
    work("gather")
    work("fetch")
    finished(first)
    job_id = create(source)
    work("gather")
    objects = model.Session.query(HarvestObject)
    objects.filter_by(harvest_job_id=first)[0].content = "changed"
    action("harvest_job_abort", id=job_id)
    model.Session.remove()
    assert objects.filter_by(content="changed").count() == 1


def test_abort_during_a_fetch_that_is_killed(source: str) -> None:
    """Its next try ends the object."""
    job_id = create(source)
    work("gather")
    with fetching(waiting("fetch")[0], "rollback"):
        action("harvest_job_abort", id=job_id)
    assert states() == {"WAITING": 1, "ERROR": SIZE - 1}
    work("fetch")
    assert states() == {"ERROR": SIZE}
    assert model.Session.query(model.Package).filter_by(type="dataset").count() == 0


def test_abort_locks_objects_once(source: str) -> None:
    """A flush that changes no object asks for none."""
    create(source)
    work("gather")
    locks: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        locks.extend({statement} if "SKIP LOCKED" in statement else ())

    event.listen(meta.engine, "before_cursor_execute", note)
    try:
        action("harvest_job_abort", id=source)
    finally:
        event.remove(meta.engine, "before_cursor_execute", note)
    assert len(locks) == 1
    assert states() == {"ERROR": SIZE}


def test_only_admins_abort(source: str) -> None:
    job_id = create(source)
    with pytest.raises(tk.NotAuthorized):
        tk.get_action("harvest_job_abort")({"user": ""}, {"id": job_id})
    assert action("harvest_job_show", id=job_id)["status"] == "Running"


def test_import_that_fails(source: str, notes: Callable[[], Counter[str]]) -> None:
    """Nothing of it stays; after the last try the object has ended, and the harvest job can."""
    catalog.failing.add("1")
    job_id = create(source)
    work("gather")
    work("fetch")
    assert states() == {"COMPLETE": SIZE - 1, "WAITING": 1}
    name = f"d-{source}-1"
    assert model.Package.get(name) is None
    for _ in range(3):
        assert finished(job_id)["status"] == "Running"
        let_time_pass()
        work("fetch")
    assert states() == {"COMPLETE": SIZE - 1, "ERROR": 1}
    assert model.Package.get(name) is None
    assert notes()[f"import {name}"] == 4
    job = finished(job_id)
    assert (job["status"], job["stats"]["errored"]) == ("Finished", 1)
    [report] = action("harvest_job_report", id=job_id)["object_errors"].values()
    assert "cannot be imported" in report["errors"][0]["message"]


def test_without_one_commit(source: str, ckan_config: Any) -> None:
    ckan_config["ckanext.files.harvest.atomic"] = False
    catalog.failing.add("1")
    create(source)
    work("gather")
    work("fetch")
    assert states() == {"COMPLETE": SIZE - 1, "IMPORT": 1}
    assert model.Package.get(f"d-{source}-1")


@pytest.mark.parametrize("stage", ["gather", "fetch"])
def test_job_that_is_lost(source: str, stage: str) -> None:
    """Another queue had it, or its row was deleted: ``harvest_jobs_run`` sends it again."""
    job_id = create(source)
    if stage == "fetch":
        work("gather")
    lost = waiting(stage)
    execute(f"DELETE FROM {S}.procrastinate_jobs")
    assert finished(job_id)["status"] == "Running"
    assert sorted(waiting(stage)) == sorted(lost)
    work("gather")
    work("fetch")
    assert states() == {"COMPLETE": SIZE}
    assert finished(job_id)["status"] == "Finished"


@pytest.mark.parametrize("status", ["failed", "aborted", "cancelled"])
def test_job_that_has_ended_badly(source: str, status: str) -> None:
    """For example by its timeout, or as its worker was killed too often."""
    job_id = create(source)
    end = f"UPDATE {S}.procrastinate_jobs SET status = '{status}'"
    execute(end)
    job = finished(job_id)
    assert job["status"] == "Finished"
    assert status in job["gather_error_summary"][0]["message"]
    job_id = create(source)
    work("gather")
    execute(f"{end} WHERE status = 'todo'")
    job = finished(job_id)
    assert (job["status"], job["stats"]["errored"]) == ("Finished", SIZE)


def test_commands(source: str) -> None:
    """``purge-queues`` ends the jobs that wait, also for a retry."""
    job_id = create(source)
    utils.purge_queues()
    assert not waiting("gather")
    assert finished(job_id)["status"] == "Running"
    assert waiting("gather") == [job_id]
    catalog.failing.add("1")
    work("gather")
    work("fetch")
    assert jobs.get_queue("harvest-fetch").scheduled_job_registry.count == 1
    utils.purge_queues()
    assert jobs.get_queue("harvest-fetch").scheduled_job_registry.count == 0


@pytest.fixture
def own_queues(with_plugins: Any, notes: Any, ckan_config: Any) -> Iterator[None]:
    """ckanext-harvest with its own queues in Redis: the negative control."""
    ckan_config["ckanext.files.harvest.jobs"] = False
    harvesting.configure()
    clear_actions_cache()
    utils.purge_queues()
    yield
    utils.purge_queues()
    ckan_config["ckanext.files.harvest.jobs"] = True
    p.plugins_update()


def messages(stage: str) -> Iterator[Callable[[], Any]]:
    """Take the messages that wait in Redis, as a consumer does; yield how it handles each."""
    consumer = getattr(queue, f"get_{stage}_consumer")()
    callback = getattr(queue, f"{stage}_callback")
    count = consumer.redis.llen(consumer.routing_key)
    for method, channel, body in itertools.islice(consumer.consume(None), count):
        yield functools.partial(callback, channel, method, None, body)


def consume(stage: str) -> None:
    for handle in messages(stage):
        with suppress(tk.ValidationError):  # of a dataset that is there already
            handle()


@pytest.mark.usefixtures("own_queues")
def test_own_queues_double(source: str, notes: Callable[[], Counter[str]]) -> None:
    """The negative control of the replay: ``harvester run`` sends what a consumer has taken."""
    create(source)
    consume("gather")
    taken = messages("fetch")
    handle_first = next(taken)
    action("harvest_jobs_run")
    handle_first()
    consume("fetch")
    assert sorted(notes().values()) == [1, 1, 1, 2]


@pytest.mark.crash
@pytest.mark.usefixtures("own_queues")
def test_own_queues_lose(source: str) -> None:
    """The negative control of the kills: an object is stuck, and so is the harvest job.

    After three minutes ckanext-harvest would send it again, also while a consumer imports it.
    """
    job_id = create(source)
    consume("gather")
    die_in_import(consume)
    for _ in range(2):
        assert finished(job_id)["status"] == "Running"
        consume("fetch")
    assert states() == {"IMPORT": 1, "COMPLETE": SIZE - 1}


@pytest.fixture
def rescued_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of a worker that is killed are."""
    monkeypatch.setattr("ckanext.files.background.worker.stalled._RECONNECTING", 1.0)


@pytest.mark.crash
@pytest.mark.usefixtures("rescued_soon")
def test_killed_in_import(source: str) -> None:
    """The same kill is undone, and the object is imported again."""
    job_id = create(source)
    work("gather")
    die_in_import(work)
    assert states() == {"WAITING": SIZE}
    work("fetch")
    assert states() == {"COMPLETE": SIZE}
    assert finished(job_id)["status"] == "Finished"


def die_in_import(handle: Callable[[str], None]) -> None:
    """Let a process handle what waits for fetch, which is killed in the first import."""

    def handle_and_die() -> None:
        catalog.failing.add("kill")
        handle("fetch")

    assert was_killed(fork(handle_and_die))


@pytest.mark.crash
@pytest.mark.usefixtures("rescued_soon")
def test_workers_are_killed(
    app: Any, ini: Path, tmp_path: Path, full_size: bool, notes: Callable[[], Counter[str]]
) -> None:
    """Each dataset is there once, and no object is stuck."""
    size, kills = (20_000, 500) if full_size else (40, 5)
    values = {"title": "K", "name": "kills", "url": f"catalog:{size}", "source_type": "catalog"}
    workers = Workers(tmp_path, ini, app, CKANS)
    try:
        job_id = create(action("harvest_source_create", **values)["id"])
        running = [start_killable(workers) for _ in range(2)]
        for number in range(kills):
            # at any point of gather, fetch and import
            time.sleep(random.uniform(0.05, 1))
            running[number % 2].kill()
            running[number % 2].launch()
        wait_for(lambda: states() == {"COMPLETE": size}, 3600 if full_size else 120)
    finally:
        workers.stop()
    job = finished(job_id)
    assert (job["status"], job["stats"]["added"]) == ("Finished", size)
    if full_size:  # otherwise all kills may hit between two stages
        assert max(notes().values()) > 1
    datasets = model.Session.query(model.Package).filter_by(type="dataset", state="active")
    assert datasets.count() == size


def start_killable(workers: Workers) -> Worker:
    """Start a worker without processes below it: a kill ends what it does.

    The migrations of ckanext-harvest have disabled the loggers by which it would say that it is
    ready.
    """
    worker = workers.prepare(
        "harvest-gather", "harvest-fetch", jobs__max_jobs=0, most_rescues=1_000_000
    )
    worker.launch()
    return worker


def test_to_redis(source: str) -> None:
    """RQ gets no job of harvesting: ckanext-harvest has queues of its own in Redis."""
    create(source)
    [job] = jobs.get_queue("harvest-gather").jobs
    [moved] = to_redis.run()
    model.Session.rollback()
    assert moved.rq_id == job.id
    assert "it is harvesting" in str(moved.reason)
    assert jobs.get_queue("harvest-gather").job_ids == [job.id]


def test_other_queues_are_refused() -> None:
    for name in ("get_connection", "get_connection_redis", "RedisPublisher"):
        with pytest.raises(HarvestQueueError, match="get_fetch_publisher"):
            getattr(queue, name)()
    with pytest.raises(HarvestQueueError, match="gather and fetch"):
        queue.get_publisher("ckanext-harvest:default:other")
    with pytest.raises(HarvestQueueError, match="harvest_object_id"):
        queue.get_fetch_publisher().send({"harvest_job_id": "1"})


def test_own_queues_come_back(ckan_config: Any) -> None:
    ckan_config["ckanext.files.harvest.jobs"] = False
    harvesting.configure()
    assert queue.get_connection().ping()
    assert isinstance(queue.get_fetch_publisher(), queue.RedisPublisher)
    assert harvesting.get_actions() == {}
    assert "harvest-gather" not in queue_names.in_code()
    ckan_config["ckanext.files.harvest.jobs"] = True
    p.plugins_update()
    with pytest.raises(HarvestQueueError):
        queue.get_connection()
    # workers know them before their first job
    assert {"harvest-gather", "harvest-fetch"} <= queue_names.in_code()
