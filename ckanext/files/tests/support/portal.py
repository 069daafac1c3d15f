"""Files and datasets of users, calls over the API, and who owns what in the database."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.logic import ValidationError
from ckan.tests import factories

from ckanext.files.store.models import file_table, history_table, owner_table
from ckanext.files.tests.support.effects import engine, look
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.users import call as call
from ckanext.files.tests.support.users import new_user as new_user
from ckanext.files.tests.support.users import organization_of as organization_of
from ckanext.files.tests.support.users import shown as shown

FILES, OWNERS, HISTORY = str(file_table), str(owner_table), str(history_table)
"""Names of the tables."""

UNKNOWN = "does not exist, or you are not allowed to use it"
PINNED = "is pinned to its owner"
TWICE = "is named in two places"
NO_OWNER = "it cannot be told what it would belong to"
NO_ID = "Must be the id of a file"

_ROW: dict[str, Any] = {
    "name": "a.txt",
    "storage": "default",
    "content_type": "text/plain",
    "size": 1,
    "hash": "",
    "algorithm": "",
    "storage_data": {},
    "plugin_data": {},
}


def upload(user: str, count: int = 1) -> list[str]:
    """Make files that belong to a user, with rows only, without bytes."""
    owner = model.User.get(user)
    assert owner
    return put(("user", owner.id), count)


def put(owner: tuple[str, str] | None, count: int = 1, *, pinned: bool = False) -> list[str]:
    """Make files with any owner, committed."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    created = datetime.now(timezone.utc)
    with engine().begin() as connection:
        connection.execute(
            sa.insert(file_table),
            [{**_ROW, "id": i, "location": i, "created": created} for i in ids],
        )
        if owner:
            connection.execute(
                sa.insert(owner_table),
                [
                    {"file_id": i, "owner_type": owner[0], "owner_id": owner[1], "pinned": pinned}
                    for i in ids
                ],
            )
    return ids


def delete_file(file_id: str) -> None:
    """Delete a file without any action."""
    with engine().begin() as connection:
        connection.execute(sa.delete(file_table).where(file_table.c.id == file_id))


def owners(*file_ids: str) -> list[Any]:
    """Return the owners of files in the database: (type, id, pinned) of each."""
    with engine().connect() as connection:
        columns = owner_table.c
        rows = connection.execute(
            sa.select(columns.file_id, columns.owner_type, columns.owner_id, columns.pinned).where(
                columns.file_id.in_(file_ids)
            )
        )
        found = {row[0]: tuple(row[1:]) for row in rows}
    return [found.get(file_id) for file_id in file_ids]


def owner(file_id: str) -> Any:
    return owners(file_id)[0]


def files_of(owner_type: str, owner_id: str) -> list[str]:
    """Return the ids of an owner's files in the database."""
    columns = owner_table.c
    owned = sa.and_(columns.owner_type == owner_type, columns.owner_id == owner_id)
    with engine().connect() as connection:
        return list(connection.execute(sa.select(columns.file_id).where(owned)).scalars())


def count_files() -> int:
    with engine().connect() as connection:
        found = connection.execute(sa.select(sa.func.count()).select_from(file_table))
        return int(found.scalar() or 0)


def history(file_id: str) -> list[tuple[Any, ...]]:
    """Return the former owners of a file with the actor: (type, id, actor)."""
    columns = history_table.c
    statement = (
        sa.select(columns.owner_type, columns.owner_id, columns.actor)
        .where(columns.file_id == file_id)
        .order_by(columns.at)
    )
    with engine().connect() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def new_dataset(user: str, **fields: Any) -> dict[str, Any]:
    """Make a dataset with the fields of ``form_plugins``, unless another type is given."""
    fields = {"type": DATASET_TYPE, "name": f"d-{uuid.uuid4()}", **fields}
    return call("package_create", user, **fields)


def resource(name: str = "a", /, **fields: Any) -> dict[str, Any]:
    """Return a resource as a client sends it."""
    return {"url": "http://example.com", "name": name, **fields}


def assert_owned(dataset: dict[str, Any]) -> None:
    """What has a field ``attachment`` or ``doc`` owns the file that it names, and keeps it."""
    named = [("package", dataset["id"], dataset.get("attachment"))]
    named += [("resource", r["id"], r.get("doc")) for r in dataset["resources"]]
    expected = [(file, (owner_type, id_, True)) for owner_type, id_, file in named if file]
    assert [(file, owner(file)) for file, _ in expected] == expected


def update(user: str, dataset: dict[str, Any], /, **fields: Any) -> dict[str, Any]:
    """Update some fields of a dataset, and send the others as they are."""
    return call("package_update", user, **{**dataset, **fields})


@contextmanager
def refused(sentence: str, *key: Any) -> Iterator[None]:
    """Expect an error with this sentence at one place, and no other error."""
    with pytest.raises(ValidationError) as caught:
        yield
    assert sentence in error_at(caught.value.error_dict, key)


def error_at(errors: Any, key: Iterable[Any]) -> str:
    """Return the text of the only error at a place; there must be no other one anywhere."""
    path = list(key)
    for step in path:
        errors = _only(errors, step)
    assert len(errors) == 1, errors
    return errors[0]


def _only(errors: Any, step: Any) -> Any:
    if isinstance(step, int):
        assert [bool(item) for item in errors].count(True) == 1, errors
        return errors[step]
    assert set(errors) - {"__type"} == {step}, errors
    return errors[step]


class Api:
    """CKAN's action API for several users, by their names; :class:`Client` is one user."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._tokens: dict[str, str] = {}

    def post(self, action: str, user: str | None, /, **data: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer."""
        return self.send(action, user, data=json.dumps(data), content_type="application/json")

    def upload(self, user: str, **data: Any) -> tuple[int, dict[str, Any]]:
        """Upload a file as a browser does."""
        data["upload"] = (io.BytesIO(b"hello"), "a.txt")
        return self.send("file_create", user, data=data, content_type="multipart/form-data")

    def submit(self, path: str, user: str, /, **inputs: str) -> tuple[int, str]:
        """Send a form of CKAN; return the status and the page."""
        headers = {"Authorization": self.token(user)}
        answer = self._app.post(path, data=inputs, headers=headers, follow_redirects=False)
        model.Session.remove()
        return answer.status_code, answer.body

    def send(self, action: str, user: str | None, **request: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": self.token(user)} if user else {}
        answer = self._app.post(f"/api/action/{action}", headers=headers, **request)
        model.Session.remove()
        return answer.status_code, json.loads(answer.data)

    def token(self, user: str) -> str:
        if user not in self._tokens:
            self._tokens[user] = factories.APIToken(user=user)["token"]
        return self._tokens[user]


class Client:
    """Calls actions over the API, as a new user or as a visitor.

    :param app: CKAN's test application.
    """

    def __init__(self, app: Any, *, sysadmin: bool = False, anonymous: bool = False) -> None:
        self._app = app
        self.headers: dict[str, str] = {}
        self.name = self.id = ""
        if not anonymous:
            self.name = new_user(sysadmin=sysadmin)
            user = model.User.get(self.name)
            assert user
            self.id = user.id
            self.headers = {"Authorization": factories.APIToken(user=self.name)["token"]}

    def ask(self, action: str, headers: dict[str, str] | None = None, /, **data: Any) -> Any:
        """Return the response.

        :param headers: of the request, in addition to those that identify the user.
        """
        response = self._app.post(
            f"/api/action/{action}",
            data=json.dumps(data),
            headers={**self.headers, **(headers or {})},
            content_type="application/json",
        )
        model.Session.remove()
        return response

    def page(self, path: str) -> str:
        """Return a page that the user may see."""
        response = self._app.get(path, headers=self.headers)
        model.Session.remove()
        assert response.status_code == 200
        return response.body

    def submit(self, path: str, /, **inputs: str) -> None:
        """Send a form of CKAN that is valid: it leads to another page."""
        response = self._app.post(path, data=inputs, headers=self.headers, follow_redirects=False)
        model.Session.remove()
        assert response.status_code == 302, response.body

    def call(self, action: str, /, **data: Any) -> tuple[int, Any]:
        """Return the status, and the result or the error."""
        response = self.ask(action, **data)
        body = json.loads(response.body)
        return response.status_code, body["result"] if body["success"] else body["error"]

    def result(self, action: str, /, **data: Any) -> Any:
        """Return the result of an action that succeeds."""
        status, result = self.call(action, **data)
        assert status == 200, result
        return result


def exists(table: str, name: str) -> bool:
    return look(f'SELECT EXISTS (SELECT FROM "{table}" WHERE name = :name)', name=name)


def new_file(user: str) -> str:
    """Upload a file with bytes."""
    return call("file_create", user, name="a.txt", upload=b"hello")["id"]
