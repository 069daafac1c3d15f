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
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.users import call, new_user, organization_of, shown

USED = "cannot be used again"


def test_other_id_fields(author: str) -> None:
    files = portal.upload(author, 3)
    organization = organization_of(author)
    dataset = portal.new_dataset(
        author,
        owner_org=organization,
        by_name=files[0],
        for_organization=files[1],
        resources=[portal.resource(), portal.resource(code="B7", by_code=files[2])],
    )
    expected = [("package", dataset["name"]), ("organization", organization), ("resource", "B7")]
    assert portal.owners(*files) == [(*named, True) for named in expected]
    dataset["resources"].reverse()
    portal.update(author, dataset, title="again")
    dataset["resources"][0]["name"] = "c"
    portal.update(author, dataset, title="and again")
    assert portal.owner(files[2]) == ("resource", "B7", True)
    # a file that is pinned, named anew
    for file in ("", files[0]):
        portal.update(author, shown(dataset["id"]), by_name=file)
    assert portal.owner(files[0]) == ("package", dataset["name"], True)


def test_name_that_is_the_id_of_another_dataset(author: str) -> None:
    """Neither are its files there already, nor does it get any."""
    other = new_user()
    (theirs,), (mine,) = portal.upload(other), portal.upload(author)
    dataset = portal.new_dataset(other, owner_org=organization_of(other), attachment=theirs)
    before = portal.owner(mine)
    for file, sentence in ((theirs, portal.UNKNOWN), (mine, portal.NO_OWNER)):
        with portal.refused(sentence, "by_name"):
            portal.new_dataset(author, name=dataset["id"], by_name=file)
    assert portal.owners(theirs, mine) == [("package", dataset["id"], True), before]
    # a user who may edit the other dataset may give it files
    portal.new_dataset(new_user(sysadmin=True), name=dataset["id"], by_name=mine)
    assert portal.owner(mine) == ("package", dataset["id"], True)


def test_owner_that_is_not_there(author: str, file: str) -> None:
    """An owner without an id, and a validator for another type with the id of the dataset."""
    before = portal.owner(file)
    with portal.refused(file, "resources", 1, "by_code"):
        portal.new_dataset(author, resources=[portal.resource(), portal.resource(by_code=file)])
    dataset = shown(portal.new_dataset(author)["id"])
    for field in ("as_resource", "as_group"):
        with portal.refused(portal.NO_OWNER, field):
            portal.new_dataset(author, **{field: file})
        with portal.refused(portal.NO_OWNER, field):
            portal.update(author, dataset, **{field: file})
    assert shown(dataset["id"]) == dataset
    assert portal.owner(file) == before


def test_id_given_on_create(author: str) -> None:
    file, doc, *ids = portal.upload(author, 4)
    resources = [portal.resource(id=ids[1], doc=doc)]
    portal.new_dataset(new_user(sysadmin=True), id=ids[0], attachment=file, resources=resources)
    assert portal.owners(file, doc) == [("package", ids[0], True), ("resource", ids[1], True)]


def test_context_of_another_dataset(author: str, file: str) -> None:
    """What a context was used for before does not make its dataset's files free to move."""
    dataset = portal.new_dataset(author, attachment=file)
    context: Any = {"user": author}
    tk.get_action("package_show")(context, {"id": dataset["id"]})
    assert context["package"]
    data = {"type": DATASET_TYPE, "name": f"d-{file}", "attachment": file}
    with portal.refused(portal.PINNED, "attachment"):
        tk.get_action("package_create")(context, data)


def test_resource_id_of_another_dataset(author: str) -> None:
    """Taking over the id of a removed resource does not take over its files."""
    theirs = portal.new_dataset(author, resources=[portal.resource(doc=portal.upload(author)[0])])
    portal.update(author, theirs, resources=[])
    mine = portal.new_dataset(author)
    taken = {**theirs["resources"][0], "package_id": mine["id"]}
    with pytest.raises(ValidationError):
        portal.update(author, mine, resources=[taken])
    portal.assert_owned(theirs)


def test_file_without_an_owner_that_exists(author: str) -> None:
    """It has none, or one that is purged: it is for sysadmins, and for code that ignores rights."""
    for former in (None, ("package", "no-more")):
        (file,) = portal.put(former)
        with portal.refused(portal.UNKNOWN, "attachment"):
            portal.new_dataset(author, attachment=file)
    for user in (new_user(sysadmin=True), None):
        (file,) = portal.put(None)
        dataset = call("package_create", user, type=DATASET_TYPE, name=f"d-{file}", attachment=file)
        portal.assert_owned(dataset)
        assert portal.history(file) == []


def test_file_of_a_dataset_that_the_user_may_edit(author: str, file: str) -> None:
    loose = portal.new_dataset(author, loose=file)
    portal.assert_owned(portal.new_dataset(author, attachment=file))
    assert portal.history(file)[-1] == ("package", loose["id"], author)


def test_file_created_in_the_same_transaction() -> None:
    """Neither flushed nor committed, as file_create leaves it with defer_commit."""
    sysadmin = new_user(sysadmin=True)
    context: Any = {"user": sysadmin, "defer_commit": True}
    file = tk.get_action("file_create")(context, {"name": "a.txt", "upload": b"hello"})
    portal.assert_owned(portal.new_dataset(sysadmin, attachment=file["id"]))


# ids of what is gone


class Removed:
    """A resource with a file, removed in one way or another."""

    def __init__(self, way: str, user: str) -> None:
        self.user = user
        (self.file,) = portal.upload(user)
        resources = [portal.resource(doc=self.file), portal.resource()]
        dataset = portal.new_dataset(user, owner_org=organization_of(user), resources=resources)
        self.dataset_id, self.id = dataset["id"], dataset["resources"][0]["id"]
        self.owner = portal.owner(self.file)
        if way == "purge":
            call("dataset_purge", None, id=self.dataset_id)
        elif way == "without it":
            portal.update(user, shown(self.dataset_id), resources=[])
        else:
            call("resource_delete", user, id=self.id)
        if way == "forgotten":
            # the next update removes its row
            call("resource_create", user, package_id=self.dataset_id, **portal.resource())
            assert not look("SELECT count(*) FROM resource WHERE id = :id", id=self.id)


@pytest.fixture(scope="module", params=["delete", "without it", "forgotten", "purge"])
def removed(request: pytest.FixtureRequest) -> Removed:
    return Removed(request.param, new_user())


@pytest.mark.parametrize("kind", [DATASET_TYPE, "dataset without a field for files"])
@pytest.mark.parametrize("sysadmin", [False, True])
def test_id_of_a_removed_resource(sysadmin: bool, kind: str, removed: Removed) -> None:
    user, name, type_ = new_user(sysadmin=sysadmin), f"d-{uuid.uuid4()}", kind.split()[0]
    new = portal.resource(name, id=removed.id)
    mine = portal.new_dataset(user, type=type_, resources=[portal.resource()])
    calls: list[tuple[str, dict[str, Any]]] = [
        ("resource_create", {"package_id": mine["id"], **new}),
        ("package_create", {"type": type_, "name": name, "resources": [portal.resource(), new]}),
        ("package_update", {**mine, "resources": [*mine["resources"], new]}),
    ]
    for action, data in calls:
        with portal.refused(USED, *(["resources", 1] if "resources" in data else []), "id"):
            call(action, user, **data)
        model.Session.commit()  # nothing is left in the session
        assert not portal.exists("package", name)
        assert not portal.exists("resource", name)
    assert portal.owner(removed.file) == removed.owner
    # without the id it is fine
    del new["id"], calls[0][1]["id"]
    for action, data in calls:
        call(action, user, **data)


@pytest.mark.parametrize("way", ["delete", "without it"])
def test_resource_that_comes_back(way: str, author: str) -> None:
    """Its own dataset may do so, as long as CKAN knows that it was there."""
    removed = Removed(way, author)
    dataset = shown(removed.dataset_id)
    dataset["resources"] += [portal.resource(id=removed.id, doc=removed.file)]
    portal.update(author, dataset)
    assert portal.owner(removed.file) == removed.owner
    assert removed.id in {r["id"] for r in shown(dataset["id"])["resources"]}


@pytest.mark.parametrize("ignored", ["schema", "__extras"])
def test_resource_past_the_validator(ignored: str, author: str, removed: Removed) -> None:
    """Plugins have schemas of their own, and CKAN takes ``__extras`` into a resource."""
    context: Any = {"user": author}
    new = portal.resource("new", id=removed.id)
    if ignored == "schema":
        schema: Any = core_schema.default_create_package_schema()
        schema["resources"]["id"] = []
        context["schema"] = schema
    else:
        new = portal.resource("new", __extras={"id": removed.id})
    data = {"name": f"d-{uuid.uuid4()}", "type": "dataset", "resources": [new]}
    with portal.refused("", "resources", 0, "id"):
        tk.get_action("package_create")(context, data)
    assert portal.owner(removed.file) == removed.owner


@pytest.mark.parametrize("kind", ["package", "group", "organization", "user"])
def test_purged(kind: str) -> None:
    """Only sysadmins and what acts for them may give the ids of these."""
    sysadmin, id_, free = new_user(sysadmin=True), str(uuid.uuid4()), str(uuid.uuid4())
    (file,) = portal.put((kind, id_), pinned=True)
    name = f"n-{id_}"
    data = {"name": name, "type": "dataset"} if kind == "package" else {"name": name}
    if kind == "user":
        data |= {"email": f"{name}@example.com", "password": "12345678"}
    with portal.refused(USED, "id"):
        call(f"{kind}_create", sysadmin, **data, id=id_)
    model.Session.commit()
    assert not portal.exists("group" if kind == "organization" else kind, name)
    assert call(f"{kind}_create", sysadmin, **data, id=free)["id"] == free
    assert portal.owner(file) == (kind, id_, True)


def test_what_ckan_finds_wrong_comes_first(author: str, removed: Removed) -> None:
    data: dict[str, Any] = {"type": "dataset", "resources": [portal.resource(id=removed.id)]}
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
            call("package_create", author, **data, resources=[portal.resource(id=removed.id)])
        call("package_create", author, **data)

    action({}, {})
    assert portal.exists("package", data["name"])
