"""Which owner an id names, and that nothing new gets files by the id of an owner that is gone."""

from __future__ import annotations

import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.logic import ValidationError
from ckan.logic import schema as core_schema

from ckanext.files.shared import with_task_queue
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.portal import (
    NO_OWNER,
    PINNED,
    UNKNOWN,
    assert_owned,
    call,
    exists,
    history,
    new_dataset,
    new_user,
    organization_of,
    owner,
    owners,
    put,
    refused,
    resource,
    shown,
    update,
    upload,
)

USED = "cannot be used again"


def test_other_id_fields(author: str) -> None:
    files = upload(author, 3)
    organization = organization_of(author)
    dataset = new_dataset(
        author,
        owner_org=organization,
        by_name=files[0],
        for_organization=files[1],
        resources=[resource(), resource(code="B7", by_code=files[2])],
    )
    expected = [("package", dataset["name"]), ("organization", organization), ("resource", "B7")]
    assert owners(*files) == [(*named, True) for named in expected]
    dataset["resources"].reverse()
    update(author, dataset, title="again")
    dataset["resources"][0]["name"] = "c"
    update(author, dataset, title="and again")
    assert owner(files[2]) == ("resource", "B7", True)
    # a file that its owner keeps, named anew
    for file in ("", files[0]):
        update(author, shown(dataset["id"]), by_name=file)
    assert owner(files[0]) == ("package", dataset["name"], True)


def test_name_that_is_the_id_of_another_dataset(author: str) -> None:
    """Neither are its files there already, nor does it get any."""
    other = new_user()
    (theirs,), (mine,) = upload(other), upload(author)
    dataset = new_dataset(other, owner_org=organization_of(other), attachment=theirs)
    before = owner(mine)
    for file, sentence in ((theirs, UNKNOWN), (mine, NO_OWNER)):
        with refused(sentence, "by_name"):
            new_dataset(author, name=dataset["id"], by_name=file)
    assert owners(theirs, mine) == [("package", dataset["id"], True), before]
    # a user who may edit the other dataset may give it files
    new_dataset(new_user(sysadmin=True), name=dataset["id"], by_name=mine)
    assert owner(mine) == ("package", dataset["id"], True)


def test_owner_that_is_not_there(author: str, file: str) -> None:
    """An owner without an id, and a validator for another type with the id of the dataset."""
    before = owner(file)
    with refused(file, "resources", 1, "by_code"):
        new_dataset(author, resources=[resource(), resource(by_code=file)])
    dataset = shown(new_dataset(author)["id"])
    for field in ("as_resource", "as_group"):
        with refused(NO_OWNER, field):
            new_dataset(author, **{field: file})
        with refused(NO_OWNER, field):
            update(author, dataset, **{field: file})
    assert shown(dataset["id"]) == dataset
    assert owner(file) == before


def test_id_given_on_create(author: str) -> None:
    file, doc, *ids = upload(author, 4)
    resources = [resource(id=ids[1], doc=doc)]
    new_dataset(new_user(sysadmin=True), id=ids[0], attachment=file, resources=resources)
    assert owners(file, doc) == [("package", ids[0], True), ("resource", ids[1], True)]


def test_context_of_another_dataset(author: str, file: str) -> None:
    """What a context was used for before does not make its dataset's files free to move."""
    dataset = new_dataset(author, attachment=file)
    context: Any = {"user": author}
    tk.get_action("package_show")(context, {"id": dataset["id"]})
    assert context["package"]
    data = {"type": DATASET_TYPE, "name": f"d-{file}", "attachment": file}
    with refused(PINNED, "attachment"):
        tk.get_action("package_create")(context, data)


def test_resource_id_of_another_dataset(author: str) -> None:
    """Taking over the id of a removed resource does not take over its files."""
    theirs = new_dataset(author, resources=[resource(doc=upload(author)[0])])
    update(author, theirs, resources=[])
    mine = new_dataset(author)
    with pytest.raises(ValidationError):
        update(author, mine, resources=[{**theirs["resources"][0], "package_id": mine["id"]}])
    assert_owned(theirs)


def test_file_without_an_owner_that_exists(author: str) -> None:
    """It has none, or one that is purged: it is for sysadmins, and for code that ignores rights."""
    for former in (None, ("package", "no-more")):
        (file,) = put(former)
        with refused(UNKNOWN, "attachment"):
            new_dataset(author, attachment=file)
    for user in (new_user(sysadmin=True), None):
        (file,) = put(None)
        dataset = call("package_create", user, type=DATASET_TYPE, name=f"d-{file}", attachment=file)
        assert_owned(dataset)
        assert history(file) == []


def test_file_of_a_dataset_that_the_user_may_edit(author: str, file: str) -> None:
    loose = new_dataset(author, loose=file)
    assert_owned(new_dataset(author, attachment=file))
    assert history(file)[-1] == ("package", loose["id"], author)


def test_file_created_in_the_same_transaction() -> None:
    """Neither flushed nor committed, as file_create leaves it with defer_commit."""
    sysadmin = new_user(sysadmin=True)
    context: Any = {"user": sysadmin, "defer_commit": True}
    file = tk.get_action("file_create")(context, {"name": "a.txt", "upload": b"hello"})
    assert_owned(new_dataset(sysadmin, attachment=file["id"]))


# ids of what is gone


class Removed:
    """A resource with a file, removed in one way or another."""

    def __init__(self, way: str, user: str) -> None:
        self.user = user
        (self.file,) = upload(user)
        resources = [resource(doc=self.file), resource()]
        dataset = new_dataset(user, owner_org=organization_of(user), resources=resources)
        self.dataset_id, self.id = dataset["id"], dataset["resources"][0]["id"]
        self.owner = owner(self.file)
        if way == "purge":
            call("dataset_purge", None, id=self.dataset_id)
        elif way == "without it":
            update(user, shown(self.dataset_id), resources=[])
        else:
            call("resource_delete", user, id=self.id)
        if way == "forgotten":
            # the next update removes its row
            call("resource_create", user, package_id=self.dataset_id, **resource())
            assert not look("SELECT count(*) FROM resource WHERE id = :id", id=self.id)


@pytest.fixture(scope="module", params=["delete", "without it", "forgotten", "purge"])
def removed(request: pytest.FixtureRequest) -> Removed:
    return Removed(request.param, new_user())


@pytest.mark.parametrize("kind", [DATASET_TYPE, "dataset without a field for files"])
@pytest.mark.parametrize("sysadmin", [False, True])
def test_id_of_a_removed_resource(sysadmin: bool, kind: str, removed: Removed) -> None:
    user, name, type_ = new_user(sysadmin=sysadmin), f"d-{uuid.uuid4()}", kind.split()[0]
    new = resource(name, id=removed.id)
    mine = new_dataset(user, type=type_, resources=[resource()])
    calls: list[tuple[str, dict[str, Any], list[Any]]] = [
        ("resource_create", {"package_id": mine["id"], **new}, ["id"]),
        (
            "package_create",
            {"type": type_, "name": name, "resources": [resource(), new]},
            ["resources", 1, "id"],
        ),
        (
            "package_update",
            {**mine, "resources": [*mine["resources"], new]},
            ["resources", 1, "id"],
        ),
    ]
    for action, data, key in calls:
        with refused(USED, *key):
            call(action, user, **data)
        model.Session.commit()  # nothing is left in the session
        assert not exists("package", name)
        assert not exists("resource", name)
    assert owner(removed.file) == removed.owner
    # without the id it is fine
    del new["id"], calls[0][1]["id"]
    for action, data, _ in calls:
        call(action, user, **data)


@pytest.mark.parametrize("way", ["delete", "without it"])
def test_resource_that_comes_back(way: str, author: str) -> None:
    """Its own dataset may do so, as long as CKAN knows that it was there."""
    removed = Removed(way, author)
    dataset = shown(removed.dataset_id)
    dataset["resources"] += [resource(id=removed.id, doc=removed.file)]
    update(author, dataset)
    assert owner(removed.file) == removed.owner
    assert removed.id in {r["id"] for r in shown(dataset["id"])["resources"]}


@pytest.mark.parametrize("ignored", ["schema", "__extras"])
def test_resource_past_the_validator(ignored: str, author: str, removed: Removed) -> None:
    """Plugins have schemas of their own, and CKAN takes ``__extras`` into a resource."""
    context: Any = {"user": author}
    new = resource("new", id=removed.id)
    if ignored == "schema":
        schema: Any = core_schema.default_create_package_schema()
        schema["resources"]["id"] = []
        context["schema"] = schema
    else:
        new = resource("new", __extras={"id": removed.id})
    data = {"name": f"d-{uuid.uuid4()}", "type": "dataset", "resources": [new]}
    with refused("", "resources", 0, "id"):
        tk.get_action("package_create")(context, data)
    assert owner(removed.file) == removed.owner


@pytest.mark.parametrize("kind", ["package", "group", "organization", "user"])
def test_purged(kind: str) -> None:
    """Only sysadmins and what acts for them may give the ids of these."""
    sysadmin, id_, free = new_user(sysadmin=True), str(uuid.uuid4()), str(uuid.uuid4())
    (file,) = put((kind, id_), pinned=True)
    name = f"n-{id_}"
    data = {"name": name, "type": "dataset"} if kind == "package" else {"name": name}
    if kind == "user":
        data |= {"email": f"{name}@example.com", "password": "12345678"}
    with refused(USED, "id"):
        call(f"{kind}_create", sysadmin, **data, id=id_)
    model.Session.commit()
    assert not exists("group" if kind == "organization" else kind, name)
    assert call(f"{kind}_create", sysadmin, **data, id=free)["id"] == free
    assert owner(file) == (kind, id_, True)


def test_what_ckan_finds_wrong_comes_first(author: str, removed: Removed) -> None:
    data: dict[str, Any] = {"type": "dataset", "resources": [resource(id=removed.id)]}
    with pytest.raises(ValidationError) as caught:
        call("package_create", author, name="?", **data)
    assert set(caught.value.error_dict) == {"name"}
    with pytest.raises(tk.NotAuthorized):
        call("package_create", "", name="x", **data)


@pytest.mark.parametrize("eager", [True, False])
def test_within_another_action(eager: bool, author: str, removed: Removed) -> None:
    """An action that catches the error goes on."""
    data = {"name": f"d-{uuid.uuid4()}", "type": "dataset"}

    @with_task_queue(eager=eager)
    def action(context: Any, data_dict: Any) -> None:
        with pytest.raises(ValidationError):
            call("package_create", author, **data, resources=[resource(id=removed.id)])
        call("package_create", author, **data)

    action({}, {})
    assert exists("package", data["name"])
