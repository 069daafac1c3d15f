"""Of the jobs with one queueing lock one waits at a time, also when one waits again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ckan import model
from psycopg2.errors import LockNotAvailable

from ckanext.files.background import AlreadyEnqueuedError, Job, control, record
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.step_owner import StepOwner

loaded = load_plugins("files", "files_background")


@pytest.fixture
def hands() -> Iterator[StepOwner]:
    hands = StepOwner()
    yield hands
    hands.close()


def ask() -> Job:
    return sample.noop.configure(queueing_lock="one").delay()


def committed(job: Job) -> Job:
    model.Session.commit()
    return job


def seen(job: Job) -> tuple[str, str | None]:
    model.Session.rollback()
    found = record.find(job.id)
    assert found
    return found.status, found.queueing_lock


def claimed(hands: StepOwner) -> tuple[Job, dict[str, Any]]:
    """Return a job that runs."""
    job = committed(ask())
    claim = hands.claim()
    hands.commit()
    return job, claim


def test_step_that_is_tried_again(hands: StepOwner) -> None:
    job, claim = claimed(hands)
    assert hands.fail(claim, again=True)
    hands.commit()
    assert seen(job) == ("todo", "one")
    with pytest.raises(AlreadyEnqueuedError):
        ask()


def test_another_job_waits_by_now(hands: StepOwner) -> None:
    """Both wait then, and no third one; what went wrong is kept."""
    job, claim = claimed(hands)
    other = committed(ask())
    assert hands.fail(claim, again=True)
    hands.commit()
    assert seen(job) == ("todo", None)
    assert seen(other) == ("todo", "one")
    [found] = record.page({"id": job.id}, 1)
    assert (found.error, found.attempts) == ("E: wrong", 1)
    assert [event.type for event in record.history(job.id)].count("deferred_for_retry") == 1
    with pytest.raises(AlreadyEnqueuedError):
        ask()
    assert {hands.claim()["id"] for _ in range(2)} == {job.id, other.id}


@pytest.mark.parametrize("commits", [True, False])
def test_another_job_is_just_asked_for(hands: StepOwner, commits: bool) -> None:
    """The worker does not wait for that commit: it writes the failure later."""
    job, claim = claimed(hands)
    other = ask()
    with pytest.raises(LockNotAvailable):
        hands.fail(claim, again=True)
    hands.rollback()
    model.Session.commit() if commits else model.Session.rollback()
    assert hands.fail(claim, again=True)
    hands.commit()
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
