"""Who asks, and what files belong to."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.tests import factories

from ckanext.files.store.models import owner_table
from ckanext.files.tests.effects import engine
from ckanext.files.tests.people import call, new_user

#: Owners that have nothing behind them.
GONE = "00000000-0000-4000-8000-000000000000"
LISTED = "00000000-0000-4000-8000-000000000001"


class Cast:
    """People, and one thing of each type that may own files."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {
            "anonymous": "",
            "other": new_user(),
            "owner": new_user(),
            "member": new_user(),
            "editor": new_user(),
            "sysadmin": new_user(sysadmin=True),
        }
        self.owners = self._make_owners()
        self.labels = {name: f"<{label}>" for label, name in self.users.items() if name}
        self.labels |= {id_: f"<{label}>" for label, (_, id_) in self.owners.items() if id_}
        for label, name in self.users.items():
            user = model.User.get(name) if name else None
            if user:
                self.labels[user.id] = f"<{label}'s id>"

    def _make_owners(self) -> dict[str, tuple[str, str]]:
        members = [
            {"name": self.users["editor"], "capacity": "editor"},
            {"name": self.users["member"], "capacity": "member"},
        ]
        organization = factories.Organization(users=members)["id"]
        group = factories.Group(users=members)["id"]
        public = self._dataset(organization, private=False)
        private = self._dataset(organization, private=True)
        deleted = self._dataset(organization, private=False)
        call("package_delete", None, id=deleted["id"])
        user = model.User.get(self.users["owner"])
        assert user
        return {
            "nobody": ("", ""),
            "user": ("user", user.id),
            "package": ("package", public["id"]),
            "private package": ("package", private["id"]),
            "deleted package": ("package", deleted["id"]),
            "purged package": ("package", GONE),
            "resource": ("resource", public["resources"][0]["id"]),
            "private resource": ("resource", private["resources"][0]["id"]),
            "group": ("group", group),
            "organization": ("organization", organization),
            "project": ("project", "a type that nobody knows"),
        }

    def _dataset(self, organization: str, *, private: bool) -> dict[str, Any]:
        return call(
            "package_create",
            self.users["editor"],
            name=f"d-{uuid.uuid4()}",
            owner_org=organization,
            private=private,
            resources=[{"url": "https://example.org/a", "name": "a"}],
        )

    def new_file(
        self, owner: str, *, pinned: bool = False, name: str = "a.txt", upload: bytes = b"hello"
    ) -> str:
        """Make a file with bytes that belongs to one of the owners."""
        type_, id_ = self.owners[owner]
        return self._new_file(type_, id_, pinned, name, upload)

    def new_list(self) -> dict[str, str]:
        """Make files of one owner, whose order is certain: no two are equal in what sorts them."""
        for size, name in enumerate(("c.txt", "a.txt", "d.txt", "b.txt"), 1):
            self._new_file("package", LISTED, name == "a.txt", name, b"x" * size)
        return {"owner_type": "package", "owner_id": LISTED}

    def _new_file(self, type_: str, id_: str, pinned: bool, name: str, upload: bytes) -> str:
        file = call("file_create", self.users["sysadmin"], name=name, upload=upload)["id"]
        with engine().begin() as connection:
            mine = owner_table.c.file_id == file
            connection.execute(sa.delete(owner_table).where(mine))
            if type_:
                values = {"file_id": file, "owner_type": type_, "owner_id": id_, "pinned": pinned}
                connection.execute(sa.insert(owner_table).values(values))
        model.Session.remove()
        return file

    def lose_bytes(self, file: str) -> None:
        """Remove what a file holds behind everybody's back."""
        location = call("file_show", self.users["sysadmin"], id=file)["location"]
        (Path(config["ckan.files.storage.default.path"]) / location).unlink()
