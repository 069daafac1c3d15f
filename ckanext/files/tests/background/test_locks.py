"""Locks order jobs, and of the jobs with one queueing lock one waits at a time."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from psycopg2.errors import LockNotAvailable

from ckanext.files.background import AlreadyEnqueuedError, Job, control, record
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, count_commits
from ckanext.files.tests.support.jobs import let_time_pass, running, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.step_owner import StepOwner
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_background", "files_test_probe")


@pytest.fixture
def work(make_task: Any, ran: list[Any]) -> Any:
    """A task with a lock that is tried again later, ``again`` times."""

    @make_task(lock="one")
    def work(name: str, again: int = 0) -> None:
        ran.append(name)
        if running().retries < again:
            work.retry()

    return work


@pytest.mark.parametrize("priority", [0, 5])
def test_lock_orders_no_job_while_it_waits(
    priority: int, work: Any, ran: list[Any], tasks: TasksManager
) -> None:
    """A job that is not due blocks no other, even if it comes first once it is due."""
    jobs = [work.configure(priority=priority).delay("a", 1), work.delay("b", 1), work.delay("c", 1)]
    tasks.run_pending_jobs(most=3)
    assert ran == ["a", "b", "c"]
    assert [shown(job).status for job in jobs] == ["todo"] * 3
    let_time_pass()
    tasks.run_pending_jobs()
    assert ran[3:] == ["a", "b", "c"]


def test_lock_orders_no_job_while_it_is_put_off(
    work: Any, ran: list[Any], tasks: TasksManager
) -> None:
    work.configure(countdown=3600, priority=5).delay("later")
    work.delay("now")
    tasks.run_pending_jobs()
    assert ran == ["now"]
    work.delay("next")
    let_time_pass()
    tasks.run_pending_jobs()
    assert ran == ["now", "later", "next"]


def test_lock_between_two_steps(make_task: Any, ran: list[Any], tasks: TasksManager) -> None:
    """A job that has begun keeps its lock, also while other jobs run."""

    @make_task(lock="one")
    def work(name: str, steps: int = 3) -> Any:
        ran.append(name)
        return work(name, steps - 1) if steps > 1 else None

    @make_task
    def other() -> None:
        ran.append("other")

    work.delay("a")
    work.configure(priority=5).delay("b")
    tasks.run_pending_jobs(most=1)
    work.configure(priority=9).delay("c")
    other.configure(priority=5).delay()
    tasks.run_pending_jobs()
    assert [name for name in ran if name != "other"] == ["b"] * 3 + ["c"] * 3 + ["a"] * 3
    assert "other" in ran[1:4]


# queueing locks


def ask(lock: str = "one") -> Job:
    return sample.noop.configure(queueing_lock=lock).delay()


def committed(job: Job) -> Job:
    model.Session.commit()
    return job


def seen(job: Job) -> tuple[str, str | None]:
    model.Session.rollback()
    return shown(job).status, shown(job).queueing_lock


@pytest.mark.parametrize("lock", ["one", ""])
def test_queueing_lock(lock: str, effects: Effects, name: str, tasks: TasksManager) -> None:
    """One waits at a time; after a second request the transaction goes on."""
    first = ask(lock)
    effects.write(name)
    for _ in range(2):
        with pytest.raises(AlreadyEnqueuedError, match=lock):
            ask(lock)
    with pytest.raises(AlreadyEnqueuedError, match=lock):
        sample.noop.configure(queueing_lock=lock).batch_defer({}, {})
    ask(f"{lock}-2")
    model.Session.commit()
    assert effects.exists(name)
    assert len(tasks.jobs) == 2
    tasks.run_pending_jobs()
    assert ask(lock).id > first.id


def test_queueing_lock_within_an_action(
    hooks: Any, effects: Effects, name: str, tasks: TasksManager
) -> None:
    user = new_user()

    def ask_twice(*_: Any) -> None:
        ask()
        with pytest.raises(AlreadyEnqueuedError):
            ask()
        effects.write(name)

    hooks["before:package_create"] = ask_twice
    with count_commits() as commits:
        tk.get_action("package_create")({"user": user}, {"name": name})
    assert len(commits) == 1
    assert effects.exists(name)
    assert len(tasks.jobs) == 1


def test_queueing_lock_is_kept_while_it_waits(work: Any, tasks: TasksManager) -> None:
    """Also for another try: then it waits, too."""
    one = work.configure(queueing_lock="one")
    job = one.delay("a", 2)
    for _ in range(2):
        tasks.run_pending_jobs()
        assert (shown(job).status, shown(job).queueing_lock) == ("todo", "one")
        with pytest.raises(AlreadyEnqueuedError):
            one.delay("b")
        let_time_pass()
    tasks.run_pending_jobs()
    assert shown(job).status == "succeeded"
    one.delay("b")


def claimed(owner: StepOwner) -> tuple[Job, dict[str, Any]]:
    """Return a job that runs."""
    job = committed(ask())
    claim = owner.claim()
    owner.commit()
    return job, claim


def test_another_job_waits_by_now(owner: StepOwner) -> None:
    """Both wait then, and no third one; what went wrong is kept."""
    job, claim = claimed(owner)
    other = committed(ask())
    assert owner.fail(claim, again=True)
    owner.commit()
    assert seen(job) == ("todo", None)
    assert seen(other) == ("todo", "one")
    assert (shown(job).error, shown(job).attempts) == ("E: wrong", 1)
    assert [event.type for event in record.history(job.id)].count("deferred_for_retry") == 1
    with pytest.raises(AlreadyEnqueuedError):
        ask()
    assert {owner.claim()["id"] for _ in range(2)} == {job.id, other.id}


@pytest.mark.parametrize("commits", [True, False])
def test_another_job_is_just_asked_for(owner: StepOwner, commits: bool) -> None:
    """The worker does not wait for that commit: it writes the failure later."""
    job, claim = claimed(owner)
    other = ask()
    with pytest.raises(LockNotAvailable):
        owner.fail(claim, again=True)
    owner.rollback()
    model.Session.commit() if commits else model.Session.rollback()
    assert owner.fail(claim, again=True)
    owner.commit()
    assert seen(job) == ("todo", None if commits else "one")
    if commits:
        assert seen(other) == ("todo", "one")


@pytest.mark.parametrize("another", [True, False])
def test_retry_by_hand(another: bool) -> None:
    job = committed(ask())
    control.cancel(job.id)
    other = committed(ask()) if another else None
    assert control.retry(job.id)
    model.Session.commit()
    assert seen(job) == ("todo", None if another else "one")
    if other:
        assert seen(other) == ("todo", "one")
    with pytest.raises(AlreadyEnqueuedError):
        ask()
