"""Real workers run jobs of extensions."""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.cli.jobs import worker as ckans_command
from ckan.lib import jobs as ckans_jobs
from ckan.tests import factories
from rq import Retry

from ckanext.files.background import Job, queues
from ckanext.files.background.rq_ids import of_run
from ckanext.files.tests.ckan_jobs.test_queue import row
from ckanext.files.tests.support import functions, jobs, sample
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.server import CkanServers
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("effects")]


def enqueue(function: Any, *args: Any, queue: str = "default", **options: Any) -> Any:
    return tk.enqueue_job(function, list(args), title="Title", queue=queue, rq_kwargs=options)


def ours(job: Any) -> Job:
    return Job(row(job).id)


def wait_for_job(*asked: Any, status: str = "succeeded") -> None:
    jobs.wait_for_job(*map(ours, asked), status=status)


@pytest.mark.parametrize("of", ["workers", "ckans"])
def test_both_commands(of: str, name: str, request: pytest.FixtureRequest) -> None:
    """Either runs jobs of extensions and tasks of this one, if they share a queue."""
    found: Workers = request.getfixturevalue(of)
    worker = found.start()
    job, task = enqueue(functions.commit, name), jobs.defer(sample.write, f"{name}-task")
    wait_for_job(job)
    jobs.wait_for_job(task)
    assert (job.get_status(), job.result) == ("finished", {"run": job.id})
    assert jobs.effects_of(name) == [f"{name}-{job.id}", f"{name}-task"]
    assert f"starts job {job.id} (Title) from queue" in worker.said
    assert name not in worker.said
    assert worker.stop() == 0


def test_queues(ckans: Workers, name: str) -> None:
    """It begins jobs of its queues only; without names of the default one."""
    others = [enqueue(functions.commit, f"{name}-{queue}", queue=queue) for queue in ("a", "b")]
    ckans.start()
    wait_for_job(enqueue(functions.commit, name))
    assert [job.get_status() for job in others] == ["queued", "queued"]
    ckans.start("b", "a")
    wait_for_job(*others)


def test_while_it_runs(ckans: Workers, name: str) -> None:
    """No transaction is open while it does not use the database. People see progress."""
    ckans.start()
    sleeping = enqueue(functions.sleep, name, 2)
    jobs.wait_for_effect(f"{name}-begun")
    assert sleeping.get_status() == "started"
    wait_for_job(sleeping)
    assert f"{name}-open-0" in jobs.effects_of(name)
    job = enqueue(functions.progress, f"{name}-2")
    wait_for(lambda: jobs.state(ours(job), "percent") == 40)
    assert jobs.state(ours(job), "f.text") == "four of ten"
    wait_for(lambda: job.get_meta().get("of RQ") == f"{name}-2")
    jobs.let_go(f"{name}-2")
    wait_for_job(job)


def test_calls_its_own_site(
    ckans: Workers, lasting_servers: CkanServers, app: Any, name: str
) -> None:
    """It has changed the same dataset before: a held transaction would wait for itself."""
    server = lasting_servers.fork(app)
    token = factories.APIToken(user=new_user(sysadmin=True))["token"]
    dataset = factories.Dataset()["id"]
    ckans.start()
    wait_for_job(enqueue(functions.call_own_site, server.url, token, dataset, name))
    found = look("SELECT title || notes FROM package WHERE id = :id", id=dataset)
    assert found == name * 2


# ends of all kinds


def test_killed(ckans: Workers, name: str) -> None:
    """The next run has another id; by both the job is found."""
    worker = ckans.start()
    job = enqueue(functions.hold, name)
    jobs.wait_for_effect(f"{name}-begun")
    assert len(worker.children) == 1
    os.kill(worker.children[0], signal.SIGKILL)
    wait_for_job(job)
    second = f"{job.id}-run-2"
    assert jobs.effects_of(f"{name}-begun") == [f"{name}-begun-{each}" for each in (job.id, second)]
    for found in (ckans_jobs.job_from_id(second), ckans_jobs.job_from_id(job.id)):
        assert (found.get_status(), found.result) == ("finished", second)


def test_atomic_is_killed(workers: Workers, name: str, ckan_config: Any) -> None:
    """Exactly once: what the lost run had written, also by a commit of its own, is undone."""
    ckan_config["ckanext.files.jobs.atomic"] = [f"{functions.__name__}.hold"]
    one, other = workers.start_two()
    job = enqueue(functions.hold, name)
    wait_for(lambda: jobs.state(ours(job), "worker_id"))
    killed = one if jobs.state(ours(job), "worker_id") == one.id else other
    time.sleep(0.2)
    killed.kill()
    wait_for_job(job)
    assert jobs.effects_of(name) == [f"{name}-begun-{job.id}-run-2"]
    assert job.result == f"{job.id}-run-2"


def test_killed_again_and_again(ckans: Workers, name: str) -> None:
    """A job that kills its workers fails in the end."""
    ckans.start(most_rescues=2)
    job = enqueue(functions.kill_the_worker, name)
    wait_for_job(job, status="failed")
    assert len(jobs.effects_of(name)) == 2
    assert "lost 2 times" in jobs.state(ours(job), "error")


@pytest.mark.parametrize(
    ("function", "status", "error"),
    [
        (functions.catch, "succeeded", None),
        (functions.clean_up, "failed", "ValueError: too slow"),
        (functions.sleep, "failed", "JobTimeoutException: The job took longer than 1 seconds"),
    ],
)
def test_timeout(
    function: Callable[..., Any], status: str, error: str | None, workers: Workers, name: str
) -> None:
    """RQ's exception, which the function may catch. Then it goes on as it likes."""
    workers.start()
    options: Any = {"timeout": 1, "on_failure": functions.failed}
    job = enqueue(function, name, *[600] * (function is functions.sleep), **options)
    wait_for_job(job, status=status)
    found = jobs.state(ours(job), "error")
    assert found == error or (error and found.endswith(error))
    assert f"{name}-ended" not in jobs.effects_of(name)
    called = len(jobs.effects_of(f"{name}-failed"))
    assert called == (status == "failed")
    cleaned = jobs.effects_of(f"{name}-clean")
    assert cleaned == [f"{name}-clean-JobTimeoutException"] * (function is functions.clean_up)
    if not error:
        assert "passed its timeout" in job.result


def test_stuck(ckans: Workers, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """A function that nothing interrupts ends with its process, and another one takes its place."""
    monkeypatch.setattr("ckanext.files.background.worker.execution._OPEN_GRACE", 0.5)
    os.mkfifo(tmp_path / "pipe")
    worker = ckans.start(shutdown_timeout=1)
    before = worker.children
    job = enqueue(functions.read, str(tmp_path / "pipe"), timeout=1)
    wait_for_job(job, status="failed")
    assert "could not be interrupted" in jobs.state(ours(job), "error")
    wait_for_job(enqueue(functions.commit, name))
    assert worker.children != before
    assert "has ended with status" in worker.said


def test_timeout_and_retry(workers: Workers, name: str) -> None:
    """A job that took too long has its retries, and what they say of it is the reason."""
    workers.start()
    job = enqueue(functions.sleep, name, 600, timeout=1, retry=Retry(max=1))
    wait_for_job(job, status="failed")
    assert len(jobs.effects_of(f"{name}-begun")) == 2


def test_cancelled_at_once(workers: Workers, name: str) -> None:
    """By a sysadmin: not tried again, whatever the retries are."""
    workers.start()
    job = enqueue(functions.sleep, name, 600, retry=Retry(max=3))
    jobs.wait_for_effect(f"{name}-begun")
    jobs.cancel(ours(job), now=True)
    wait_for_job(job, status="aborted")
    assert job.get_status() == "stopped"


def test_chain_that_waits(ckans: Workers, name: str) -> None:
    """Each begins when the one before it has succeeded; one that fails holds the rest up."""
    ckans.start()
    first = enqueue(functions.fail, name, 1, retry=Retry(max=1))
    second = enqueue(functions.commit, f"{name}-2", depends_on=first)
    third = enqueue(functions.commit, f"{name}-3", depends_on=second)
    wait_for_job(first, second, third)
    failed = enqueue(functions.fail, f"{name}-4")
    waits = enqueue(functions.commit, f"{name}-5", depends_on=failed)
    wait_for_job(failed, status="failed")
    time.sleep(0.5)
    assert waits.get_status() == "deferred"


def test_times(ckans: Workers, name: str) -> None:
    """A job begins at its time, and a second one with its id takes its place before that.

    CKAN's datastore asks so, again and again, for one count of its rows.
    """
    ckans.start()
    queue = ckans_jobs.get_queue()
    soon, later = dt.timedelta(seconds=0.5), dt.timedelta(hours=1)
    first = queue.enqueue_in(later, functions.commit, f"{name}-first", job_id=name)
    replaced = row(first).id
    second = queue.enqueue_in(soon, functions.hold, f"{name}-second", job_id=name)
    before = dt.datetime.now(dt.timezone.utc)
    jobs.wait_for_effect(f"{name}-second-begun")
    running = row(second).id
    assert dt.datetime.now(dt.timezone.utc) - before > soon - dt.timedelta(seconds=0.1)
    # one that runs goes on, and its id belongs to the next one
    third = queue.enqueue_in(soon, functions.commit, f"{name}-third", job_id=name)
    assert third.get_status() == "scheduled"
    jobs.let_go(f"{name}-second")
    jobs.wait_for_job(Job(running), ours(third))
    assert jobs.state(Job(replaced)) == "cancelled"
    assert ckans_jobs.job_from_id(name).result == {"run": name}
    assert not jobs.effects_of(f"{name}-first")


def test_forged_row(ckans: Workers, name: str) -> None:
    """It runs nothing, and the worker goes on."""
    job = enqueue(functions.commit, name)
    change(f"UPDATE {jobs.S}.files_rq_job SET signature = hash WHERE rq_id = :id", id=job.id)
    worker = ckans.start()
    wait_for_job(enqueue(functions.commit, f"{name}-2"))
    assert job.get_status() == "failed"
    assert jobs.effects_of(f"{name}-{job.id}") == []
    assert "ForgedJobError" in worker.said


def test_pause(ckans: Workers, name: str) -> None:
    ckans.start("bulk")
    wait_for_job(enqueue(functions.commit, name, queue="bulk"))
    queues.pause("bulk")
    model.Session.commit()
    assert queues.wait_for_claims()
    try:
        job = enqueue(functions.commit, f"{name}-2", queue="bulk")
        time.sleep(0.5)
        assert job.get_status() == "queued"
    finally:
        queues.resume("bulk")
        model.Session.commit()
    wait_for_job(job)


def test_frozen_with_connections_of_its_own(
    workers: Workers, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are ended before the next run, in whichever database they are, as a COPY in one is."""
    monkeypatch.setattr("ckanext.files.background.worker.stalled._PATIENCE", 2)
    frozen = workers.start()
    job = enqueue(functions.lock_elsewhere, name)
    jobs.wait_for_effect(f"{name}-locked")
    frozen.freeze()
    workers.start(frozen_after=1)
    wait_for_job(job)
    assert job.result == f"{job.id}-run-2"
    frozen.wake()
    wait_for(lambda: "raised an exception" in frozen.said)
    assert frozen.stop() == 0
    assert (job.get_status(), job.result) == ("finished", f"{job.id}-run-2")


# processes


def test_processes(ckans: Workers, name: str, hooks: Any) -> None:
    """New ones take the places of others that have run their jobs; that is no error."""
    hooks["before_fork"] = lambda: print("now it forks")  # noqa: T201
    worker = ckans.start(jobs__max_jobs=3, jobs__processes=2)
    wait_for(lambda: len(worker.children) == 2)
    asked = [enqueue(functions.note_process, name) for _ in range(12)]
    wait_for_job(*asked)
    processes = [job.result for job in asked]
    assert len(set(processes)) >= 4
    assert max(processes.count(each) for each in set(processes)) == 3
    assert worker.pid not in processes
    assert " ERROR " not in worker.said
    assert worker.said.count("now it forks") >= 4
    assert worker.stop() == 0


def test_no_limit_of_jobs(ckans: Workers, name: str) -> None:
    """Then a single worker has no process that looks after it."""
    worker = ckans.start(jobs__max_jobs=0)
    asked = [enqueue(functions.note_process, name) for _ in range(5)]
    wait_for_job(*asked)
    assert {job.result for job in asked} == {worker.pid}


@pytest.mark.skipif(
    all(each.name != "max_idle_time" for each in ckans_command.params),
    reason="CKAN's command has no such option",
)
def test_idle(ckans: Workers, name: str) -> None:
    """It ends by itself, but not while a job runs."""
    worker = ckans.start("--max-idle-time", "1")
    job = enqueue(functions.sleep, name, 2)
    wait_for_job(job)
    assert worker.running
    assert worker.wait() == 0
    assert " ERROR " not in worker.said


def test_burst_command(ckans_commands: Workers, name: str) -> None:
    """Jobs that wait for others included; no process is forked."""
    first = enqueue(functions.note_process, name)
    last = enqueue(functions.commit, f"{name}-2", depends_on=first)
    late = enqueue(functions.commit, f"{name}-late", queue="other")
    tk.enqueue_job(ckans_jobs.test_job, ["printed"])
    worker = ckans_commands.prepare("--burst")
    worker.launch()
    assert worker.wait() == 0
    assert first.result == worker.pid
    assert last.result == {"run": last.id}
    assert late.get_status() == "queued"
    assert "('printed',)" in worker.said
    lines = re.findall(r"\[ckan.lib.jobs\] (Worker \S+) (?:\(PID|starts|has finished)", worker.said)
    assert len(lines) == 2 + 2 * 3
    assert len(set(lines)) == 1


def test_burst_leaves_the_process_as_it_was(name: str) -> None:
    """Also after a session with changes, which are rolled back as with RQ."""
    engine, threads = model.meta.engine, threading.active_count()
    job = enqueue(functions.commit, name)
    sample.effect(f"{name}-lost")
    assert ckans_jobs.Worker().work(burst=True)
    assert model.meta.engine is model.Session.get_bind() is engine
    assert not model.Session().in_transaction()
    assert not ckans_jobs.Worker().work(burst=True)
    assert jobs.effects_of(name) == [f"{name}-{job.id}"]
    assert threading.active_count() == threads
    change("DELETE FROM files_test_effect")


def test_burst_after_a_kill(workers: Workers, name: str) -> None:
    """It waits until the job of a worker that was killed a moment before may begin again."""
    worker = workers.start()
    job = enqueue(functions.hold, name)
    jobs.wait_for_effect(f"{name}-begun")
    worker.kill()
    assert not ckans_jobs.Worker(["another-queue"]).work(burst=True)  # it does not wait for that
    assert job.get_status() == "started"
    assert ckans_jobs.Worker().work(burst=True)
    assert (job.get_status(), job.result) == ("finished", f"{job.id}-run-2")


# all at once


def kill(process: int) -> None:
    """Kill a process, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def test_processes_are_killed_again_and_again(
    ckans: Workers, name: str, ckan_config: Any, full_size: bool
) -> None:
    """Each job is done, in order, one that is atomic exactly once; ids show the runs."""
    ckan_config["ckanext.files.jobs.atomic"] = [f"{functions.__name__}.once"]
    worker = ckans.start(jobs__processes=3, jobs__max_jobs=7, most_rescues=1000)
    pairs = []
    for number in range(1000 if full_size else 40):
        first = enqueue(functions.begin_and_end, f"{name}-{number:04}")
        second = enqueue(functions.once, f"{name}-{number:04}", depends_on=first)
        pairs.append((first, second))
    wait_for(lambda: jobs.effects_of(name))
    for child in worker.children:
        kill(child)  # the one that has a job is among them
    for _ in range(200 if full_size else 12):
        time.sleep(random.uniform(0.05, 0.4))
        for child in worker.children[:1]:
            kill(child)
    wait_for_job(*[job for pair in pairs for job in pair])
    again = 0
    for number, (first, second) in enumerate(pairs):
        prefix = f"{name}-{number:04}-"
        found = [each.removeprefix(prefix) for each in jobs.effects_of(prefix)]
        once = [each for each in found if each.startswith("once")]
        begun = {each for each in found if each.startswith("begun")}
        attempts = jobs.state(ours(first), "attempts")
        assert len(once) == 1
        assert f"ended-{first.result}" in found
        # a run may be killed before its first commit
        assert begun <= {f"begun-{of_run(first.id, each)}" for each in range(attempts)}
        assert first.result == of_run(first.id, attempts - 1)
        assert once == [f"once-{second.result}-after-{first.result}"]
        again += attempts - 1
    assert again
    assert worker.stop() == 0


def test_command(ckans_commands: Workers, name: str) -> None:
    """As systemd starts and stops it."""
    worker = ckans_commands.start(jobs__processes=2)
    job = enqueue(functions.note_process, name)
    wait_for_job(job)
    assert job.result in worker.children
    assert len(worker.children) == 2
    assert worker.stop() == 0
    assert "has stopped" in worker.said
