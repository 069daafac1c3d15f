"""The commands ``ckan files background ...`` that set up the tables, run workers and show them."""

from __future__ import annotations

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
from ckan import model
from ckan.common import CKANConfig, config, config_declaration

from ckanext.files.background import Job, periodic, queues, schema, sql
from ckanext.files.background.app import app
from ckanext.files.background.errors import NotInstalledError
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker import burst
from ckanext.files.tests.background_plugin.conftest import LiveWorker
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.console import run_background as run
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.jobs import cancel, defer, effects_of, state
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


@pytest.fixture
def nothing_there() -> Iterator[None]:
    """The tables are missing."""
    model.Session.remove()
    change(f"DROP SCHEMA {SCHEMA} CASCADE")
    yield
    schema.install(engine())


@pytest.fixture
def no_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})


@pytest.fixture
def only_for_a_worker() -> Iterator[None]:
    """A worker changes its process: the fixture restores it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    level = logging.getLogger("ckanext.files.background").level
    with burst._own_engine():
        yield
        model.Session.remove()
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.getLogger("ckanext.files.background").setLevel(level)


def ask(task: Any = sample.noop, *args: Any, **options: Any) -> Job:
    return defer(task.configure(**options), *args)


# the tables


def test_without_tables(nothing_there: None, only_for_a_worker: None) -> None:
    for command in (
        *("status", "shell", "worker --no-wait", "worker --processes 2"),
        *("send ckanext.files.maintenance.report_missing", "list", "show 1"),
        *("retry 1", "cancel 1", "purge --older-than 1", "pause mails", "resume mails"),
    ):
        code, said = run(*command.split())
        assert code == 1, command
        assert "Run: ckan files background init" in said
        assert "Traceback" not in said


def test_help() -> None:
    said = output("--help").partition("Commands:")[2]
    commands = dict(re.findall(r"^  (\w+) +(\S.+)$", said, re.M))
    assert list(commands) == sorted(commands)
    assert {
        *("init", "shell", "status", "worker"),
        *("send", "list", "show", "retry", "cancel", "purge", "pause", "resume"),
    } == set(commands)
    for command in commands:
        output(command, "--help")
    said = output("worker", "--help")
    assert re.search(r"-c, --concurrency.*default:\s+1\b.*--queue", said, re.S)
    assert "-q, --queue" in said


def test_init(nothing_there: None) -> None:
    assert output("init") == f"The tables in schema {SCHEMA} are made\n"
    job = ask()
    assert output("init") == f"The tables in schema {SCHEMA} are up to date\n"
    assert state(job) == "todo"
    assert "up to date" in run("status")[1]


@pytest.mark.parametrize(
    "other",
    [
        "UPDATE {} SET procrastinate = 'zzz'",
        "UPDATE {} SET own = 'zzz'",
        "ALTER TABLE {} DROP COLUMN own",
    ],
)
def test_status_of_other_tables(other: str) -> None:
    """Tables of another version of Procrastinate, or of this extension."""
    model.Session.remove()
    change(other.format(f"{SCHEMA}.files_version"))
    code, said = run("status")
    schema.ensure(engine())
    assert code == 1
    assert "another version" in said
    assert "ckan files background init" in said
    assert run("status")[0] == 0


@pytest.fixture
def older() -> Iterator[None]:
    """Tables of an earlier version, with a job."""
    model.Session.remove()
    change(f"""
        SET LOCAL search_path = {SCHEMA};
        ALTER TABLE files_job RENAME COLUMN resume_order TO turn;
        ALTER INDEX files_job_resume_order_idx RENAME TO files_job_turn_idx;
        ALTER FUNCTION files_release_jobs RENAME TO files_take_away;
        DROP FUNCTION files_claim;
        CREATE FUNCTION files_claim(_queue varchar[], _worker bigint, _any boolean)
            RETURNS bigint LANGUAGE sql AS 'SELECT 1';
        UPDATE files_version SET own = 'older';
        WITH job AS (
            INSERT INTO procrastinate_jobs (task_name, queue_name, status)
            VALUES ('{sample.noop.name}', 'q', 'doing') RETURNING id
        )
        INSERT INTO files_job (job_id, turn) SELECT id, 7 FROM job
    """)
    yield
    schema.ensure(engine())


def test_older_tables(older: None) -> None:
    """Jobs stay, functions with other names or parameters do not."""
    with pytest.raises(NotInstalledError, match="Stop the workers"), engine().connect() as found:
        schema.check(found)
    assert schema.install(engine()) is False
    functions = look(
        f"SELECT array_agg(proname) FROM pg_proc WHERE pronamespace = '{SCHEMA}'::regnamespace"
    )
    assert "files_release_jobs" in functions
    assert "files_take_away" not in functions
    assert functions.count("files_claim") == 1
    assert look(f"SELECT resume_order FROM {SCHEMA}.files_job") == 7
    model.Session.remove()
    with engine().begin() as connection:
        schema.check(connection)
        claimed = connection.execute(sql.query("claim_job"), {"queues": None, "worker": None})
        assert sample.noop.name in claimed.scalar_one()


# status


def test_status(one_of_each: dict[str, Job]) -> None:
    """A job waits, and there is no worker."""
    code, said = run("status")
    assert code == 1
    assert "up to date" in said
    for word in ("waiting", "succeeded", "failed", "cancelled"):
        assert f"  default  {word}: 1\n" in said
    assert "Jobs of the queue default that could run now: 1. No worker works for it." in said


def test_status_with_nothing_to_do() -> None:
    ask(queue="mails", countdown=3600)
    assert "  mails  waiting: 1\n" in output("status")
    [queue] = json.loads(output("status", "--json"))["queues"]
    assert queue == {
        "queue": "mails",
        "jobs": {"todo": 1},
        "more": [],
        "due": 0,
        "served": False,
        "is_stuck": False,
        "paused": None,
    }


# pause and resume


def test_pause_and_resume() -> None:
    """A queue that waits because it is paused raises no alarm, and is shown."""
    job = ask(queue="mails")
    assert run("status")[0] == 1
    assert output("pause", "mails", "letters", "--new").splitlines() == [
        "The queue mails is paused",
        "The queue letters is paused",
    ]
    code, said = run("pause", "mails")
    assert (code, said) == (1, "The queue mails is paused already\n")
    assert re.search(
        r"mails  waiting: 1\n  mails  is paused since 20[-\d]+ [:\d]+\n", output("status")
    )
    queues = {each["queue"]: each for each in json.loads(output("status", "--json"))["queues"]}
    assert (queues["letters"]["jobs"], bool(queues["letters"]["paused"])) == ({}, True)
    assert "waits: the queue mails is paused" in output("list")
    assert "waits: the queue mails is paused" in output("show", str(job.id))
    assert output("resume", "mails") == "The queue mails is resumed\n"
    assert run("resume", "letters", "mails") == (
        1,
        "The queue letters is resumed\nThe queue mails is not paused\n",
    )
    assert "waits for a worker" in output("list")
    assert run("pause", "--new", "x" * 50)[0] == 1


@pytest.mark.parametrize(
    "command",
    ["pause mails mial", "resume mial", "list -q mial", "cancel -q mial --yes", "retry -q mial -y"],
)
def test_a_misspelt_queue(command: str, no_schedules: None) -> None:
    """The command line is wrong, and nothing was done."""
    job = ask(queue="mails")
    code, said = run(*command.split())
    assert code == 2
    sentence = "Queue mial has no jobs, and no task or schedule names it."
    assert f"{sentence} Did you mean mails?" in said
    assert ("add --new" in said) == command.startswith("pause")
    assert (queues.paused(), state(job)) == ({}, "todo")
    # by its right name
    code, said = run(*command.replace("mial", "mails").split())
    assert "has no jobs" not in said
    queues.resume("mails")
    model.Session.commit()


def test_a_misspelt_task(tasks: TasksManager) -> None:
    job = ask()
    wrong = sample.noop.name.replace("noop", "nop")
    for command in ("send", "list --task", "cancel --yes --task", "retry --yes --task"):
        code, said = run(*command.split(), wrong)
        assert (code, f"There is no task {wrong}" in said) == (2, True)
        assert f"Did you mean {sample.noop.name}?" in said
    assert state(job) == "todo"
    # a task that is not there any more, with jobs that are
    change(f"UPDATE {SCHEMA}.procrastinate_jobs SET task_name = :name", name=wrong)
    assert wrong in output("list", "--task", wrong)


def test_status_of_workers(worker: LiveWorker, name: str) -> None:
    """For a queue that has a worker, and for a queue that has none."""
    runs = ask(sample.write, name, queue="mails")
    ask(sample.write, name, queue="mails")
    assert worker.claim(["mails"])
    said = output("status")
    process = f"process {os.getpid()} on {socket.gethostname()}"
    assert f"  {worker.worker_id}  alive, {process}, " in said
    assert re.search(r"since 20[-\d]+ [:\d]+, queues: mails, letters, steps at a time: 3\n", said)
    assert f"runs job {runs.id}: {sample.write.name}\n" in said
    elsewhere = ask()
    code, said = run("status", "--json")
    assert code == 1
    shown = json.loads(said)
    [listed] = [each for each in shown["workers"] if each["id"] == worker.worker_id]
    assert dt.datetime.fromisoformat(listed.pop("since"))
    assert 0 <= listed.pop("silence") < 60
    assert listed == {
        "id": worker.worker_id,
        "state": "alive",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "queues": ["mails", "letters"],
        "concurrency": 3,
        "running": [{"id": runs.id, "task": sample.write.name, "title": sample.write.name}],
    }
    common = {"more": [], "due": 1, "paused": None}
    assert shown["queues"] == [
        {"queue": "default", "jobs": {"todo": 1}, "served": False, "is_stuck": True, **common},
        {
            "queue": "mails",
            "jobs": {"doing": 1, "todo": 1},
            "served": True,
            "is_stuck": False,
            **common,
        },
    ]
    cancel(elsewhere)
    assert run("status")[0] == 0


def test_status_of_a_worker_that_is_frozen_or_gone(worker: LiveWorker) -> None:
    ask(queue="mails")
    assert worker.claim(["mails"])
    output("status")
    change(
        f"UPDATE {SCHEMA}.procrastinate_workers SET last_heartbeat = now() - interval '1 day'"
        " WHERE id = :id",
        id=worker.worker_id,
    )
    code, said = run("status")
    assert (code, f"  {worker.worker_id}  silent, " in said) == (1, True)
    worker.die()
    code, said = run("status")
    assert (code, f"  {worker.worker_id}  dead, " in said) == (1, True)
    assert "Jobs of the queue mails that could run now: 1." in said
    worker.release_all()
    assert run("status")[0] == 1


def test_status_of_schedules(no_schedules: None, make_task: Any) -> None:
    """The next times, in the time zones of the schedules."""
    assert "Schedules" not in output("status")

    @periodic(cron="0 12 1 1 *", timezone="Asia/Kolkata")
    @periodic(cron="*/5 * * * *", periodic_id="often")
    @make_task
    def tidy(timestamp: int) -> None: ...

    _, told = output("status").split("\nSchedules\n")
    name = re.escape(tidy.name)
    for schedule in (
        rf"{name} often  \*/5 .*\(UTC\), next: 20\S+ ..:.[05]:00 \+0000",
        rf"{name}  0 12 1 1 \* \(Asia/Kolkata\), next: 20..-01-01 12:00:00 \+0530",
    ):
        assert re.search(f"^  {schedule}$", told, re.M)
    _, later = json.loads(run("status", "--json")[1])["schedules"]
    assert dt.datetime.fromisoformat(later.pop("next")).hour == 12
    assert later == {
        "task": tidy.name,
        "periodic_id": "",
        "cron": "0 12 1 1 *",
        "timezone": "Asia/Kolkata",
        "last": None,
        "job": None,
    }


def test_shell(one_of_each: dict[str, Job]) -> None:
    job = one_of_each["todo"]
    said = output("shell", typed=f"list_jobs\n\ncancel {job.id}\nexit\n")
    assert f"#{job.id} {sample.write.name}" in said
    assert state(job) == "cancelled"


# worker


@pytest.mark.usefixtures("effects", "only_for_a_worker")
def test_worker(name: str) -> None:
    """In this process; tests/acceptance has real ones."""
    ask(sample.write, name)
    ask(sample.write, f"{name}-other", queue="other")
    said = output("worker", "--no-wait", "-c", "2", "-q", "mails", "default")
    assert "Tasks loaded:\n" in said
    assert f"  {sample.write.name}\n" in said
    assert effects_of(name) == [name]


@pytest.mark.usefixtures("only_for_a_worker", "no_schedules")
def test_worker_for_a_queue_that_is_not_there(make_task: Callable[..., Any]) -> None:
    """Neither a job, nor a task, nor a schedule has its name."""

    @make_task(queue="reports")
    def report() -> None: ...

    @periodic(cron="0 0 1 1 *", queue="yearly")
    @make_task
    def tidy(timestamp: int) -> None: ...

    ask(queue="mails", countdown=3600)
    said = output("worker", "--no-wait", "-q", "mails", "reports", "yearly", "default")
    assert "has no jobs" not in said
    said = output("worker", "--no-wait", "-q", "mails", "-q", "report")
    assert [line for line in said.splitlines() if line.startswith("Warning: ")] == [
        "Warning: Queue report has no jobs, and no task or schedule names it. Did you mean reports?"
    ]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("timeout", -1), ("shutdown_timeout", -1), ("frozen_after", 0), ("most_rescues", 0)],
)
def test_options_out_of_range(name: str, wrong: int) -> None:
    """CKAN does not start with such a value."""
    option = f"ckanext.files.background.{name}"
    for value, is_wrong in ((wrong, True), ("soon", True), (wrong + 1, False)):
        _, errors = config_declaration.validate(CKANConfig({**config, option: value}))
        assert (option in errors) == is_wrong
