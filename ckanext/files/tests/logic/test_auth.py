"""CKAN's auth functions of files do not reveal what exists and belongs to another user."""

from __future__ import annotations

import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import NotAuthorized, ValidationError
from ckan.logic.auth import update
from ckan.tests import factories

from ckanext.files.background_plugin import auth as background_auth
from ckanext.files.logic import auth
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.users import call, new_user, organization_of

TYPES = ["package", "resource", "group", "organization", "user"]

each_transfer = pytest.mark.parametrize(
    "action", ["file_ownership_transfer", "files_transfer_ownership"]
)


@pytest.fixture(scope="module")
def theirs(loaded: Any, sysadmin: str) -> dict[str, str]:
    """One owner of each type, all of another user."""
    other = new_user()
    organization = organization_of(other)
    fields: dict[str, Any] = {"owner_org": organization, "private": True}
    dataset = portal.new_dataset(other, **fields, resources=[portal.resource()])
    return {
        "package": dataset["id"],
        "resource": dataset["resources"][0]["id"],
        "organization": organization,
        "group": call("group_create", sysadmin, name=f"g-{uuid.uuid4()}")["id"],
        "user": call("user_show", other, id=other)["id"],
    }


def refusal(action: str, user: str, **data: Any) -> str:
    """Return the message of a refusal, without the ids that the caller has given."""
    with pytest.raises(NotAuthorized) as caught:
        call(action, user, **data)
    return without_values(str(caught.value), data)


def without_values(sentence: str, data: dict[str, Any]) -> str:
    for value in data.values():
        sentence = sentence.replace(str(value), "")
    return sentence


@pytest.mark.parametrize("force", [False, True])
@each_transfer
def test_file_that_is_not_theirs(
    action: str, force: bool, author: str, theirs: dict[str, str], api: portal.Api
) -> None:
    files = [
        str(uuid.uuid4()),
        *portal.put(("package", theirs["package"])),
        *portal.put(("package", theirs["package"]), pinned=True),
        *portal.put(("user", theirs["user"])),
        *portal.put(None),
    ]
    data = {"owner_type": "package", "owner_id": portal.new_dataset(author)["id"], "force": force}
    assert len({refusal(action, author, id=file, **data) for file in files}) == 1
    answers = [api.post(action, author, id=file, **data) for file in files]
    assert {status for status, _ in answers} == {403}
    errors = zip(files, answers, strict=True)
    assert len({without_values(str(a["error"]), {"id": file}) for file, (_, a) in errors}) == 1


@pytest.mark.parametrize("owner_type", TYPES)
@each_transfer
def test_owner_that_is_not_theirs(
    action: str, owner_type: str, author: str, theirs: dict[str, str], file: str
) -> None:
    before = portal.owner(file)
    ids = [theirs[owner_type], str(uuid.uuid4())]
    data = {"id": file, "owner_type": owner_type}
    assert len({refusal(action, author, **data, owner_id=id_) for id_ in ids}) == 1
    assert portal.owner(file) == before


@pytest.mark.parametrize("owner_type", TYPES)
def test_files_of_an_owner_that_is_not_theirs(
    owner_type: str, author: str, theirs: dict[str, str], api: portal.Api
) -> None:
    for who in (author, None):
        answers = [
            api.post("file_owner_scan", who, owner_type=owner_type, owner_id=id_)
            for id_ in (theirs[owner_type], str(uuid.uuid4()))
        ]
        assert answers[0][0] == 403
        assert answers[0][1]["error"] == answers[1][1]["error"]


@pytest.mark.parametrize("as_update", [True, False])
@pytest.mark.parametrize(
    "action",
    ["file_owner_scan", "file_ownership_transfer", "files_search", "files_transfer_ownership"],
)
def test_what_is_no_owner_of_files(
    action: str,
    as_update: bool,
    author: str,
    file: str,
    api: portal.Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CKAN has auth functions for changes of other things as well; this extension has none."""
    for option in ("transfer_as_update", "scan_as_update"):
        monkeypatch.setitem(tk.config, f"ckan.files.owner.{option}", as_update)
    functions = [*vars(update), *vars(auth), *vars(background_auth)]
    names = [name.removesuffix("_update") for name in functions if name.endswith("_update")]
    others = [name for name in names if name not in TYPES]
    assert {"package_relationship", "resource_view", "vocabulary"} <= {*others}
    given = {"id": file} if "transfer" in action else {}
    for owner_type in others:
        status, answer = api.post(action, author, owner_type=owner_type, owner_id=file, **given)
        assert (status, answer["error"]["__type"]) == (403, "Authorization Error"), owner_type
    assert portal.owner(file)[0] == "user"


def test_who_may_edit_the_file_learns_that_it_is_pinned(author: str, file: str) -> None:
    call("file_pin", author, id=file)
    data = {"id": file, "owner_type": "package", "owner_id": portal.new_dataset(author)["id"]}
    assert "pinned" in refusal("file_ownership_transfer", author, **data)
    assert call("file_ownership_transfer", author, **data, force=True)["id"] == file


@pytest.mark.parametrize("action", ["show", "rename", "pin", "unpin", "delete"])
def test_file_of_what_is_gone(action: str, author: str, theirs: dict[str, str]) -> None:
    """It is refused as a file that does not exist."""
    files = [
        str(uuid.uuid4()),
        *portal.put(("package", theirs["package"])),
        *(file for owner_type in TYPES for file in portal.put((owner_type, str(uuid.uuid4())))),
    ]
    data = {"name": "b.txt"} if action == "rename" else {}
    assert len({refusal(f"file_{action}", author, id=file, **data) for file in files}) == 1


@pytest.mark.parametrize("owner_type", TYPES)
def test_name_that_is_the_id_of_what_is_gone(owner_type: str, author: str, sysadmin: str) -> None:
    """CKAN finds things by their names as well, and any user may give a resource any name."""
    gone = str(uuid.uuid4())
    (file,) = portal.put((owner_type, gone))
    who = something_called(gone, owner_type, author)
    scan = {"owner_type": owner_type, "owner_id": gone}
    transfer = {"owner_type": "package", "owner_id": portal.new_dataset(who)["id"], "force": True}
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
        portal.new_dataset(who, attachment=file)
    assert call("file_owner_scan", sysadmin, **scan)["count"] == 1
    assert call("file_ownership_transfer", sysadmin, id=file, **transfer)["id"] == file
    assert call("file_show", who, id=file)["id"] == file


def something_called(name: str, owner_type: str, user: str) -> str:
    """Make something with a name; return who may do everything with it."""
    if owner_type == "package":
        portal.new_dataset(user, name=name)
    elif owner_type == "resource":
        portal.new_dataset(user, resources=[portal.resource(name)])
    elif owner_type == "user":
        return factories.User(name=name)["name"]
    else:
        members = [{"name": user, "capacity": "admin"}]
        call(f"{owner_type}_create", new_user(sysadmin=True), name=name, users=members)
    return user
