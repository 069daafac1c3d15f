"""A value that a request does not change moves nothing, and is no error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.logic import ValidationError

from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.planting import plant, plant_in_resource
from ckanext.files.tests.support.portal import (
    PINNED,
    TWICE,
    UNKNOWN,
    call,
    delete_file,
    new_dataset,
    new_user,
    organization_of,
    owner,
    owners,
    refused,
    resource,
    shown,
    update,
    upload,
)

SENT_PAST = "Send this as a field of its own"


@pytest.fixture
def editor() -> str:
    """A user who may edit the dataset, and not use the author's files."""
    return new_user()


@pytest.fixture
def dataset(author: str, editor: str) -> dict[str, Any]:
    organization = organization_of(author, editor)
    return new_dataset(author, owner_org=organization, resources=[resource("a"), resource("b")])


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
    before = owner(file)
    values = [file, [file], json.dumps([file]), ["x", file], [{"doc": [file]}]]
    for name, sent in zip(("doc", "docs", "docs", "docs", "docs"), values, strict=True):
        new = resource("c", __extras={name: sent})
        data: dict[str, Any] = {"package_id": dataset["id"], **new}
        where: list[Any] = [name]
        if action == "resource_update":
            data |= {"id": dataset["resources"][1]["id"]}
        elif action == "package_create":
            where = ["resources", 1, name]
            data = {"type": dataset["type"], "name": f"d-{file}", "resources": [resource(), new]}
        elif action == "package_revise":
            where = ["resources", 2, name]
            data = {"match": {"id": dataset["id"]}, "update__resources__extend": [new]}
        with refused(SENT_PAST, *where):
            call(action, editor, **data)
    assert owner(file) == before


def test_other_extras_are_kept_as_ckan_keeps_them(author: str, dataset: dict[str, Any]) -> None:
    extras = {"colour": "red", "uuid": dataset["id"], "name": "b"}
    data = {"package_id": dataset["id"], **resource("a", __extras=extras)}
    new = call("resource_create", author, **data)
    assert (new["colour"], new["uuid"], new["name"]) == ("red", dataset["id"], "b")


def test_sent_twice(author: str, dataset: dict[str, Any]) -> None:
    mine, other = upload(author, 2)
    data = {"package_id": dataset["id"], **resource("c", doc=mine, __extras={"doc": other})}
    with refused(SENT_PAST, "doc"):
        call("resource_create", author, **data)


# what is stored moves nothing


@pytest.mark.parametrize("sysadmin", [False, True])
def test_planted_in_a_resource(sysadmin: bool, author: str, dataset: dict[str, Any]) -> None:
    """The user who saves may use the file."""
    file, another = upload(author, 2)
    before = owner(file)
    saver = new_user(sysadmin=True) if sysadmin else author
    plant_in_resource(dataset["resources"][0]["id"], doc=file, docs=json.dumps([another]))

    def assert_kept() -> None:
        assert owners(file, another) == [before, before]
        first = shown(dataset["id"])["resources"][0]
        assert (first["doc"], json.loads(first["docs"])) == (file, [another])

    assert_kept()
    call("package_patch", saver, id=dataset["id"], title="patched")
    assert_kept()
    update(saver, shown(dataset["id"]), title="updated")
    assert_kept()
    update(saver, renamed(dataset["id"]))
    assert_kept()
    call("resource_update", saver, **renamed(dataset["id"])["resources"][0])
    assert_kept()
    changed = shown(dataset["id"])
    for one in changed["resources"]:
        del one["id"]
    update(saver, changed)
    assert_kept()


def test_planted_in_a_dataset(author: str, dataset: dict[str, Any]) -> None:
    file, *several = upload(author, 3)
    before = owner(file)
    plant("package", dataset["id"], attachment=file, several=json.dumps(several))
    assert shown(dataset["id"])["attachment"] == file
    update(author, shown(dataset["id"]), title="x")
    assert owners(file, *several) == [before] * 3
    # what is new in the same list moves
    (new,) = upload(author)
    update(author, shown(dataset["id"]), several=[new, *reversed(several)])
    assert owners(*several, new) == [before, before, ("package", dataset["id"], True)]


def test_planted_in_subfields(author: str) -> None:
    files = upload(author, 4)
    before = owner(files[0])
    resources = [resource("a", parts=[{"doc": ""}])]
    dataset = new_dataset(author, type="files-yaml", resources=resources)
    plant_in_resource(dataset["resources"][0]["id"], parts=[{"doc": files[2]}])
    citations = json.dumps([{"doc": files[0]}, {"docs": json.dumps(files[1:2])}])
    plant("package", dataset["id"], list_after=json.dumps(files[3:]), citations=citations)
    changed = renamed(dataset["id"])
    changed["citations"].reverse()
    update(author, changed, title="x")
    assert owners(*files) == [before] * 4
    assert shown(dataset["id"])["title"] == "x"


def test_part_by_the_name_that_it_has_in_a_form(author: str, editor: str, file: str) -> None:
    """ckanext-scheming makes a part of it at the next save, not at this one."""
    before = owner(file)
    fields: dict[str, Any] = {"type": "files-yaml", "owner_org": organization_of(author, editor)}
    dataset = new_dataset(author, **fields, title="x", resources=[resource("a")])
    planted = {"parts-0-doc": file, "parts-0-docs": [file]}
    id_ = dataset["resources"][0]["id"]
    call("resource_update", editor, id=id_, **resource("a"), __extras=planted)
    assert shown(dataset["id"])["resources"][0]["parts-0-doc"] == file
    for who in (new_user(sysadmin=True), editor):
        call("resource_patch", who, id=id_, name=f"saved by {who}")
    assert shown(dataset["id"])["resources"][0]["parts"][0]["doc"] == file
    assert owner(file) == before


@pytest.mark.parametrize("kind", ["group", "organization"])
def test_planted_in_a_group(kind: str, author: str, file: str) -> None:
    sysadmin = new_user(sysadmin=True)
    before = owner(file)
    name = f"g-{file}"
    group = call(f"{kind}_create", sysadmin, name=name, type=f"files-yaml-{kind}", title="a")
    plant("group", group["id"], logo=file)
    call(f"{kind}_patch", sysadmin, id=name, title="x")
    assert call(f"{kind}_show", sysadmin, id=name)["logo"] == file
    assert owner(file) == before


def test_planted_in_a_user(author: str, editor: str) -> None:
    """Plugins keep their fields of users in plugin_extras."""
    file, portrait = upload(author, 2)
    before = owner(file)
    with engine().begin() as connection:
        change = 'UPDATE "user" SET plugin_extras = CAST(:extras AS jsonb) WHERE name = :name'
        extras = json.dumps({"portraits": {"avatar": file}})
        connection.execute(sa.text(change), {"extras": extras, "name": editor})
    model.Session.remove()
    data = {"id": editor, "email": f"{file}@example.com"}
    sysadmin = new_user(sysadmin=True)
    call("user_update", sysadmin, **data, avatar=file)
    assert owner(file) == before
    call("user_update", sysadmin, **data, avatar=portrait)
    assert owner(portrait)[0] == "user"
    assert owner(portrait) != before


# what is stored is no error


def test_editor_who_may_not_use_what_is_stored(
    author: str, editor: str, dataset: dict[str, Any]
) -> None:
    file, doc = upload(author, 2)
    plant("package", dataset["id"], attachment=file)
    plant_in_resource(dataset["resources"][0]["id"], doc=doc)
    assert update(editor, renamed(dataset["id"]), title="x")["title"] == "x"
    # naming it anew is something else
    changed = shown(dataset["id"])
    changed["resources"][1]["doc"] = doc
    with refused(UNKNOWN, "resources", 1, "doc"):
        update(editor, changed)
    with refused(UNKNOWN, "second"):
        update(editor, shown(dataset["id"]), second=file)


@pytest.mark.parametrize(("state", "sentence"), [("deleted", UNKNOWN), ("moved", PINNED)])
def test_file_that_is_gone(
    state: str, sentence: str, author: str, dataset: dict[str, Any], file: str
) -> None:
    """Only a request that names it anew is refused."""
    update(author, dataset, attachment=file)
    if state == "deleted":
        delete_file(file)
    else:
        target = {"owner_type": "package", "owner_id": new_dataset(author)["id"]}
        call("files_transfer_ownership", author, id=file, **target, force=True, pin=True)
    call("resource_delete", author, id=dataset["resources"][0]["id"])
    changed = update(author, shown(dataset["id"]), title="x")
    assert (changed["title"], len(changed["resources"])) == ("x", 1)
    update(author, changed, attachment="")
    with refused(sentence, "attachment"):
        update(author, shown(dataset["id"]), attachment=file)


@pytest.mark.parametrize("text", ["see page 7", '["not", {"an": "id"}]', "x" * 200])
def test_what_is_no_id(text: str, author: str, dataset: dict[str, Any]) -> None:
    """The field was another one once."""
    plant("package", dataset["id"], attachment=text, several_as_text=text)
    plant_in_resource(dataset["resources"][0]["id"], doc=text)
    assert update(author, renamed(dataset["id"]), title="x")["attachment"] == text
    with refused("", "second"):
        update(author, shown(dataset["id"]), second=f"{text}\n")


def test_stored_twice(author: str, dataset: dict[str, Any], file: str) -> None:
    before = owner(file)
    plant("package", dataset["id"], several=json.dumps([file, file]))
    for one in dataset["resources"]:
        plant_in_resource(one["id"], doc=file)
    update(author, renamed(dataset["id"]), title="x")
    assert owner(file) == before


def test_kept_twice(author: str, dataset: dict[str, Any], file: str) -> None:
    """One of the two places owns the file."""
    first, second = dataset["resources"]
    first["doc"] = file
    update(author, dataset)
    plant_in_resource(second["id"], doc=file)
    changed = update(author, renamed(dataset["id"]), title="x")
    assert owner(file) == ("resource", first["id"], True)
    changed["resources"][1] |= {"second_doc": file}
    with refused(TWICE, "resources", 1, "second_doc"):
        update(author, changed)


# what is asked for moves


@pytest.mark.parametrize("way", ["same field", "other resource", "new resource", "dataset"])
def test_named_anew_beside_a_planted_one(
    way: str, author: str, dataset: dict[str, Any], file: str
) -> None:
    first, second = dataset["resources"]
    plant_in_resource(second["id"], doc=file)
    changed = shown(dataset["id"])
    if way == "other resource":
        expected = ("resource", first["id"])
        changed["resources"][0]["doc"] = file
    elif way == "dataset":
        expected = ("package", dataset["id"])
        changed["attachment"] = file
    elif way == "same field":
        expected = ("resource", second["id"])
        changed["resources"][1]["doc"] = ""
        changed = update(author, changed)
        changed["resources"][1]["doc"] = file
    else:
        data = {"package_id": dataset["id"], **resource("c", doc=file)}
        expected = ("resource", call("resource_create", author, **data)["id"])
        changed = {}
    if changed:
        update(author, changed)
    assert owner(file) == (*expected, True)


def test_failed_save_is_not_stored(author: str, dataset: dict[str, Any], file: str) -> None:
    with pytest.raises(ValidationError):
        update(author, dataset, attachment=file, version="x" * 101)
    update(author, dataset, attachment=file)
    assert owner(file) == ("package", dataset["id"], True)
