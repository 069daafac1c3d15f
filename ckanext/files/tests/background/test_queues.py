"""Pausing queues: what a worker claims, statement by statement."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import BackgroundError, Job, control, queues, sql
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.jobs import defer, let_time_pass, shown, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.step_owner import StepOwner

loaded = load_plugins("files", "files_background")


@pytest.fixture(autouse=True)
def all_resumed() -> Iterator[None]:
    yield
    model.Session.remove()
    change(f"DELETE FROM {SCHEMA}.files_paused_queue")


def pause(*names: str) -> None:
    for name in names:
        queues.pause(name)
    model.Session.commit()
    assert queues.wait_for_claims()


def resume(name: str) -> bool:
    resumed = queues.resume(name)
    model.Session.commit()
    return resumed


def ask(queue: str, **options: Any) -> Job:
    return defer(sample.noop.configure(queue=queue, **options))


def claims(owner: StepOwner, of: list[str] | None = None) -> int | None:
    """Have the worker claim a job, and commit; return the id."""
    with engine().begin() as connection:
        claimed = connection.execute(
            sql.query("claim_job"), {"queues": of, "worker": owner.worker_id}
        ).scalar()
    return claimed and json.loads(claimed)["id"]


def test_jobs_of_a_paused_queue_wait(owner: StepOwner) -> None:
    """Whether they wait, are due after they were put off, or are between two steps."""
    between = ask("mails")
    owner.end_step(owner.claim(), goes_on=True)
    owner.commit()
    due, waits = ask("mails", countdown=100), ask("mails", priority=9)
    let_time_pass()
    assert queues.pause("mails")
    model.Session.rollback()
    assert not queues.paused()
    pause("mails")
    assert not queues.pause("mails")
    assert list(queues.paused()) == ["mails"]
    for of in (None, ["mails"], ["mails", "letters"]):
        assert claims(owner, of) is None
    assert [shown(job).paused for job in (between, due, waits)] == [True] * 3
    elsewhere = ask("letters")
    assert not shown(elsewhere).paused
    assert claims(owner, ["mails"]) is None
    assert claims(owner) == elsewhere.id
    assert resume("mails")
    assert not resume("mails")
    assert [claims(owner) for _ in range(4)] == [waits.id, between.id, due.id, None]


def test_order_of_certain_queues(owner: StepOwner) -> None:
    """By priority and age across the queues of a worker, or all but the paused ones."""
    asked = [ask(queue, priority=p).id for queue in "abc" for p in (1, 2, 1)]
    pause("c")
    assert [claims(owner) for _ in range(7)] == [asked[n] for n in (1, 4, 0, 2, 3, 5)] + [None]
    resume("c")
    assert [claims(owner, ["b", "c"]) for _ in range(4)] == [asked[n] for n in (7, 6, 8)] + [None]


@pytest.mark.parametrize(("paused", "outcome"), [("mails", "yielded"), ("letters", "stays")])
def test_the_step_that_runs_ends(paused: str, outcome: str, owner: StepOwner) -> None:
    """The worker does not go on with the same job, although no other one waits."""
    job, call = ask("mails"), json.dumps({"task": sample.noop.name, "args": {}})
    claim = owner.claim()
    owner.commit()
    pause(paused)
    query = f"SELECT _outcome FROM {SCHEMA}.files_end_step(%s, %s, 0, %s, 9, 'x', NULL, true)"
    assert owner._one(query, claim["id"], owner.worker_id, call) == outcome
    owner.commit()
    assert shown(job).running is (outcome == "stays")
    assert shown(job).paused is (outcome == "yielded")


def test_jobs_with_a_lock(owner: StepOwner) -> None:
    """They keep their order, and a paused one does not make long jobs yield all the time."""
    first, second = ask("mails", lock="x"), ask("letters", lock="x")
    pause("mails")
    assert claims(owner) is None
    assert (shown(first).paused, shown(second).locked) == (True, True)
    query = f"SELECT {SCHEMA}.files_locked_job_waits(NULL)"
    assert owner._one(query) is False
    owner.commit()
    resume("mails")
    assert owner._one(query) is True


def test_cancel_and_retry_while_paused(tasks: TasksManager) -> None:
    job = ask("mails")
    pause("mails")
    assert tasks.run_pending_jobs().steps == 0
    control.cancel(job.id)
    control.retry(job.id)
    model.Session.commit()
    assert tasks.run_pending_jobs().steps == 0
    resume("mails")
    assert tasks.run_pending_jobs().steps == 1
    assert state(job) == "succeeded"


def test_names() -> None:
    for bad in ("x" * 41, "\0", None):
        with pytest.raises(BackgroundError):
            queues.pause(bad)  # pyright: ignore[reportArgumentType]
    assert not queues.paused()


def test_a_pause_waits_for_claims(owner: StepOwner) -> None:
    """A worker that has looked for paused queues before, and commits its claim after."""
    ask("mails")
    owner.run("SET LOCAL application_name = 'ckan-files-worker:7'")
    owner.claim()
    waits = threading.Thread(target=pause, args=("mails",))
    waits.start()
    waits.join(0.3)
    assert waits.is_alive()
    owner.commit()
    waits.join(30)
    assert not waits.is_alive()


def test_a_pause_does_not_wait_for_ever(owner: StepOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for others who read the table, such as a backup."""
    owner.run(f"SELECT FROM {SCHEMA}.files_paused_queue")
    assert queues.wait_for_claims()
    monkeypatch.setattr(queues, "_PATIENCE", 0.1)
    owner.run("SET LOCAL application_name = 'ckan-files-worker:7'")
    assert not queues.wait_for_claims()


@pytest.mark.parametrize("of", [None, ["b"], ["a", "b"]])
def test_jobs_of_paused_queues_cost_nothing(of: list[str] | None, owner: StepOwner) -> None:
    """A claim reads only a few of the jobs that wait, of which most are of a paused queue."""
    with engine().begin() as connection:
        connection.execute(
            sa.text(f"""
                INSERT INTO {SCHEMA}.procrastinate_jobs (task_name, queue_name, scheduled_at)
                SELECT 'x', CASE WHEN n % 1000 = 0 THEN 'b' ELSE 'a' END,
                    CASE WHEN n % 2 = 0 THEN now() - interval '1 hour' END
                FROM generate_series(1, 20000) AS n
            """)
        )
    pause("a")
    read = (
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables"
        f" WHERE relid = '{SCHEMA}.procrastinate_jobs'::regclass"
    )
    before = owner._one(read)  # of earlier transactions of this session
    assert owner._one(f"SELECT {SCHEMA}.files_claim(%s, %s, true)", of, owner.worker_id)
    assert owner._one(read) - before < 50
