"""The action ``files_transfer_ownership`` and who may use it."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import NotAuthorized, ValidationError
from ckan.tests import factories

from ckanext.files.shared import add_task, with_task_queue
from ckanext.files.store import File
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import count_commits
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Api, call, history, new_dataset, owner, put, upload

loaded = load_plugins("files", "files_test_forms")


@pytest.fixture
def stranger() -> str:
    return portal.new_user()


@pytest.fixture(scope="module")
def sysadmin(loaded: Any) -> str:
    return portal.new_user(sysadmin=True)


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


def transfer(user: str | None, file: Any, owner_type: Any, owner_id: Any, **more: Any) -> Any:
    return call(
        "files_transfer_ownership", user, id=file, owner_type=owner_type, owner_id=owner_id, **more
    )


def private_dataset(user: str, **fields: Any) -> dict[str, Any]:
    return new_dataset(user, owner_org=portal.organization_of(user), private=True, **fields)


def test_answer_and_history(author: str) -> None:
    (file,) = upload(author)
    former = owner(file)
    dataset = new_dataset(author)
    with count_commits() as commits:
        answer = transfer(author, file, "package", dataset["id"], pin=True)
    assert len(commits) == 1
    assert answer == call("file_show", author, id=file)
    assert answer["owner_id"] == dataset["id"]
    assert owner(file) == ("package", dataset["id"], True)
    assert history(file) == [(*former[:2], author)]


def test_same_answer_as_core(author: str, sysadmin: str) -> None:
    ours, cores = upload(author, 2)
    dataset = new_dataset(author)
    data = {"owner_type": "package", "owner_id": dataset["id"], "pin": True}
    answers = [
        call("files_transfer_ownership", author, id=ours, **data),
        call("file_ownership_transfer", author, id=cores, **data),
    ]
    for answer in answers:
        for own in ("id", "location", "created"):
            del answer[own]
    assert answers[0] == answers[1]
    assert history(ours) == history(cores)


def test_plugin_data_is_for_those_who_ask(author: str) -> None:
    (file,) = upload(author)
    data = {"id": file, "owner_type": "package", "owner_id": new_dataset(author)["id"]}
    context: Any = {"user": author, "include_plugin_data": True}
    assert "plugin_data" in tk.get_action("files_transfer_ownership")(context, data)


@pytest.mark.parametrize("owner_type", ["package", "group", "organization", "user"])
def test_owner_by_name(owner_type: str, sysadmin: str) -> None:
    (file,) = put(None)
    entity: dict[str, Any] = {
        "package": lambda: new_dataset(sysadmin),
        "group": factories.Group,
        "organization": factories.Organization,
        "user": lambda: call("user_show", sysadmin, id=sysadmin),
    }[owner_type]()
    transfer(sysadmin, file, owner_type, entity["name"])
    assert owner(file) == (owner_type, entity["id"], False)


def test_resource_as_owner(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(
        author, resources=[{"url": "x", "name": "same"}, {"url": "x", "name": "same"}]
    )
    resource = dataset["resources"][1]
    transfer(author, file, "resource", resource["id"])
    assert owner(file) == ("resource", resource["id"], False)


def test_owner_must_exist(author: str, sysadmin: str) -> None:
    (file,) = upload(author)
    removed = new_dataset(author, resources=[{"url": "x"}])
    call("package_update", author, **{**removed, "resources": []})
    group = factories.Group()
    for owner_type, owner_id in [
        ("package", "nix"),
        ("resource", "nix"),
        ("resource", removed["resources"][0]["id"]),
        ("organization", group["id"]),
        ("user", "nix"),
    ]:
        with pytest.raises(ValidationError) as caught:
            transfer(sysadmin, file, owner_type, owner_id)
        assert set(caught.value.error_dict) == {"owner_id"}
        with pytest.raises(NotAuthorized):
            transfer(author, file, owner_type, owner_id)


def test_type_that_no_plugin_knows(author: str, sysadmin: str) -> None:
    """A user who manages all files may invent one, as with CKAN's own action."""
    (file,) = upload(author)
    with pytest.raises(NotAuthorized):
        transfer(author, file, "spaceship", "x")
    transfer(sysadmin, file, "spaceship", "x")
    assert owner(file) == ("spaceship", "x", False)


def test_needs_the_right_to_update_the_owner(author: str, stranger: str) -> None:
    (file,) = upload(author)
    theirs = private_dataset(stranger)
    before = owner(file)
    with pytest.raises(NotAuthorized):
        transfer(author, file, "package", theirs["id"])
    assert owner(file) == before


def test_the_answer_does_not_reveal_files(author: str, stranger: str, api: Api) -> None:
    mine = new_dataset(author)
    theirs = upload(stranger)[0]
    private, pinned = upload(stranger, 2)
    private_dataset(stranger, loose=private, attachment=pinned)
    answers = set()
    for file in (theirs, private, pinned, "nix"):
        with pytest.raises(NotAuthorized) as caught:
            transfer(author, file, "package", mine["id"], force=True)
        data = {"owner_type": "package", "owner_id": mine["id"]}
        status, answer = api.post("files_transfer_ownership", author, id=file, **data)
        answers.add((str(caught.value).replace(file, ""), status, _text(answer).replace(file, "")))
    assert len(answers) == 1
    assert {status for _, status, _ in answers} == {403}


def _text(answer: dict[str, Any]) -> str:
    return str(answer["error"])


def test_unknown_file_for_a_sysadmin(author: str, sysadmin: str) -> None:
    with pytest.raises(NotAuthorized, match="does not exist"):
        transfer(sysadmin, "nix", "package", new_dataset(author)["id"])


def test_anonymous(author: str, api: Api) -> None:
    (file,) = upload(author)
    data = {"id": file, "owner_type": "package", "owner_id": new_dataset(author)["id"]}
    with pytest.raises(NotAuthorized):
        call("files_transfer_ownership", "", **data)
    assert api.post("files_transfer_ownership", None, **data)[0] == 403


# pinned files


def test_pinned_file_moves_with_force_only(author: str, sysadmin: str, api: Api) -> None:
    (file,) = upload(author)
    first, second = new_dataset(author, attachment=file), new_dataset(author)
    with pytest.raises(NotAuthorized, match=portal.PINNED):
        transfer(author, file, "package", second["id"])
    with pytest.raises(ValidationError) as caught:
        transfer(sysadmin, file, "package", second["id"])
    assert set(caught.value.error_dict) == {"force"}
    assert owner(file) == ("package", first["id"], True)
    transfer(author, file, "package", second["id"], force=True)
    assert owner(file) == ("package", second["id"], False)
    status, _ = api.post(
        "files_transfer_ownership",
        sysadmin,
        id=file,
        owner_type="package",
        owner_id=first["name"],
        pin=True,
    )
    assert status == 200
    assert owner(file) == ("package", first["id"], True)


def test_already_there(author: str) -> None:
    (file,) = upload(author)
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
def test_force_takes_the_right_to_edit_the_file(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author, attachment=file)
    transfer(author, file, "package", dataset["id"])
    with pytest.raises(NotAuthorized, match=portal.UNKNOWN):
        transfer(author, file, "package", dataset["id"], force=True)
    assert owner(file) == ("package", dataset["id"], True)


def test_within_one_dataset(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author, attachment=file, resources=[{"url": "x"}, {"url": "y"}])
    ids = [resource["id"] for resource in dataset["resources"]]
    for owner_type, owner_id in [
        ("resource", ids[0]),
        ("resource", ids[1]),
        ("package", dataset["id"]),
    ]:
        transfer(author, file, owner_type, owner_id)
        assert owner(file) == (owner_type, owner_id, True)


@pytest.mark.ckan_config("ckan.files.owner.transfer_as_update", False)
@pytest.mark.usefixtures("ckan_config")
def test_other_permission_to_transfer(author: str, sysadmin: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author)
    with pytest.raises(NotAuthorized):
        transfer(author, file, "package", dataset["id"])
    transfer(sysadmin, file, "package", dataset["id"])


# transactions


def test_defer_commit(author: str) -> None:
    (file,) = upload(author)
    before = owner(file)
    dataset = new_dataset(author)
    data = {"id": file, "owner_type": "package", "owner_id": dataset["id"]}
    tk.get_action("files_transfer_ownership")({"user": author, "defer_commit": True}, data)
    assert owner(file) == before
    model.Session.rollback()
    assert owner(file) == before
    tk.get_action("files_transfer_ownership")({"user": author, "defer_commit": True}, data)
    model.Session.commit()
    assert owner(file)[0] == "package"


def test_objects_in_the_session_are_not_stale(author: str) -> None:
    (file,) = upload(author)
    item: Any = model.Session.get(File, file)
    assert item.owner.owner_type == "user"
    dataset = new_dataset(author, attachment=file)
    assert item.owner.owner_id == dataset["id"]
    transfer(author, file, "user", author, force=True)
    assert item.owner.owner_type == "user"
    assert not item.owner.pinned


def test_in_a_task(author: str) -> None:
    """The example of the documentation: a file that no validator knows."""
    (file,) = upload(author)

    def attach(result: Any, idx: int, prev: Any) -> Any:
        data = {"id": file, "owner_type": "package", "owner_id": result["id"], "pin": True}
        return tk.get_action("files_transfer_ownership")({"ignore_auth": True}, data)

    @with_task_queue
    def action(context: Any, data_dict: Any) -> Any:
        add_task(attach)
        return tk.get_action("package_create")(context, data_dict)

    with count_commits() as commits:
        dataset = action({"user": author}, {"type": "files-python", "name": f"d-{file}"})
    assert len(commits) == 1
    assert owner(file) == ("package", dataset["id"], True)


# bad input


@pytest.mark.parametrize("name", ["id", "owner_type", "owner_id"])
@pytest.mark.parametrize(
    "value", [None, "", 7, 0.5, True, {"a": 1}, [{"a": 1}], ["x"], "\x00", "\ud800", "x" * 100_000]
)
def test_bad_input(name: str, value: Any, sysadmin: str, author: str, api: Api) -> None:
    (file,) = upload(author)
    before = owner(file)
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


# uploads


@pytest.mark.ckan_config("ckan.files.authenticated_uploads.allow", False)
@pytest.mark.usefixtures("ckan_config")
def test_upload_refused_names_the_switch(author: str, sysadmin: str, api: Api) -> None:
    status, answer = api.upload(author)
    assert status == 403
    assert "ckan.files.authenticated_uploads.allow" in str(answer["error"])
    with pytest.raises(NotAuthorized) as caught:
        tk.check_access("file_create", {"user": ""}, {"storage": "default"})
    assert "authenticated_uploads" not in str(caught.value)
    assert tk.check_access("file_create", {"user": sysadmin}, {"storage": "default"})


@pytest.mark.ckan_config("ckan.files.authenticated_uploads.storages", ["other"])
@pytest.mark.usefixtures("ckan_config")
def test_upload_refused_names_the_list_of_storages(author: str, api: Api) -> None:
    status, answer = api.upload(author)
    assert status == 403
    assert "ckan.files.authenticated_uploads.storages" in str(answer["error"])
    assert "storage default" in str(answer["error"])
    assert "as storage: other" in str(answer["error"])


def test_upload_that_is_allowed(author: str, api: Api) -> None:
    status, answer = api.upload(author)
    assert status == 200
    assert owner(answer["result"]["id"])[0] == "user"


def test_upload_into_a_storage_that_is_not_configured(author: str, sysadmin: str, api: Api) -> None:
    """CKAN's own answer is for the sysadmin; the user learns which option has to name it."""
    status, answer = api.upload(sysadmin, storage="nix")
    assert (status, set(answer["error"])) == (409, {"storage", "__type"})
    assert "nix" in str(answer["error"]["storage"])
    status, answer = api.upload(author, storage="nix")
    assert status == 403
    assert "nix" in str(answer["error"])
