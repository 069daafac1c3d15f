"""Ending jobs and beginning them again, while workers work."""

from __future__ import annotations

import json
import select
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, control, record
from ckanext.files.background.errors import NotInstalledError
from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.jobs import UNKNOWN, cancel, defer, events_of, retry
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.step_owner import StepOwner, let_wait

loaded = load_plugins("files", "files_background")


def ask(queue: str = "default") -> Job:
    return defer(sample.noop.configure(queue=queue))


def claimed(owner: StepOwner) -> tuple[Job, dict[str, Any]]:
    """Ask for a job, and let the worker have it."""
    job, claim = ask(), owner.claim()
    owner.commit()
    return job, claim


def job_in(state: str, owner: StepOwner) -> Job:
    """Ask for a job, and bring it into a state; all but two with a step done before."""
    job = ask()
    if state not in ("todo", "cancelled"):
        claim = owner.claim()
        if state != "doing":
            owner.end_step(claim, goes_on=state != "succeeded")
        if state == "failed":
            owner.fail(owner.claim())
        owner.commit()
    if state in ("cancelled", "aborted"):
        cancel(job)
    return job


def row(job: Job) -> dict[str, Any]:
    """Return what is committed of a job, in both tables."""
    query = (
        "SELECT row_to_json(r) FROM (SELECT j.*, f.step, f.resume_order, f.retries, f.rescues,"
        f" f.call, f.error FROM {SCHEMA}.procrastinate_jobs j"
        f" LEFT JOIN {SCHEMA}.files_job f ON f.job_id = j.id WHERE j.id = :id) r"
    )
    return look(query, id=job.id)


# cancel


@pytest.mark.parametrize(
    ("state", "status", "history"),
    [
        ("todo", "cancelled", ["deferred", "cancelled"]),
        ("between steps", "aborted", ["deferred", "started", "aborted"]),
    ],
)
def test_cancel(state: str, status: str, history: list[str], owner: StepOwner) -> None:
    job = job_in(state, owner)
    before = row(job)
    assert bool(before["resume_order"]) == (state == "between steps")
    assert cancel(job) == status
    changed = {"status": status, "resume_order": None, "attempts": int(status == "aborted")}
    assert row(job) == {**before, **changed}
    assert events_of(job) == history
    assert cancel(job) is None


def test_nothing_happens(owner: StepOwner) -> None:
    """To a job that is not there, or when the transaction is rolled back."""
    assert control.cancel(UNKNOWN) is None
    assert not control.retry(UNKNOWN)
    job, ended = job_in("todo", owner), job_in("cancelled", owner)
    control.cancel(job.id)
    control.retry(ended.id)
    model.Session.rollback()
    assert (row(job)["status"], row(ended)["status"]) == ("todo", "cancelled")


# a worker at the same moment


def test_cancel_while_a_worker_claims(owner: StepOwner) -> None:
    job = ask()
    owner.claim()
    assert let_wait(lambda: control.cancel(job.id), owner.commit) == "doing"
    found = row(job)
    assert (found["status"], found["worker_id"]) == ("doing", owner.worker_id)
    assert found["abort_requested"]


@pytest.mark.parametrize(
    ("goes_on", "status", "after"), [(True, "aborted", "aborted"), (False, None, "succeeded")]
)
def test_cancel_while_a_step_ends(
    owner: StepOwner, goes_on: bool, status: str | None, after: str
) -> None:
    """A job that goes on had no place in the line when the statement began."""
    job, claim = claimed(owner)
    owner.end_step(claim, goes_on=goes_on)
    assert let_wait(lambda: control.cancel(job.id), owner.commit) == status
    assert (row(job)["status"], row(job)["resume_order"]) == (after, None)


def test_a_step_ends_while_a_user_cancels(owner: StepOwner) -> None:
    """As after the cancellation: the job ends with the step."""
    job, claim = claimed(owner)
    assert control.cancel(job.id) == "doing"
    canceller = model.Session()
    assert let_wait(lambda: owner.end_step(claim, goes_on=True), canceller.commit) == "aborted"
    owner.commit()
    assert row(job)["status"] == "aborted"
    assert events_of(job) == ["deferred", "started", "abort_requested", "aborted"]


def test_an_old_claim_commits_nothing_after_a_retry(owner: StepOwner) -> None:
    """Also if the same worker has the job again."""
    job, old = claimed(owner)
    owner.end_step(old, goes_on=True)
    owner.commit()
    assert cancel(job) == "aborted"
    assert retry(job)
    new = owner.claim()
    owner.commit()
    assert new["id"] == old["id"] == job.id
    assert owner.end_step(old, goes_on=False) == "lost"
    assert owner.end_step(new, goes_on=False) == "finished"


def test_many_at_once(loaded: Any) -> None:
    app, job = loaded(), ask()
    assert sorted(map(str, race(app, [lambda: cancel(job)] * 4))) == ["None"] * 3 + ["cancelled"]
    assert sorted(race(app, [lambda: retry(job)] * 4)) == [False] * 3 + [True]
    assert events_of(job) == ["deferred", "cancelled", "retried"]


# retry


@pytest.mark.parametrize("state", ["todo", "doing", "between steps", "succeeded"])
def test_nothing_to_retry(state: str, owner: StepOwner) -> None:
    job = job_in(state, owner)
    before = row(job)
    assert not retry(job)
    assert row(job) == before


@pytest.mark.parametrize("state", ["failed", "cancelled", "aborted"])
def test_retry(state: str, owner: StepOwner) -> None:
    """It goes on where it was; what went wrong can be read until a step goes well."""
    job = job_in(state, owner)
    owner.run(f"UPDATE {SCHEMA}.files_job SET retries = 3, rescues = 10")
    owner.commit()
    before = row(job)
    assert before["status"] == state
    assert retry(job)
    found = row(job)
    counted = {"retries": 0, "rescues": 0} if before["call"] else {}
    changed = {"status": "todo", "abort_requested": False, "worker_id": None, **counted}
    assert found == {**before, **changed, "scheduled_at": None, "resume_order": None}
    assert events_of(job)[-1] == "retried"
    assert events_of(job).count("retried") == 1
    claim = owner.claim()
    assert (claim["id"], claim["call"]) == (job.id, before["call"])
    assert owner.end_step(claim, goes_on=False) == "finished"
    owner.commit()
    assert row(job)["status"] == "succeeded"


def test_retry_wakes_the_workers() -> None:
    job = ask(queue="mails")
    cancel(job)
    channels = ["procrastinate_any_queue_v1", "procrastinate_queue_v1#mails"]
    connection: Any = engine().raw_connection()
    connection.detach()  # what it listens to ends with it
    with closing(connection) as listening:
        listening.set_session(autocommit=True)
        for channel in channels:
            listening.cursor().execute(f'LISTEN "{channel}"')
        assert retry(job)
        select.select([listening], [], [], 10)
        listening.poll()
        heard = sorted((each.channel, json.loads(each.payload)) for each in listening.notifies)
        payload = {"type": "job_inserted", "job_id": job.id}
        assert heard == [(channel, payload) for channel in channels]


def test_without_the_tables() -> None:
    """The error says what to run, and the transaction goes on."""
    model.Session.execute(sa.text(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away"))
    for call in (control.cancel, control.retry, record.history, record.arguments):
        with pytest.raises(NotInstalledError, match="ckan files background init"):
            call(1)
    assert model.Session.execute(sa.text("SELECT 7")).scalar() == 7
    model.Session.rollback()
