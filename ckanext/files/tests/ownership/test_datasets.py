"""Files of datasets and their resources: the right one becomes the owner, and keeps it."""

from __future__ import annotations

import itertools
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError

from ckanext.files.tests.support.effects import count_commits, watch
from ckanext.files.tests.support.form_plugins import DATASET_TYPE
from ckanext.files.tests.support.portal import (
    OWNERS,
    PINNED,
    TWICE,
    assert_owned,
    call,
    history,
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


def dataset_with(user: str, docs: list[str], **fields: Any) -> dict[str, Any]:
    """Make a dataset with one resource for each file."""
    return new_dataset(user, resources=[resource(doc=doc) for doc in docs], **fields)


def refuse_update(sentence: str, *key: Any, user: str, dataset: Any, **fields: Any) -> None:
    """Expect an update to be refused with this error, and to change nothing."""
    before = shown(dataset["id"])
    with refused(sentence, *key):
        update(user, dataset, **fields)
    assert shown(dataset["id"]) == before


def test_create(author: str) -> None:
    file, *docs = upload(author, 5)
    former = owner(file)
    with count_commits() as commits:
        dataset = dataset_with(author, docs, attachment=file)
    assert len(commits) == 1
    assert [r["doc"] for r in dataset["resources"]] == docs
    assert dataset["attachment"] == file
    assert_owned(dataset)
    update(author, dataset, attachment="", resources=[resource(doc=file)])
    assert history(file) == [(*former[:2], author), ("package", dataset["id"], author)]


@pytest.mark.parametrize("action", ["package_create", "package_update", "resource_create"])
def test_change_and_owner_become_visible_together(action: str, author: str, file: str) -> None:
    name = f"d-{file}"
    data: dict[str, Any] = {"attachment": file, "title": name}
    if action == "package_create":
        data |= {"type": DATASET_TYPE, "name": name}
    else:
        data |= {"id": new_dataset(author)["id"]}
    if action == "resource_create":
        data = {"package_id": data["id"], **resource(name, doc=file)}
    table, column = ("resource", "name") if action == "resource_create" else ("package", "title")
    query = (
        f"SELECT EXISTS (SELECT FROM {table} WHERE {column} = :name),"
        f" EXISTS (SELECT FROM {OWNERS} WHERE file_id = :file AND owner_type = '{table}')"
    )
    with watch(query, name=name, file=file) as seen:
        call(action, author, **data)
    assert seen == {(False, False), (True, True)}


def test_pin_is_optional(author: str, file: str) -> None:
    dataset = new_dataset(author, loose=file)
    assert owner(file) == ("package", dataset["id"], False)
    # the same file in a field that keeps it
    update(author, dataset, loose="", attachment=file)
    assert owner(file) == ("package", dataset["id"], True)
    assert len(history(file)) == 1
    # what is kept is not let go without force
    update(author, dataset, loose=file, attachment="")
    assert owner(file) == ("package", dataset["id"], True)


@pytest.mark.parametrize("field", ["several", "several_as_text"])
def test_list(author: str, field: str) -> None:
    files = upload(author, 3)
    dataset = new_dataset(author, **{field: files})
    assert owners(*files) == [("package", dataset["id"], True)] * 3
    more = upload(author)
    update(author, dataset, **{field: [*files[:2], *more]})
    assert owners(*files, *more) == [("package", dataset["id"], True)] * 4


def test_lists_of_resources_and_their_fields_for_the_dataset(author: str) -> None:
    files = upload(author, 5)
    resources = [resource(docs=files[:2]), resource(docs=files[2:4], for_dataset=files[4])]
    dataset = new_dataset(author, resources=resources)
    a, b = (("resource", r["id"], True) for r in dataset["resources"])
    assert owners(*files) == [a, a, b, b, ("package", dataset["id"], True)]


@pytest.mark.parametrize("position", range(4))
def test_insert_a_resource(author: str, position: int) -> None:
    *docs, new = upload(author, 4)
    dataset = dataset_with(author, docs)
    dataset["resources"].insert(position, resource("new", doc=new))
    dataset = update(author, dataset)
    assert [r["doc"] for r in dataset["resources"]].index(new) == position
    assert_owned(dataset)


@pytest.mark.parametrize("changed", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_change_resources_beside_others(author: str, changed: list[int]) -> None:
    docs, new = upload(author, 3), upload(author, 3)
    dataset = dataset_with(author, docs)
    for number in changed:
        dataset["resources"][number]["doc"] = new[number]
    updated = update(author, dataset)
    assert_owned(updated)
    assert [r["id"] for r in updated["resources"]] == [r["id"] for r in dataset["resources"]]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_sort_change_remove_and_insert_at_once(author: str, order: tuple[int, ...]) -> None:
    docs, new = upload(author, 3), upload(author, 2)
    dataset = dataset_with(author, docs)
    first, _, last = (dataset["resources"][n] for n in order)
    resources = [{**first, "doc": new[0]}, resource("new", doc=new[1]), last]
    dataset = update(author, dataset, resources=resources)
    assert [r["doc"] for r in dataset["resources"]] == [*new, docs[order[2]]]
    assert_owned(dataset)


def test_actions_for_one_resource(author: str) -> None:
    docs, new = upload(author, 3), upload(author, 3)
    dataset = dataset_with(author, docs)
    call("resource_update", author, **{**dataset["resources"][1], "doc": new[0]})
    call("resource_patch", author, id=dataset["resources"][2]["id"], doc=new[1])
    made = call("resource_create", author, package_id=dataset["id"], **resource(doc=new[2]))
    dataset = shown(dataset["id"])
    assert [r["doc"] for r in dataset["resources"]] == [docs[0], *new]
    assert dataset["resources"][3]["id"] == made["id"]
    assert_owned(dataset)
    # an error is on the field of this resource, without its number
    with refused(TWICE, "doc"):
        call("resource_update", author, **{**dataset["resources"][1], "doc": new[1]})
    with refused(TWICE, "doc"):
        call("resource_create", author, package_id=dataset["id"], **resource(doc=docs[0]))
    assert shown(dataset["id"]) == dataset
    assert_owned(dataset)


def test_package_patch_and_revise(author: str) -> None:
    files = upload(author, 3)
    dataset = new_dataset(author, attachment=files[0])
    match, new = {"name": dataset["name"]}, {"resources": [resource(doc=files[2])]}
    call("package_patch", author, id=dataset["name"], attachment=files[1])
    call("package_revise", author, match=match, update=new)
    dataset = shown(dataset["id"])
    assert (dataset["attachment"], dataset["resources"][0]["doc"]) == tuple(files[1:])
    assert_owned(dataset)


# the same file twice


def test_twice_in_a_request(author: str, file: str) -> None:
    before = owner(file)
    with refused(TWICE, "second"):
        new_dataset(author, attachment=file, second=file)
    with refused(TWICE, "resources", 2, "doc"):
        new_dataset(author, resources=[resource(), resource(doc=file), resource(doc=file)])
    with refused(TWICE, "several"):
        new_dataset(author, several=[file, file])
    dataset = new_dataset(author, resources=[resource(), resource()])
    dataset["resources"][1]["doc"] = file
    key = ("resources", 1, "doc")
    refuse_update(TWICE, *key, user=author, dataset=dataset, attachment=file)
    assert owner(file) == before


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    """CKAN 2.12 does not validate the other one, CKAN 2.11 does."""
    docs = upload(author, 2)
    stored = new_dataset(author, resources=[resource(), *(resource(doc=doc) for doc in docs)])
    for number, field, file in (
        (2, "doc", docs[0]),
        (0, "doc", docs[1]),
        (0, "second_doc", docs[1]),
    ):
        dataset = shown(stored["id"])
        dataset["resources"][number][field] = file
        refuse_update(TWICE, "resources", number, field, user=author, dataset=dataset)
    refuse_update(TWICE, "attachment", user=author, dataset=stored, attachment=docs[1])
    context: Any = {"user": author, "return_id_only": True}
    with refused(TWICE, "attachment"):
        tk.get_action("package_update")(context, {**stored, "attachment": docs[1]})
    assert_owned(stored)


# within one dataset


def test_swap(author: str) -> None:
    file, *docs = upload(author, 4)
    dataset = dataset_with(author, docs, attachment=file)
    for turned in ([docs[0], file, docs[1], docs[2]], [docs[0], docs[2], file, docs[1]]):
        for number, doc in enumerate(turned[1:]):
            dataset["resources"][number]["doc"] = doc
        dataset = update(author, dataset, attachment=turned[0])
        assert [dataset["attachment"], *(r["doc"] for r in dataset["resources"])] == turned
        assert_owned(dataset)


def test_move_to_another_field_of_the_same_resource(author: str) -> None:
    (doc,) = upload(author)
    dataset = new_dataset(author, resources=[resource(doc=doc), resource()])
    dataset["resources"][0] |= {"doc": "", "for_dataset": doc}
    dataset = update(author, dataset)
    assert owner(doc) == ("package", dataset["id"], True)
    dataset["resources"][0] |= {"doc": doc, "for_dataset": ""}
    assert_owned(update(author, dataset))


def test_resources_without_ids(author: str) -> None:
    docs = upload(author, 3)
    dataset = dataset_with(author, docs)
    updated = update(author, dataset, resources=[resource(doc=doc) for doc in docs])
    assert not {r["id"] for r in updated["resources"]} & {r["id"] for r in dataset["resources"]}
    assert_owned(updated)
    # and all of it in another order, with the dataset's field
    resources = [resource("x", doc=doc) for doc in docs[:0:-1]]
    assert_owned(update(author, updated, attachment=docs[0], resources=resources))


def test_file_of_a_removed_resource_may_stay_in_the_dataset(author: str) -> None:
    docs = upload(author, 2)
    dataset = dataset_with(author, docs)
    assert_owned(update(author, dataset, attachment=docs[0], resources=dataset["resources"][1:]))


def test_what_a_field_no_longer_names_stays(author: str) -> None:
    file, doc = upload(author, 2)
    dataset = dataset_with(author, [doc], attachment=file)
    before = owners(file, doc)
    update(author, dataset, attachment="", resources=[])
    assert owners(file, doc) == before
    # so it is no file for another dataset, nor for this one, whose resource has gone before
    with refused(PINNED, "attachment"):
        new_dataset(author, attachment=file)
    with pytest.raises(ValidationError):
        update(author, dataset, attachment=doc, resources=[])


# saving again


def test_save_again(author: str) -> None:
    file, doc, *several = upload(author, 4)
    resources = [resource(doc=doc), resource()]
    dataset = new_dataset(author, attachment=file, several=several, resources=resources)
    before = owners(file, doc, *several)
    for title in ("one", "two"):
        update(author, shown(dataset["id"]), title=title)
        changed = shown(dataset["id"])
        changed["resources"][0]["name"] = title
        update(author, changed)
    assert owners(file, doc, *several) == before
    assert [len(history(id_)) for id_ in (file, doc)] == [1, 1]


@pytest.mark.parametrize("who", ["editor", "editor without rights to files", "sysadmin"])
def test_save_again_by_another_user(who: str, author: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if who == "editor without rights to files":
        monkeypatch.setitem(tk.config, "ckan.files.owner.cascade_access", {})
    other = new_user(sysadmin=who == "sysadmin")
    file, doc = upload(author, 2)
    dataset = dataset_with(author, [doc], attachment=file, owner_org=organization_of(author, other))
    dataset["resources"][0]["name"] = "b"
    dataset = update(other, dataset, title="by another user")
    assert dataset["title"] == "by another user"
    assert_owned(dataset)
    # moving within the dataset is theirs as well
    dataset["resources"][0]["doc"] = file
    assert_owned(update(other, dataset, attachment=doc))


def test_failing_update_leaves_the_file(author: str, file: str) -> None:
    dataset, former = new_dataset(author), owner(file)
    before = shown(dataset["id"])
    with pytest.raises(ValidationError) as caught:
        update(author, dataset, attachment=file, private="maybe", owner_org="nowhere")
    assert "owner_org" in caught.value.error_dict
    assert (shown(dataset["id"]), owner(file)) == (before, former)


# ids, names and other contexts


def test_update_by_name(author: str) -> None:
    files = upload(author, 2)
    dataset = new_dataset(author, attachment=files[0])
    by_name = {**dataset, "id": dataset["name"], "attachment": files[1], "second": files[0]}
    update(author, by_name)
    assert owners(*files) == [("package", dataset["id"], True)] * 2


def test_return_id_only(author: str) -> None:
    files = upload(author, 4)
    resources = [resource(), resource(doc=files[1])]
    data = {"type": DATASET_TYPE, "name": f"d-{files[0]}", "attachment": files[0]}
    context: Any = {"user": author, "return_id_only": True}
    dataset_id = tk.get_action("package_create")(context.copy(), {**data, "resources": resources})
    dataset = shown(dataset_id)
    assert_owned(dataset)
    dataset["resources"].insert(1, resource(doc=files[2]))
    tk.get_action("package_update")(context.copy(), {**dataset, "attachment": files[3]})
    dataset = shown(dataset_id)
    assert dataset["attachment"] == files[3]
    assert_owned(dataset)
