"""Plugins that chain the actions of files get what the caller has sent."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ckan import model

from ckanext.files.tests.support.portal import Api
from ckanext.files.transaction import Block

from .test_locations import EXISTS, act, committed, create, in_thread, name, path_of

__all__ = ["name"]


def test_one_that_chooses_the_storage(name: str, hooks: Any) -> None:
    hooks["before:file_create"] = lambda _, data: data.setdefault("storage", "plain-files")
    assert act("file_create", {"name": name, "upload": b"a"})["storage"] == "plain-files"


def test_one_that_reads_the_upload(api: Api, sysadmin: str, hooks: Any) -> None:
    seen: list[bytes] = []

    def scan(_: Any, data: dict[str, Any]) -> None:
        seen.append(data["upload"].read())
        data["upload"].seek(0)

    hooks["before:file_create"] = scan
    status, answer = api.upload(sysadmin, name=f"{uuid.uuid4()}.txt", storage="own")
    assert status == 200, answer
    assert seen == [b"hello"]


@pytest.mark.parametrize("free", [True, False])
def test_one_that_renames(name: str, free: bool, hooks: Any) -> None:
    """The location that counts is the one of the new name."""
    create(name, b"old")
    hooks["before:file_create"] = lambda _, data: data.update(name="new-" + data["name"])
    first = create(name, b"first", defer_commit=True)
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(in_thread, lambda: create(name, b"second"))
        time.sleep(0.3)
        assert not second.done()
        model.Session.rollback() if free else model.Session.commit()
    if free:
        assert committed(f"new-{name}") == [second.result()]
        assert path_of(f"new-{name}").read_bytes() == b"second"
    else:
        assert second.result() == EXISTS
        assert committed(f"new-{name}") == [first]
        assert path_of(f"new-{name}").read_bytes() == b"first"


def test_one_that_watches_deletions(name: str, hooks: Any) -> None:
    """It is asked also where the bytes wait for the commit of another action."""
    seen: list[str] = []
    file = create(name, b"a")
    hooks["before:file_delete"] = lambda _, data: seen.append(data["id"])
    with Block():
        act("file_delete", {"id": file})
    assert seen == [file]
    assert not path_of(name).exists()
