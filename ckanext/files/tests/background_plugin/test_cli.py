"""The commands ``ckan files background ...``."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import CKANConfig, config, config_declaration

from ckanext.files.background import Job, control, record, schema
from ckanext.files.background.app import app
from ckanext.files.background.periodic import forget_periodic, register_periodic
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker.listener import Listener
from ckanext.files.background.worker.queries import ALIVE, WorkerQueries
from ckanext.files.background_plugin.cli.show_jobs import remark as remark_on
from ckanext.files.tests.background import sample
from ckanext.files.tests.background_plugin.command import run
from ckanext.files.tests.effects import Effects, engine, look
from ckanext.files.tests.loaded import load_plugins
from ckanext.files.tests.waiting import wait_for

loaded = load_plugins("files", "files_background")

UNKNOWN = 4_000_000_000


def state(job: Job) -> str:
    query = f"SELECT status::text FROM {SCHEMA}.procrastinate_jobs WHERE id = :id"
    return look(query, id=job.id)


def listed(*arguments: str) -> list[int]:
    """Return the ids that ``list`` shows."""
    code, said = run("list", *arguments)
    assert code == 0, said
    return [int(number) for number in re.findall(r"^(\d+) ", said, re.M)]


def make_old(days: int, *jobs: Job) -> None:
    """Let everything that has happened to jobs have happened earlier."""
    query = (
        f"UPDATE {SCHEMA}.procrastinate_events SET at = at - make_interval(days => :days)"
        " WHERE job_id = ANY (:ids)"
    )
    with engine().begin() as connection:
        connection.execute(sa.text(query), {"days": days, "ids": [job.id for job in jobs]})


@pytest.fixture
def one_of_each(tasks: TasksManager, effects: Effects, unique: Any) -> dict[str, Job]:
    """A job for each state in which no worker has one."""
    ended = {"succeeded": sample.noop.delay(), "failed": sample.fail_after.delay(unique("job"))}
    tasks.run_pending_jobs()
    waiting = {"cancelled": sample.noop.delay(), "todo": sample.write.delay(unique("job"))}
    control.cancel(waiting["cancelled"].id)
    model.Session.commit()
    found = {**ended, **waiting}
    assert {name: state(job) for name, job in found.items()} == {name: name for name in found}
    return found


@pytest.fixture
def nothing_there() -> Iterator[None]:
    """The tables are missing."""
    model.Session.remove()
    with engine().begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    yield
    schema.install(engine())


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "shell",
        "worker --no-wait",
        "worker --processes 2",
        "send ckanext.files.maintenance.report_missing",
        "list",
        "show 1",
        "retry 1",
        "cancel 1",
        "purge --older-than 1",
    ],
)
def test_without_tables(command: str, nothing_there: None, only_for_a_worker: None) -> None:
    code, said = run(*command.split())
    assert code == 1
    assert "Run: ckan files background init" in said
    assert "Traceback" not in said


def test_help() -> None:
    code, said = run("--help")
    assert code == 0
    commands = dict(re.findall(r"^  (\w+) +(\S.+)$", said.partition("Commands:")[2], re.M))
    assert list(commands) == sorted(commands)
    assert {
        *("init", "shell", "status", "worker"),
        *("send", "list", "show", "retry", "cancel", "purge"),
    } == set(commands)
    for command in commands:
        assert run(command, "--help")[0] == 0
    _, said = run("worker", "--help")
    assert re.search(r"-c, --concurrency.*default:\s+1\b.*--queue", said, re.S)
    assert "-q, --queue" in said


def test_init(nothing_there: None) -> None:
    code, said = run("init")
    assert (code, said) == (0, f"The tables in schema {SCHEMA} are made\n")
    job = sample.noop.delay()
    model.Session.commit()
    code, said = run("init")
    assert (code, said) == (0, f"The tables in schema {SCHEMA} are up to date\n")
    assert state(job) == "todo"
    assert "up to date" in run("status")[1]


def test_status(one_of_each: dict[str, Job]) -> None:
    """A job waits, and there is no worker."""
    code, said = run("status")
    assert code == 1
    assert "up to date" in said
    for name in one_of_each:
        assert f"  default  {name}: 1\n" in said
    assert "Jobs of the queue default that could run now: 1. No worker works for it." in said


def test_status_with_nothing_to_do() -> None:
    later = sample.noop.configure(queue="mails", countdown=3600).delay()
    model.Session.commit()
    code, said = run("status")
    assert code == 0
    assert "  mails  todo: 1\n" in said
    code, said = run("status", "--json")
    assert code == 0
    shown = json.loads(said)
    [queue] = shown["queues"]
    assert queue == {"queue": "mails", "jobs": {"todo": 1}, "due": 0, "served": False}
    control.cancel(later.id)
    model.Session.commit()


def test_status_of_workers(queries: _Desk, unique: Any) -> None:
    """Of queues for which one works, and others."""
    runs = sample.write.configure(queue="mails").delay(unique("job"))
    sample.write.configure(queue="mails").delay(unique("job"))
    model.Session.commit()
    assert queries.claim(["mails"])
    code, said = run("status")
    assert code == 0
    assert (
        f"  {queries.worker_id}  alive, process {os.getpid()} on {socket.gethostname()}, " in said
    )
    assert re.search(r"since 20[-\d]+ [:\d]+, queues: mails, letters, steps at a time: 3\n", said)
    assert f"runs job {runs.id}: {sample.write.name}\n" in said
    elsewhere = sample.noop.delay()
    model.Session.commit()
    code, said = run("status", "--json")
    assert code == 1
    shown = json.loads(said)
    [worker] = [worker for worker in shown["workers"] if worker["id"] == queries.worker_id]
    assert dt.datetime.fromisoformat(worker.pop("since"))
    assert 0 <= worker.pop("silence") < 60
    assert worker == {
        "id": queries.worker_id,
        "state": "alive",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "queues": ["mails", "letters"],
        "concurrency": 3,
        "running": [{"id": runs.id, "task": sample.write.name}],
    }
    assert shown["queues"] == [
        {"queue": "default", "jobs": {"todo": 1}, "due": 1, "served": False},
        {"queue": "mails", "jobs": {"doing": 1, "todo": 1}, "due": 1, "served": True},
    ]
    control.cancel(elsewhere.id)
    model.Session.commit()
    assert run("status")[0] == 0


def test_status_of_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next times, in the time zones of the schedules."""
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    assert "Schedules" not in run("status")[1]
    register_periodic(sample.note_time, "0 12 1 1 *", "", {}, "Asia/Kolkata")
    register_periodic(sample.note_time, "*/5 * * * *", "often", {})
    _, said = run("status")
    _, told = said.split("\nSchedules\n")
    name = re.escape(sample.note_time.name)
    assert re.search(
        rf"^  {name} often  \*/5 .*\(UTC\), next: 20\S+ ..:.[05]:00 \+0000$", told, re.M
    )
    assert re.search(
        rf"^  {name}  0 12 1 1 \* \(Asia/Kolkata\), next: 20..-01-01 12:00:00 \+0530$", told, re.M
    )
    _, later = json.loads(run("status", "--json")[1])["schedules"]
    assert dt.datetime.fromisoformat(later.pop("next")).hour == 12
    assert later == {
        "task": sample.note_time.name,
        "periodic_id": "",
        "cron": "0 12 1 1 *",
        "timezone": "Asia/Kolkata",
    }
    for each in ("", "often"):
        forget_periodic(sample.note_time, each)


def test_status_of_a_job_whose_worker_is_gone(queries: _Desk) -> None:
    sample.noop.configure(queue="mails").delay()
    model.Session.commit()
    assert queries.claim(["mails"])
    assert run("status")[0] == 0
    queries.close_ear()
    code, said = run("status")
    assert code == 1
    assert f"  {queries.worker_id}  dead, " in said
    assert "Jobs of the queue mails that could run now: 1." in said
    queries.release_all()
    assert run("status")[0] == 1


def test_status_of_a_worker_that_is_frozen(queries: _Desk) -> None:
    silence = f"UPDATE {SCHEMA}.procrastinate_workers SET last_heartbeat = now() - interval '1 day'"
    sample.noop.configure(queue="mails").delay()
    model.Session.commit()
    with engine().begin() as connection:
        connection.execute(sa.text(f"{silence} WHERE id = :id"), {"id": queries.worker_id})
    code, said = run("status")
    assert code == 1
    assert f"  {queries.worker_id}  silent, " in said


class _Desk(WorkerQueries):
    """One that also tells that it lives, as a worker's other connection does."""

    def __init__(self) -> None:
        super().__init__(engine())
        self.register(["mails", "letters"], 3)
        self._listener = Listener(engine(), [])
        self._listener.open(self.worker_id)

    def close_ear(self) -> None:
        self._listener.close()
        held = "SELECT EXISTS (SELECT FROM pg_locks WHERE classid = :key AND objid = :id)"
        wait_for(lambda: not look(held, key=ALIVE, id=self.worker_id))


@pytest.fixture
def queries() -> Iterator[_Desk]:
    queries = _Desk()
    yield queries
    queries.close_ear()
    queries.release_all()
    queries.unregister()
    queries.close()


@pytest.mark.parametrize(
    "other",
    [
        "UPDATE {} SET procrastinate = 'zzz'",
        "UPDATE {} SET own = 'zzz'",
        "ALTER TABLE {} DROP COLUMN own",
    ],
)
def test_status_of_other_tables(other: str) -> None:
    """Those of another version of Procrastinate, or of this extension."""
    model.Session.remove()
    with engine().begin() as connection:
        connection.execute(sa.text(other.format(f"{SCHEMA}.files_version")))
    code, said = run("status")
    schema.ensure(engine())
    assert code == 1
    assert "another version" in said
    assert "ckan files background init" in said
    assert run("status")[0] == 0


def test_shell(one_of_each: dict[str, Job]) -> None:
    job = one_of_each["todo"]
    code, said = run("shell", typed=f"list_jobs\n\ncancel {job.id}\nexit\n")
    assert code == 0
    assert f"#{job.id} {sample.write.name}" in said
    assert state(job) == "cancelled"


def test_list(one_of_each: dict[str, Job]) -> None:
    sample.noop.configure(queue="mails").delay()
    model.Session.commit()
    code, said = run("list")
    assert code == 0
    head, *lines = said.splitlines()
    columns = ["id", "status", "created", "queue", "task", "steps", "progress"]
    assert head.split() == [*columns, "remark", "arguments"]
    assert "mails" in lines[0]
    ids = [int(line.split()[0]) for line in lines]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5
    [failed] = [line for line in lines if "failed" in line]
    assert f"{sample.fail_after.name}  0" in failed
    assert "ValueError: job-" in failed
    assert re.search(r'  name="job-[-\w]+"$', failed)


def test_list_with_filters(one_of_each: dict[str, Job]) -> None:
    mail = sample.noop.configure(queue="mails").delay()
    model.Session.commit()
    assert listed("--queue", "mails") == [mail.id]
    assert listed("--task", sample.write.name) == [one_of_each["todo"].id]
    assert listed("--status", "failed") == [one_of_each["failed"].id]
    both = [one_of_each["cancelled"].id, one_of_each["succeeded"].id]
    assert listed("--status", "cancelled", "--status", "succeeded") == both
    assert listed("--status", "aborted") == []
    assert listed("--limit", "2") == [mail.id, one_of_each["todo"].id]
    assert "And 3 older" in run("list", "--limit", "2")[1]
    assert run("list", "--limit", str(10**30))[0] == 2
    assert "no such jobs" in run("list", "--queue", "elsewhere")[1]
    assert run("list", "--status", "lost")[0] == 2


def remark(job: Job) -> str:
    """Return what ``list`` tells of a job, after its progress."""
    _, said = run("list")
    head, *lines = said.splitlines()
    [line] = [line for line in lines if line.startswith(f"{job.id} ")]
    return line[head.index("remark") : head.index("arguments")].strip()


def test_list_tells_why_a_job_waits(tasks: TasksManager, queries: _Desk, unique: Any) -> None:
    retried = sample.flaky.delay(unique("job"), 3, 3600)
    between = sample.count_down.delay(unique("job"), 3, 3)
    tasks.run_pending_jobs(most=2)
    put_off = sample.noop.configure(eta=dt.datetime(2040, 1, 1, 9, tzinfo=dt.timezone.utc)).delay()
    locked = sample.noop.configure(queue="mails", lock="of mails")
    runs, waits = locked.delay(), locked.delay()
    free = sample.noop.delay()
    model.Session.commit()
    assert queries.claim(["mails"])
    due = r"due 20[-\d]+ [:\d]+; tried once; \S*Retry: To be.*"
    assert re.fullmatch(due, remark(retried))
    assert remark(between) == "waits for a worker to go on"
    assert remark(put_off) == "due 2040-01-01 09:00:00"
    assert remark(runs) == ""
    assert remark(waits) == "waits for the lock of mails"
    assert remark(free) == "waits for a worker"
    _, said = run("show", str(waits.id))
    assert f"  lock          of mails (job {runs.id} has it)\n" in said


def test_list_tells_the_progress_of_a_job_that_runs_again(one_of_each: dict[str, Job]) -> None:
    """Its error is that of the last run, until this run ends."""
    failed = record.find(one_of_each["failed"].id)
    assert failed
    assert failed.error
    told = dataclasses.replace(failed, text="half")
    assert remark_on(told) == failed.error
    again = dataclasses.replace(told, status="doing", running=True)
    assert remark_on(again) == "half"
    assert remark_on(dataclasses.replace(again, text=None)) == failed.error


def test_list_cuts_arguments(tasks: TasksManager) -> None:
    sample.anything.delay("a\nb", long="x" * 100_000)
    model.Session.commit()
    _, said = run("list")
    assert len(said) < 1000
    assert r'*=["a\nb"], long="xxx' in said
    assert "..." in said


def test_show(one_of_each: dict[str, Job]) -> None:
    failed = one_of_each["failed"]
    code, said = run("show", str(failed.id))
    assert code == 0
    assert said.startswith(f"Job {failed.id}: {sample.fail_after.name}\n")
    facts = dict(re.findall(r"^  (\w+) +(.+)$", said.partition("\nEvents\n")[0], re.M))
    assert (facts["status"], facts["attempts"], facts["queue"]) == ("failed", "1", "default")
    name = facts["name"].removeprefix("= ")
    assert json.loads(name).startswith("job-")
    events = re.findall(r"^  [-\d]+ [:\d]+  (\w+)$", said, re.M)
    assert events == ["deferred", "started", "failed"]
    assert f"\nError\n  ValueError: {json.loads(name)} is wrong\n" in said
    assert "\nTraceback\n  Traceback (most recent call last):\n" in said
    assert "sample.py" in said
    assert "Traceback" not in run("show", str(one_of_each["todo"].id))[1]
    code, said = run("show", str(UNKNOWN))
    assert (code, said) == (1, f"Error: Job {UNKNOWN} does not exist\n")


def test_show_has_arguments_whole(tasks: TasksManager) -> None:
    job = sample.anything.delay(long="x" * 100_000)
    model.Session.commit()
    _, said = run("show", str(job.id))
    assert '\n  long = "' + "x" * 100_000 + '"\n' in said


def test_list_tells_of_progress(tasks: TasksManager) -> None:
    sample.tell.delay("job", 30, "a third, " + "or so " * 20 + "\nand more")
    tasks.run_pending_jobs()
    _, said = run("list")
    assert re.search(r"sample\.tell  1 +100 % +a third, or so", said)
    assert "..." in said
    assert "and more" not in said


def test_send(tasks: TasksManager) -> None:
    name = sample.count_down.name
    code, said = run("send", name, "name=a=b:c", "total:3", "remaining:2.5")
    [job] = tasks.pending_jobs
    assert (code, said) == (0, f"Job {job['id']} waits for a worker\n")
    assert job["task_name"] == name
    assert job["args"] == {"name": "a=b:c", "total": 3, "remaining": 2.5}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("sample.rite name=a", "There is no task sample.rite: .*"),
        ("sample.write", "name"),
        ("sample.write name", "name is neither NAME=TEXT nor NAME:JSON"),
        ("sample.write name:yes", r"yes is no JSON \(.*\); text: name=yes"),
        pytest.param(f"sample.write name:{'[' * 10**5}", "is no JSON", id="deep"),
        ("sample.write name=a other=b", "other"),
        ("sample.write name=a name=b", "name is given twice"),
    ],
)
def test_send_what_no_task_takes(arguments: str, sentence: str, tasks: TasksManager) -> None:
    full = arguments.replace("sample.write", sample.write.name)
    code, said = run("send", *full.split())
    assert code in (1, 2)
    assert re.search(f"^Error: .*{sentence}", said, re.M)
    assert not tasks.jobs


def test_retry(one_of_each: dict[str, Job]) -> None:
    failed, done = one_of_each["failed"], one_of_each["succeeded"]
    code, said = run("retry", str(failed.id), str(one_of_each["cancelled"].id))
    assert code == 0
    assert said.splitlines()[0] == f"Job {failed.id} waits to run again"
    assert state(failed) == state(one_of_each["cancelled"]) == "todo"
    code, said = run("retry", str(done.id), str(UNKNOWN))
    assert code == 1
    assert f"Job {done.id} cannot run again: it is succeeded" in said
    assert f"Job {UNKNOWN} does not exist" in said
    assert state(done) == "succeeded"


def test_cancel(one_of_each: dict[str, Job]) -> None:
    waiting, done = one_of_each["todo"], one_of_each["succeeded"]
    code, said = run("cancel", str(done.id), str(UNKNOWN), str(waiting.id))
    assert code == 1
    assert said.splitlines() == [
        f"Job {done.id} has ended already: it is succeeded",
        f"Job {UNKNOWN} does not exist",
        f"Job {waiting.id} is cancelled",
    ]
    assert state(waiting) == "cancelled"
    assert run("cancel")[0] == run("cancel", "first")[0] == 2


def test_cancel_what_runs(tasks: TasksManager) -> None:
    job = sample.noop.delay()
    tasks.worker_id = model.Session.execute(
        sa.text(f"SELECT worker_id FROM {SCHEMA}.procrastinate_register_worker_v1()")
    ).scalar_one()
    assert tasks._claim()
    model.Session.commit()
    code, said = run("cancel", str(job.id))
    assert (code, said) == (0, f"Job {job.id} is asked to end: it runs\n")
    assert state(job) == "doing"
    code, said = run("cancel", "--now", str(job.id))
    assert (code, said) == (0, f"Job {job.id} is interrupted\n")
    assert state(job) == "doing"


@pytest.fixture
def only_for_a_worker() -> Iterator[None]:
    """A worker changes its process: put that back."""
    engine_before = engine()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    level = logging.getLogger("ckanext.files.background").level
    yield
    model.Session.remove()
    model.init_model(engine_before)
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.getLogger("ckanext.files.background").setLevel(level)


def test_worker(only_for_a_worker: None, effects: Effects, unique: Any) -> None:
    """In this process; tests/acceptance has real ones."""
    name, other = unique("job"), unique("job")
    sample.write.delay(name)
    sample.write.configure(queue="other").delay(other)
    model.Session.commit()
    code, said = run("worker", "--no-wait", "-c", "2", "-q", "mails", "default")
    assert code == 0
    assert "Tasks loaded:\n" in said
    assert f"  {sample.write.name}\n" in said
    assert effects.exists(name)
    assert not effects.exists(other)


def test_worker_for_a_queue_that_is_not_there(
    only_for_a_worker: None, define: Callable[..., Any]
) -> None:
    """Neither a job, nor a task, nor a schedule has its name."""
    define("""
        @task(queue="reports")
        def report(): ...

        @periodic(cron="0 0 1 1 *", queue="yearly")
        @task
        def tidy(timestamp): ...
    """)
    sample.noop.configure(queue="mails", countdown=3600).delay()
    model.Session.commit()
    code, said = run("worker", "--no-wait", "-q", "mails", "reports", "yearly", "default")
    assert code == 0
    assert "Nothing was ever sent" not in said
    code, said = run("worker", "--no-wait", "-q", "mails", "-q", "report")
    assert code == 0
    assert [line for line in said.splitlines() if line.startswith("Nothing")] == [
        "Nothing was ever sent to the queue report, and no task or schedule names it."
        " Did you mean reports?"
    ]


def test_purge(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    recent = sample.noop.delay()
    control.cancel(recent.id)
    model.Session.commit()
    looked = run("purge", "--older-than", "9", "--dry-run")
    assert [state(job) for job in one_of_each.values()] == list(one_of_each)
    code, said = run("purge", "--older-than", "9")
    assert code == looked[0] == 0
    assert counts(said) == {
        "succeeded": 1,
        "failed": 1,
        "cancelled": 1,
        "aborted": 0,
        "deleted": 3,
    }
    assert counts(looked[1].replace("to be deleted", "deleted")) == counts(said)
    assert listed() == [recent.id, one_of_each["todo"].id]
    events = f"SELECT count(DISTINCT job_id) FROM {SCHEMA}.procrastinate_events"
    assert look(events) == 2


def test_purge_of_a_job_that_was_put_off() -> None:
    """It has ended before the time to which it was put off."""
    job = sample.noop.configure(eta=dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc)).delay()
    control.cancel(job.id)
    model.Session.commit()
    make_old(10, job)
    code, said = run("purge", "--older-than", "9")
    assert code == 0
    assert counts(said)["deleted"] == 1


def test_purge_by_state(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    code, said = run("purge", "--older-than", "9", "--status", "succeeded")
    assert code == 0
    assert counts(said) == {"succeeded": 1, "deleted": 1}
    assert state(one_of_each["failed"]) == "failed"
    assert run("purge", "--older-than", "9", "--status", "todo")[0] == 2
    assert run("purge")[0] == run("purge", "--older-than", "-1")[0] == 2
    assert run("purge", "--older-than", "nan")[0] == 2


def test_purge_in_batches(tasks: TasksManager, monkeypatch: Any) -> None:
    """What was tried again since is not old."""
    monkeypatch.setattr(control, "_BATCH", 3)
    jobs = sample.noop.batch_defer(*[{} for _ in range(10)])
    tasks.run_pending_jobs()
    make_old(10, *jobs)
    stays = jobs[4]
    with engine().begin() as connection:
        again = f"INSERT INTO {SCHEMA}.procrastinate_events (job_id, type)"
        query = sa.text(f"{again} VALUES (:id, 'deferred_for_retry')")
        connection.execute(query, {"id": stays.id})
    assert counts(run("purge", "--older-than", "5")[1])["deleted"] == 9
    assert listed() == [stays.id]


def test_purge_leaves_what_is_locked(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    failed = one_of_each["failed"]
    with engine().begin() as connection:
        lock = f"SELECT FROM {SCHEMA}.procrastinate_jobs WHERE id = :id FOR UPDATE"
        connection.execute(sa.text(lock), {"id": failed.id})
        assert counts(run("purge", "--older-than", "9")[1])["deleted"] == 2
    assert state(failed) == "failed"


def counts(said: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", said, re.M)}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("timeout", -1), ("shutdown_timeout", -1), ("frozen_after", 0), ("most_rescues", 0)],
)
def test_options_out_of_range(name: str, wrong: int) -> None:
    """CKAN does not start with what it cannot validate."""
    option = f"ckanext.files.background.{name}"
    for value, is_wrong in ((wrong, True), ("soon", True), (wrong + 1, False)):
        _, errors = config_declaration.validate(CKANConfig({**config, option: value}))
        assert (option in errors) == is_wrong
