"""The pages of files over HTTP, and users and files for them."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.owned_files import Owned
from ckanext.files.tests.support.users import call, new_user

REFUSED = "There is no such file, or you"

ALL = {"anonymous", "other", "member", "editor", "admin", "sysadmin"}

MAY_READ = {
    "organization": ALL,
    "package": {"member", "editor", "admin", "sysadmin"},
    "resource": {"member", "editor", "admin", "sysadmin"},
    "group": ALL,
    "user": {"editor", "sysadmin"},
    "removed": {"member", "editor", "admin", "sysadmin"},
    "alone": {"sysadmin"},
}

MAY_EDIT = {
    "organization": {"admin", "sysadmin"},
    "package": {"editor", "admin", "sysadmin"},
    "resource": {"editor", "admin", "sysadmin"},
    "group": {"editor", "sysadmin"},
    "user": {"editor", "sysadmin"},
    "removed": {"editor", "admin", "sysadmin"},
    "alone": {"sysadmin"},
}


class Pages:
    """A portal, as the browsers of several users see it."""

    def __init__(self, app: Any) -> None:
        self._api = portal.Api(app)
        self._app = app
        self._clients: dict[str | None, Any] = {}

    def get(self, path: str, user: str | None, **headers: str) -> Any:
        return self._open(path, user, headers=headers)

    def post(self, path: str, user: str | None, **form: Any) -> Any:
        return self._open(path, user, method="POST", data=form)

    def shown(self, path: str, user: str | None) -> str:
        page = self.get(path, user)
        assert page.status_code == 200
        return page.text

    def _open(self, path: str, user: str | None, **request: Any) -> Any:
        # of each user, for the messages that a session keeps
        client = self._clients.setdefault(user, self._app.test_client())
        headers = {**request.pop("headers", {})}
        if user:
            headers["Authorization"] = self._api.token(user)
        page = client.open(path, headers=headers, follow_redirects=False, **request)
        model.Session.remove()
        return page


class Site(Owned):
    """The users by role, and the files by the type of owner, each with a title of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.sysadmin = new_user(sysadmin=True)
        self.users = {
            "anonymous": None,
            "other": self.other,
            "member": self.member,
            "editor": self.editor,
            "admin": self.admin,
            "sysadmin": self.sysadmin,
        }
        self.files.update(removed=self.of_removed, alone=self.alone)
        for type_, file in self.files.items():
            call("files_title_update", self.sysadmin, id=file, title=f"Secret {type_}")


def titles(text: str) -> set[str]:
    return set(re.findall(r"Secret (\w+)", text))


def uploaded(user: str, name: str, content: bytes, content_type: str = "") -> str:
    file = call("file_create", user, name=name, upload=content)["id"]
    if content_type:
        with engine().begin() as connection:
            of_file = sa.update(file_table).where(file_table.c.id == file)
            connection.execute(of_file.values(content_type=content_type))
    return file
