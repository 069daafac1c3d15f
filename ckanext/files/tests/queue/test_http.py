"""Over HTTP: the answer, what stays, and the next request in the same process."""

from __future__ import annotations

import json
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.shared import add_task
from ckanext.files.tests.support.effects import Effects, count_commits, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import title_in_solr
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "activity", "files_test_probe")


class Client:
    """Posts to the action API with a token."""

    def __init__(self, app: Any) -> None:
        self.user = new_user(sysadmin=True)
        self._app = app
        self._headers = {"Authorization": factories.APIToken(user=self.user)["token"]}

    def post(self, action: str, data: dict[str, Any]) -> tuple[int, Any]:
        answer = self._app.post(
            f"/api/action/{action}",
            data=json.dumps(data),
            headers=self._headers,
            content_type="application/json",
        )
        model.Session.remove()  # as another request would find it
        return answer.status_code, answer


@pytest.fixture(scope="module")
def client(loaded: Any, migrate_db_for: Any) -> Client:
    migrate_db_for("activity")
    app = loaded()
    # the test application would let exceptions through to the test
    app.flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    app.flask_app.testing = False
    return Client(app)


def crash(*_: Any) -> None:
    raise ZeroDivisionError("a task has a bug")


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


@pytest.mark.parametrize(
    ("task", "status"),
    [
        (refuse, 409),
        (forbid, 403),
        (crash, 500),
        (break_transaction, 500),
        (lose_connection, 500),
    ],
)
def test_failing_task_and_the_next_request(
    task: Any, status: int, client: Client, hooks: Any, effects: Effects, unique: Any
) -> None:
    name = unique("name")
    dataset = factories.Dataset(title="before")
    activities = count_activities(dataset["id"])

    def queue(*_: Any) -> None:
        add_task(lambda *_: effects.write(name))
        add_task(task)

    hooks["before:package_update"] = queue
    patch = {"id": dataset["id"], "title": "after"}
    found, answer = client.post("package_patch", patch)
    assert found == status
    if status == 409:
        assert answer.json["error"]["notes"] == ["the task does not like it"]
    assert not effects.exists(name)
    assert title_in_solr(dataset["id"]) == "before"
    assert look("SELECT title FROM package WHERE id = :id", id=dataset["id"]) == "before"
    assert count_activities(dataset["id"]) == activities

    hooks["before:package_update"] = lambda *_: add_task(lambda *_: effects.write(name))
    with count_commits() as commits:
        found, answer = client.post("package_patch", patch)
    assert found == 200
    assert answer.json["result"]["title"] == "after"
    assert effects.exists(name)
    assert title_in_solr(dataset["id"]) == "after"
    assert count_activities(dataset["id"]) == activities + 1
    # the activity of the outermost action is CKAN's own second commit
    assert commits


def test_activities_of_inner_actions_are_part_of_the_commit(
    client: Client, hooks: Any, effects: Effects
) -> None:
    """Of a dataset that is changed by an action within another, nothing stays."""
    dataset = factories.Dataset(title="before")
    activities = count_activities(dataset["id"])

    def do(context: Any) -> None:
        patch = {"id": dataset["id"], "title": "after"}
        tk.get_action("package_patch")({"user": client.user}, patch)
        assert count_activities(dataset["id"], model.Session()) == activities + 1
        assert count_activities(dataset["id"]) == activities
        raise tk.ObjectNotFound

    with pytest.raises(tk.ObjectNotFound):
        tk.get_action("probe_eager")({}, {"do": do})
    assert count_activities(dataset["id"]) == activities


def count_activities(dataset_id: str, session: Any = None) -> int:
    query = "SELECT count(*) FROM activity WHERE object_id = :id"
    if session is None:
        return look(query, id=dataset_id)
    return session.execute(sa.text(query), {"id": dataset_id}).scalar()


def test_get_is_still_refused(client: Client) -> None:
    """The ten actions have kept their marks: they are not free of side effects."""
    answer = client._app.get("/api/action/package_create?name=x", headers=client._headers)
    assert answer.status_code == 400
