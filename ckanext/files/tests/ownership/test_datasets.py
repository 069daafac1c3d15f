"""Files of datasets and their resources: the right one becomes the owner, and keeps it."""

from __future__ import annotations

import itertools
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError

from ckanext.files.capabilities import CORE_FILES
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import count_commits, statements, watch
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    OWNERS,
    TWICE,
    call,
    error_at,
    history,
    new_dataset,
    owner,
    owners,
    resource,
    shown,
    update,
    upload,
)

loaded = load_plugins("files", "files_test_forms")


def refused(user: str, dataset: dict[str, Any], /, **fields: Any) -> dict[str, Any]:
    """Return the errors of an update that changes nothing."""
    before = shown(dataset["id"])
    with pytest.raises(ValidationError) as caught:
        update(user, dataset, **fields)
    assert shown(dataset["id"]) == before
    return caught.value.error_dict


def assert_resources_own_their_files(dataset: dict[str, Any]) -> None:
    found = [(r["doc"], owner(r["doc"])) for r in dataset["resources"] if r.get("doc")]
    assert found == [
        (r["doc"], ("resource", r["id"], True)) for r in dataset["resources"] if r.get("doc")
    ]


def test_create(author: str) -> None:
    file, doc = upload(author, 2)
    dataset = new_dataset(
        author, attachment=file, resources=[resource("a"), resource("b", doc=doc)]
    )
    assert dataset["attachment"] == file
    assert owner(file) == ("package", dataset["id"], True)
    assert owner(doc) == ("resource", dataset["resources"][1]["id"], True)


def test_history_tells_the_former_owner(author: str) -> None:
    (file,) = upload(author)
    former = owner(file)
    dataset = new_dataset(author, attachment=file)
    update(author, dataset, attachment="", resources=[resource("a", doc=file)])
    assert history(file) == [(*former[:2], author), ("package", dataset["id"], author)]


def test_one_commit(author: str) -> None:
    file, *docs = upload(author, 5)
    with count_commits() as commits:
        new_dataset(author, attachment=file, resources=[resource("a", doc=doc) for doc in docs])
    assert len(commits) == 1


@pytest.mark.parametrize("action", ["package_create", "package_update", "resource_create"])
def test_change_and_owner_become_visible_together(action: str, author: str) -> None:
    (file,) = upload(author)
    name = f"d-{file}"
    data: dict[str, Any] = {"attachment": file, "title": name}
    if action == "package_create":
        data |= {"type": "files-python", "name": name}
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


def test_pin_is_optional(author: str) -> None:
    (file,) = upload(author)
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


def test_list_of_a_resource(author: str) -> None:
    files = upload(author, 4)
    dataset = new_dataset(
        author, resources=[resource("a", docs=files[:2]), resource("b", docs=files[2:])]
    )
    a, b = (("resource", r["id"], True) for r in dataset["resources"])
    assert owners(*files) == [a, a, b, b]


def test_resource_field_for_the_dataset(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author, resources=[resource("a"), resource("b", for_dataset=file)])
    assert owner(file) == ("package", dataset["id"], True)


@pytest.mark.parametrize("position", range(4))
def test_insert_a_resource(author: str, position: int) -> None:
    *docs, new = upload(author, 4)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    resources = dataset["resources"]
    resources.insert(position, resource("new", doc=new))
    dataset = update(author, dataset, resources=resources)
    assert [r["doc"] for r in dataset["resources"]].index(new) == position
    assert_resources_own_their_files(dataset)


@pytest.mark.parametrize("changed", [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_change_resources_beside_others(author: str, changed: list[int]) -> None:
    docs, new = upload(author, 3), upload(author, 3)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    for number in changed:
        dataset["resources"][number]["doc"] = new[number]
    updated = update(author, dataset)
    assert_resources_own_their_files(updated)
    assert [r["id"] for r in updated["resources"]] == [r["id"] for r in dataset["resources"]]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_sort_change_remove_and_insert_at_once(author: str, order: tuple[int, ...]) -> None:
    docs, new = upload(author, 3), upload(author, 2)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    resources = [dataset["resources"][n] for n in order]
    del resources[1]
    resources[0]["doc"] = new[0]
    resources.insert(1, resource("new", doc=new[1]))
    dataset = update(author, dataset, resources=resources)
    assert len(dataset["resources"]) == 3
    assert_resources_own_their_files(dataset)


def test_resource_create(author: str) -> None:
    docs = upload(author, 2)
    dataset = new_dataset(author, resources=[resource("a", doc=docs[0])])
    new = call("resource_create", author, package_id=dataset["id"], **resource("b", doc=docs[1]))
    assert owner(docs[1]) == ("resource", new["id"], True)
    assert_resources_own_their_files(shown(dataset["id"]))


def test_resource_update_and_patch(author: str) -> None:
    docs, new = upload(author, 3), upload(author, 2)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    call("resource_update", author, **{**dataset["resources"][1], "doc": new[0]})
    call("resource_patch", author, id=dataset["resources"][2]["id"], doc=new[1])
    dataset = shown(dataset["id"])
    assert [r["doc"] for r in dataset["resources"]] == [docs[0], *new]
    assert_resources_own_their_files(dataset)


def test_errors_of_one_resource_come_without_the_others(author: str) -> None:
    docs = upload(author, 3)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    with pytest.raises(ValidationError) as caught:
        call("resource_update", author, **{**dataset["resources"][1], "doc": docs[2]})
    assert TWICE in error_at(caught.value.error_dict, ["doc"])
    with pytest.raises(ValidationError) as caught:
        call("resource_create", author, package_id=dataset["id"], **resource("new", doc=docs[0]))
    assert TWICE in error_at(caught.value.error_dict, ["doc"])
    assert_resources_own_their_files(shown(dataset["id"]))


def test_package_patch_and_revise(author: str) -> None:
    files = upload(author, 3)
    dataset = new_dataset(author, attachment=files[0])
    call("package_patch", author, id=dataset["name"], attachment=files[1])
    call(
        "package_revise",
        author,
        match={"name": dataset["name"]},
        update={"resources": [resource("a", doc=files[2])]},
    )
    dataset = shown(dataset["id"])
    assert owner(files[1]) == ("package", dataset["id"], True)
    assert_resources_own_their_files(dataset)


# the same file twice


def test_twice_at_create(author: str) -> None:
    (file,) = upload(author)
    before = owner(file)
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, attachment=file, second=file)
    assert TWICE in error_at(caught.value.error_dict, ["second"])
    with pytest.raises(ValidationError) as caught:
        new_dataset(
            author,
            resources=[
                resource("a"),
                resource("b", doc=file),
                resource("c", doc=file),
            ],
        )
    assert TWICE in error_at(caught.value.error_dict, ["resources", 2, "doc"])
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, several=[file, file])
    assert TWICE in error_at(caught.value.error_dict, ["several"])
    assert owner(file) == before


def test_twice_in_dataset_and_resource(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author, resources=[resource("a"), resource("b")])
    dataset["resources"][1]["doc"] = file
    errors = refused(author, dataset, attachment=file)
    assert TWICE in error_at(errors, ["resources", 1, "doc"])


def test_twice_when_the_other_resource_has_not_changed(author: str) -> None:
    """CKAN 2.12 does not validate the other one, CKAN 2.11 does."""
    docs = upload(author, 2)
    dataset = new_dataset(
        author,
        resources=[
            resource("a"),
            resource("b", doc=docs[0]),
            resource("c", doc=docs[1]),
        ],
    )
    dataset["resources"][2]["doc"] = docs[0]
    assert TWICE in error_at(refused(author, dataset), ["resources", 2, "doc"])
    dataset = shown(dataset["id"])
    dataset["resources"][0]["doc"] = docs[1]
    assert TWICE in error_at(refused(author, dataset), ["resources", 0, "doc"])
    dataset = shown(dataset["id"])
    assert TWICE in error_at(refused(author, dataset, attachment=docs[1]), ["attachment"])
    dataset["resources"][0]["second_doc"] = docs[1]
    assert TWICE in error_at(refused(author, dataset), ["resources", 0, "second_doc"])
    assert_resources_own_their_files(shown(dataset["id"]))


def test_twice_with_return_id_only(author: str) -> None:
    (doc,) = upload(author)
    dataset = new_dataset(author, resources=[resource("a", doc=doc)])
    with pytest.raises(ValidationError) as caught:
        tk.get_action("package_update")(
            {"user": author, "return_id_only": True}, {**dataset, "attachment": doc}
        )
    assert TWICE in error_at(caught.value.error_dict, ["attachment"])


# within one dataset


def test_swap_fields(author: str) -> None:
    files = upload(author, 2)
    dataset = new_dataset(author, attachment=files[0], resources=[resource("a", doc=files[1])])
    dataset["resources"][0]["doc"] = files[0]
    dataset = update(author, dataset, attachment=files[1])
    assert owner(files[1]) == ("package", dataset["id"], True)
    assert_resources_own_their_files(dataset)


def test_swap_resources(author: str) -> None:
    docs = upload(author, 3)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    for number, doc in enumerate([docs[2], docs[0], docs[1]]):
        dataset["resources"][number]["doc"] = doc
    assert_resources_own_their_files(update(author, dataset))


def test_move_to_another_field_of_the_same_resource(author: str) -> None:
    (doc,) = upload(author)
    dataset = new_dataset(author, resources=[resource("a", doc=doc), resource("b")])
    dataset["resources"][0] |= {"doc": "", "for_dataset": doc}
    dataset = update(author, dataset)
    assert owner(doc) == ("package", dataset["id"], True)
    dataset["resources"][0] |= {"doc": doc, "for_dataset": ""}
    assert_resources_own_their_files(update(author, dataset))


def test_resources_without_ids(author: str) -> None:
    docs = upload(author, 3)
    dataset = new_dataset(author, resources=[resource(str(n), doc=d) for n, d in enumerate(docs)])
    again = [resource(r["name"], doc=r["doc"]) for r in dataset["resources"]]
    updated = update(author, dataset, resources=again)
    assert not {r["id"] for r in updated["resources"]} & {r["id"] for r in dataset["resources"]}
    assert_resources_own_their_files(updated)
    # and all of it in another order, with the dataset's field
    dataset = update(
        author,
        updated,
        attachment=docs[0],
        resources=[resource("x", doc=d) for d in docs[:0:-1]],
    )
    assert owner(docs[0]) == ("package", dataset["id"], True)
    assert_resources_own_their_files(dataset)


def test_file_of_a_removed_resource_may_stay_in_the_dataset(author: str) -> None:
    docs = upload(author, 2)
    dataset = new_dataset(
        author, resources=[resource("a", doc=docs[0]), resource("b", doc=docs[1])]
    )
    dataset = update(author, dataset, attachment=docs[0], resources=dataset["resources"][1:])
    assert owner(docs[0]) == ("package", dataset["id"], True)
    assert_resources_own_their_files(dataset)


def test_what_a_field_no_longer_names_stays(author: str) -> None:
    file, doc = upload(author, 2)
    dataset = new_dataset(author, attachment=file, resources=[resource("a", doc=doc)])
    before = owners(file, doc)
    update(author, dataset, attachment="", resources=[])
    assert owners(file, doc) == before
    # so it is no file for another dataset, nor for this one, whose resource has gone before
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, attachment=file)
    assert portal.PINNED in error_at(caught.value.error_dict, ["attachment"])
    with pytest.raises(ValidationError):
        update(author, dataset, attachment=doc, resources=[])


# saving again


def test_save_again(author: str) -> None:
    file, doc, *several = upload(author, 4)
    dataset = new_dataset(
        author,
        attachment=file,
        several=several,
        resources=[resource("a", doc=doc), resource("b")],
    )
    before = owners(file, doc, *several)
    for title in ("one", "two"):
        update(author, shown(dataset["id"]), title=title)
        changed = shown(dataset["id"])
        changed["resources"][0]["name"] = title
        update(author, changed)
    assert owners(file, doc, *several) == before
    assert [len(history(id_)) for id_ in (file, doc)] == [1, 1]


@pytest.mark.parametrize("who", ["another editor", "sysadmin"])
def test_save_again_by_another_user(who: str, author: str) -> None:
    other = portal.new_user(sysadmin=True) if who == "sysadmin" else portal.new_user()
    organization = portal.organization_of(author, other)
    file, doc = upload(author, 2)
    dataset = new_dataset(
        author, owner_org=organization, attachment=file, resources=[resource("a", doc=doc)]
    )
    dataset["resources"][0]["name"] = "b"
    dataset = update(other, dataset, title="by another user")
    assert dataset["title"] == "by another user"
    assert owner(file) == ("package", dataset["id"], True)
    assert_resources_own_their_files(dataset)
    # moving within the dataset is theirs as well
    dataset["resources"][0]["doc"] = file
    assert_resources_own_their_files(update(other, dataset, attachment=doc))


@pytest.mark.ckan_config("ckan.files.owner.cascade_access", {})
@pytest.mark.usefixtures("ckan_config")
def test_save_again_by_an_editor_who_may_not_edit_the_file(author: str) -> None:
    other = portal.new_user()
    organization = portal.organization_of(author, other)
    file, doc = upload(author, 2)
    dataset = new_dataset(
        author, owner_org=organization, attachment=file, resources=[resource("a", doc=doc)]
    )
    dataset["resources"][0]["name"] = "b"
    assert update(other, dataset, title="x")["title"] == "x"


def test_saving_again_starts_no_hold(author: str) -> None:
    """It is stock CKAN then: the action's own commit is a commit."""
    file, doc = upload(author, 2)
    dataset = new_dataset(author, attachment=file, resources=[resource("a", doc=doc)])
    with statements() as seen:
        update(author, dataset, title="x", resources=[{**dataset["resources"][0], "name": "b"}])
    assert not [s for s in seen if "FOR UPDATE" in s and "file" in s]
    # CKAN 2.12 has one of its own
    assert len([s for s in seen if s.startswith("SAVEPOINT")]) == int(CORE_FILES)


def test_files_are_read_when_other_updates_wait(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author)
    with statements() as seen:
        update(author, dataset, attachment=file)
    (lock,) = (n for n, s in enumerate(seen) if "FROM package" in s and "FOR NO KEY UPDATE" in s)
    (read,) = (n for n, s in enumerate(seen) if f"JOIN {OWNERS}" in s and "wanted" in s)
    (write,) = (n for n, s in enumerate(seen) if f"UPDATE {OWNERS}" in s)
    assert lock < read < write


# ids, names and other contexts


def test_update_by_name(author: str) -> None:
    files = upload(author, 2)
    dataset = new_dataset(author, attachment=files[0])
    by_name = {**dataset, "id": dataset["name"], "attachment": files[1], "second": files[0]}
    update(author, by_name)
    assert owners(*files) == [("package", dataset["id"], True)] * 2


def test_return_id_only(author: str) -> None:
    files = upload(author, 4)
    context: Any = {"user": author, "return_id_only": True}
    data = {"type": "files-python", "name": f"d-{files[0]}", "attachment": files[0]}
    dataset_id = tk.get_action("package_create")(
        context, {**data, "resources": [resource("a"), resource("b", doc=files[1])]}
    )
    dataset = shown(dataset_id)
    assert owner(files[0]) == ("package", dataset_id, True)
    assert_resources_own_their_files(dataset)
    dataset["resources"].insert(1, resource("c", doc=files[2]))
    tk.get_action("package_update")(
        {"user": author, "return_id_only": True}, {**dataset, "attachment": files[3]}
    )
    assert owner(files[3]) == ("package", dataset_id, True)
    assert_resources_own_their_files(shown(dataset_id))


def test_other_id_fields(author: str) -> None:
    files = upload(author, 3)
    organization = portal.organization_of(author)
    dataset = new_dataset(
        author,
        owner_org=organization,
        by_name=files[0],
        for_organization=files[1],
        resources=[resource("a"), resource("b", code="B7", by_code=files[2])],
    )
    assert owners(*files) == [
        ("package", dataset["name"], True),
        ("organization", organization, True),
        ("resource", "B7", True),
    ]
    dataset["resources"].reverse()
    update(author, dataset, title="again")
    dataset["resources"][0]["name"] = "c"
    update(author, dataset, title="and again")
    assert owner(files[2]) == ("resource", "B7", True)


def test_name_that_is_the_id_of_another_dataset(author: str) -> None:
    """Neither are its files there already, nor does it get any."""
    other = portal.new_user()
    (theirs,), (mine,) = upload(other), upload(author)
    organization = portal.organization_of(other)
    dataset = new_dataset(other, owner_org=organization, attachment=theirs)
    before = owner(mine)
    for file, sentence in ((theirs, portal.UNKNOWN), (mine, "cannot be told what it would")):
        with pytest.raises(ValidationError) as caught:
            new_dataset(author, name=dataset["id"], by_name=file)
        assert sentence in error_at(caught.value.error_dict, ["by_name"])
    assert owners(theirs, mine) == [("package", dataset["id"], True), before]
    # who may edit the other one may give it files
    new_dataset(portal.new_user(sysadmin=True), name=dataset["id"], by_name=mine)
    assert owner(mine) == ("package", dataset["id"], True)


def test_owner_without_an_id_is_an_error_of_the_field(author: str) -> None:
    (file,) = upload(author)
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, resources=[resource("a"), resource("b", by_code=file)])
    assert file in error_at(caught.value.error_dict, ["resources", 1, "by_code"])


@pytest.mark.parametrize("field", ["as_resource", "as_group"])
def test_validator_for_another_type(author: str, field: str) -> None:
    """The file would belong to a resource with the id of the dataset, which is not there."""
    (file,) = upload(author)
    before = owner(file)
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, **{field: file})
    errors = [caught.value.error_dict, refused(author, new_dataset(author), **{field: file})]
    assert all("cannot be told what it would" in error_at(each, [field]) for each in errors)
    assert owner(file) == before


def test_id_given_on_create(author: str) -> None:
    (file, doc) = upload(author, 2)
    ids = [portal.put(None)[0] for _ in range(2)]
    sysadmin = portal.new_user(sysadmin=True)
    new_dataset(sysadmin, id=ids[0], attachment=file, resources=[resource("a", id=ids[1], doc=doc)])
    assert owners(file, doc) == [("package", ids[0], True), ("resource", ids[1], True)]


def test_context_of_another_dataset(author: str) -> None:
    """What a context was used for before does not make its dataset's files free to move."""
    (file,) = upload(author)
    dataset = new_dataset(author, attachment=file)
    context: Any = {"user": author}
    tk.get_action("package_show")(context, {"id": dataset["id"]})
    assert context["package"]
    with pytest.raises(ValidationError) as caught:
        tk.get_action("package_create")(
            context, {"type": "files-python", "name": f"d-{file}", "attachment": file}
        )
    assert portal.PINNED in error_at(caught.value.error_dict, ["attachment"])


def test_resource_id_of_another_dataset(author: str) -> None:
    """Taking over the id of a removed resource does not take over its files."""
    (doc,) = upload(author)
    theirs = new_dataset(author, resources=[resource("a", doc=doc)])
    update(author, theirs, resources=[])
    mine = new_dataset(author)
    with pytest.raises(ValidationError):
        update(author, mine, resources=[{**theirs["resources"][0], "package_id": mine["id"]}])
    assert owner(doc) == ("resource", theirs["resources"][0]["id"], True)


def test_file_without_an_owner(author: str) -> None:
    (file,) = portal.put(None)
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, attachment=file)
    assert portal.UNKNOWN in error_at(caught.value.error_dict, ["attachment"])
    dataset = new_dataset(portal.new_user(sysadmin=True), attachment=file)
    assert owner(file) == ("package", dataset["id"], True)
    assert history(file) == []


def test_file_of_a_purged_dataset(author: str) -> None:
    (file,) = portal.put(("package", "no-more"))
    with pytest.raises(ValidationError) as caught:
        new_dataset(author, attachment=file)
    assert portal.UNKNOWN in error_at(caught.value.error_dict, ["attachment"])


def test_file_of_a_dataset_that_the_user_may_edit(author: str) -> None:
    (file,) = upload(author)
    loose = new_dataset(author, loose=file)
    dataset = new_dataset(author, attachment=file)
    assert owner(file) == ("package", dataset["id"], True)
    assert history(file)[-1] == ("package", loose["id"], author)


def test_ignore_auth(author: str) -> None:
    (file,) = upload(author)
    dataset = call("package_create", None, type="files-python", name=f"d-{file}", attachment=file)
    assert owner(file) == ("package", dataset["id"], True)


def test_file_created_in_the_same_transaction(author: str) -> None:
    """Neither flushed nor committed, as file_create leaves it with defer_commit."""
    sysadmin = portal.new_user(sysadmin=True)
    file = tk.get_action("file_create")(
        {"user": sysadmin, "defer_commit": True},
        {"name": "a.txt", "upload": b"hello"},
    )
    dataset = new_dataset(sysadmin, attachment=file["id"])
    assert owner(file["id"]) == ("package", dataset["id"], True)


def test_failing_update_leaves_the_file(author: str) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author)
    before = owner(file)
    errors = refused(author, dataset, attachment=file, private="maybe", owner_org="nobody")
    assert "owner_org" in errors
    assert owner(file) == before
