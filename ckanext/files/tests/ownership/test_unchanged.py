"""A value that a request does not change moves nothing, and is no error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.planting import plant, plant_in_resource
from ckanext.files.tests.support.users import call, new_user, organization_of, shown

SENT_PAST = "Send this as a field of its own"


@pytest.fixture
def editor() -> str:
    """A user who may edit the dataset, and not use the author's files."""
    return new_user()


@pytest.fixture
def dataset(author: str, editor: str) -> dict[str, Any]:
    resources = [portal.resource("a"), portal.resource("b")]
    organization = organization_of(author, editor)
    return portal.new_dataset(author, owner_org=organization, resources=resources)


def renamed(dataset_id: str) -> dict[str, Any]:
    """Return a dataset with another name for each resource: then all of them are validated."""
    dataset = shown(dataset_id)
    for one in dataset["resources"]:
        one["name"] += " renamed"
    return dataset


# what no validator sees


@pytest.mark.parametrize(
    "action", ["resource_update", "resource_create", "package_create", "package_revise"]
)
def test_extras_of_a_resource(action: str, editor: str, dataset: dict[str, Any], file: str) -> None:
    before = portal.owner(file)
    for value in (file, [file], json.dumps([file]), ["x", file], [{"doc": [file]}]):
        new = portal.resource("c", __extras={"docs": value})
        where: list[Any] = ["docs"]
        data: dict[str, Any] = {"package_id": dataset["id"], **new}
        if action == "resource_update":
            data |= {"id": dataset["resources"][1]["id"]}
        elif action == "package_create":
            where = ["resources", 1, "docs"]
            resources = [portal.resource(), new]
            data = {"type": dataset["type"], "name": f"d-{file}", "resources": resources}
        elif action == "package_revise":
            where = ["resources", 2, "docs"]
            data = {"match": {"id": dataset["id"]}, "update__resources__extend": [new]}
        with portal.refused(SENT_PAST, *where):
            call(action, editor, **data)
    assert portal.owner(file) == before


def test_other_extras_are_kept_as_ckan_keeps_them(author: str, dataset: dict[str, Any]) -> None:
    extras = {"colour": "red", "uuid": dataset["id"], "name": "b"}
    data = {"package_id": dataset["id"], **portal.resource("a", __extras=extras)}
    new = call("resource_create", author, **data)
    assert (new["colour"], new["uuid"], new["name"]) == ("red", dataset["id"], "b")
    # a field that is sent twice
    mine, other = portal.upload(author, 2)
    with portal.refused(SENT_PAST, "doc"):
        call("resource_create", author, **{**data, "doc": mine, "__extras": {"doc": other}})


# what is stored moves nothing


@pytest.mark.parametrize("sysadmin", [False, True])
def test_planted_in_a_resource(sysadmin: bool, author: str, dataset: dict[str, Any]) -> None:
    """The user who saves may use the file."""
    file, another = portal.upload(author, 2)
    before = portal.owner(file)
    saver = new_user(sysadmin=True) if sysadmin else author
    plant_in_resource(dataset["resources"][0]["id"], doc=file, docs=json.dumps([another]))

    def assert_kept() -> None:
        assert portal.owners(file, another) == [before, before]
        first = shown(dataset["id"])["resources"][0]
        assert (first["doc"], json.loads(first["docs"])) == (file, [another])

    assert_kept()
    call("package_patch", saver, id=dataset["id"], title="patched")
    assert_kept()
    portal.update(saver, renamed(dataset["id"]))
    assert_kept()
    call("resource_update", saver, **renamed(dataset["id"])["resources"][0])
    assert_kept()
    changed = shown(dataset["id"])
    for one in changed["resources"]:
        del one["id"]
    portal.update(saver, changed)
    assert_kept()


def test_planted_in_a_dataset(author: str, dataset: dict[str, Any]) -> None:
    file, *several = portal.upload(author, 3)
    before = portal.owner(file)
    plant("package", dataset["id"], attachment=file, several=json.dumps(several))
    assert shown(dataset["id"])["attachment"] == file
    portal.update(author, shown(dataset["id"]), title="x")
    assert portal.owners(file, *several) == [before] * 3
    # what is new in the same list moves
    (new,) = portal.upload(author)
    portal.update(author, shown(dataset["id"]), several=[new, *reversed(several)])
    assert portal.owners(*several, new) == [before, before, ("package", dataset["id"], True)]


def test_planted_in_subfields(author: str) -> None:
    files = portal.upload(author, 4)
    before = portal.owner(files[0])
    resources = [portal.resource("a", parts=[{"doc": ""}])]
    dataset = portal.new_dataset(author, type="files-yaml", resources=resources)
    plant_in_resource(dataset["resources"][0]["id"], parts=[{"doc": files[2]}])
    citations = json.dumps([{"doc": files[0]}, {"docs": json.dumps(files[1:2])}])
    plant("package", dataset["id"], list_after=json.dumps(files[3:]), citations=citations)
    changed = renamed(dataset["id"])
    changed["citations"].reverse()
    portal.update(author, changed, title="x")
    assert portal.owners(*files) == [before] * 4
    assert shown(dataset["id"])["title"] == "x"


def test_part_by_the_name_that_it_has_in_a_form(author: str, editor: str, file: str) -> None:
    """ckanext-scheming makes a part of it at the next save, not at this one."""
    before = portal.owner(file)
    fields: dict[str, Any] = {"type": "files-yaml", "owner_org": organization_of(author, editor)}
    dataset = portal.new_dataset(author, **fields, title="x", resources=[portal.resource("a")])
    planted = {"parts-0-doc": file, "parts-0-docs": [file]}
    id_ = dataset["resources"][0]["id"]
    call("resource_update", editor, id=id_, **portal.resource("a"), __extras=planted)
    assert shown(dataset["id"])["resources"][0]["parts-0-doc"] == file
    for who in (new_user(sysadmin=True), editor):
        call("resource_patch", who, id=id_, name=f"saved by {who}")
    assert shown(dataset["id"])["resources"][0]["parts"][0]["doc"] == file
    assert portal.owner(file) == before


@pytest.mark.parametrize("kind", ["group", "organization"])
def test_planted_in_a_group(kind: str, author: str, file: str) -> None:
    sysadmin = new_user(sysadmin=True)
    before = portal.owner(file)
    name = f"g-{file}"
    group = call(f"{kind}_create", sysadmin, name=name, type=f"files-yaml-{kind}", title="a")
    plant("group", group["id"], logo=file)
    call(f"{kind}_patch", sysadmin, id=name, title="x")
    assert call(f"{kind}_show", sysadmin, id=name)["logo"] == file
    assert portal.owner(file) == before


def test_planted_in_a_user(author: str, editor: str) -> None:
    """Plugins keep their fields of users in plugin_extras."""
    file, portrait = portal.upload(author, 2)
    before = portal.owner(file)
    with engine().begin() as connection:
        change = 'UPDATE "user" SET plugin_extras = CAST(:extras AS jsonb) WHERE name = :name'
        extras = json.dumps({"portraits": {"avatar": file}})
        connection.execute(sa.text(change), {"extras": extras, "name": editor})
    model.Session.remove()
    data = {"id": editor, "email": f"{file}@example.com"}
    sysadmin = new_user(sysadmin=True)
    call("user_update", sysadmin, **data, avatar=file)
    assert portal.owner(file) == before
    call("user_update", sysadmin, **data, avatar=portrait)
    assert portal.owner(portrait)[0] == "user"
    assert portal.owner(portrait) != before


# what is stored is no error


def test_editor_who_may_not_use_what_is_stored(
    author: str, editor: str, dataset: dict[str, Any]
) -> None:
    file, doc = portal.upload(author, 2)
    plant("package", dataset["id"], attachment=file)
    plant_in_resource(dataset["resources"][0]["id"], doc=doc)
    assert portal.update(editor, renamed(dataset["id"]), title="x")["title"] == "x"
    # naming it anew is something else
    changed = shown(dataset["id"])
    changed["resources"][1]["doc"] = doc
    with portal.refused(portal.UNKNOWN, "resources", 1, "doc"):
        portal.update(editor, changed)
    with portal.refused(portal.UNKNOWN, "second"):
        portal.update(editor, shown(dataset["id"]), second=file)


@pytest.mark.parametrize("state", ["deleted", "moved"])
def test_file_that_is_gone(state: str, author: str, dataset: dict[str, Any], file: str) -> None:
    """Only a request that names it anew is refused."""
    portal.update(author, dataset, attachment=file)
    if state == "deleted":
        portal.delete_file(file)
    else:
        target = {"owner_type": "package", "owner_id": portal.new_dataset(author)["id"]}
        call("files_transfer_ownership", author, id=file, **target, force=True, pin=True)
    call("resource_delete", author, id=dataset["resources"][0]["id"])
    changed = portal.update(author, shown(dataset["id"]), title="x")
    assert (changed["title"], len(changed["resources"])) == ("x", 1)
    portal.update(author, changed, attachment="")
    with portal.refused(portal.UNKNOWN if state == "deleted" else portal.PINNED, "attachment"):
        portal.update(author, shown(dataset["id"]), attachment=file)


@pytest.mark.parametrize("text", ["see page 7", '["not", {"an": "id"}]', "x" * 200])
def test_what_is_no_id(text: str, author: str, dataset: dict[str, Any]) -> None:
    """The field was another one once."""
    plant("package", dataset["id"], attachment=text, several_as_text=text)
    plant_in_resource(dataset["resources"][0]["id"], doc=text)
    assert portal.update(author, renamed(dataset["id"]), title="x")["attachment"] == text
    with portal.refused("", "second"):
        portal.update(author, shown(dataset["id"]), second=f"{text}\n")


def test_stored_twice(author: str, dataset: dict[str, Any], file: str) -> None:
    """First no place owns the file, then one of two does."""
    before = portal.owner(file)
    first, second = (one["id"] for one in dataset["resources"])
    plant("package", dataset["id"], several=json.dumps([file, file]))
    for id_ in (first, second):
        plant_in_resource(id_, doc=file)
    portal.update(author, renamed(dataset["id"]), title="x")
    assert portal.owner(file) == before
    call("resource_patch", author, id=first, doc="")
    call("resource_patch", author, id=first, doc=file)
    changed = portal.update(author, renamed(dataset["id"]), several=[], title="y")
    assert portal.owner(file) == ("resource", first, True)
    changed["resources"][1] |= {"second_doc": file}
    with portal.refused(portal.TWICE, "resources", 1, "second_doc"):
        portal.update(author, changed)


# what is asked for moves


@pytest.mark.parametrize("way", ["same field", "other resource", "new resource", "dataset"])
def test_named_anew_beside_a_planted_one(
    way: str, author: str, dataset: dict[str, Any], file: str
) -> None:
    first, second = (one["id"] for one in dataset["resources"])
    plant_in_resource(second, doc=file)
    expected = ("resource", {"same field": second, "other resource": first}.get(way))
    if way == "new resource":
        data = {"package_id": dataset["id"], **portal.resource("c", doc=file)}
        expected = ("resource", call("resource_create", author, **data)["id"])
    elif way == "dataset":
        expected = ("package", dataset["id"])
        portal.update(author, shown(dataset["id"]), attachment=file)
    else:
        for value in ("", file) if way == "same field" else (file,):
            call("resource_patch", author, id=expected[1], doc=value)
    assert portal.owner(file) == (*expected, True)
