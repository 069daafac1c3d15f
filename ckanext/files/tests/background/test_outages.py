"""Failures of PostgreSQL, Solr and Redis: they are no try of the task."""

from __future__ import annotations

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
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from ckanext.files.background import Job, control
from ckanext.files.background.retry import unreachable_service
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import Effects, engine
from ckanext.files.tests.support.job_rows import let_time_pass, seconds_to_wait, shown
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.proxy import Proxy
from ckanext.files.tests.support.solr import solr_through_proxy, title_in_solr

loaded = load_plugins("files", "files_background")

pytestmark = pytest.mark.usefixtures("effects")


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


def raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is asked
        call()
    return caught.value


def note(job: Job, column: str) -> int:
    query = sa.text(f"SELECT {column} FROM {SCHEMA}.files_job WHERE job_id = :id")
    return model.Session.execute(query, {"id": job.id}).scalar_one()


# which errors


def test_solr(solr: Proxy) -> None:
    dataset = factories.Dataset()
    solr.refuse = True
    index, query = PackageSearchIndex(), PackageSearchQuery()
    for call in (
        lambda: search.rebuild(dataset["id"]),
        lambda: index.delete_package({"id": dataset["id"]}),
        lambda: query.run({"q": "x"}),
        lambda: query.get_index(dataset["id"]),
        lambda: search.make_connection().ping(),
    ):
        assert unreachable_service(raised(call)) == "Solr"


def test_what_solr_refuses(solr: Proxy) -> None:
    """It has answered."""
    connection = search.make_connection()
    for call in (
        lambda: connection.add([{"no": "id"}]),
        lambda: connection.search("{!nonsense"),
        lambda: PackageSearchQuery().run({"q": "{!nonsense"}),
        lambda: PackageSearchQuery().get_index("not-there"),
    ):
        assert unreachable_service(raised(call)) is None


def test_redis(nothing_there: int) -> None:
    away = redis.Redis(port=nothing_there)
    assert unreachable_service(raised(away.ping)) == "Redis"


def test_postgresql(nothing_there: int) -> None:
    """Another database than the session's, as the datastore may have."""
    url = engine().url.set(host="127.0.0.1", port=nothing_there)
    away = sa.create_engine(url)
    assert unreachable_service(raised(away.connect)) == "PostgreSQL"
    assert unreachable_service(raised(lambda: psycopg2.connect(port=nothing_there))) == "PostgreSQL"
    with sa.create_engine(engine().url, poolclass=NullPool).connect() as connection:
        end = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
        assert unreachable_service(raised(lambda: connection.execute(end))) == "PostgreSQL"


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1/0", "SELECT no_such_column", "SET statement_timeout = 1; SELECT pg_sleep(9)"],
)
def test_what_postgresql_refuses(statement: str) -> None:
    with engine().connect() as connection:
        error = raised(lambda: connection.execute(sa.text(statement)))
        assert unreachable_service(error) is None


def test_error_without_one_of_the_driver() -> None:
    """As code raises it that is not SQLAlchemy's."""
    assert unreachable_service(OperationalError("it fails", None, None)) is None  # pyright: ignore[reportArgumentType]


def test_another_server(nothing_there: int) -> None:
    """Its errors are the task's own."""
    error = raised(lambda: requests.get(f"http://127.0.0.1:{nothing_there}", timeout=5))
    assert unreachable_service(error) is None
    error = raised(lambda: socket.create_connection(("", nothing_there)))
    assert unreachable_service(error) is None


# the job


def test_step_runs_again(solr: Proxy, tasks: TasksManager, effects: Effects, unique: Any) -> None:
    name, dataset = unique("job"), factories.Dataset(title="before")
    job = sample.write_and_patch.delay(name, dataset["id"], "after")
    solr.refuse = True
    tasks.run_pending_jobs()
    assert (shown(job).status, note(job, "retries"), note(job, "outages")) == ("todo", 0, 1)
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
    assert title_in_solr(dataset["id"]) == "after"


def test_pauses(solr: Proxy, tasks: TasksManager, unique: Any) -> None:
    """They grow, for ten minutes; then the job fails as for any other error."""
    job = sample.write_and_patch.delay(unique("job"), factories.Dataset()["id"], "after")
    solr.refuse = True
    waited = []
    for number in range(1, 16):
        tasks.run_pending_jobs()
        assert note(job, "outages") == number
        waited.append(seconds_to_wait(job))
        let_time_pass()
    assert waited == [pytest.approx(s, abs=2) for s in (1, 2, 4, 8, 16, 32, *[60] * 9)]
    assert sum(waited) == pytest.approx(600, abs=30)
    tasks.run_pending_jobs()
    assert shown(job).status == "failed"
    assert (shown(job).error or "").startswith("ckan.lib.search.")
    # and is begun again by hand, with as many pauses
    assert control.retry(job.id)
    model.Session.commit()
    tasks.run_pending_jobs()
    assert (shown(job).status, note(job, "outages")) == ("todo", 1)


def test_beside_the_tries_of_the_task(define: Any, solr: Proxy, tasks: TasksManager) -> None:
    """Tries and pauses are counted apart; each try has all the pauses."""
    module = define("""
        from ckan.lib import search
        ran = []
        fail = False

        @task(retry=1)
        def work(last):
            ran.append(current_job().retries)
            search.make_connection().ping()
            if fail:
                raise ValueError("it fails")
            return None if last else work(True)
    """)
    job = module.work.delay(False)

    def run(refuse: bool, fail: bool) -> tuple[str, int, int]:
        solr.refuse, module.fail = refuse, fail
        tasks.run_pending_jobs(most=1)
        let_time_pass()
        return shown(job).status, note(job, "retries"), note(job, "outages")

    assert run(refuse=True, fail=False) == ("todo", 0, 1)
    assert run(refuse=True, fail=False) == ("todo", 0, 2)
    assert run(refuse=False, fail=True) == ("todo", 1, 0)
    assert run(refuse=True, fail=False) == ("todo", 1, 1)
    assert run(refuse=False, fail=False) == ("doing", 0, 0)
    assert run(refuse=True, fail=False) == ("todo", 0, 1)
    assert run(refuse=False, fail=False)[0] == "succeeded"
    assert module.ran == [0, 0, 0, 1, 1, 0, 0]


def test_job_that_waits_is_cancelled(solr: Proxy, tasks: TasksManager, unique: Any) -> None:
    job = sample.write_and_patch.delay(unique("job"), factories.Dataset()["id"], "after")
    solr.refuse = True
    tasks.run_pending_jobs()
    assert control.cancel(job.id) == "cancelled"
