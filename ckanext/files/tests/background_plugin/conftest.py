"""Fixtures of the tests of actions and commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ckan import model
from werkzeug.test import Client as HttpClient

from ckanext.files import advisory_locks
from ckanext.files.background import Job, control
from ckanext.files.background.testing import TasksManager
from ckanext.files.background.worker.listener import Listener
from ckanext.files.background.worker.queries import WorkerQueries
from ckanext.files.tests.background.conftest import job_tables, make_task, name, no_jobs_left, owner
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.jobs import state
from ckanext.files.tests.support.portal import Client
from ckanext.files.tests.support.waiting import wait_for

__all__ = ["job_tables", "make_task", "name", "no_jobs_left", "owner"]


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    """CKAN's test application; it answers as a server does when an action fails."""
    app = loaded()
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


class Cast:
    def __init__(self, app: Any) -> None:
        self.app = app
        self.owner = Client(app)
        self.other = Client(app)
        self.sysadmin = Client(app, sysadmin=True)
        self.anonymous = Client(app, anonymous=True)


@pytest.fixture(scope="module")
def cast(app: Any, effects: Any) -> Cast:
    return Cast(app)


@pytest.fixture
def ask_for(cast: Cast, tasks: TasksManager, hooks: Any, unique: Any) -> Callable[..., Job]:
    """Ask for a job over the API, as a user."""

    def ask(call: Callable[[], Job], client: Client = cast.owner) -> Job:
        jobs: list[Job] = []
        hooks["before:package_create"] = lambda *_: jobs.append(call())
        client.result("package_create", name=unique("dataset"))
        hooks.clear()
        return jobs[0]

    return ask


@pytest.fixture
def one_of_each(tasks: TasksManager, effects: Any, name: str) -> dict[str, Job]:
    """A job in each state in which no worker has it."""
    found = {"succeeded": sample.noop.delay(), "failed": sample.fail_after.delay(name)}
    tasks.run_pending_jobs()
    found |= {"cancelled": sample.noop.delay(), "todo": sample.write.delay(name)}
    control.cancel(found["cancelled"].id)
    model.Session.commit()
    assert [state(job) for job in found.values()] == list(found)
    return found


@pytest.fixture
def browser(app: Any, cast: Any) -> Any:
    """The owner of jobs, logged in with a session, as in a browser."""
    user = model.User.get(cast.owner.name)
    assert user
    user.password = PASSWORD
    model.Session.commit()
    client = HttpClient(app.app)
    answer = client.post("/user/login", data={"login": cast.owner.name, "password": PASSWORD})
    assert answer.status_code == 302
    return client


PASSWORD = "correct horse battery"


class LiveWorker(WorkerQueries):
    """The queries of a worker for the queues mails and letters, with its second connection."""

    def __init__(self) -> None:
        super().__init__(engine())
        self.register(["mails", "letters"], 3)
        self._listener = Listener(engine(), [])
        self._listener.open(self.worker_id)

    def die(self) -> None:
        """Close the connection that shows that the worker lives."""
        self._listener.close()
        # other databases of the server may have workers with the same id
        held = """
            SELECT EXISTS (SELECT FROM pg_locks WHERE classid = :key AND objid = :id AND database =
                (SELECT oid FROM pg_database WHERE datname = current_database()))
        """
        wait_for(lambda: not look(held, key=advisory_locks.WORKER, id=self.worker_id))


@pytest.fixture
def worker() -> Iterator[LiveWorker]:
    worker = LiveWorker()
    yield worker
    worker.die()
    worker.release_all()
    worker.unregister()
    worker.close()
