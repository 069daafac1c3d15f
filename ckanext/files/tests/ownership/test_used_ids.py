"""Nothing new gets files by having the id of an owner that is gone."""

from __future__ import annotations

import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import ValidationError
from ckan.logic import schema as core_schema

from ckanext.files.shared import with_task_queue
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import look, statements
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    OWNERS,
    call,
    error_at,
    exists,
    new_dataset,
    owner,
    put,
    resource,
    shown,
    upload,
)

loaded = load_plugins("files", "files_test_forms")

USED = "cannot be used again"


@pytest.fixture
def stranger() -> str:
    return portal.new_user()


@pytest.fixture
def sysadmin() -> str:
    return portal.new_user(sysadmin=True)


class Removed:
    """A resource with a file, removed in one way or another."""

    def __init__(self, way: str, user: str, sysadmin: str) -> None:
        (self.file,) = upload(user)
        organization = portal.organization_of(user)
        self.dataset = new_dataset(
            user, owner_org=organization, resources=[resource(doc=self.file), resource()]
        )
        self.id = self.dataset["resources"][0]["id"]
        self.owner = owner(self.file)
        if way == "purge":
            call("dataset_purge", sysadmin, id=self.dataset["id"])
        elif way == "without it":
            call("package_update", user, **{**shown(self.dataset["id"]), "resources": []})
        else:
            call("resource_delete", user, id=self.id)
        if way == "forgotten":
            # the next update removes its row
            call("resource_create", user, package_id=self.dataset["id"], **resource())
            assert not look("SELECT count(*) FROM resource WHERE id = :id", id=self.id)


WAYS = ["delete", "without it", "forgotten", "purge"]


@pytest.fixture(params=WAYS)
def removed(request: pytest.FixtureRequest, author: str, sysadmin: str) -> Removed:
    return Removed(request.param, author, sysadmin)


@pytest.mark.parametrize("kind", [DATASET_TYPE, "dataset"])
@pytest.mark.parametrize("who", ["stranger", "sysadmin"])
@pytest.mark.parametrize("action", ["package_create", "package_update", "resource_create"])
def test_resource(
    action: str, who: str, kind: str, removed: Removed, request: pytest.FixtureRequest
) -> None:
    """Also in datasets that have no field for files."""
    user: str = request.getfixturevalue(who)
    name = f"d-{uuid.uuid4()}"
    where: list[Any] = ["resources", 1, "id"]
    new = resource(id=removed.id, name=name)
    if action == "package_create":
        data: dict[str, Any] = {"type": kind, "name": name, "resources": [resource(), new]}
    else:
        mine = new_dataset(user, type=kind, resources=[resource()])
        data = {**mine, "resources": [*mine["resources"], new]}
    if action == "resource_create":
        data, where = {"package_id": data["id"], **new}, ["id"]
    with pytest.raises(ValidationError) as caught:
        call(action, user, **data)
    assert USED in error_at(caught.value.error_dict, where)
    model.Session.commit()  # nothing is left in the session
    assert not exists("package", name)
    assert not exists("resource", name)
    assert owner(removed.file) == removed.owner
    # without the id it is fine
    new.pop("id")
    data.pop("id" if action == "resource_create" else "", None)
    call(action, user, **data)


@pytest.mark.parametrize("way", ["delete", "without it"])
def test_resource_that_comes_back(way: str, author: str, sysadmin: str) -> None:
    """Its own dataset may do so, as long as CKAN knows that it was there."""
    removed = Removed(way, author, sysadmin)
    mine = shown(removed.dataset["id"])
    mine["resources"] += [resource(id=removed.id, doc=removed.file)]
    call("package_update", author, **mine)
    assert owner(removed.file) == removed.owner
    assert removed.id in {r["id"] for r in shown(mine["id"])["resources"]}


@pytest.mark.parametrize("ignored", ["schema", "__extras"])
def test_resource_past_the_validator(ignored: str, stranger: str, removed: Removed) -> None:
    """Plugins have schemas of their own, and CKAN takes ``__extras`` into a resource."""
    context: Any = {"user": stranger}
    new = resource(name="new", id=removed.id)
    if ignored == "schema":
        schema: Any = core_schema.default_create_package_schema()
        schema["resources"]["id"] = []
        context["schema"] = schema
    else:
        new = resource(name="new", __extras={"id": removed.id})
    data = {"name": f"d-{uuid.uuid4()}", "type": "dataset", "resources": [new]}
    with pytest.raises(ValidationError) as caught:
        tk.get_action("package_create")(context, data)
    error_at(caught.value.error_dict, ["resources", 0, "id"])
    assert owner(removed.file) == removed.owner


@pytest.mark.parametrize("kind", ["package", "group", "organization", "user"])
def test_purged(kind: str, sysadmin: str) -> None:
    """Only sysadmins and what acts for them may give the ids of these."""
    id_, free = str(uuid.uuid4()), str(uuid.uuid4())
    (file,) = put((kind, id_), pinned=True)
    name = f"n-{id_}"
    data = {"name": name, "type": "dataset"} if kind == "package" else {"name": name}
    if kind == "user":
        data |= {"email": f"{name}@example.com", "password": "12345678"}
    with pytest.raises(ValidationError) as caught:
        call(f"{kind}_create", sysadmin, **data, id=id_)
    assert USED in error_at(caught.value.error_dict, ["id"])
    model.Session.commit()
    assert not exists("group" if kind == "organization" else kind, name)
    assert call(f"{kind}_create", sysadmin, **data, id=free)["id"] == free
    assert owner(file) == (kind, id_, True)


def test_what_ckan_finds_wrong_comes_first(stranger: str, removed: Removed) -> None:
    new = resource(id=removed.id)
    with pytest.raises(ValidationError) as caught:
        call("package_create", stranger, name="?", type="dataset", resources=[new])
    assert set(caught.value.error_dict) == {"name"}
    with pytest.raises(tk.NotAuthorized):
        call("package_create", "", name="x", type="dataset", resources=[new])


def test_within_another_action(stranger: str, removed: Removed) -> None:
    """Who catches the error goes on."""

    def do(context: Any) -> None:
        data = {"name": f"d-{uuid.uuid4()}", "type": "dataset"}
        with pytest.raises(ValidationError):
            call("package_create", stranger, **data, resources=[resource(id=removed.id)])
        call("package_create", stranger, **data)
        names.append(data["name"])

    names: list[str] = []
    for atomic in ("eager", "late"):
        action = with_task_queue(eager=atomic == "eager")(_do)
        action({}, {"do": do})
    assert [exists("package", name) for name in names] == [True, True]


def _do(context: Any, data_dict: Any) -> None:
    data_dict["do"](context)


def test_requests_without_new_ids_cost_nothing(author: str) -> None:
    with statements() as seen:
        dataset = new_dataset(author, type="dataset", resources=[resource(), resource()])
        dataset["resources"].reverse()
        call("package_update", author, **dataset)
        call("resource_create", author, package_id=dataset["id"], **resource())
        call("group_create", author, name=f"g-{dataset['id']}")
    assert not [statement for statement in seen if OWNERS in statement]


def test_one_question_for_many_ids(author: str) -> None:
    resources = [resource(id=str(uuid.uuid4())) for _ in range(20)]
    with statements() as seen:
        new_dataset(author, type="dataset", resources=resources)
    assert len([statement for statement in seen if OWNERS in statement]) == 1
