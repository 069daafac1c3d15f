"""CKAN's auth functions of files do not reveal what exists and belongs to another user."""

from __future__ import annotations

import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import NotAuthorized, ValidationError
from ckan.tests import factories

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Api, call, new_dataset, put, upload

loaded = load_plugins("files", "files_test_forms")

TYPES = ["package", "resource", "group", "organization", "user"]


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


@pytest.fixture(scope="module")
def theirs(loaded: Any) -> dict[str, str]:
    """One owner of each type, all of another user."""
    other, sysadmin = portal.new_user(), portal.new_user(sysadmin=True)
    organization = portal.organization_of(other)
    resources = [{"url": "http://example.com"}]
    dataset = new_dataset(other, owner_org=organization, private=True, resources=resources)
    return {
        "package": dataset["id"],
        "resource": dataset["resources"][0]["id"],
        "organization": organization,
        "group": call("group_create", sysadmin, name=f"g-{uuid.uuid4()}")["id"],
        "user": call("user_show", other, id=other)["id"],
    }


def refusal(action: str, user: str, **data: Any) -> str:
    """Return what the caller is told, without the ids that they have given."""
    with pytest.raises(NotAuthorized) as caught:
        call(action, user, **data)
    sentence = str(caught.value)
    for value in data.values():
        sentence = sentence.replace(str(value), "")
    return sentence


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("action", ["file_ownership_transfer", "files_transfer_ownership"])
def test_file_that_is_not_theirs(
    action: str, force: bool, author: str, theirs: dict[str, str]
) -> None:
    mine = new_dataset(author)["id"]
    files = [
        str(uuid.uuid4()),
        *put(("package", theirs["package"])),
        *put(("package", theirs["package"]), pinned=True),
        *put(("user", theirs["user"])),
        *put(None),
    ]
    data = {"owner_type": "package", "owner_id": mine, "force": force}
    assert len({refusal(action, author, id=file, **data) for file in files}) == 1


@pytest.mark.parametrize("owner_type", TYPES)
@pytest.mark.parametrize("action", ["file_ownership_transfer", "files_transfer_ownership"])
def test_owner_that_is_not_theirs(
    action: str, owner_type: str, author: str, theirs: dict[str, str]
) -> None:
    (file,) = upload(author)
    ids = [theirs[owner_type], str(uuid.uuid4())]
    data = {"id": file, "owner_type": owner_type}
    assert len({refusal(action, author, **data, owner_id=id_) for id_ in ids}) == 1


@pytest.mark.parametrize("owner_type", TYPES)
def test_files_of_an_owner_that_is_not_theirs(
    owner_type: str, author: str, theirs: dict[str, str], api: Api
) -> None:
    for who in (author, None):
        answers = [
            api.post("file_owner_scan", who, owner_type=owner_type, owner_id=id_)
            for id_ in (theirs[owner_type], str(uuid.uuid4()))
        ]
        assert answers[0][0] == 403
        assert answers[0][1]["error"] == answers[1][1]["error"]


def test_words_for_those_who_may_edit_the_file(author: str) -> None:
    (file,) = upload(author)
    call("file_pin", author, id=file)
    data = {"id": file, "owner_type": "package", "owner_id": new_dataset(author)["id"]}
    assert "pinned" in refusal("file_ownership_transfer", author, **data)
    assert call("file_ownership_transfer", author, **data, force=True)["id"] == file


@pytest.mark.parametrize("action", ["show", "rename", "pin", "unpin", "delete"])
def test_file_of_what_is_gone(action: str, author: str, theirs: dict[str, str]) -> None:
    """It is refused as a file that does not exist."""
    files = [
        str(uuid.uuid4()),
        *put(("package", theirs["package"])),
        *(file for owner_type in TYPES for file in put((owner_type, str(uuid.uuid4())))),
    ]
    data = {"name": "b.txt"} if action == "rename" else {}
    assert len({refusal(f"file_{action}", author, id=file, **data) for file in files}) == 1


@pytest.mark.parametrize("owner_type", TYPES)
def test_name_that_is_the_id_of_what_is_gone(owner_type: str, author: str) -> None:
    """CKAN finds things by their names as well, and the names of resources are anybody's."""
    gone = str(uuid.uuid4())
    (file,) = put((owner_type, gone))
    who = something_called(gone, owner_type, author)
    scan = {"owner_type": owner_type, "owner_id": gone}
    transfer = {"owner_type": "package", "owner_id": new_dataset(who)["id"], "force": True}
    refusal("file_owner_scan", who, **scan)
    for reader in (who, ""):
        refusal("file_show", reader, id=file)
        with pytest.raises(NotAuthorized):
            tk.check_access("permission_download_file", {"user": reader}, {"id": file})
    refusal("file_rename", who, id=file, name="b.txt")
    refusal("file_pin", who, id=file)
    refusal("file_delete", who, id=file)
    for action in ("file_ownership_transfer", "files_transfer_ownership"):
        refusal(action, who, id=file, **transfer)
    with pytest.raises(ValidationError):
        new_dataset(who, attachment=file)
    sysadmin = portal.new_user(sysadmin=True)
    assert call("file_owner_scan", sysadmin, **scan)["count"] == 1
    assert call("file_ownership_transfer", sysadmin, id=file, **transfer)["id"] == file
    assert call("file_show", who, id=file)["id"] == file


def something_called(name: str, owner_type: str, user: str) -> str:
    """Make something with a name; return who may do everything with it."""
    if owner_type == "package":
        new_dataset(user, name=name)
    elif owner_type == "resource":
        new_dataset(user, resources=[{"url": "http://example.com", "name": name}])
    elif owner_type == "user":
        factories.User(name=name)
        return name
    else:
        sysadmin = portal.new_user(sysadmin=True)
        members = [{"name": user, "capacity": "admin"}]
        call(f"{owner_type}_create", sysadmin, name=name, users=members)
    return user
