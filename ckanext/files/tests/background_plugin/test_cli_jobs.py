"""The commands ``ckan files background ...`` that show and change jobs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, control, record
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background_plugin.cli import show_jobs
from ckanext.files.tests.background_plugin.conftest import LiveWorker
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.background_command import UNKNOWN, output, run, state
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")


def listed(*arguments: str) -> list[int]:
    """Return the ids that ``list`` shows."""
    return [int(number) for number in re.findall(r"^(\d+) ", output("list", *arguments), re.M)]


def make_old(days: int, *jobs: Job) -> None:
    """Let all events of jobs be some days older."""
    query = (
        f"UPDATE {SCHEMA}.procrastinate_events SET at = at - make_interval(days => :days)"
        " WHERE job_id = ANY (:ids)"
    )
    with engine().begin() as connection:
        connection.execute(sa.text(query), {"days": days, "ids": [job.id for job in jobs]})


def test_list(one_of_each: dict[str, Job]) -> None:
    sample.noop.configure(queue="mails").delay()
    model.Session.commit()
    head, *lines = output("list").splitlines()
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
    """Return the remark on a job in the output of ``list``."""
    head, *lines = output("list").splitlines()
    [line] = [line for line in lines if line.startswith(f"{job.id} ")]
    return line[head.index("remark") : head.index("arguments")].strip()


def test_list_shows_why_a_job_waits(tasks: TasksManager, worker: LiveWorker, unique: Any) -> None:
    retried = sample.flaky.delay(unique("job"), 3, 3600)
    between = sample.count_down.delay(unique("job"), 3, 3)
    tasks.run_pending_jobs(most=2)
    put_off = sample.noop.configure(eta=dt.datetime(2040, 1, 1, 9, tzinfo=dt.timezone.utc)).delay()
    locked = sample.noop.configure(queue="mails", lock="of mails")
    runs, waits = locked.delay(), locked.delay()
    free = sample.noop.delay()
    model.Session.commit()
    assert worker.claim(["mails"])
    due = r"due 20[-\d]+ [:\d]+; tried once; \S*Retry: To be.*"
    assert re.fullmatch(due, remark(retried))
    assert remark(between) == "waits for a worker to go on"
    assert remark(put_off) == "due 2040-01-01 09:00:00"
    assert remark(runs) == ""
    assert remark(waits) == "waits for the lock of mails"
    assert remark(free) == "waits for a worker"
    assert f"  lock          of mails (job {runs.id} has it)\n" in output("show", str(waits.id))


def test_list_shows_the_progress_of_a_job_that_runs_again(one_of_each: dict[str, Job]) -> None:
    """The error of the job is of its last run, until this run ends."""
    failed = record.find(one_of_each["failed"].id)
    assert failed
    assert failed.error
    half = dataclasses.replace(failed, text="half")
    assert show_jobs.remark(half) == failed.error
    again = dataclasses.replace(half, status="doing", running=True)
    assert show_jobs.remark(again) == "half"
    assert show_jobs.remark(dataclasses.replace(again, text=None)) == failed.error


def test_list_cuts_arguments(tasks: TasksManager) -> None:
    """``show`` has the whole arguments."""
    job = sample.anything.delay("a\nb", long="x" * 100_000)
    model.Session.commit()
    listed = output("list")
    assert len(listed) < 1000
    assert r'*=["a\nb"], long="xxx' in listed
    assert "..." in listed
    assert '\n  long = "' + "x" * 100_000 + '"\n' in output("show", str(job.id))


def test_show(one_of_each: dict[str, Job]) -> None:
    failed = one_of_each["failed"]
    said = output("show", str(failed.id))
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
    assert "Traceback" not in output("show", str(one_of_each["todo"].id))
    assert run("show", str(UNKNOWN)) == (1, f"Error: Job {UNKNOWN} does not exist\n")


def test_list_shows_the_progress(tasks: TasksManager) -> None:
    sample.tell.delay("job", 30, "a third, " + "or so " * 20 + "\nand more")
    tasks.run_pending_jobs()
    said = output("list")
    assert re.search(r"sample\.tell  1 +100 % +a third, or so", said)
    assert "..." in said
    assert "and more" not in said


def test_send(tasks: TasksManager) -> None:
    name = sample.count_down.name
    said = output("send", name, "name=a=b:c", "total:3", "remaining:2.5")
    [job] = tasks.pending_jobs
    assert said == f"Job {job['id']} waits for a worker\n"
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
    said = output("retry", str(failed.id), str(one_of_each["cancelled"].id))
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
    assert output("cancel", str(job.id)) == f"Job {job.id} is asked to end: it runs\n"
    assert state(job) == "doing"
    assert output("cancel", "--now", str(job.id)) == f"Job {job.id} is interrupted\n"
    assert state(job) == "doing"


def purged(*arguments: str) -> dict[str, int]:
    """Purge jobs; return the numbers that the command prints."""
    said = output("purge", *arguments).replace("to be deleted", "deleted")
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", said, re.M)}


def test_purge(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    recent = sample.noop.delay()
    control.cancel(recent.id)
    model.Session.commit()
    looked = purged("--older-than", "9", "--dry-run")
    assert [state(job) for job in one_of_each.values()] == list(one_of_each)
    assert looked == purged("--older-than", "9")
    ended = {"succeeded": 1, "failed": 1, "cancelled": 1, "aborted": 0}
    assert looked == {**ended, "deleted": 3}
    assert listed() == [recent.id, one_of_each["todo"].id]
    events = f"SELECT count(DISTINCT job_id) FROM {SCHEMA}.procrastinate_events"
    assert look(events) == 2
    assert "to be deleted" in output("purge", "--older-than", "9", "--dry-run")


def test_purge_of_a_cancelled_job_with_a_later_time() -> None:
    """The job has ended before the time at which it was to run."""
    job = sample.noop.configure(eta=dt.datetime(2040, 1, 1, tzinfo=dt.timezone.utc)).delay()
    control.cancel(job.id)
    model.Session.commit()
    make_old(10, job)
    assert purged("--older-than", "9")["deleted"] == 1


def test_purge_by_state(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    assert purged("--older-than", "9", "--status", "succeeded") == {"succeeded": 1, "deleted": 1}
    assert state(one_of_each["failed"]) == "failed"
    for wrong in ("--older-than 9 --status todo", "", "--older-than -1", "--older-than nan"):
        assert run("purge", *wrong.split())[0] == 2


def test_purge_in_batches(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was tried again since is not old."""
    monkeypatch.setattr(control, "_BATCH", 3)
    jobs = sample.noop.batch_defer(*[{} for _ in range(10)])
    tasks.run_pending_jobs()
    make_old(10, *jobs)
    stays = jobs[4]
    with engine().begin() as connection:
        again = f"INSERT INTO {SCHEMA}.procrastinate_events (job_id, type)"
        query = sa.text(f"{again} VALUES (:id, 'deferred_for_retry')")
        connection.execute(query, {"id": stays.id})
    assert purged("--older-than", "5")["deleted"] == 9
    assert listed() == [stays.id]


def test_purge_leaves_locked_jobs(one_of_each: dict[str, Job]) -> None:
    make_old(10, *one_of_each.values())
    failed = one_of_each["failed"]
    with engine().begin() as connection:
        lock = f"SELECT FROM {SCHEMA}.procrastinate_jobs WHERE id = :id FOR UPDATE"
        connection.execute(sa.text(lock), {"id": failed.id})
        assert purged("--older-than", "9")["deleted"] == 2
    assert state(failed) == "failed"
