"""The calls and downloads that are compared with CKAN's core, their users and files."""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config
from ckan.lib.munge import munge_filename
from ckan.tests import factories
from werkzeug.http import parse_options_header

from ckanext.files.store.models import file_table, owner_table
from ckanext.files.store.storages import get_storage, make_upload
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.users import call, new_user

FILE = "the file"
"""Stands for the file in the data of a call."""

GONE = "00000000-0000-4000-8000-000000000000"
"""Id of a file, dataset or user that does not exist."""

_ALL = ("anonymous", "other", "owner", "member", "editor", "sysadmin")
_FEW = ("owner", "editor", "sysadmin")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(\+00:00)?")


class Sample:
    """Users, and one owner of each type."""

    def __init__(self) -> None:
        self.users = {name: new_user(sysadmin=name == "sysadmin") for name in _ALL[1:]}
        self.users["anonymous"] = ""
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
        members = [{"name": self.users[name], "capacity": name} for name in ("editor", "member")]
        organization = factories.Organization(users=members)["id"]
        group = factories.Group(users=members)["id"]
        public, private, deleted = (
            call(
                "package_create",
                self.users["editor"],
                name=f"d-{uuid.uuid4()}",
                owner_org=organization,
                private=private,
                resources=[{"url": "https://example.org/a", "name": "a"}],
            )
            for private in (False, True, False)
        )
        call("package_delete", None, id=deleted["id"])
        user = model.User.get(self.users["owner"])
        assert user
        return {
            "no owner": ("", ""),
            "user": ("user", user.id),
            "package": ("package", public["id"]),
            "private package": ("package", private["id"]),
            "deleted package": ("package", deleted["id"]),
            "purged package": ("package", str(uuid.uuid4())),
            "resource": ("resource", public["resources"][0]["id"]),
            "private resource": ("resource", private["resources"][0]["id"]),
            "group": ("group", group),
            "organization": ("organization", organization),
            "project": ("project", str(uuid.uuid4())),  # a type without a plugin
        }

    def new_file(
        self, owner: str, *, pinned: bool = False, name: str = "a.txt", upload: bytes = b"hello"
    ) -> str:
        """Make a file with bytes that belongs to one of the owners."""
        return self._new_file(self.owners[owner], pinned, name, upload)

    def new_list(self) -> dict[str, str]:
        """Make files of one owner whose order is certain: each name and size occurs once."""
        owner = ("package", str(uuid.uuid4()))
        for size, name in enumerate(("c.txt", "a.txt", "d.txt", "b.txt"), 1):
            self._new_file(owner, name == "a.txt", name, b"x" * size)
        return {"owner_type": owner[0], "owner_id": owner[1]}

    def _new_file(self, owner: tuple[str, str], pinned: bool, name: str, upload: bytes) -> str:
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
        owned = {"file_id": file["id"], "owner_type": owner[0], "owner_id": owner[1]}
        with engine().begin() as connection:
            connection.execute(sa.insert(file_table).values(file))
            if owner[0]:
                connection.execute(sa.insert(owner_table).values(pinned=pinned, **owned))
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


class Call(NamedTuple):
    """A call of an action."""

    name: str
    action: str
    data: dict[str, Any]
    owner: str | None = None
    """Owner of the file that is made for each user; None: the call needs no file."""

    pinned: bool = False
    users: tuple[str, ...] = _ALL
    options: Mapping[str, Any] = {}

    def answer(self, sample: Sample, user: str) -> Any:
        """Return the result or the error of the user's call, without what differs between runs."""
        file, data = None, dict(self.data)
        if self.owner is not None and FILE in data.values():
            file = data["id"] = sample.new_file(self.owner, pinned=self.pinned)
        with pytest.MonkeyPatch.context() as patch:
            for option, value in self.options.items():
                patch.setitem(config, option, value)
            return sample.plain(_call(self.action, sample.users[user], data), file)


def _call(action: str, user: str, data: Mapping[str, Any]) -> Any:
    context: Any = {"user": user, "ignore_auth": False}
    try:
        return tk.get_action(action)(context, dict(data))
    except tk.ValidationError as error:
        return {"invalid": error.error_dict}
    except tk.NotAuthorized as error:
        return {"not authorized": str(error)}
    except tk.ObjectNotFound as error:
        return {"not found": str(error)}
    except Exception as error:  # HTTP 500
        return {"error": type(error).__name__}
    finally:
        model.Session.rollback()
        model.Session.remove()


def calls(sample: Sample) -> Iterator[Call]:
    """Yield all calls."""
    for owner in sample.owners:
        yield from _about_a_file_of(owner)
    for owner in sample.owners:
        yield from _about_giving_to(owner, sample)
    yield from _with_other_options(sample)
    yield from _about_creating()
    yield from _with_bad_ids()
    yield from _with_bad_values(sample)


def _about_a_file_of(owner: str) -> Iterator[Call]:
    for pinned in (False, True):
        state = "pinned" if pinned else "loose"
        for action, more in (
            ("file_show", {}),
            ("file_rename", {"name": "../b c.txt"}),
            ("file_pin", {}),
            ("file_unpin", {}),
            ("file_delete", {}),
        ):
            name = f"{action}: a {state} file of {owner}"
            yield Call(name, action, {"id": FILE, **more}, owner, pinned)


def _about_giving_to(owner: str, sample: Sample) -> Iterator[Call]:
    type_, id_ = sample.owners[owner]
    scan = {"owner_type": type_, "owner_id": id_, "rows": 0}
    yield Call(f"file_owner_scan: {owner}", "file_owner_scan", scan)
    for before, pinned in (("user", False), ("user", True), ("package", True), ("no owner", False)):
        for more in ({}, {"force": True}, {"pin": True}):
            state = "pinned" if pinned else "loose"
            yield Call(
                f"file_ownership_transfer: a {state} file of {before} to {owner} {more}",
                "file_ownership_transfer",
                {"id": FILE, "owner_type": type_, "owner_id": id_, **more},
                before,
                pinned,
            )


def _with_other_options(sample: Sample) -> Iterator[Call]:
    prefix = "ckan.files.owner"
    for storages in (None, [], ["default"], ["elsewhere"], [""]):
        access = {} if storages is None else {"package": storages}
        for owner in ("package", "private resource"):
            name = f"file_show: a file of {owner}, cascade_access {access}"
            options = {f"{prefix}.cascade_access": access}
            yield Call(name, "file_show", {"id": FILE}, owner, options=options)
    type_, id_ = sample.owners["package"]
    owner_ = {"owner_type": type_, "owner_id": id_}
    for option, action, data in (
        ("scan_as_update", "file_owner_scan", {**owner_, "rows": 0}),
        ("transfer_as_update", "file_ownership_transfer", {"id": FILE, **owner_}),
    ):
        options = {f"{prefix}.{option}": False}
        yield Call(f"{action}: no {option}", action, data, "user", options=options)
    upload = {"name": "a.txt", "upload": b"hello"}
    prefix = "ckan.files.authenticated_uploads"
    for options in ({f"{prefix}.allow": False}, {f"{prefix}.storages": ["elsewhere"]}):
        yield Call(f"file_create: {options}", "file_create", upload, options=options)


def _about_creating() -> Iterator[Call]:
    hello = b"hello"
    for number, data in enumerate(
        (
            {"name": "a.txt", "upload": hello},
            {"name": "a.txt", "upload": b""},
            {"name": "../../etc/passwd", "upload": hello},
            {"name": "a\0b.txt", "upload": hello},
            {"name": "x" * 300 + ".txt", "upload": hello},
            {"name": "a.html", "upload": b"<!doctype html><script>alert(1)</script>"},
            {"name": "", "upload": hello},
            {"upload": hello},
            {"name": "a.txt"},
            {"name": "a.txt", "upload": ""},
            {"name": "a.txt", "upload": "hello"},
            {"name": "a.txt", "upload": 5},
            {"name": 5, "upload": hello},
            {"name": ["a.txt"], "upload": hello},
            {"name": "a.txt", "upload": hello, "storage": "elsewhere"},
            {"name": "a.txt", "upload": hello, "storage": ""},
            {"name": "a.txt", "upload": hello, "id": "mine", "owner_id": "mine", "size": 99},
        )
    ):
        shown = {key: value for key, value in data.items() if key != "upload"}
        yield Call(f"file_create {number}: {shown!r:.60}", "file_create", data, users=_FEW)
    for storage in (5, ["x"], [], {"x": "y"}, {}, True):
        name = f"file_create: storage {storage!r}"
        yield Call(name, "file_create", {"name": "a.txt", "upload": hello, "storage": storage})
        yield Call(f"{name}, no upload", "file_create", {"storage": storage}, users=_FEW)
    for data in ({}, {"location": "x"}, {"location": "../x"}, {"location": "x", "storage": "y"}):
        yield Call(f"file_register: {data}", "file_register", data)


def _with_bad_ids() -> Iterator[Call]:
    more: dict[str, dict[str, Any]] = {
        "file_show": {},
        "file_rename": {"name": "b"},
        "file_pin": {},
        "file_unpin": {},
        "file_delete": {},
        "file_ownership_transfer": {"owner_type": "user", "owner_id": GONE},
    }
    ids: tuple[Any, ...] = ("", None, 5, 1.5, True, ["x"], {"x": "y"}, GONE, "x" * 5000)
    for action, data in more.items():
        yield Call(f"{action}: no id", action, data, users=_FEW)
        for id_ in ids:
            name = f"{action}: id {id_!r:.50}"
            yield Call(name, action, {"id": id_, **data}, users=_FEW)


def _with_bad_values(sample: Sample) -> Iterator[Call]:
    odd: tuple[Any, ...] = ("", None, 5, ["x"])
    for name in odd:
        data = {"id": FILE, "name": name}
        yield Call(f"file_rename: name {name!r}", "file_rename", data, "user", users=_FEW)
    type_, id_ = sample.owners["package"]
    good = {"id": FILE, "owner_type": type_, "owner_id": id_}
    for field in ("owner_type", "owner_id", "force", "pin"):
        for value in odd:
            name = f"file_ownership_transfer: {field} {value!r}"
            data = {**good, field: value}
            yield Call(name, "file_ownership_transfer", data, "user", users=_FEW)
    owner = sample.new_list()
    for more in (
        {"sort": "size"},
        {"sort": ["name", ["size", "desc"]]},
        {"sort": "nothing"},
        {"sort": [["name", "sideways"]]},
        {"rows": "x"},
        {"rows": "2", "start": "1"},
        {"start": None},
    ):
        yield Call(f"file_owner_scan: {more}", "file_owner_scan", {**owner, **more}, users=_FEW)
    yield Call("file_owner_scan: own", "file_owner_scan", {"rows": 0})


_HEADERS = ("Content-Type", "Content-Length", "X-Content-Type-Options")

_SCRIPT = b"<script>alert(1)</script>"

_CONTENTS = {
    "text": b"hello",
    "nothing": b"",
    "html": b"<!doctype html><html><body>" + _SCRIPT + b"</body></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + _SCRIPT + b"</svg>",
    "xml": b"<?xml version='1.0'?><x/>",
    "pdf": b"%PDF-1.4\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0",
}
"""Bytes that the storage recognizes as different types."""


class Download(NamedTuple):
    """A request of ``/file/download/ID``."""

    name: str
    owner: str | None = None
    """Owner of the file; None: the file does not exist."""

    file: str = "a.txt"
    content: bytes = b"hello"
    inline: tuple[str, ...] = ()
    """The option ``ckan.files.inline_content_types``."""

    bytes_are_gone: bool = False
    users: tuple[str, ...] = _ALL

    def answer(self, sample: Sample, user: str, app: Any) -> Any:
        """Return status, headers and bytes of the user's download."""
        file = GONE
        if self.owner is not None:
            file = sample.new_file(self.owner, name=self.file, upload=self.content)
        if self.bytes_are_gone:
            sample.lose_bytes(file)
        token = sample.token(user)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(config, "ckan.files.inline_content_types", list(self.inline))
            headers = {"Authorization": token} if token else {}
            response = app.get(f"/file/download/{file}", headers=headers)
        model.Session.remove()
        if response.status_code != 200:
            return {"status": response.status_code}
        disposition, options = parse_options_header(response.headers["Content-Disposition"])
        answer = {
            **{name: response.headers.get(name) for name in _HEADERS},
            "disposition": disposition,
            "name": options["filename"],
            "bytes": response.data.decode("latin-1"),
        }
        return sample.plain(answer, file)


def downloads(sample: Sample) -> Iterator[Download]:
    """Yield all downloads."""
    for owner in sample.owners:
        yield Download(f"a file of {owner}", owner)
    yield Download("no file")
    few = ("owner",)
    for name, content in _CONTENTS.items():
        yield Download(f"content: {name}", "user", f"a.{name}", content, users=few)
        inline = ("text/plain", "image/png")
        yield Download(f"inline: {name}", "user", f"a.{name}", content, inline, users=few)
    for file in ("ä ö.txt", 'quo"te.txt', "a.html", "no-ending"):
        yield Download(f"name: {file}", "user", file, users=few)
    yield Download("bytes are gone", "user", bytes_are_gone=True, users=few)
