"""The users and files of the comparison with CKAN's core, and the owners of the files."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.lib.munge import munge_filename
from ckan.tests import factories

from ckanext.files.store.models import file_table, owner_table
from ckanext.files.store.storages import get_storage, make_upload
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.users import call, new_user

GONE = "00000000-0000-4000-8000-000000000000"
"""Id of a file, dataset or user that does not exist."""

LISTED = "00000000-0000-4000-8000-000000000001"
"""Id of a dataset that does not exist, as owner of :meth:`Sample.new_list`."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00)?")


class Sample:
    """Users, and one owner of each type."""

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

    @functools.cache  # noqa: B019 - there is one sample
    def token(self, user: str) -> str:
        """Return an API token of a user, or nothing for an anonymous visitor."""
        name = self.users[user]
        return factories.APIToken(user=name)["token"] if name else ""

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
            "no owner": ("", ""),
            "user": ("user", user.id),
            "package": ("package", public["id"]),
            "private package": ("package", private["id"]),
            "deleted package": ("package", deleted["id"]),
            "purged package": ("package", GONE),
            "resource": ("resource", public["resources"][0]["id"]),
            "private resource": ("resource", private["resources"][0]["id"]),
            "group": ("group", group),
            "organization": ("organization", organization),
            "project": ("project", "a type without a plugin"),
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
        """Make files of one owner whose order is certain: each name and size occurs once."""
        for size, name in enumerate(("c.txt", "a.txt", "d.txt", "b.txt"), 1):
            self._new_file("package", LISTED, name == "a.txt", name, b"x" * size)
        return {"owner_type": "package", "owner_id": LISTED}

    def _new_file(self, type_: str, id_: str, pinned: bool, name: str, upload: bytes) -> str:
        # what file_create would do in more than half of the time of all calls
        storage, content = get_storage("default"), make_upload(upload)
        data = storage.upload(storage.prepare_location(name, content), content)
        described = ("location", "content_type", "size", "hash", "algorithm")
        file = {
            "id": str(uuid.uuid4()),
            "name": munge_filename(name),
            "storage": "default",
            "created": datetime.now(timezone.utc),
            "storage_data": {},
            "plugin_data": {},
            **{column: getattr(data, column) for column in described},
        }
        owner = {"file_id": file["id"], "owner_type": type_, "owner_id": id_, "pinned": pinned}
        with engine().begin() as connection:
            connection.execute(sa.insert(file_table).values(file))
            if type_:
                connection.execute(sa.insert(owner_table).values(owner))
        return file["id"]

    def lose_bytes(self, file: str) -> None:
        """Remove the bytes of a file without CKAN's knowledge."""
        location = call("file_show", self.users["sysadmin"], id=file)["location"]
        (Path(config["ckan.files.storage.default.path"]) / location).unlink()

    def plain(self, value: Any, file: str | None = None) -> Any:
        """Return a value with labels for the ids, names and times that differ from run to run.

        :param file: id that gets the label ``<file>``.
        """
        return _label(value, {**self.labels, **({file: "<file>"} if file else {})})


def _label(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _label(item, labels) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [_label(item, labels) for item in value]
    if isinstance(value, str):
        for text, label in labels.items():
            value = value.replace(text, label)
        return _TIME.sub("<time>", _UUID.sub("<id>", value))
    return value
