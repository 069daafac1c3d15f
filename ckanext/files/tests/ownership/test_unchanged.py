"""A value that a request does not change moves nothing, and is no error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.logic import ValidationError

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.planting import plant, plant_in_resource
from ckanext.files.tests.support.portal import (
    PINNED,
    TWICE,
    UNKNOWN,
    call,
    error_at,
    new_dataset,
    owner,
    owners,
    resource,
    shown,
    update,
    upload,
)

loaded = load_plugins(
    "files",
    "files_test_forms",
    "scheming_datasets",
    "scheming_nerf_index",
    scheming__dataset_schemas="ckanext.files.tests:schemas/dataset.yaml",
)

SENT_PAST = "Send this as a field of its own"


@pytest.fixture
def editor() -> str:
    """A user who may edit the dataset, and not use the user's files."""
    return portal.new_user()


@pytest.fixture
def dataset(author: str, editor: str) -> dict[str, Any]:
    organization = portal.organization_of(author, editor)
    return new_dataset(author, owner_org=organization, resources=[resource("a"), resource("b")])


# what no validator sees


@pytest.mark.parametrize("value", ["one", "list", "json", "mixed", "deep"])
@pytest.mark.parametrize(
    "action", ["resource_update", "resource_create", "package_create", "package_revise"]
)
def test_extras_of_a_resource(
    action: str, value: str, author: str, editor: str, dataset: dict[str, Any]
) -> None:
    (file,) = upload(author)
    before = owner(file)
    name = "doc" if value == "one" else "docs"
    sent: Any = {
        "one": file,
        "list": [file],
        "json": json.dumps([file]),
        "mixed": ["x", file],
        "deep": [{"doc": [file]}],
    }[value]
    new = resource("c", __extras={name: sent})
    data: dict[str, Any] = {"package_id": dataset["id"], **new}
    where: list[Any] = [name]
    if action == "resource_update":
        data |= {"id": dataset["resources"][1]["id"]}
    elif action == "package_create":
        data = {
            "type": dataset["type"],
            "name": f"d-{file}",
            "resources": [resource("b"), new],
        }
        where = ["resources", 1, name]
    elif action == "package_revise":
        data = {"match": {"id": dataset["id"]}, "update__resources__extend": [new]}
        where = ["resources", 2, name]
    with pytest.raises(ValidationError) as caught:
        call(action, editor, **data)
    assert SENT_PAST in error_at(caught.value.error_dict, where)
    assert owner(file) == before


def test_other_extras_are_kept_as_ckan_keeps_them(author: str, dataset: dict[str, Any]) -> None:
    extras = {"colour": "red", "uuid": dataset["id"], "name": "b"}
    new = call(
        "resource_create", author, package_id=dataset["id"], **resource("a", __extras=extras)
    )
    assert (new["colour"], new["uuid"], new["name"]) == ("red", dataset["id"], "b")


def test_sent_twice(author: str, dataset: dict[str, Any]) -> None:
    mine, other = upload(author, 2)
    data = {"package_id": dataset["id"], **resource("c", doc=mine, __extras={"doc": other})}
    with pytest.raises(ValidationError) as caught:
        call("resource_create", author, **data)
    assert SENT_PAST in error_at(caught.value.error_dict, ["doc"])


# what is stored moves nothing


@pytest.mark.parametrize("sysadmin", [False, True])
@pytest.mark.parametrize("way", ["patch", "update", "resource", "resource_update", "no ids"])
def test_planted_in_a_resource(
    way: str, sysadmin: bool, author: str, dataset: dict[str, Any]
) -> None:
    """The one who saves may use the file."""
    file, another = upload(author, 2)
    before = owner(file)
    saver = portal.new_user(sysadmin=True) if sysadmin else author
    planted = dataset["resources"][0]["id"]
    plant_in_resource(planted, doc=file, docs=json.dumps([another]))
    changed = shown(dataset["id"])
    assert changed["resources"][0]["doc"] == file
    if way == "patch":
        call("package_patch", saver, id=dataset["id"], title="x")
    elif way == "update":
        update(saver, changed, title="x")
    elif way == "resource":
        changed["resources"][0]["name"] = "x"
        update(saver, changed, title="x")
    elif way == "resource_update":
        call("resource_update", saver, **{**changed["resources"][0], "name": "x"})
    else:
        for one in changed["resources"]:
            del one["id"]
        update(saver, changed)
    assert owners(file, another) == [before, before]
    after = shown(dataset["id"])["resources"][0]
    assert (after["doc"], json.loads(after["docs"])) == (file, [another])


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
    parts = [{"doc": files[2]}]
    dataset = new_dataset(author, type="files-yaml", resources=[resource("a", parts=[{"doc": ""}])])
    plant("package", dataset["id"], list_after=json.dumps(files[3:]))
    plant_in_resource(dataset["resources"][0]["id"], parts=parts)
    citations = [{"doc": files[0]}, {"docs": json.dumps(files[1:2])}]
    plant("package", dataset["id"], citations=json.dumps(citations))
    changed = shown(dataset["id"])
    changed["resources"][0]["name"] = "x"
    changed["citations"].reverse()
    update(author, changed, title="x")
    assert owners(*files) == [before] * 4
    assert shown(dataset["id"])["title"] == "x"


def test_part_by_the_name_that_it_has_in_a_form(author: str, editor: str) -> None:
    """ckanext-scheming makes a part of it at the next save, not at this one."""
    (file,) = upload(author)
    before = owner(file)
    organization = portal.organization_of(author, editor)
    fields: dict[str, Any] = {"type": "files-yaml", "title": "x", "owner_org": organization}
    dataset = new_dataset(author, **fields, resources=[resource("a")])
    planted = {"parts-0-doc": file, "parts-0-docs": [file]}
    id_ = dataset["resources"][0]["id"]
    call("resource_update", editor, id=id_, **resource("a"), __extras=planted)
    assert shown(dataset["id"])["resources"][0]["parts-0-doc"] == file
    for who in (portal.new_user(sysadmin=True), editor):
        call("resource_patch", who, id=id_, name=f"saved by {who}")
    assert shown(dataset["id"])["resources"][0]["parts"][0]["doc"] == file
    assert owner(file) == before


@pytest.mark.parametrize("kind", ["group", "organization"])
def test_planted_in_a_group(kind: str, author: str) -> None:
    sysadmin = portal.new_user(sysadmin=True)
    (file,) = upload(author)
    before = owner(file)
    name = f"g-{file}"
    group = call(f"{kind}_create", sysadmin, name=name, type=f"files-{kind}", title="a")
    plant("group", group["id"], logo=file)
    call(f"{kind}_patch", sysadmin, id=name, title="x")
    assert owner(file) == before


# what is stored is no error


def test_editor_who_may_not_use_what_is_stored(
    author: str, editor: str, dataset: dict[str, Any]
) -> None:
    file, doc = upload(author, 2)
    plant("package", dataset["id"], attachment=file)
    plant_in_resource(dataset["resources"][0]["id"], doc=doc)
    changed = shown(dataset["id"])
    changed["resources"][0]["name"] = "x"
    assert update(editor, changed, title="x")["title"] == "x"
    # naming it anew is something else
    changed = shown(dataset["id"])
    changed["resources"][1]["doc"] = doc
    with pytest.raises(ValidationError) as caught:
        update(editor, changed)
    assert UNKNOWN in error_at(caught.value.error_dict, ["resources", 1, "doc"])
    with pytest.raises(ValidationError) as caught:
        update(editor, shown(dataset["id"]), second=file)
    assert UNKNOWN in error_at(caught.value.error_dict, ["second"])


@pytest.mark.parametrize("state", ["deleted", "moved"])
def test_file_that_is_gone(state: str, author: str, dataset: dict[str, Any]) -> None:
    """Only a request that names it anew is refused."""
    (file,) = upload(author)
    update(author, dataset, attachment=file)
    if state == "deleted":
        portal.delete_file(file)
    else:
        other = new_dataset(author)
        data = {"id": file, "owner_type": "package", "owner_id": other["id"]}
        call("files_transfer_ownership", author, **data, force=True, pin=True)
    call("resource_delete", author, id=dataset["resources"][0]["id"])
    changed = update(author, shown(dataset["id"]), title="x")
    assert (changed["title"], len(changed["resources"])) == ("x", 1)
    update(author, changed, attachment="")
    with pytest.raises(ValidationError) as caught:
        update(author, shown(dataset["id"]), attachment=file)
    sentence = UNKNOWN if state == "deleted" else PINNED
    assert sentence in error_at(caught.value.error_dict, ["attachment"])


@pytest.mark.parametrize("text", ["see page 7", '["not", {"an": "id"}]', "x" * 200])
def test_what_is_no_id(text: str, author: str, dataset: dict[str, Any]) -> None:
    """The field was another one once."""
    plant("package", dataset["id"], attachment=text, several_as_text=text)
    plant_in_resource(dataset["resources"][0]["id"], doc=text)
    changed = shown(dataset["id"])
    changed["resources"][0]["name"] = "x"
    assert update(author, changed, title="x")["attachment"] == text
    with pytest.raises(ValidationError) as caught:
        update(author, shown(dataset["id"]), second=f"{text}\n")
    error_at(caught.value.error_dict, ["second"])


def test_stored_twice(author: str, dataset: dict[str, Any]) -> None:
    (file,) = upload(author)
    before = owner(file)
    plant("package", dataset["id"], several=json.dumps([file, file]))
    for one in dataset["resources"]:
        plant_in_resource(one["id"], doc=file)
    changed = shown(dataset["id"])
    for one in changed["resources"]:
        one["name"] = "x"
    update(author, changed, title="x")
    assert owner(file) == before


def test_kept_twice(author: str, dataset: dict[str, Any]) -> None:
    """One of the two places owns the file."""
    (file,) = upload(author)
    first, second = dataset["resources"]
    first["doc"] = file
    update(author, dataset)
    plant_in_resource(second["id"], doc=file)
    changed = shown(dataset["id"])
    for one in changed["resources"]:
        one["name"] = "x"
    changed = update(author, changed, title="x")
    assert owner(file) == ("resource", first["id"], True)
    changed["resources"][1] |= {"second_doc": file}
    with pytest.raises(ValidationError) as caught:
        update(author, changed)
    assert TWICE in error_at(caught.value.error_dict, ["resources", 1, "second_doc"])


# what is asked for moves


@pytest.mark.parametrize("way", ["same field", "other resource", "new resource", "dataset"])
def test_named_anew_beside_a_planted_one(way: str, author: str, dataset: dict[str, Any]) -> None:
    (file,) = upload(author)
    first, second = dataset["resources"]
    plant_in_resource(second["id"], doc=file)
    changed = shown(dataset["id"])
    expected: Any = ("resource", first["id"], True)
    if way == "other resource":
        changed["resources"][0]["doc"] = file
    elif way == "new resource":
        data = {"package_id": dataset["id"], **resource("c", doc=file)}
        new = call("resource_create", author, **data)
        assert owner(file) == ("resource", new["id"], True)
        return
    elif way == "dataset":
        changed["attachment"] = file
        expected = ("package", dataset["id"], True)
    else:
        changed["resources"][1]["doc"] = ""
        changed = update(author, changed)
        changed["resources"][1]["doc"] = file
        expected = ("resource", second["id"], True)
    update(author, changed)
    assert owner(file) == expected


def test_failed_save_is_not_stored(author: str, dataset: dict[str, Any]) -> None:
    (file,) = upload(author)
    with pytest.raises(ValidationError):
        update(author, dataset, attachment=file, version="x" * 101)
    update(author, dataset, attachment=file)
    assert owner(file) == ("package", dataset["id"], True)


def test_what_is_stored_is_read_only_for_a_file_that_would_move(
    author: str, dataset: dict[str, Any]
) -> None:
    (file,) = upload(author)
    with statements() as seen:
        update(author, dataset, attachment=file)
    assert len([s for s in seen if "to_jsonb" in s]) == 1
    with statements() as seen:
        update(author, shown(dataset["id"]), title="x")
    assert not [s for s in seen if "to_jsonb" in s]


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
    sysadmin = portal.new_user(sysadmin=True)
    call("user_update", sysadmin, **data, avatar=file)
    assert owner(file) == before
    call("user_update", sysadmin, **data, avatar=portrait)
    assert owner(portrait)[0] == "user"
    assert owner(portrait) != before
