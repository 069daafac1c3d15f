"""Over HTTP: the answer, what stays, and the next request in the same process."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.plugins import toolkit as tk
from ckan.tests import factories

from ckanext.files.shared import add_task
from ckanext.files.tests.support.client import Client
from ckanext.files.tests.support.effects import Rows, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbeError, fail, in_hold
from ckanext.files.tests.support.solr import titles
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "activity", "files_test_probe")


@pytest.fixture(scope="module")
def app(loaded: Any, migrate_db_for: Any) -> Any:
    migrate_db_for("activity")
    app = loaded()
    # the test application would let exceptions through to the test
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    app.flask_app.testing = False
    return app


@pytest.fixture(scope="module")
def client(app: Any) -> Client:
    return Client(app, sysadmin=True)


def break_transaction(*_: Any) -> None:
    model.Session.execute(sa.text("SELECT 1 / 0"))


def lose_connection(*_: Any) -> None:
    pid = model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    look("SELECT pg_terminate_backend(:pid)", pid=pid)
    model.Session.execute(sa.text("SELECT 1"))


def refuse(*_: Any) -> None:
    raise tk.ValidationError({"notes": ["the task does not like it"]})


def forbid(*_: Any) -> None:
    raise tk.NotAuthorized("the task forbids it")


def count_activities(dataset_id: str, session: Any = None) -> int:
    query = "SELECT count(*) FROM activity WHERE object_id = :id"
    if session is None:
        return look(query, id=dataset_id)
    return session.execute(sa.text(query), {"id": dataset_id}).scalar()


@pytest.mark.parametrize(
    ("task", "status"),
    [(refuse, 409), (forbid, 403), (fail, 500), (break_transaction, 500), (lose_connection, 500)],
)
def test_failing_task_and_the_next_request(
    task: Any, status: int, client: Client, hooks: Any, rows: Rows
) -> None:
    dataset = factories.Dataset(title="before")["id"]
    activities = count_activities(dataset)

    def patch(*tasks: Any) -> Any:
        hooks["before:package_update"] = lambda *_: [add_task(one) for one in tasks]
        return client.ask("package_patch", id=dataset, title="after")

    response = patch(lambda *_: rows.write("never"), task)
    assert response.status_code == status
    if status == 409:
        assert response.json["error"]["notes"] == ["the task does not like it"]
    assert not rows.committed
    assert titles(dataset) == ("before", "before")
    assert count_activities(dataset) == activities

    response = patch(lambda *_: rows.write("row"))
    assert response.status_code == 200
    assert response.json["result"]["title"] == "after"
    assert rows.committed == {"row"}
    assert titles(dataset) == ("after", "after")
    assert count_activities(dataset) == activities + 1


def test_activities_of_inner_actions_are_part_of_the_commit(client: Client) -> None:
    """Of a dataset that is changed by an action within another, nothing stays."""
    dataset = factories.Dataset(title="before")["id"]
    activities = count_activities(dataset)

    def do() -> None:
        call("package_patch", client.name, id=dataset, title="after")
        assert count_activities(dataset, model.Session()) == activities + 1
        assert count_activities(dataset) == activities
        fail()

    with pytest.raises(ProbeError):
        in_hold(do)
    assert count_activities(dataset) == activities


def test_get_is_still_refused(app: Any, client: Client) -> None:
    """The ten actions have kept their marks: they are not free of side effects."""
    answer = app.get("/api/action/package_create?name=x", headers=client.headers)
    assert answer.status_code == 400
