"""The calls of actions whose answers are compared with those of CKAN's core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config

from ckanext.files.tests.support.compared_files import GONE, Sample


class Call(NamedTuple):
    """A call of an action; ``FILE`` in its data stands for the file."""

    name: str
    action: str
    data: dict[str, Any]
    owner: str | None = None
    """Owner of the file that is made for each user; None: the call needs no file."""

    pinned: bool = False
    users: tuple[str, ...] = ("anonymous", "other", "owner", "member", "editor", "sysadmin")
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


FILE = "the file"
_FEW = ("owner", "editor", "sysadmin")


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
            {"name": "/etc/passwd", "upload": hello},
            {"name": "a\0b.txt", "upload": hello},
            {"name": "x" * 300 + ".txt", "upload": hello},
            {"name": "a.html", "upload": b"<!doctype html><script>alert(1)</script>"},
            {"name": "a.svg", "upload": b"<svg xmlns='http://www.w3.org/2000/svg'/>"},
            {"name": "", "upload": hello},
            {"upload": hello},
            {"name": "a.txt"},
            {"name": "a.txt", "upload": ""},
            {"name": "a.txt", "upload": "hello"},
            {"name": "a.txt", "upload": None},
            {"name": "a.txt", "upload": 5},
            {"name": 5, "upload": hello},
            {"name": ["a.txt"], "upload": hello},
            {"name": "a.txt", "upload": hello, "storage": "elsewhere"},
            {"name": "a.txt", "upload": hello, "storage": ""},
            {"name": "a.txt", "upload": hello, "storage": 5},
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
