"""What becomes of a job whose step fails: the option ``retry`` of its task, and outages.

If PostgreSQL, Solr or Redis cannot be reached, that is no try of the task.
"""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import redis
import requests
import sqlalchemy as sa
from ckan import model
from ckan.lib import search
from ckan.lib.search.index import PackageSearchIndex
from ckan.lib.search.query import PackageSearchQuery
from ckan.tests import factories
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from ckanext.files.background import Job, RetryStrategy, control
from ckanext.files.background.retry import unreachable_service
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, engine
from ckanext.files.tests.support.jobs import let_time_pass, running, seconds_to_wait, shown, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.solr import solr_through_proxy, title_in_solr

loaded = load_plugins("files", "files_background")

THIRTY_DAYS = 30 * 24 * 3600.0


# the option


class Deciding(BaseRetryStrategy):
    """Decides always the same, for some tries."""

    def __init__(self, tries: int = 1000, **decision: Any) -> None:
        self.tries = tries
        self.decision = decision

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> RetryDecision | None:
        return RetryDecision(**self.decision) if job.attempts < self.tries else None


@pytest.fixture
def failing(make_task: Any, ran: list[Any]) -> Callable[..., Any]:
    """Make a task that fails until it was tried so often."""

    def failing(retry: Any, until: int = 1000, error: Exception | None = None) -> Any:
        @make_task(retry=retry)
        def work(times: int = 0) -> Any:
            ran.append((times, running().retries))
            if running().retries < until:
                raise error or ValueError("it fails")
            return work(times - 1) if times else None

        return work

    return failing


@pytest.mark.parametrize(
    ("retry", "attempts"), [(1, 2), (3, 4), (0, 1), (False, 1), (True, 21), (RetryStrategy(), 21)]
)
def test_a_number(retry: Any, attempts: int, failing: Any, run: Any) -> None:
    """The step is tried again that many times, at once; the last error is kept."""
    found = run(failing(retry, until=20).delay())
    assert found.attempts == attempts
    ended = ("succeeded", None) if attempts == 21 else ("failed", "ValueError: it fails")
    assert (found.status, found.error) == ended


def test_a_number_counts_for_each_step(failing: Any, ran: list[Any], run: Any) -> None:
    assert run(failing(2, until=2).delay(1)).status == "succeeded"
    assert ran == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [
        (RetryStrategy(max_attempts=3, wait=50), [50, 50, 50]),
        (RetryStrategy(max_attempts=3, linear_wait=100), [100, 200]),  # the first time at once
        (RetryStrategy(max_attempts=4, exponential_wait=9), [9, 81, 729, 6561]),
        (RetryStrategy(max_attempts=2, wait=100, exponential_wait=7), [107, 149]),
        # each wait ends, also if its number is too large for Python or PostgreSQL
        (
            RetryStrategy(max_attempts=22, exponential_wait=5),
            [min(5**number, THIRTY_DAYS) for number in range(1, 23)],
        ),
        (RetryStrategy(max_attempts=3, exponential_wait=1e200), [THIRTY_DAYS] * 3),  # pyright: ignore[reportArgumentType]
    ],
)
def test_strategy(strategy: RetryStrategy, waits: list[float], failing: Any, run: Any) -> None:
    job = failing(strategy).delay()
    for wait in waits:
        assert run(job).status == "todo"
        assert seconds_to_wait(job) == pytest.approx(wait, abs=8)
        let_time_pass()
    assert strategy.max_attempts
    found = run(job)
    assert (found.status, found.attempts) == ("failed", strategy.max_attempts + 1)


def test_only_for_some_exceptions(failing: Any, run: Any) -> None:
    strategy = RetryStrategy(max_attempts=2, retry_exceptions=[OSError, LookupError])
    for error, attempts in ((ValueError("no"), 1), (KeyError("yes"), 3), (ConnectionError(), 3)):
        assert run(failing(strategy, error=error).delay()).attempts == attempts


def test_time_of_a_strategy_without_a_time_zone(failing: Any, run: Any) -> None:
    strategy = Deciding(retry_at=dt.datetime(2020, 1, 1))
    assert run(failing(strategy, until=1).delay()).status == "succeeded"


def test_strategy_of_ones_own(failing: Any, run: Any) -> None:
    """It may move the job to another queue, and change its priority and lock."""
    strategy = Deciding(tries=2, retry_in={"seconds": 0}, queue="slow", priority=7, lock="l")
    found = run(failing(strategy).delay())
    assert (found.status, found.attempts) == ("failed", 3)
    assert (found.queue, found.priority, found.lock) == ("slow", 7, "l")


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (Deciding(nonsense=1), "unexpected keyword argument 'nonsense'"),
        (Deciding(queue="q" * 41), "longer than 40"),
        (Deciding(priority=2**40), "not within 32 bits"),
        (Deciding(retry_at="soon"), "'str' object has no attribute"),
    ],
)
def test_strategy_that_is_broken(strategy: Any, reason: str, failing: Any, run: Any) -> None:
    found = run(failing(strategy).delay())
    assert (found.status, found.error) == ("failed", "ValueError: it fails")
    assert "ValueError: it fails" in found.traceback
    assert reason in found.traceback
    assert run(sample.noop.delay()).status == "succeeded"


# outages: which errors


@pytest.fixture
def solr() -> Iterator[Proxy]:
    with solr_through_proxy() as proxy:
        yield proxy


@pytest.fixture
def nothing_there() -> Iterator[int]:
    """A port at which nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def service(call: Callable[[], Any]) -> str | None:
    """Return the service that, by its error, a call could not reach."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is asked
        call()
    return unreachable_service(caught.value)


def test_solr(solr: Proxy) -> None:
    """Without an answer; what it refuses is no outage."""
    dataset = factories.Dataset()["id"]
    query, connection = PackageSearchQuery(), search.make_connection()
    for refused in (
        lambda: connection.add([{"no": "id"}]),
        lambda: connection.search("{!nonsense"),
        lambda: query.run({"q": "{!nonsense"}),
        lambda: query.get_index("not-there"),
    ):
        assert service(refused) is None
    solr.refuse = True
    for call in (
        lambda: search.rebuild(dataset),
        lambda: PackageSearchIndex().delete_package({"id": dataset}),
        lambda: query.run({"q": "x"}),
        lambda: query.get_index(dataset),
        lambda: search.make_connection().ping(),
    ):
        assert service(call) == "Solr"


def test_redis_and_postgresql(nothing_there: int) -> None:
    """Another database than the session's, as the datastore may have."""
    away = redis.Redis(port=nothing_there, retry=Retry(NoBackoff(), 0))
    assert service(away.ping) == "Redis"
    away = sa.create_engine(engine().url.set(host="127.0.0.1", port=nothing_there))
    assert service(away.connect) == "PostgreSQL"
    assert service(lambda: psycopg2.connect(port=nothing_there)) == "PostgreSQL"
    with sa.create_engine(engine().url, poolclass=NullPool).connect() as connection:
        end = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
        assert service(lambda: connection.execute(end)) == "PostgreSQL"


def test_errors_of_the_task_itself(nothing_there: int) -> None:
    """PostgreSQL has answered, the server is another one, SQLAlchemy has no error of a driver."""
    for refused in ("1/0", "no_such_column", "1; SET statement_timeout = 1; SELECT pg_sleep(9)"):
        with engine().connect() as connection:
            statement = sa.text(f"SELECT {refused}")
            assert service(lambda: connection.execute(statement)) is None  # noqa: B023
    assert service(lambda: requests.get(f"http://127.0.0.1:{nothing_there}", timeout=5)) is None
    assert service(lambda: socket.create_connection(("", nothing_there))) is None
    assert unreachable_service(OperationalError("it fails", None, None)) is None  # pyright: ignore[reportArgumentType]


# outages: the job


def counted(job: Job) -> tuple[str, int, int]:
    """Return the state, and how often the next step has failed by itself, and by an outage."""
    return shown(job).status, state(job, "f.retries"), state(job, "f.outages")


def test_step_runs_again(solr: Proxy, tasks: TasksManager, effects: Effects, name: str) -> None:
    dataset = factories.Dataset(title="before")["id"]
    job = sample.write_and_patch.delay(name, dataset, "after")
    solr.refuse = True
    tasks.run_pending_jobs()
    assert counted(job) == ("todo", 0, 1)
    error = shown(job).error or ""
    assert error.startswith("Solr cannot be reached, pause 1 of 15: ckan.lib.search.")
    assert "pysolr.SolrError" in (shown(job).traceback or "")
    assert 0 < seconds_to_wait(job) <= 1
    assert not effects.exists(name)
    solr.refuse = False
    let_time_pass()
    tasks.run_pending_jobs()
    assert (shown(job).status, shown(job).error) == ("succeeded", None)
    assert effects.exists(name)
    assert title_in_solr(dataset) == "after"


def test_pauses(solr: Proxy, make_task: Any, tasks: TasksManager) -> None:
    """They grow, for ten minutes; then the job fails as for any other error."""

    @make_task
    def work() -> None:
        search.make_connection().ping()

    job = work.delay()
    solr.refuse = True
    waited = []
    for number in range(1, 16):
        tasks.run_pending_jobs()
        assert counted(job) == ("todo", 0, number)
        waited.append(seconds_to_wait(job))
        let_time_pass()
    assert waited == [pytest.approx(s, abs=2) for s in (1, 2, 4, 8, 16, 32, *[60] * 9)]
    assert sum(waited) == pytest.approx(600, abs=30)
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert (shown(job).error or "").startswith("pysolr.SolrError")
    # begun again by hand, it has as many pauses
    assert control.retry(job.id)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert counted(job) == ("todo", 0, 1)
    assert control.cancel(job.id) == "cancelled"


def test_beside_the_tries_of_the_task(
    solr: Proxy, make_task: Any, ran: list[Any], tasks: TasksManager
) -> None:
    """Tries and pauses are counted apart; each try has all the pauses."""

    @make_task(retry=1)
    def work(last: bool) -> Any:
        ran.append(running().retries)
        search.make_connection().ping()
        if work.fail:
            raise ValueError("it fails")
        return None if last else work(True)

    job = work.delay(False)

    def run(refuse: bool, fail: bool) -> tuple[str, int, int]:
        solr.refuse, work.fail = refuse, fail
        tasks.run_pending_jobs(most=1)
        let_time_pass()
        return counted(job)

    assert run(refuse=True, fail=False) == ("todo", 0, 1)
    assert run(refuse=True, fail=False) == ("todo", 0, 2)
    assert run(refuse=False, fail=True) == ("todo", 1, 0)
    assert run(refuse=True, fail=False) == ("todo", 1, 1)
    assert run(refuse=False, fail=False) == ("doing", 0, 0)
    assert run(refuse=True, fail=False) == ("todo", 0, 1)
    assert run(refuse=False, fail=False)[0] == "succeeded"
    assert ran == [0, 0, 0, 1, 1, 0, 0]
