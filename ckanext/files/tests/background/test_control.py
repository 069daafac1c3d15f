"""Ending jobs and beginning them again, while workers work."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, control, record
from ckanext.files.background.errors import NotInstalledError
from ckanext.files.background.schema import SCHEMA
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.step_owner import StepOwner, let_wait

loaded = load_plugins("files", "files_background")

UNKNOWN = 4_000_000_000


@pytest.fixture
def hands() -> Iterator[StepOwner]:
    hands = StepOwner()
    yield hands
    hands.close()


def ask(queue: str = "default", **options: Any) -> Job:
    job = sample.noop.configure(queue=queue, **options).delay()
    model.Session.commit()
    return job


def cancel(job: Job) -> str | None:
    status = control.cancel(job.id)
    model.Session.commit()
    return status


def retry(job: Job) -> bool:
    again = control.retry(job.id)
    model.Session.commit()
    return again


def row(job: Job) -> dict[str, Any]:
    """Return what is committed of a job, in both tables."""
    query = (
        "SELECT row_to_json(r) FROM (SELECT j.*, f.step, f.resume_order, f.retries, f.rescues,"
        f" f.call, f.error FROM {SCHEMA}.procrastinate_jobs j"
        f" LEFT JOIN {SCHEMA}.files_job f ON f.job_id = j.id WHERE j.id = :id) r"
    )
    return look(query, id=job.id)


def events(job: Job) -> list[str]:
    return [event.type for event in record.history(job.id)]


# cancel


def test_cancel_a_job_that_waits(hands: StepOwner) -> None:
    job = ask()
    assert cancel(job) == "cancelled"
    assert row(job)["status"] == "cancelled"
    assert not row(job)["abort_requested"]
    assert events(job) == ["deferred", "cancelled"]
    assert cancel(job) is None


def test_cancel_a_job_that_runs(hands: StepOwner) -> None:
    job = ask()
    claim = hands.claim()
    hands.commit()
    assert cancel(job) == "doing"
    assert row(job)["abort_requested"]
    assert hands.end_step(claim, goes_on=True) == "aborted"
    hands.commit()
    assert events(job) == ["deferred", "started", "abort_requested", "aborted"]


def test_cancel_a_job_between_two_steps(hands: StepOwner) -> None:
    job = ask()
    hands.end_step(hands.claim(), goes_on=True)
    hands.commit()
    assert row(job)["resume_order"]
    assert cancel(job) == "aborted"
    found = row(job)
    assert (found["status"], found["resume_order"], found["step"], found["attempts"]) == (
        "aborted",
        None,
        1,
        1,
    )
    assert events(job) == ["deferred", "started", "aborted"]


def test_cancel_what_is_not_there() -> None:
    assert control.cancel(UNKNOWN) is None
    assert not control.retry(UNKNOWN)


def test_rollback_undoes_both(hands: StepOwner) -> None:
    job, ended = ask(), ask()
    cancel(ended)
    control.cancel(job.id)
    control.retry(ended.id)
    model.Session.rollback()
    assert (row(job)["status"], row(ended)["status"]) == ("todo", "cancelled")


# a worker at the same moment


def test_cancel_while_a_worker_claims(hands: StepOwner) -> None:
    job = ask()
    hands.claim()
    assert let_wait(lambda: control.cancel(job.id), hands.commit) == "doing"
    found = row(job)
    assert (found["status"], found["worker_id"]) == ("doing", hands.worker_id)
    assert found["abort_requested"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_cancel_while_a_step_ends(hands: StepOwner, goes_on: bool) -> None:
    job = ask()
    claim = hands.claim()
    hands.commit()
    hands.end_step(claim, goes_on=goes_on)
    status = let_wait(lambda: control.cancel(job.id), hands.commit)
    found = row(job)
    if goes_on:
        # it had no place in the line when the statement began
        assert (status, found["status"], found["resume_order"]) == ("aborted", "aborted", None)
    else:
        assert (status, found["status"]) == (None, "succeeded")


def test_a_step_ends_while_somebody_cancels(hands: StepOwner) -> None:
    job = ask()
    claim = hands.claim()
    hands.commit()
    assert control.cancel(job.id) == "doing"
    outcomes: list[str] = []
    canceller = model.Session()
    let_wait(
        lambda: outcomes.append(hands.end_step(claim, goes_on=True)), lambda: canceller.commit()
    )
    hands.commit()
    assert outcomes == ["aborted"]
    assert row(job)["status"] == "aborted"


def test_an_old_claim_commits_nothing_after_a_retry(hands: StepOwner) -> None:
    """Also if the same worker has the job again."""
    job = ask()
    old = hands.claim()
    hands.end_step(old, goes_on=True)
    hands.commit()
    assert cancel(job) == "aborted"
    assert retry(job)
    new = hands.claim()
    hands.commit()
    assert new["id"] == old["id"] == job.id
    assert hands.end_step(old, goes_on=False) == "lost"
    assert hands.end_step(new, goes_on=False) == "finished"


def test_many_at_once(loaded: Any) -> None:
    app, job = loaded(), ask()
    assert sorted(map(str, race(app, [lambda: cancel(job)] * 4))) == ["None"] * 3 + ["cancelled"]
    assert sorted(race(app, [lambda: retry(job)] * 4)) == [False] * 3 + [True]
    assert events(job) == ["deferred", "cancelled", "retried"]


# retry


@pytest.mark.parametrize("end", ["failed", "cancelled", "aborted"])
def test_retry(hands: StepOwner, end: str) -> None:
    job = ask()
    if end != "cancelled":
        hands.end_step(hands.claim(), goes_on=True)
        hands.commit()
    if end == "failed":
        hands.fail(hands.claim())
        hands.commit()
    else:
        cancel(job)
    before = row(job)
    assert before["status"] == end
    assert retry(job)
    found = row(job)
    assert found["status"] == "todo"
    assert not found["abort_requested"]
    assert found["worker_id"] is found["scheduled_at"] is found["resume_order"] is None
    # it goes on where it was, and what went wrong can be read until a step goes well
    for name in ("attempts", "step", "call", "error"):
        assert found[name] == before[name], name
    assert events(job)[-1] == "retried"
    assert events(job).count("retried") == 1
    claim = hands.claim()
    assert (claim["id"], claim["call"]) == (job.id, before["call"])
    assert hands.end_step(claim, goes_on=False) == "finished"
    hands.commit()
    assert row(job)["status"] == "succeeded"
    assert not retry(job)


def test_retry_begins_to_count_anew(hands: StepOwner) -> None:
    job = ask()
    hands.fail(hands.claim())
    hands.run(f"UPDATE {SCHEMA}.files_job SET retries = 3, rescues = 10")
    hands.commit()
    assert retry(job)
    assert (row(job)["retries"], row(job)["rescues"], row(job)["attempts"]) == (0, 0, 1)


@pytest.mark.parametrize("status", ["todo", "doing", "between steps", "succeeded"])
def test_nothing_to_retry(hands: StepOwner, status: str) -> None:
    job = ask()
    if status != "todo":
        claim = hands.claim()
        if status != "doing":
            hands.end_step(claim, goes_on=status != "succeeded")
        hands.commit()
    before = row(job)
    assert not retry(job)
    assert row(job) == before


def test_retry_of_a_job_that_was_put_off(hands: StepOwner) -> None:
    job = ask(countdown=3600)
    cancel(job)
    assert retry(job)
    assert hands.claim()["id"] == job.id


def test_retry_beside_a_job_with_the_same_queueing_lock(hands: StepOwner) -> None:
    job = ask(queueing_lock="one")
    cancel(job)
    other = ask(queueing_lock="one")
    assert retry(job)
    assert [hands.claim()["id"] for _ in range(2)] == [job.id, other.id]


def test_retry_wakes_the_workers() -> None:
    job = ask(queue="mails")
    cancel(job)
    listening: Any = engine().raw_connection()
    channels = ["procrastinate_any_queue_v1", "procrastinate_queue_v1#mails"]
    try:
        with listening.cursor() as cursor:
            for channel in channels:
                cursor.execute(f'LISTEN "{channel}"')
        listening.commit()

        def heard(seconds: float) -> list[tuple[str, Any]]:
            select.select([listening], [], [], seconds)
            listening.poll()
            found = [(note.channel, json.loads(note.payload)) for note in listening.notifies]
            listening.notifies.clear()
            return sorted(found, key=lambda pair: pair[0])

        assert control.retry(job.id)
        assert heard(0.2) == []
        model.Session.commit()
        payload = {"type": "job_inserted", "job_id": job.id}
        assert heard(10) == [(channel, payload) for channel in channels]
    finally:
        with listening.cursor() as cursor:
            cursor.execute("UNLISTEN *")
        listening.commit()
        listening.close()


def test_without_the_tables() -> None:
    """The error says what to run, and the transaction goes on."""
    model.Session.execute(sa.text(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away"))
    try:
        for call in (control.cancel, control.retry, record.find, record.history):
            with pytest.raises(NotInstalledError, match="ckan files background init"):
                call(1)
        with pytest.raises(NotInstalledError):
            record.page({}, 1)
        with pytest.raises(NotInstalledError):
            record.count({})
        assert model.Session.execute(sa.text("SELECT 7")).scalar() == 7
    finally:
        model.Session.rollback()
