"""``file_delete`` in a transaction that other code commits."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized, NotFound, ValidationError

from ckanext.files.shared import with_task_queue
from ckanext.files.store.storages import Capability, get_storage
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.users import call, new_user


def in_action(file: str, user: str, *, fails: bool) -> Any:
    """Delete a file within an action that carries a task queue."""

    @with_task_queue(eager=True)
    def custom_action(context: Any, data_dict: Any) -> Any:
        deleted = call("file_delete", user, id=file)
        if fails:
            raise RuntimeError
        return deleted

    return custom_action({"user": user}, {})


def deferred(file: str, user: str, *, fails: bool) -> Any:
    context: Any = {"user": user, "defer_commit": True}
    deleted = tk.get_action("file_delete")(context, {"id": file})
    if fails:
        model.Session.rollback()
        raise RuntimeError
    model.Session.commit()
    return deleted


@pytest.mark.parametrize("delete", [in_action, deferred])
def test_bytes_are_removed_after_the_commit(delete: Callable[..., Any], sysadmin: str) -> None:
    file = call("file_create", sysadmin, storage="own", name=f"{uuid.uuid4()}.txt", upload=b"a")
    storage = get_storage("own")

    def has_bytes() -> bool:
        return file["location"] in map(str, storage.scan())

    with pytest.raises(RuntimeError):
        delete(file["id"], sysadmin, fails=True)
    assert has_bytes()
    with pytest.raises(NotAuthorized):
        delete(file["id"], new_user(), fails=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "capabilities", storage.capabilities.exclude(Capability.REMOVE))
        with pytest.raises(ValidationError) as caught:
            delete(file["id"], sysadmin, fails=False)
    assert caught.value.error_dict == {"storage": ["Operation is not supported"]}
    assert call("file_show", sysadmin, id=file["id"]) == file
    assert delete(file["id"], sysadmin, fails=False)["id"] == file["id"]
    assert portal.owner(file["id"]) is None
    assert not has_bytes()
    with pytest.raises((NotFound, NotAuthorized)):
        delete(file["id"], sysadmin, fails=False)


def at_once(file: str, user: str, *, fails: bool) -> Any:
    return call("file_delete", user, id=file)


@pytest.mark.parametrize("delete", [in_action, deferred, at_once])
def test_a_storage_that_is_not_configured(delete: Callable[..., Any], sysadmin: str) -> None:
    [file] = portal.put(None)
    change(f"UPDATE {portal.FILES} SET storage = 'gone' WHERE id = :id", id=file)
    with pytest.raises(ValidationError) as caught:
        delete(file, sysadmin, fails=False)
    model.Session.remove()  # the caller's transaction has locked the file
    portal.delete_file(file)
    assert "gone" in portal.error_at(caught.value.error_dict, ["storage"])
