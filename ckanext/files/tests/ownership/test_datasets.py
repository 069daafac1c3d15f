"""Files of datasets and their resources: the right one becomes the owner, and keeps it."""

from __future__ import annotations

import itertools
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import count_commits, watch
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.users import call, new_user, organization_of, shown


def dataset_with(user: str, docs: list[str], **fields: Any) -> dict[str, Any]:
    """Make a dataset with one resource for each file."""
    return portal.new_dataset(user, resources=[portal.resource(doc=doc) for doc in docs], **fields)


def refuse_update(sentence: str, *key: Any, user: str, dataset: Any, **fields: Any) -> None:
    """Expect an update to be refused with this error, and to change nothing."""
    before = shown(dataset["id"])
    with portal.refused(sentence, *key):
        portal.update(user, dataset, **fields)
    assert shown(dataset["id"]) == before


def test_create(author: str) -> None:
    file, *docs = portal.upload(author, 5)
    former = portal.owner(file)
    with count_commits() as commits:
        dataset = dataset_with(author, docs, attachment=file)
    assert len(commits) == 1
    assert [r["doc"] for r in dataset["resources"]] == docs
    assert dataset["attachment"] == file
    portal.assert_owned(dataset)
    portal.update(author, dataset, attachment="", resources=[portal.resource(doc=file)])
    assert portal.history(file) == [(*former[:2], author), ("package", dataset["id"], author)]


@pytest.mark.parametrize("action", ["package_create", "package_update", "resource_create"])
def test_change_and_owner_become_visible_together(action: str, author: str, file: str) -> None:
    name = f"d-{file}"
    data: dict[str, Any] = {"attachment": file, "title": name}
    if action == "package_create":
        data |= {"type": DATASET_TYPE, "name": name}
    else:
        data |= {"id": portal.new_dataset(author)["id"]}
    if action == "resource_create":
        data = {"package_id": data["id"], **portal.resource(name, doc=file)}
    table, column = ("resource", "name") if action == "resource_create" else ("package", "title")
    query = (
        f"SELECT EXISTS (SELECT FROM {table} WHERE {column} = :name),"
        f" EXISTS (SELECT FROM {portal.OWNERS} WHERE file_id = :file AND owner_type = '{table}')"
    )
    with watch(query, name=name, file=file) as seen:
        call(action, author, **data)
    assert seen == {(False, False), (True, True)}


def test_pin_is_optional(author: str, file: str) -> None:
    dataset = portal.new_dataset(author, loose=file)
    assert portal.owner(file) == ("package", dataset["id"], False)
    # the same file in a field that keeps it
    portal.update(author, dataset, loose="", attachment=file)
    assert portal.owner(file) == ("package", dataset["id"], True)
    assert len(portal.history(file)) == 1
    # what is kept is not let go without force
    portal.update(author, dataset, loose=file, attachment="")
    assert portal.owner(file) == ("package", dataset["id"], True)


@pytest.mark.parametrize("field", ["several", "several_as_text"])
def test_list(author: str, field: str) -> None:
    files = portal.upload(author, 3)
    dataset = portal.new_dataset(author, **{field: files})
    assert portal.owners(*files) == [("package", dataset["id"], True)] * 3
    more = portal.upload(author)
    portal.update(author, dataset, **{field: [*files[:2], *more]})
    assert portal.owners(*files, *more) == [("package", dataset["id"], True)] * 4


def test_lists_of_resources_and_their_fields_for_the_dataset(author: str) -> None:
    files = portal.upload(author, 5)
    fields: list[Any] = [{"docs": files[:2]}, {"docs": files[2:4], "for_dataset": files[4]}]
    dataset = portal.new_dataset(author, resources=[portal.resource(**one) for one in fields])
    a, b = (("resource", r["id"], True) for r in dataset["resources"])
    assert portal.owners(*files) == [a, a, b, b, ("package", dataset["id"], True)]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_sort_change_remove_and_insert_at_once(author: str, order: tuple[int, ...]) -> None:
    docs, new = portal.upload(author, 3), portal.upload(author, 2)
    dataset = dataset_with(author, docs)
    first, _, last = (dataset["resources"][n] for n in order)
    resources = [{**first, "doc": new[0]}, last]
    resources.insert(order[0], portal.resource("new", doc=new[1]))
    dataset = portal.update(author, dataset, resources=resources)
    expected = [new[0], docs[order[2]]]
    expected.insert(order[0], new[1])
    assert [r["doc"] for r in dataset["resources"]] == expected
    portal.assert_owned(dataset)


def test_actions_for_one_resource(author: str) -> None:
    docs, new = portal.upload(author, 3), portal.upload(author, 3)
    dataset = dataset_with(author, docs)
    call("resource_update", author, **{**dataset["resources"][1], "doc": new[0]})
    call("resource_patch", author, id=dataset["resources"][2]["id"], doc=new[1])
    made = call("resource_create", author, package_id=dataset["id"], **portal.resource(doc=new[2]))
    dataset = shown(dataset["id"])
    assert [r["doc"] for r in dataset["resources"]] == [docs[0], *new]
    assert dataset["resources"][3]["id"] == made["id"]
    portal.assert_owned(dataset)
    # an error is on the field of this resource, without its number
    with portal.refused(portal.TWICE, "doc"):
        call("resource_update", author, **{**dataset["resources"][1], "doc": new[1]})
    with portal.refused(portal.TWICE, "doc"):
        call("resource_create", author, package_id=dataset["id"], **portal.resource(doc=docs[0]))
    assert shown(dataset["id"]) == dataset
    portal.assert_owned(dataset)


def test_package_patch_and_revise(author: str) -> None:
    files = portal.upload(author, 3)
    dataset = portal.new_dataset(author, attachment=files[0])
    match, new = {"name": dataset["name"]}, {"resources": [portal.resource(doc=files[2])]}
    call("package_patch", author, id=dataset["name"], attachment=files[1])
    call("package_revise", author, match=match, update=new)
    dataset = shown(dataset["id"])
    assert (dataset["attachment"], dataset["resources"][0]["doc"]) == tuple(files[1:])
    portal.assert_owned(dataset)


# the same file twice


def test_twice_in_a_request(author: str, file: str) -> None:
    before = portal.owner(file)
    with portal.refused(portal.TWICE, "second"):
        portal.new_dataset(author, attachment=file, second=file)
    with portal.refused(portal.TWICE, "resources", 2, "doc"):
        dataset_with(author, ["", file, file])
    with portal.refused(portal.TWICE, "several"):
        portal.new_dataset(author, several=[file, file])
    dataset = dataset_with(author, ["", ""])
    dataset["resources"][1]["doc"] = file
    key = ("resources", 1, "doc")
    refuse_update(portal.TWICE, *key, user=author, dataset=dataset, attachment=file)
    assert portal.owner(file) == before


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    """CKAN 2.12 does not validate the other one, CKAN 2.11 does."""
    docs = portal.upload(author, 2)
    stored = dataset_with(author, ["", *docs])
    places = (2, "doc", docs[0]), (0, "doc", docs[1]), (0, "second_doc", docs[1])
    for number, field, file in places:
        dataset = shown(stored["id"])
        dataset["resources"][number][field] = file
        refuse_update(portal.TWICE, "resources", number, field, user=author, dataset=dataset)
    refuse_update(portal.TWICE, "attachment", user=author, dataset=stored, attachment=docs[1])
    context: Any = {"user": author, "return_id_only": True}
    with portal.refused(portal.TWICE, "attachment"):
        tk.get_action("package_update")(context, {**stored, "attachment": docs[1]})
    portal.assert_owned(stored)


# within one dataset


def test_swap(author: str) -> None:
    file, *docs = portal.upload(author, 4)
    dataset = dataset_with(author, docs, attachment=file)
    for turned in ([docs[0], file, docs[1], docs[2]], [docs[0], docs[2], file, docs[1]]):
        for number, doc in enumerate(turned[1:]):
            dataset["resources"][number]["doc"] = doc
        dataset = portal.update(author, dataset, attachment=turned[0])
        assert [dataset["attachment"], *(r["doc"] for r in dataset["resources"])] == turned
        portal.assert_owned(dataset)


def test_move_to_another_field_of_the_same_resource(author: str) -> None:
    (doc,) = portal.upload(author)
    dataset = dataset_with(author, [doc, ""])
    dataset["resources"][0] |= {"doc": "", "for_dataset": doc}
    dataset = portal.update(author, dataset)
    assert portal.owner(doc) == ("package", dataset["id"], True)
    dataset["resources"][0] |= {"doc": doc, "for_dataset": ""}
    portal.assert_owned(portal.update(author, dataset))


def test_resources_without_ids(author: str) -> None:
    docs = portal.upload(author, 3)
    dataset = dataset_with(author, docs)
    updated = portal.update(author, dataset, resources=[portal.resource(doc=doc) for doc in docs])
    assert not {r["id"] for r in updated["resources"]} & {r["id"] for r in dataset["resources"]}
    portal.assert_owned(updated)
    # and all of it in another order, with the dataset's field
    resources = [portal.resource("x", doc=doc) for doc in docs[:0:-1]]
    updated = portal.update(author, updated, attachment=docs[0], resources=resources)
    portal.assert_owned(updated)
    # the file of a removed resource
    fields = {"attachment": docs[2], "resources": updated["resources"][1:]}
    portal.assert_owned(portal.update(author, updated, **fields))


def test_what_a_field_no_longer_names_stays(author: str) -> None:
    file, doc = portal.upload(author, 2)
    dataset = dataset_with(author, [doc], attachment=file)
    before = portal.owners(file, doc)
    portal.update(author, dataset, attachment="", resources=[])
    assert portal.owners(file, doc) == before
    # so it is no file for another dataset, nor for this one, whose resource has gone before
    with portal.refused(portal.PINNED, "attachment"):
        portal.new_dataset(author, attachment=file)
    with pytest.raises(ValidationError):
        portal.update(author, dataset, attachment=doc, resources=[])


# saving again


@pytest.mark.parametrize("who", ["editor", "editor without rights to files", "sysadmin"])
def test_save_again_by_another_user(who: str, author: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if who == "editor without rights to files":
        monkeypatch.setitem(tk.config, "ckan.files.owner.cascade_access", {})
    other = new_user(sysadmin=who == "sysadmin")
    file, doc = portal.upload(author, 2)
    dataset = dataset_with(author, [doc], attachment=file, owner_org=organization_of(author, other))
    dataset["resources"][0]["name"] = "b"
    dataset = portal.update(other, dataset, title="by another user")
    assert dataset["title"] == "by another user"
    portal.assert_owned(dataset)
    # moving within the dataset is theirs as well
    dataset["resources"][0]["doc"] = file
    portal.assert_owned(portal.update(other, dataset, attachment=doc))


def test_failing_update_leaves_the_file(author: str, file: str) -> None:
    dataset, former = portal.new_dataset(author), portal.owner(file)
    before = shown(dataset["id"])
    with pytest.raises(ValidationError) as caught:
        portal.update(author, dataset, attachment=file, private="maybe", owner_org="nowhere")
    assert "owner_org" in caught.value.error_dict
    assert (shown(dataset["id"]), portal.owner(file)) == (before, former)
    portal.assert_owned(portal.update(author, dataset, attachment=file))


# ids, names and other contexts


def test_update_by_name(author: str) -> None:
    files = portal.upload(author, 2)
    dataset = portal.new_dataset(author, attachment=files[0])
    by_name = {**dataset, "id": dataset["name"], "attachment": files[1], "second": files[0]}
    portal.update(author, by_name)
    assert portal.owners(*files) == [("package", dataset["id"], True)] * 2


def test_return_id_only(author: str) -> None:
    files = portal.upload(author, 2)
    resources = [portal.resource(), portal.resource(doc=files[1])]
    data = {"type": DATASET_TYPE, "name": f"d-{files[0]}", "attachment": files[0]}
    context: Any = {"user": author, "return_id_only": True}
    dataset_id = tk.get_action("package_create")(context, {**data, "resources": resources})
    portal.assert_owned(shown(dataset_id))
