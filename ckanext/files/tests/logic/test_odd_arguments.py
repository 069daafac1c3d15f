"""No argument of an action of files makes CKAN fail: it is refused or accepted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import FILES
from ckanext.files.tests.support.users import call, new_user

loaded = load_plugins("files")

ACTIONS: dict[str, dict[str, Any]] = {
    "file_create": {"name": "a.txt", "storage": "default", "upload": b"hello"},
    "file_register": {"location": "a.txt", "storage": "default"},
    "file_show": {"id": "FILE"},
    "file_rename": {"id": "FILE", "name": "b.txt"},
    "file_pin": {"id": "FILE"},
    "file_unpin": {"id": "FILE"},
    "file_delete": {"id": "FILE"},
    "file_ownership_transfer": {
        "id": "FILE",
        "owner_type": "package",
        "owner_id": "OWNER",
        "force": False,
        "pin": False,
    },
    "files_transfer_ownership": {
        "id": "FILE",
        "owner_type": "package",
        "owner_id": "OWNER",
        "force": False,
        "pin": False,
    },
    "file_owner_scan": {
        "owner_type": "user",
        "owner_id": "",
        "start": 0,
        "rows": 1,
        "sort": "name",
    },
}

TEXTS = (
    "\0",
    "a\0b",
    "\ud800",
    "a\udfff",
    "\r\n",
    "\x1b",
    "\u202e",
    "../../a",
    "/",
    ".",
    "a" * 70_000,
)
ODD: tuple[Any, ...] = (
    *TEXTS,
    *(["\0"], {"\0": "\0"}, [["\0", "asc"]], [["name", "\ud800"]], [[["name"], "asc"]], [{}], [[]]),
    *(-1, 10**30, 1.5, float("nan"), float("inf"), "-1", "9" * 30, "1e3", True, None, "", [], {}),
    *([1], [None], {"name": "asc"}, b"\0", 5),
)


@pytest.fixture(scope="module")
def people() -> dict[str, str]:
    return {"user": new_user(), "sysadmin": new_user(sysadmin=True), "anonymous": ""}


@pytest.fixture(scope="module")
def dataset(people: dict[str, str]) -> str:
    return call("package_create", people["user"], name=f"d-{uuid.uuid4()}")["id"]


def _cases() -> Iterator[tuple[str, str]]:
    for action, data in ACTIONS.items():
        for argument in data:
            yield action, argument


@pytest.mark.parametrize(("action", "argument"), _cases())
def test_odd_value(action: str, argument: str, people: dict[str, str], dataset: str) -> None:
    file, failures = "", []
    for value in ODD:
        for who, user in people.items():
            if not (file and _exists(file)):
                file = _new_file(people["user"])
            meant = {"FILE": file, "OWNER": dataset}
            data = {key: meant.get(item, item) for key, item in ACTIONS[action].items()}
            if error := _ask(action, user, {**data, argument: value}):
                failures.append(f"{value!r:.60} by {who}: {error!r:.300}")
    assert not failures, "\n".join(failures)


def _ask(action: str, user: str, data: dict[str, Any]) -> Exception | None:
    """Return an exception that is no answer."""
    context: Any = {"user": user, "ignore_auth": False}
    try:
        tk.get_action(action)(context, data)
    except (tk.ValidationError, tk.NotAuthorized, tk.ObjectNotFound):
        return None
    except Exception as error:
        return error
    finally:
        model.Session.rollback()
        model.Session.remove()
    return None


def _new_file(user: str) -> str:
    return call("file_create", user, name="a.txt", upload=b"hello")["id"]


def _exists(file: str) -> bool:
    return bool(look(f"SELECT EXISTS (SELECT FROM {FILES} WHERE id = :id)", id=file))
