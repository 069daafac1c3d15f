"""A file that another request deletes while this one would change it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.store.models import file_table, owner_table
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import put
from ckanext.files.tests.support.races import race
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.tests.support.waiting import wait_for_a_lock

loaded = load_plugins("files")

TO_USER = {"owner_type": "user", "owner_id": str(uuid.uuid4()), "force": True}
DELETES_TWICE = pytest.mark.skipif(CORE_FILES, reason="core reports success to both")


@contextmanager
def deleted_as_soon_as_a_transaction_waits(file: str) -> Iterator[None]:
    """Delete the file in another transaction, which ends when the block waits for it."""
    deleted = threading.Event()

    def delete() -> None:
        with engine().begin() as connection:
            for column in (owner_table.c.file_id, file_table.c.id):
                connection.execute(sa.delete(column.table).where(column == file))
            deleted.set()
            wait_for_a_lock()

    thread = threading.Thread(target=delete)
    thread.start()
    assert deleted.wait(30)
    try:
        yield
    finally:
        thread.join(90)


@pytest.mark.parametrize(
    ("action", "data", "owner"),
    [
        ("file_rename", {"name": "b.txt"}, "user"),
        ("file_pin", {}, "user"),
        ("file_unpin", {}, "user"),
        pytest.param("file_delete", {}, "user", marks=DELETES_TWICE),
        ("file_ownership_transfer", TO_USER, "user"),
        ("file_ownership_transfer", TO_USER, None),
    ],
)
def test_deleted_meanwhile(action: str, data: dict[str, Any], owner: str | None) -> None:
    (file,) = put((owner, str(uuid.uuid4())) if owner else None, pinned=action == "file_unpin")
    with deleted_as_soon_as_a_transaction_waits(file), pytest.raises(tk.ObjectNotFound):
        call(action, None, id=file, **data)
    with pytest.raises(tk.ObjectNotFound):
        call("file_show", None, id=file)


@pytest.mark.crash
def test_all_writes_beside_delete(loaded: Any) -> None:
    """Each returns its result, or reports that there is no file."""
    user = new_user(sysadmin=True)
    for _ in range(10):
        file = call("file_create", user, name="a.txt", upload=b"hello")["id"]
        calls = [
            partial(call, action, user, id=file, **data)
            for action, data in (
                ("file_rename", {"name": "b.txt"}),
                ("file_pin", {}),
                ("file_unpin", {}),
                ("file_delete", {}),
                ("file_ownership_transfer", TO_USER),
            )
        ]
        outcomes = race(loaded(), calls)
        odd = [
            outcome for outcome in outcomes if not isinstance(outcome, (dict, tk.ObjectNotFound))
        ]
        assert not odd
