"""The action ``files_transfer_ownership``, and who may use it."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized, ValidationError
from ckan.tests import factories

from ckanext.files.shared import add_task, with_task_queue
from ckanext.files.store import File
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.portal import (
    PINNED,
    UNKNOWN,
    Api,
    call,
    history,
    new_dataset,
    owner,
    put,
    resource,
    update,
    upload,
)


def transfer(user: str | None, file: Any, owner_type: Any, owner_id: Any, **more: Any) -> Any:
    return call(
        "files_transfer_ownership", user, id=file, owner_type=owner_type, owner_id=owner_id, **more
    )


def test_answer_and_history(author: str) -> None:
    """Both are those of CKAN's own action."""
    file, cores = upload(author, 2)
    former, dataset = owner(file), new_dataset(author)
    data = {"owner_type": "package", "owner_id": dataset["id"], "pin": True}
    with count_commits() as commits:
        answer = call("files_transfer_ownership", author, id=file, **data)
    assert len(commits) == 1
    assert answer == call("file_show", author, id=file)
    assert answer["owner_id"] == dataset["id"]
    assert owner(file) == ("package", dataset["id"], True)
    assert history(file) == [(*former[:2], author)]

    answers = [answer, call("file_ownership_transfer", author, id=cores, **data)]
    for one in answers:
        for its_own in ("id", "location", "created"):
            del one[its_own]
    assert answers[0] == answers[1]
    assert history(file) == history(cores)

    context: Any = {"user": author, "include_plugin_data": True}
    assert "plugin_data" in tk.get_action("files_transfer_ownership")(context, {"id": file, **data})


@pytest.mark.parametrize("owner_type", ["package", "group", "organization", "user", "resource"])
def test_owner_by_name(owner_type: str, sysadmin: str) -> None:
    """A resource by its id: names of resources are not unique."""
    (file,) = put(None)
    entity: dict[str, Any] = {
        "package": lambda: new_dataset(sysadmin),
        "group": factories.Group,
        "organization": factories.Organization,
        "user": lambda: call("user_show", sysadmin, id=sysadmin),
        "resource": lambda: new_dataset(sysadmin, resources=[resource()] * 2)["resources"][1],
    }[owner_type]()
    transfer(sysadmin, file, owner_type, entity["id" if owner_type == "resource" else "name"])
    assert owner(file) == (owner_type, entity["id"], False)


def test_owner_must_exist(author: str, sysadmin: str, file: str) -> None:
    removed = new_dataset(author, resources=[resource()])
    update(author, removed, resources=[])
    before = owner(file)
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
    assert owner(file) == before


def test_type_that_no_plugin_knows(author: str, sysadmin: str, file: str) -> None:
    """A user who manages all files may invent one, as with CKAN's own action."""
    with pytest.raises(NotAuthorized):
        transfer(author, file, "spaceship", "x")
    transfer(sysadmin, file, "spaceship", "x")
    assert owner(file) == ("spaceship", "x", False)


def test_unknown_file_for_a_sysadmin(author: str, sysadmin: str) -> None:
    with pytest.raises(NotAuthorized, match="does not exist"):
        transfer(sysadmin, "nix", "package", new_dataset(author)["id"])


def test_anonymous(author: str, api: Api, file: str) -> None:
    data = {"id": file, "owner_type": "package", "owner_id": new_dataset(author)["id"]}
    with pytest.raises(NotAuthorized):
        call("files_transfer_ownership", "", **data)
    assert api.post("files_transfer_ownership", None, **data)[0] == 403


# pinned files


def test_pinned_file_moves_with_force_only(author: str, sysadmin: str, api: Api, file: str) -> None:
    first, second = new_dataset(author, attachment=file), new_dataset(author)
    with pytest.raises(NotAuthorized, match=PINNED):
        transfer(author, file, "package", second["id"])
    with pytest.raises(ValidationError) as caught:
        transfer(sysadmin, file, "package", second["id"])
    assert set(caught.value.error_dict) == {"force"}
    assert owner(file) == ("package", first["id"], True)
    transfer(author, file, "package", second["id"], force=True)
    assert owner(file) == ("package", second["id"], False)
    data = {"id": file, "owner_type": "package", "owner_id": first["name"], "pin": True}
    assert api.post("files_transfer_ownership", sysadmin, **data)[0] == 200
    assert owner(file) == ("package", first["id"], True)


def test_already_there(author: str, file: str) -> None:
    dataset = new_dataset(author, attachment=file)
    before = history(file)
    assert transfer(author, file, "package", dataset["name"])["pinned"]
    assert history(file) == before
    # letting it go takes force
    assert not transfer(author, file, "package", dataset["id"], force=True)["pinned"]
    assert transfer(author, file, "package", dataset["id"], pin=True)["pinned"]
    assert history(file) == before


@pytest.mark.ckan_config("ckan.files.owner.cascade_access", {})
@pytest.mark.usefixtures("ckan_config")
def test_force_takes_the_right_to_edit_the_file(author: str, file: str) -> None:
    dataset = new_dataset(author, attachment=file)
    transfer(author, file, "package", dataset["id"])
    with pytest.raises(NotAuthorized, match=UNKNOWN):
        transfer(author, file, "package", dataset["id"], force=True)
    assert owner(file) == ("package", dataset["id"], True)


def test_within_one_dataset(author: str, file: str) -> None:
    dataset = new_dataset(author, attachment=file, resources=[resource(), resource()])
    targets = [("resource", r["id"]) for r in dataset["resources"]]
    for target in [*targets, ("package", dataset["id"])]:
        transfer(author, file, *target)
        assert owner(file) == (*target, True)


@pytest.mark.ckan_config("ckan.files.owner.transfer_as_update", False)
@pytest.mark.usefixtures("ckan_config")
def test_other_permission_to_transfer(author: str, sysadmin: str, file: str) -> None:
    dataset = new_dataset(author)
    with pytest.raises(NotAuthorized):
        transfer(author, file, "package", dataset["id"])
    transfer(sysadmin, file, "package", dataset["id"])


# transactions


def test_defer_commit(author: str, file: str) -> None:
    before = owner(file)
    data = {"id": file, "owner_type": "package", "owner_id": new_dataset(author)["id"]}
    for end in (model.Session.rollback, model.Session.commit):
        context: Any = {"user": author, "defer_commit": True}
        tk.get_action("files_transfer_ownership")(context, data)
        assert owner(file) == before
        end()
    assert owner(file)[0] == "package"


def test_objects_in_the_session_are_not_stale(author: str, file: str) -> None:
    item: Any = model.Session.get(File, file)
    assert item.owner.owner_type == "user"
    dataset = new_dataset(author, attachment=file)
    assert item.owner.owner_id == dataset["id"]
    transfer(author, file, "user", author, force=True)
    assert item.owner.owner_type == "user"
    assert not item.owner.pinned


def test_in_a_task(author: str, file: str) -> None:
    """The example of the documentation: a file that no validator knows."""

    def attach(result: Any, idx: int, prev: Any) -> Any:
        return transfer(None, file, "package", result["id"], pin=True)

    @with_task_queue
    def action(context: Any, data_dict: Any) -> Any:
        add_task(attach)
        return tk.get_action("package_create")(context, data_dict)

    with count_commits() as commits:
        dataset = action({"user": author}, {"type": DATASET_TYPE, "name": f"d-{file}"})
    assert len(commits) == 1
    assert owner(file) == ("package", dataset["id"], True)


# bad input


@pytest.mark.parametrize("name", ["id", "owner_type", "owner_id"])
def test_bad_input(name: str, sysadmin: str, api: Api, file: str) -> None:
    before = owner(file)
    values = [None, "", 7, 0.5, True, {"a": 1}, [{"a": 1}], ["x"], "\x00", "\ud800", "x" * 100_000]
    for value in values:
        data = {"id": file, "owner_type": "user", "owner_id": sysadmin, name: value}
        with pytest.raises(ValidationError) as caught:
            call("files_transfer_ownership", sysadmin, **data)
        assert set(caught.value.error_dict) == {name}
        status, answer = api.post("files_transfer_ownership", sysadmin, **data)
        assert status == 409, answer
        assert set(answer["error"]) == {name, "__type"}
    assert owner(file) == before


def test_auth_function_is_safe_with_anything(author: str) -> None:
    for data in ({}, {"id": 7}, {"id": "\x00", "owner_type": "package", "owner_id": []}):
        with pytest.raises(NotAuthorized):
            tk.check_access("files_transfer_ownership", {"user": author}, data)
