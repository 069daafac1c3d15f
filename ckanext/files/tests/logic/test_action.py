"""The action ``files_transfer_ownership``, and who may use it."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized, ValidationError
from ckan.tests import factories

from ckanext.files.parameters import as_bool
from ckanext.files.store import File
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.users import call


def transfer(user: str | None, file: Any, owner_type: Any, owner_id: Any, **more: Any) -> Any:
    return call(
        "files_transfer_ownership", user, id=file, owner_type=owner_type, owner_id=owner_id, **more
    )


def test_answer_and_history(author: str) -> None:
    """CKAN's own action has both."""
    file, cores = portal.upload(author, 2)
    former, dataset = portal.owner(file), portal.new_dataset(author)
    data = {"owner_type": "package", "owner_id": dataset["id"], "pin": True}
    with count_commits() as commits:
        answer = call("files_transfer_ownership", author, id=file, **data)
    assert len(commits) == 1
    assert answer == call("file_show", author, id=file)
    assert answer["owner_id"] == dataset["id"]
    assert portal.owner(file) == ("package", dataset["id"], True)
    assert portal.history(file) == [(*former[:2], author)]

    answers = [answer, call("file_ownership_transfer", author, id=cores, **data)]
    for one in answers:
        for its_own in ("id", "location", "created"):
            del one[its_own]
    assert answers[0] == answers[1]
    assert portal.history(file) == portal.history(cores)

    context: Any = {"user": author, "include_plugin_data": True}
    assert "plugin_data" in tk.get_action("files_transfer_ownership")(context, {"id": file, **data})


@pytest.mark.parametrize("owner_type", ["package", "group", "organization", "user", "resource"])
def test_owner_by_name(owner_type: str, sysadmin: str) -> None:
    """A resource by its id: names of resources are not unique."""
    (file,) = portal.put(None)
    resources = [portal.resource()] * 2
    entity: dict[str, Any] = {
        "package": lambda: portal.new_dataset(sysadmin),
        "group": factories.Group,
        "organization": factories.Organization,
        "user": lambda: call("user_show", sysadmin, id=sysadmin),
        "resource": lambda: portal.new_dataset(sysadmin, resources=resources)["resources"][1],
    }[owner_type]()
    transfer(sysadmin, file, owner_type, entity["id" if owner_type == "resource" else "name"])
    assert portal.owner(file) == (owner_type, entity["id"], False)


def test_owner_must_exist(author: str, sysadmin: str, file: str) -> None:
    removed = portal.new_dataset(author, resources=[portal.resource()])
    portal.update(author, removed, resources=[])
    before = portal.owner(file)
    for owner_type, owner_id in [
        ("package", "nix"),
        ("resource", "nix"),
        ("resource", removed["resources"][0]["id"]),
        ("organization", factories.Group()["id"]),
        ("user", "nix"),
    ]:
        with pytest.raises(ValidationError) as caught:
            transfer(sysadmin, file, owner_type, owner_id)
        assert set(caught.value.error_dict) == {"owner_id"}
        with pytest.raises(NotAuthorized):
            transfer(author, file, owner_type, owner_id)
    assert portal.owner(file) == before


def test_type_that_no_plugin_knows(author: str, sysadmin: str, file: str) -> None:
    """A user who manages all files may invent one, as with CKAN's own action."""
    with pytest.raises(NotAuthorized):
        transfer(author, file, "spaceship", "x")
    transfer(sysadmin, file, "spaceship", "x")
    assert portal.owner(file) == ("spaceship", "x", False)


def test_refused(author: str, sysadmin: str, api: portal.Api, file: str) -> None:
    """An unknown file to a sysadmin as well, and everything to anonymous visitors."""
    data = {"owner_type": "package", "owner_id": portal.new_dataset(author)["id"]}
    with pytest.raises(NotAuthorized, match="does not exist"):
        call("files_transfer_ownership", sysadmin, id="nix", **data)
    with pytest.raises(NotAuthorized):
        call("files_transfer_ownership", "", id=file, **data)
    assert api.post("files_transfer_ownership", None, id=file, **data)[0] == 403
    for odd in ({}, {"id": 7}, {"id": "\x00", "owner_type": "package", "owner_id": []}):
        with pytest.raises(NotAuthorized):
            tk.check_access("files_transfer_ownership", {"user": author}, odd)


# pinned files


def test_pinned_file(author: str, sysadmin: str, api: portal.Api, file: str) -> None:
    first, second = portal.new_dataset(author, attachment=file), portal.new_dataset(author)
    with pytest.raises(NotAuthorized, match=portal.PINNED):
        transfer(author, file, "package", second["id"])
    with portal.refused(portal.PINNED, "force"):
        transfer(sysadmin, file, "package", second["id"])
    assert portal.owner(file) == ("package", first["id"], True)
    transfer(author, file, "package", second["id"], force=True)
    assert portal.owner(file) == ("package", second["id"], False)
    data = {"id": file, "owner_type": "package", "owner_id": first["name"], "pin": True}
    assert api.post("files_transfer_ownership", sysadmin, **data)[0] == 200
    assert portal.owner(file) == ("package", first["id"], True)


def test_booleans_as_clients_send_them() -> None:
    for value in (True, 1, 5, "true", "True", "yes", "t", "y", "1"):
        assert as_bool(value) is True, value
    for value in (False, 0, "false", "no", "", "2", None, 1.5, [], ["x"], {"x": "y"}):
        assert as_bool(value) is False, value


def test_already_there(author: str, file: str) -> None:
    dataset = portal.new_dataset(author, attachment=file)
    before = portal.history(file)
    assert transfer(author, file, "package", dataset["name"])["pinned"]
    assert portal.history(file) == before
    # letting it go takes force
    assert not transfer(author, file, "package", dataset["id"], force=True)["pinned"]
    assert transfer(author, file, "package", dataset["id"], pin=True)["pinned"]
    assert portal.history(file) == before


@pytest.mark.ckan_config("ckan.files.owner.cascade_access", {})
@pytest.mark.usefixtures("ckan_config")
def test_force_takes_the_right_to_edit_the_file(author: str, file: str) -> None:
    dataset = portal.new_dataset(author, attachment=file)
    transfer(author, file, "package", dataset["id"])
    with pytest.raises(NotAuthorized, match=portal.UNKNOWN):
        transfer(author, file, "package", dataset["id"], force=True)
    assert portal.owner(file) == ("package", dataset["id"], True)


@pytest.mark.ckan_config("ckan.files.owner.transfer_as_update", False)
@pytest.mark.usefixtures("ckan_config")
def test_other_permission_to_transfer(author: str, sysadmin: str, file: str) -> None:
    dataset = portal.new_dataset(author)
    with pytest.raises(NotAuthorized):
        transfer(author, file, "package", dataset["id"])
    transfer(sysadmin, file, "package", dataset["id"])


# transactions


def test_defer_commit(author: str, file: str) -> None:
    before = portal.owner(file)
    data = {"id": file, "owner_type": "package", "owner_id": portal.new_dataset(author)["id"]}
    for end in (model.Session.rollback, model.Session.commit):
        context: Any = {"user": author, "defer_commit": True}
        tk.get_action("files_transfer_ownership")(context, data)
        assert portal.owner(file) == before
        end()
    assert portal.owner(file)[0] == "package"


def test_objects_in_the_session_are_not_stale(author: str, file: str) -> None:
    item: Any = model.Session.get(File, file)
    assert item.owner.owner_type == "user"
    dataset = portal.new_dataset(author, attachment=file)
    assert item.owner.owner_id == dataset["id"]
    transfer(author, file, "user", author, force=True)
    assert item.owner.owner_type == "user"
    assert not item.owner.pinned


# bad input


@pytest.mark.parametrize("name", ["id", "owner_type", "owner_id"])
def test_bad_input(name: str, sysadmin: str, api: portal.Api, file: str) -> None:
    before = portal.owner(file)
    values = [None, "", 7, 0.5, True, {"a": 1}, [{"a": 1}], ["x"], "\x00", "\ud800", "x" * 100_000]
    for value in values:
        data = {"id": file, "owner_type": "user", "owner_id": sysadmin, name: value}
        status, answer = api.post("files_transfer_ownership", sysadmin, **data)
        assert status == 409, answer
        assert set(answer["error"]) == {name, "__type"}
    assert portal.owner(file) == before
