"""The commands ``ckan files background ...`` that show and change jobs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from typing import Any

import click
import pytest
from ckan import model

from ckanext.files.background import Job, control, queues
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background_plugin import words
from ckanext.files.background_plugin.cli import show_jobs
from ckanext.files.background_plugin.results import as_json
from ckanext.files.maintenance.tasks import delete_unattached, report_missing
from ckanext.files.tests.background_plugin.conftest import LiveWorker
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.console import output
from ckanext.files.tests.support.console import run_background as run
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.jobs import UNKNOWN, cancel, defer, locked_by_us, shown, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_background")

IN_2040 = dt.datetime(2040, 1, 1, 9, tzinfo=dt.timezone.utc)


def listed(*arguments: str) -> list[int]:
    """Return the ids that ``list`` shows."""
    return [int(number) for number in re.findall(r"^(\d+) ", output("list", *arguments), re.M)]


# list


def test_list(one_of_each: dict[str, Job]) -> None:
    mail = defer(sample.noop.configure(queue="mails"))
    head, *lines = output("list").splitlines()
    assert head.split() == ["id", "status", "created", "queue", "task", "remark"]
    assert "mails" in lines[0]
    ids = listed()
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == len(lines) == 5
    [failed] = [line for line in lines if "failed" in line]
    assert re.search(rf'  {sample.fail_after.name}\(name="job-.*  ValueError: job-', failed)
    assert listed("--queue", "mails") == [mail.id]
    assert listed("--task", sample.write.name) == [one_of_each["todo"].id]
    both = [one_of_each["cancelled"].id, one_of_each["succeeded"].id]
    assert listed("--status", "cancelled", "--status", "succeeded") == both
    assert listed("--status", "aborted") == []
    assert listed("--limit", "2") == [mail.id, one_of_each["todo"].id]
    assert "And 3 older" in output("list", "--limit", "2")
    assert "no such jobs" in output("list", "--queue", "mails", "--status", "failed")
    for wrong in ("--limit 1" + "0" * 30, "--status lost"):
        assert run("list", *wrong.split())[0] == 2
    assert "Did you mean failed?" in run("list", "--status", "faild")[1]


def test_list_shows_why_a_job_waits(tasks: TasksManager, worker: LiveWorker, name: str) -> None:
    retried = sample.flaky.delay(name, 3, 3600)
    between = sample.count_down.delay(name, 3, 3)
    tasks.run_pending_jobs(most=2)
    put_off = sample.noop.configure(eta=IN_2040).delay()
    locked = sample.noop.configure(queue="mails", lock="of mails")
    runs, waits = locked.delay(), locked.delay()
    free = defer(sample.noop)
    assert worker.claim(["mails"])
    head, *lines = output("list").splitlines()
    remarks = {int(line.split()[0]): line[head.index("remark") :] for line in lines}
    due = r"due 20[-\d]+ [:\d]+; tried once; \S*Retry: To be.*"
    assert re.fullmatch(due, remarks.pop(retried.id))
    assert remarks == {
        between.id: "waits for a worker to go on",
        put_off.id: "due 2040-01-01 09:00:00",
        runs.id: "",
        waits.id: "waits for the lock of mails",
        free.id: "waits for a worker",
    }
    assert f"  lock          of mails (job {runs.id} has it)\n" in output("show", str(waits.id))


@pytest.mark.parametrize(
    ("state", "on_pages", "in_commands"),
    [
        (
            {"paused": True, "scheduled_at": IN_2040},
            "Waits: its queue is paused",
            "waits: the queue default is paused",
        ),
        ({"status": "doing"}, "Waits for a worker to go on", "waits for a worker to go on"),
        (
            {"scheduled_at": IN_2040, "locked": True},
            "Waits for its time",
            "due 2040-01-01 09:00:00",
        ),
        (
            {"dependent": True, "locked": True},
            "Waits for another job",
            "waits for the jobs on which it depends",
        ),
        ({"locked": True}, "Waits for another job", "waits for the lock of mails"),
        ({}, "Waits for a worker", "waits for a worker"),
    ],
)
def test_pages_and_commands_give_one_reason_to_wait(
    state: dict[str, Any], on_pages: str, in_commands: str, tasks: TasksManager
) -> None:
    job = dataclasses.replace(shown(defer(sample.noop)), lock="of mails", **state)
    assert words.wait_word(as_json(job)) == on_pages
    assert show_jobs.remark(job) == in_commands


def test_list_shows_the_progress_of_a_job_that_runs_again(one_of_each: dict[str, Job]) -> None:
    """The error of the job is of its last run, until this run ends."""
    failed = shown(one_of_each["failed"])
    assert failed.error
    half = dataclasses.replace(failed, text="half")
    assert show_jobs.remark(half) == failed.error
    again = dataclasses.replace(half, status="doing", running=True)
    assert show_jobs.remark(again) == "half"
    assert show_jobs.remark(dataclasses.replace(again, text=None)) == failed.error


def test_list_cuts_texts(tasks: TasksManager) -> None:
    """``show`` has the whole arguments."""
    sample.tell.delay("job", 30, "a third, " + "or so " * 20 + "\nand more")
    tasks.run_pending_jobs()
    job = defer(sample.anything, "a\nb", long="x" * 100_000)
    _, arguments, progress = output("list").splitlines()
    assert re.search(r"sample\.tell\(.* +100 % +a third, or so .*\.\.\.$", progress)
    assert len(arguments) < len(progress) < 200
    assert re.search(r'\(\*=\["a\\nb"\], long="xxx.*\.\.\. ', arguments)
    assert '\n  long = "' + "x" * 100_000 + '"\n' in output("show", str(job.id))


def test_list_shows_the_words_of_an_error(tasks: TasksManager) -> None:
    """Before a long error is cut; its class is named without the module."""
    job = defer(sample.noop)
    name = "ckanext.memo.tasks.publish_it"
    change(f"UPDATE {SCHEMA}.procrastinate_jobs SET task_name = :name", name=name)
    tasks.run_pending_jobs()
    assert f"  UnknownTaskError: There is no task {name[:20]}" in output("list")
    assert ".errors.UnknownTaskError: There is" in output("show", str(job.id))


def test_show_a_job_that_was_put_off(tasks: TasksManager, name: str) -> None:
    job = sample.flaky.configure(eta=dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))
    job_id = defer(job, name, 1, 3600).id
    tasks.run_pending_jobs()
    said = output("show", str(job_id))
    assert re.search(r"^  [-\d]+ [:\d]+  requested for 2020-01-01 00:00:00$", said, re.M)
    assert re.search(r"  failed, to be tried again at 2\d\d\d-[-\d]+ [:\d]+$", said, re.M)


def test_show(one_of_each: dict[str, Job]) -> None:
    failed = one_of_each["failed"]
    said = output("show", str(failed.id))
    assert said.startswith(f"Job {failed.id}: {sample.fail_after.name}\n")
    facts = dict(re.findall(r"^  (\w+) +(.+)$", said.partition("\nEvents\n")[0], re.M))
    assert (facts["status"], facts["attempts"], facts["queue"]) == ("failed", "1", "default")
    name = json.loads(facts["name"].removeprefix("= "))
    assert name.startswith("job-")
    events = re.findall(r"^  [-\d]+ [:\d]+  (\w+)$", said, re.M)
    assert events == ["requested", "started", "failed"]
    assert f"\nError\n  ValueError: {name} is wrong\n" in said
    assert "\nTraceback\n  Traceback (most recent call last):\n" in said
    assert "sample.py" in said
    assert "Traceback" not in output("show", str(one_of_each["todo"].id))
    assert run("show", str(UNKNOWN)) == (1, f"Error: Job {UNKNOWN} does not exist\n")
    assert run("show", "0")[0] == run("show", str(2**63))[0] == 2


# send, retry, cancel


def test_send(tasks: TasksManager) -> None:
    name = sample.count_down.name
    said = output("send", name, "name=a=b:c", "total:3", "remaining:2.5")
    [job] = tasks.pending_jobs
    assert said == f"Job {job['id']} waits in the queue default\n"
    assert job["task_name"] == name
    assert job["args"] == {"name": "a=b:c", "total": 3, "remaining": 2.5}


def test_send_into_a_paused_queue(tasks: TasksManager) -> None:
    queues.pause("default")
    model.Session.commit()
    try:
        said = output("send", sample.noop.name)
    finally:
        queues.resume("default")
        model.Session.commit()
    assert said.endswith(" waits in the queue default, which is paused\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (f"{delete_unattached.name} days=60", "days is '60': .*, so write days:60$"),
        (f"{delete_unattached.name} days=two", "days is 'two': give a number from 0 to 36500$"),
        (f"{delete_unattached.name} days:-1", "days is -1: give a number from 0 to 36500$"),
        (f"{delete_unattached.name} dry_run=false", "so write dry_run:false$"),
        (f'{report_missing.name} storages:["none"]', "There is no storage none"),
        (f"{report_missing.name} storage:1", "storage"),
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
    assert code == 2
    assert re.search(f"^Error: .*{sentence}", said, re.M)
    assert not tasks.jobs


def test_retry(one_of_each: dict[str, Job]) -> None:
    failed, done = one_of_each["failed"], one_of_each["succeeded"]
    said = output("retry", str(failed.id), str(one_of_each["cancelled"].id))
    assert said.splitlines()[0] == f"Job {failed.id} waits to run again"
    assert state(failed) == state(one_of_each["cancelled"]) == "todo"
    code, said = run("retry", str(done.id), str(UNKNOWN))
    assert code == 1
    assert f"Job {done.id} cannot run again: it is succeeded" in said
    assert f"Job {UNKNOWN} does not exist" in said
    assert state(done) == "succeeded"


def test_cancel(one_of_each: dict[str, Job], worker: LiveWorker) -> None:
    waiting, done = one_of_each["todo"], one_of_each["succeeded"]
    code, said = run("cancel", str(done.id), str(UNKNOWN), str(waiting.id))
    assert code == 1
    assert said.splitlines() == [
        f"Job {done.id} has ended already: it is succeeded",
        f"Job {UNKNOWN} does not exist",
        f"Job {waiting.id} is cancelled",
    ]
    assert state(waiting) == "cancelled"
    job = defer(sample.noop)
    assert worker.claim([])
    assert output("cancel", str(job.id)) == f"Job {job.id} is asked to end: it runs\n"
    assert output("cancel", "--now", str(job.id)) == f"Job {job.id} is interrupted\n"
    assert state(job) == "doing"


# cancel and retry by filters


def test_change_what_filters_find(one_of_each: dict[str, Job]) -> None:
    """Those that can be changed: counted first, and only after a yes."""
    mails = [defer(sample.write.configure(queue="mails"), f"mail-{n}") for n in range(3)]
    elsewhere = one_of_each["todo"]
    code, said = run("cancel", "-q", "mails", typed="n\n")
    assert (code, "Cancel 3 jobs?" in said, "Aborted" in said) == (1, True, True)
    assert [state(job) for job in mails] == ["todo"] * 3
    said = output("cancel", "--queue", "mails", "--text", "mail-0", typed="y\n")
    assert "Cancel 1 job?" in said
    assert said.splitlines()[-1] == "Being cancelled: 1 job"
    assert [state(job) for job in mails] == ["cancelled", "todo", "todo"]
    said = output("cancel", "--status", "waiting", "--status", "failed", "-q", "mails", "--yes")
    assert said == "Being cancelled: 2 jobs\n"
    assert state(elsewhere) == "todo"
    said = json.loads(output("retry", "--task", sample.write.name, "-q", "mails", "-y", "--json"))
    assert said == {"changed": 3}
    assert [state(job) for job in mails] == ["todo"] * 3
    assert output("retry", "--status", "todo") == "Will run again: 0 jobs\n"


def test_filters_of_a_user(tasks: TasksManager) -> None:
    mine, user = defer(sample.noop), new_user()
    theirs = defer(sample.noop)
    change(
        f"INSERT INTO {SCHEMA}.files_job (job_id, user_id) SELECT :id, id FROM public.user"
        " WHERE name = :name ON CONFLICT (job_id) DO UPDATE SET user_id = excluded.user_id",
        id=mine.id,
        name=user,
    )
    assert listed("--user", user) == [mine.id]
    output("cancel", "--user", user, "--yes")
    assert (state(mine), state(theirs)) == ("cancelled", "todo")
    code, said = run("cancel", "--user", "no-such-user", "--yes")
    assert (code, "There is no user no-such-user" in said) == (2, True)


@pytest.mark.parametrize("option", ["--status", "--queue", "--task", "--text", "--user"])
def test_blank_filters(option: str, one_of_each: dict[str, Job]) -> None:
    """An empty variable of a script does not mean all jobs, also beside another filter."""
    for command in ("cancel", "retry"):
        code, said = run(command, option, "", "--status", "waiting", "--status", "failed", "--yes")
        assert (code, f"{option}'" in said) == (2, True)
    assert {status: state(job) for status, job in one_of_each.items()} == {
        status: status for status in one_of_each
    }


def test_change_what_was_counted(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that comes while the command waits for a yes is not changed."""
    mail = sample.noop.configure(queue="mails")
    jobs = [defer(mail)]
    asked: list[str] = []

    def confirm(question: str, **options: Any) -> None:
        asked.append(question)
        jobs.append(defer(mail))

    monkeypatch.setattr(click, "confirm", confirm)
    assert output("cancel", "--queue", "mails") == "Being cancelled: 1 job\n"
    assert asked == ["Cancel 1 job?"]
    assert [state(job) for job in jobs] == ["cancelled", "todo"]


def test_neither_jobs_nor_filters(one_of_each: dict[str, Job]) -> None:
    """Nothing is changed without a word about which jobs; --json never asks."""
    waiting = str(one_of_each["todo"].id)
    for wrong in (
        "cancel",
        "retry --yes",
        f"cancel {waiting} -q default",
        "cancel -q default --json",
    ):
        assert run(*wrong.split())[0] == 2, wrong
    assert state(one_of_each["todo"]) == "todo"


# purge


def make_old(*jobs: Job) -> None:
    """Let all events of jobs be ten days older."""
    change(
        f"UPDATE {SCHEMA}.procrastinate_events SET at = at - interval '10 days'"
        " WHERE job_id = ANY (:ids)",
        ids=[job.id for job in jobs],
    )


def purged(*arguments: str) -> dict[str, int]:
    """Purge jobs older than nine days; return the numbers that the command prints."""
    said = output("purge", "--older-than", "9", *arguments).replace("to be deleted", "deleted")
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", said, re.M)}


def test_purge(one_of_each: dict[str, Job]) -> None:
    """A job that was cancelled has ended, even if it was to run in future."""
    future = sample.noop.configure(eta=IN_2040).delay()
    recent = sample.noop.delay()
    for job in (future, recent):
        cancel(job)
    make_old(*one_of_each.values(), future)
    looked = purged("--dry-run")
    assert [state(job) for job in one_of_each.values()] == list(one_of_each)
    assert looked == purged()
    assert looked == {"succeeded": 1, "failed": 1, "cancelled": 2, "aborted": 0, "deleted": 4}
    assert listed() == [recent.id, one_of_each["todo"].id]
    events = f"SELECT count(DISTINCT job_id) FROM {SCHEMA}.procrastinate_events"
    assert look(events) == 2
    assert "to be deleted" in output("purge", "--older-than", "9", "--dry-run")


def test_purge_some(one_of_each: dict[str, Job]) -> None:
    """By their state, and not those that another transaction has locked."""
    make_old(*one_of_each.values())
    assert purged("--status", "succeeded") == {"succeeded": 1, "deleted": 1}
    with locked_by_us(one_of_each["failed"]):
        assert purged()["deleted"] == 1
    assert state(one_of_each["failed"]) == "failed"
    for wrong in ("--older-than 9 --status todo", "", "--older-than -1", "--older-than nan"):
        assert run("purge", *wrong.split())[0] == 2


def test_purge_in_batches(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was tried again since is not old."""
    monkeypatch.setattr(control, "_BATCH", 3)
    jobs = sample.noop.batch_defer(*[{} for _ in range(10)])
    tasks.run_pending_jobs()
    make_old(*jobs)
    stays = jobs[4]
    change(
        f"INSERT INTO {SCHEMA}.procrastinate_events (job_id, type)"
        " VALUES (:id, 'deferred_for_retry')",
        id=stays.id,
    )
    assert purged()["deleted"] == 9
    assert listed() == [stays.id]
