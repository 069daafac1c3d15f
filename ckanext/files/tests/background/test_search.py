"""Finding jobs: what is found, in pages, and what PostgreSQL reads for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import bulk, counts, record, search
from ckanext.files.background.search import Search
from ckanext.files.tests.support import many_jobs, sample
from ckanext.files.tests.support.jobs import defer, state
from ckanext.files.tests.support.load_plugins import load_plugins

loaded = load_plugins("files", "files_background")

FEW = 400
TASK = "ckanext.example.tasks.task_1"
FILTERS: list[dict[str, Any]] = [
    {},
    {"status": ["failed"]},
    {"status": ["todo", "doing"], "queue": "reports"},
    {"status": ["succeeded"]},
    {"queue": "mails"},
    {"task": TASK},
    {"task": TASK, "status": ["failed"]},
    {"task": TASK, "status": ["succeeded", "failed"], "queue": "mails"},
    {"user_id": "ann"},
    {"user_id": "ann", "status": ["cancelled"]},
    {"text": "NO SUCH thing", "user_id": "ann"},
    {"text": "task_7"},
    {"text": "c81e728d9d4c2f636f067f89cc14862c"},  # an argument of the second one
    {"text": "all is", "queue": "slow"},
]


@pytest.fixture
def few() -> list[record.JobRecord]:
    """Jobs of two users, the newest first."""
    many_jobs.add_jobs(FEW, "ann")
    return list(record.page({}, FEW)[0])


def matches(job: record.JobRecord, filters: dict[str, Any]) -> bool:
    """Return what a search must find, without any index."""
    texts = (job.task, job.args_summary, job.text or "", job.error or "")
    text = filters.get("text", "").lower()
    return (
        job.status in filters.get("status", record.STATES)
        and all(filters.get(name, getattr(job, name)) == getattr(job, name) for name in NAMES)
        and any(text in each.lower() for each in texts)
    )


NAMES = ("queue", "task", "user_id")


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_pages(
    filters: dict[str, Any], few: list[record.JobRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages together have each job once, also when a page ends before it is full."""
    expected = [job.id for job in few if matches(job, filters)]
    assert expected
    assert [job.id for job in record.page(filters, 3, offset=2)[0]] == expected[2:5]
    monkeypatch.setattr(search, "WINDOW", 50)
    found: list[int] = []
    before, pages = None, 0
    while True:
        jobs, before = record.page(filters, 7, before=before)
        found += [job.id for job in jobs]
        pages += 1
        if before is None:
            break
        assert pages < 100
    assert found == expected


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_counts(
    filters: dict[str, Any], few: list[record.JobRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact, or up to a limit, or of the newest jobs only."""
    number = sum(matches(job, filters) for job in few)
    found = Search(filters)
    assert found.count() == search.Count(number, is_exact=True)
    for limit in (0, 3, number, FEW):
        assert found.count(found.find(limit)) == found.count()
    middle = few[FEW // 2].id
    older = sum(matches(job, filters) for job in few if job.id < middle)
    assert found.count(before=middle) == search.Count(older, is_exact=True)
    monkeypatch.setattr(search, "MOST", number - 1)
    assert found.count(found.find(FEW)) == found.count()
    assert Search(filters).count() == search.Count(number - 1, is_exact=False)
    monkeypatch.setattr(search, "MOST", number)
    assert Search(filters).count() == search.Count(number, is_exact=True)
    if "text" in filters:
        monkeypatch.setattr(search, "WINDOW", 5)
        assert not Search(filters).count().is_exact


def test_text_is_a_part_of_what_lists_show() -> None:
    """No pattern; not of large arguments, nor of an error below its first line."""

    def found(text: str) -> bool:
        return bool(Search({"text": text}).find(1).ids)

    defer(sample.anything, "50% off_", key="\u00c4RGER \U0001f4a5 <b>")
    defer(sample.anything, "needle" + "x" * 900_000)
    for text in ("50% off_", "\u00e4rger", "\U0001f4a5 <b>", "SAMPLE.any"):
        assert found(text), text
    for text in ("50_ off_", "5%f", "needle", "\\"):
        assert not found(text), text


def test_bulk(few: list[record.JobRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that match are changed once, batch by batch; others stay as they are."""
    monkeypatch.setattr(bulk, "_BATCH", 3)
    before = {job.id: job.status for job in few}

    def change(batches: Any) -> dict[int, str]:
        numbers = []
        for number in batches:
            model.Session.commit()
            numbers.append(number)
        jobs, _ = record.page({}, FEW)
        changed = {job.id: job.status for job in jobs if job.status != before[job.id]}
        before.update(changed)
        assert sum(numbers) == len(changed)
        assert len(numbers) > 1 or not changed
        return changed

    failed = {job.id for job in few if job.status == "failed" and job.queue == "mails"}
    filters = {"queue": "mails", "text": "no such", "status": ["failed", "succeeded"]}
    assert change(bulk.retry_found(filters)) == dict.fromkeys(failed, "todo")
    assert change(bulk.retry_found({"status": ["succeeded"]})) == {}
    waiting = {job_id for job_id, status in before.items() if status == "todo"}
    assert change(bulk.cancel_found({})) == dict.fromkeys(waiting, "cancelled")


def test_bulk_of_jobs_that_are_there(few: list[record.JobRecord]) -> None:
    """A job that comes after the call is not changed, however late the batches are asked for."""
    all_, none = bulk.cancel_found({}), bulk.cancel_found({"queue": "empty"})
    late = defer(sample.noop.configure(queue="empty"))
    assert sum(all_) == sum(job.status == "todo" for job in few)
    assert (sum(none), state(late)) == (0, "todo")


def test_bulk_of_running_jobs(owner: Any) -> None:
    jobs = [defer(sample.noop) for _ in range(3)]
    owner.claim()
    owner.commit()
    assert sum(bulk.cancel_found({}, now=True)) == 3
    model.Session.commit()
    assert [state(job) for job in jobs] == ["doing", "cancelled", "cancelled"]
    assert state(jobs[0], "abort_requested")
    assert state(jobs[0], "interrupt")


def test_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten jobs a second have ended until now: more than are counted, in the end."""
    many_jobs.add_jobs(2000, "ann")
    connection: Any = model.Session.connection()
    ended = counts.rate(connection)
    assert len(ended.minutes) == counts.MINUTES
    assert ended.since is None
    assert sum(minute.succeeded for minute in ended.minutes) == 2000
    assert 598 <= ended.minutes[-2].succeeded <= 602
    own = counts.rate(connection, "ann")
    assert 538 <= own.minutes[-2].succeeded <= 542
    monkeypatch.setattr(counts, "_ENDS", 600)
    cut = counts.rate(connection)
    assert sum(minute.succeeded for minute in cut.minutes) == 600
    assert cut.since
    assert (cut.minutes[-1].at - cut.since).total_seconds() + cut.minutes[-1].at.second + 60 > 58


CALLS: dict[str, Callable[[], Any]] = {
    **{f"page {each}": lambda each=each: record.page(each, 20) for each in FILTERS},
    **{f"count {each}": lambda each=each: Search(each).count() for each in FILTERS},
    "a page far back": lambda: record.page({"queue": "mails"}, 20, before=5000),
    "counts": lambda: counts.by_queue(model.Session.connection()),
    "counts of a user": lambda: counts.by_queue(model.Session.connection(), "ann"),
    "due": lambda: counts.due(model.Session.connection(), []),
    "rate": lambda: counts.rate(model.Session.connection()),
    "rate of a user": lambda: counts.rate(model.Session.connection(), "ann"),
}


def test_plans() -> None:
    """No question reads a whole table: more jobs do not make it slower."""
    many_jobs.add_jobs(30_000, "ann")
    for name, call in CALLS.items():
        found = many_jobs.plans(call)
        assert len(found) >= 1, name
        for plan in found:
            assert "Seq Scan on procrastinate_jobs" not in plan, f"{name}: {plan}"
            assert "Seq Scan on files_job" not in plan, f"{name}: {plan}"
            assert "Seq Scan on procrastinate_events" not in plan, f"{name}: {plan}"
    unindexed = sa.text(f"SELECT count(*) FROM {many_jobs.S}.files_job WHERE text = 'x'")
    [control] = many_jobs.plans(lambda: model.Session.execute(unindexed))
    assert "Seq Scan on files_job" in control
