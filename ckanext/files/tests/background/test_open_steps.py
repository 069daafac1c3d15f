"""Steps of tasks that are not atomic: what they commit is real, and stays."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy.exc import OperationalError

from ckanext.files.background import UnknownTaskError, call, send_task, set_progress
from ckanext.files.background.call import find_task, is_known
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.shared import on_commit
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Rows, change, look
from ckanext.files.tests.support.jobs import effect_at_once, effects_of, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call as action

loaded = load_plugins("files", "files_background")
pytestmark = pytest.mark.usefixtures("effects")


@pytest.mark.parametrize("atomic", [False, True])
def test_what_a_step_commits_is_real(atomic: bool, make_task: Any, run: Any, name: str) -> None:
    """Other connections see it while the step runs. What it does not commit is dropped.

    Its actions commit, too. An atomic step is the control.
    """
    rows, dataset, seen = Rows(name), factories.Dataset(title="before")["id"], []
    title = "SELECT title FROM package WHERE id = :id"

    @make_task(atomic=atomic)
    def work() -> None:
        rows.write("committed")
        on_commit(lambda: seen.append("called back"))
        model.Session.commit()
        with pytest.raises(OperationalError) if atomic else nullcontext():
            rows.lock()  # as a request to its own site that changes the same
        action("package_patch", None, id=dataset, title="after")
        seen.append((rows.committed, look(title, id=dataset)))
        rows.write("left")

    assert run(work.delay()).status == "succeeded"
    if atomic:
        assert seen == [(set(), "before"), "called back"]
        assert rows.committed == {"committed", "left"}
    else:
        assert seen == ["called back", ({"committed"}, "after")]
        assert rows.committed == {"committed"}


def test_goes_on(make_task: Any, run: Any, tasks: TasksManager, name: str) -> None:
    """One job, each step by the rules of its own task; a step that fails is the last one."""
    rows = Rows(name)

    @make_task(atomic=False, percent=lambda left: 100 - 10 * left)
    def work(left: int) -> Any:
        rows.write(f"open-{left}")
        model.Session.commit()
        rows.write(f"left-{left}")
        if left == 1:
            set_progress(97, "nearly")
        return work(left - 1) if left else end()

    @make_task
    def end() -> None:
        rows.write("end")
        model.Session.commit()
        raise ValueError("nothing of this step stays")

    job = work.delay(2)
    tasks.run_pending_jobs(most=1)
    assert (shown(job).status, shown(job).step, shown(job).percent) == ("doing", 1, 90)
    failed = run(job)
    assert (failed.status, failed.step, failed.text) == ("failed", 3, "nearly")
    assert rows.committed == {"open-2", "open-1", "open-0"}


def test_failure(make_task: Any, run: Any, name: str) -> None:
    """What was committed stays, nothing else. ``retry`` and ``Task.retry`` count as ever."""
    rows = Rows(name)

    @make_task(atomic=False, retry=1)
    def work() -> None:
        rows.write(f"committed-{len(ran)}")
        model.Session.commit()
        rows.write(f"left-{len(ran)}")
        ran.append(1)
        if len(ran) == 1:
            work.retry(countdown=0)
        raise ValueError("it fails")

    ran: list[int] = []
    failed = run(work.delay())
    assert (failed.status, failed.error, failed.attempts) == ("failed", "ValueError: it fails", 2)
    assert rows.committed == {"committed-0", "committed-1"}


@pytest.mark.parametrize(
    ("atomic", "retry", "becomes"),
    [(False, 0, "failed"), (False, 1, "succeeded"), (True, 0, "todo")],
)
def test_outage(atomic: bool, retry: int, becomes: str, make_task: Any, run: Any) -> None:
    """Only the task decides whether it runs again: it may have sent a mail before.

    The control, an atomic step, begins again after a pause.
    """

    @make_task(atomic=atomic, retry=retry)
    def work() -> None:
        ran.append(1)
        if len(ran) == 1:
            raise redis.ConnectionError("it is away")

    ran: list[int] = []
    job = run(work.delay())
    assert (job.status, len(ran)) == (becomes, 1 + retry)


def test_taken_away(make_task: Any, run: Any, name: str) -> None:
    """While the step runs: what it commits stays, and its end is not written."""

    @make_task(atomic=False)
    def work(fails: bool) -> None:
        effect_at_once(f"{name}-{fails}")
        change(f"UPDATE {SCHEMA}.procrastinate_jobs SET attempts = attempts + 1")
        if fails:
            raise ValueError("it fails")

    for fails in (False, True):
        job = run(work.delay(fails))
        assert (job.status, job.attempts, job.step, job.error) == ("doing", 1, 0, None)
        change(f"DELETE FROM {SCHEMA}.procrastinate_jobs")
    assert effects_of(name) == [f"{name}-False", f"{name}-True"]


def test_within_the_transaction_of_a_test(make_task: Any, tasks: TasksManager, name: str) -> None:
    rows = Rows(name)

    @make_task(atomic=False)
    def work() -> None:
        rows.write("committed")
        model.Session.commit()
        rows.write("left")

    work.delay()
    tasks.run_pending_jobs(commit=False)
    assert len(tasks.succeeded_jobs) == 1
    count = sa.text("SELECT count(*) FROM files_test_effect WHERE starts_with(name, :name)")
    assert model.Session.execute(count, {"name": name}).scalar() == 1
    model.Session.rollback()
    assert tasks.jobs == {}
    assert rows.committed == set()


# tasks that no decorator has made


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that knows one more name."""
    known = {"other.work": sample.write}
    monkeypatch.setattr(call, "resolvers", [lambda name: None, known.get])


def test_resolvers(tasks: TasksManager, resolver: None, name: str) -> None:
    """They are asked last, and all that finds tasks by name finds these."""
    assert is_known("other.work")
    assert not is_known("other.play")
    assert find_task(sample.noop.name) is sample.noop
    with pytest.raises(UnknownTaskError, match=f"Did you mean {sample.noop.name}?"):
        find_task(f"{sample.noop.name}s")
    send_task("other.work", [name])
    tasks.run_pending_jobs()
    assert [job["status"] for job in tasks.jobs.values()] == ["succeeded"]
    assert effects_of(name) == [name]
