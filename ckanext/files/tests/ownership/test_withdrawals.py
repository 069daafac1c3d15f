"""Files that a save takes out of a field: kept, given back or deleted in its commit."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
from ckan.logic import ValidationError
from ckan.tests.helpers import changed_config

from ckanext.files.ownership.withdrawals import OPTION
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.core_actions import TEN
from ckanext.files.tests.support.effects import count_commits, look, statements, watch
from ckanext.files.tests.support.hook_plugins import HiddenFilePlugin
from ckanext.files.tests.support.users import call, new_user, organization_of, shown

NOT_HERE = "does not belong here"
IN_USE = "is still in use here"
NOT_ALLOWED = "You are not allowed to"
KEY = "files_withdrawn"


def words(*files: str, then: str) -> list[dict[str, str]]:
    return [{"id": file, "then": then} for file in files]


def user_id(name: str) -> str:
    return call("user_show", None, id=name)["id"]


def own(name: str) -> tuple[str, str, bool]:
    """Return how a file is owned that its user has got back."""
    return ("user", user_id(name), False)


def exists(file: str) -> bool:
    return bool(look(f"SELECT EXISTS (SELECT FROM {portal.FILES} WHERE id = :id)", id=file))


def bytes_of(file: str) -> str:
    """Return the location of a file with bytes."""
    return look(f"SELECT location FROM {portal.FILES} WHERE id = :id", id=file)


def has_bytes(location: str) -> bool:
    storage = get_storage("default")
    return location in map(str, storage.scan())


@pytest.fixture
def org(author: str) -> str:
    """An organization whose datasets the author may edit."""
    return organization_of(author)


@contextmanager
def default(then: str) -> Iterator[None]:
    with changed_config(OPTION, then):
        yield


def test_words(author: str) -> None:
    """Each of the three, for fields of a dataset and of its resources, in one commit."""
    kept, back, *others = portal.upload(author, 4)
    gone, left = portal.new_file(author), others[0]
    location = bytes_of(gone)
    dataset = portal.new_dataset(
        author,
        attachment=gone,
        several=[kept, left],
        resources=[portal.resource(doc=back), portal.resource(doc=others[1])],
    )
    data = {**dataset, "attachment": "", "several": [left]}
    data["resources"][0]["doc"] = ""
    data[KEY] = [
        *words(kept, then="keep"),
        *words(back, then="give_back"),
        *words(gone, gone, then="delete"),
    ]
    sent = copy.deepcopy(data)
    with count_commits() as commits:
        result = call("package_update", author, **data)
    assert len(commits) == 1
    assert data == sent
    assert KEY not in str(result)
    assert KEY not in str(shown(dataset["id"]))
    assert portal.owners(kept, left) == [("package", dataset["id"], True)] * 2
    assert portal.owner(back) == own(author)
    assert portal.history(back)[-1][0] == "resource"
    assert not exists(gone)
    assert not has_bytes(location)


@pytest.mark.parametrize("action", TEN)
def test_ten_actions(action: str, author: str) -> None:
    """The words reach none of them, and the caller's dictionary keeps them."""
    sysadmin = new_user(sysadmin=True)
    entity, verb = action.split("_")
    file = portal.upload(sysadmin)[0]
    name = f"x-{uuid.uuid4()}"
    data: dict[str, Any] = {"name": name, "email": f"{name}@example.com", "password": "12345678"}
    field = {"package": "attachment", "resource": "doc", "user": "avatar"}.get(entity, "logo")
    if entity in ("group", "organization"):
        data["type"] = f"files-{entity}"
    if entity == "package":
        data["type"] = "files-python"
    if entity == "resource":
        data = {"package_id": portal.new_dataset(sysadmin)["id"], **portal.resource(name)}
    if verb == "update":
        made = call(f"{entity}_create", sysadmin, **data, **{field: file})
        assert portal.owner(file) == (entity, made["id"], True)
        data |= {"id": made["id"], field: ""}
    data[KEY] = words(file, then="give_back")
    context: Any = {"user": sysadmin}
    result = tk.get_action(action)(context, data)
    assert data[KEY] == words(file, then="give_back")
    assert KEY not in str(result)
    assert KEY not in str(call(f"{entity}_show", sysadmin, id=result["id"]))
    assert portal.owner(file) == own(sysadmin)
    data[KEY] = words(file, then="burn")
    if verb == "update":
        with portal.refused("keep, give_back, delete", KEY):
            tk.get_action(action)({"user": sysadmin}, data)


def test_errors_name_the_file(author: str) -> None:
    """With the id; a file that the user may not see is the same as one that does not exist."""
    named, [hidden], missing = portal.new_file(author), portal.upload(new_user()), str(uuid.uuid4())
    call("files_title_update", author, id=named, title="Größe")
    dataset = portal.new_dataset(author, attachment=named)
    for file, sentence in (
        (named, f"File Größe ({named}) {IN_USE}. Take it out of: attachment"),
        (hidden, f"File {hidden} {NOT_HERE}. It may have been withdrawn meanwhile"),
        (missing, f"File {missing} {NOT_HERE}. It may have been withdrawn meanwhile"),
    ):
        for then in ("give_back", "delete"):
            with pytest.raises(ValidationError) as caught:
                call("package_update", author, **{**dataset, KEY: words(file, then=then)})
            assert caught.value.error_dict[KEY] == [sentence]


@pytest.fixture
def deciding_plugin() -> Iterator[type[HiddenFilePlugin]]:
    """A plugin that decides who may edit each single file."""
    p.load("files_test_hidden_file")
    yield HiddenFilePlugin
    HiddenFilePlugin.not_editable = ""
    p.unload("files_test_hidden_file")


def test_a_plugin_refuses_one_of_like_files(
    author: str, deciding_plugin: type[HiddenFilePlugin]
) -> None:
    files = portal.upload(author, 2)
    dataset = portal.new_dataset(author, several=files)
    deciding_plugin.not_editable = files[1]
    data = {**dataset, "several": [], KEY: words(*files, then="give_back")}
    with portal.refused(f"{NOT_ALLOWED} take back file a.txt ({files[1]})", KEY):
        call("package_update", author, **data)
    assert portal.owners(*files) == [("package", dataset["id"], True)] * 2
    deciding_plugin.not_editable = ""
    call("package_update", author, **data)
    assert portal.owners(*files) == [own(author)] * 2


def test_patch_revise_and_resources_within_a_dataset(author: str) -> None:
    files = portal.upload(author, 4)
    resources = [portal.resource(doc=files[2]), portal.resource(doc=files[3])]
    dataset = portal.new_dataset(author, attachment=files[0], second=files[1], resources=resources)
    back = words(files[0], then="give_back")
    call("package_patch", author, id=dataset["id"], attachment="", files_withdrawn=back)
    update = {"second": "", KEY: words(files[1], then="give_back")}
    call("package_revise", author, match={"id": dataset["id"]}, update=update)
    one, two = shown(dataset["id"])["resources"]
    call("resource_patch", author, id=one["id"], doc="", **{KEY: words(files[2], then="give_back")})
    data = shown(dataset["id"])
    data["resources"][1] |= {"doc": "", KEY: words(files[3], then="give_back")}
    call("package_update", author, **data)
    assert portal.owners(*files) == [own(author)] * 4
    assert KEY not in str(shown(dataset["id"]))
    # an error is where the word was
    data["resources"][1][KEY] = words(files[3], then="delete")
    with portal.refused(NOT_HERE, "resources", 1, KEY):
        call("package_update", author, **data)
    with portal.refused(NOT_HERE, KEY):
        call("resource_patch", author, id=two["id"], **{KEY: words(files[3], then="delete")})
    assert exists(files[3])


BAD_WORDS: list[Any] = [
    "x",
    {"id": "x", "then": "keep"},
    ["x"],
    [{"then": "keep"}],
    [{"id": 7, "then": "keep"}],
    [{"id": "a\x00b", "then": "keep"}],
    [{"id": "x"}],
    [{"id": "x", "then": "burn"}],
    [{"id": "x", "then": ["keep"]}],
    [{"id": "x", "then": "keep"}, {"id": "x", "then": "delete"}],
]


@pytest.mark.parametrize("value", BAD_WORDS)
def test_words_that_cannot_be_read(value: Any, author: str, file: str) -> None:
    dataset = portal.new_dataset(author, attachment=file)
    resources = [portal.resource(), portal.resource(**{KEY: value})]
    for data, key in (
        ({KEY: value}, [KEY]),
        ({"resources": resources}, ["resources", 1, KEY]),
    ):
        with pytest.raises(ValidationError) as caught:
            portal.update(author, dataset, attachment="", **data)
        assert portal.error_at(caught.value.error_dict, key)
        assert shown(dataset["id"]) == dataset


def test_no_words(author: str) -> None:
    """As an empty form field, and as what would be stored with a resource."""
    dataset = portal.new_dataset(author, resources=[portal.resource(**{KEY: None})])
    portal.update(author, dataset, title="x", **{KEY: ""})
    assert KEY not in str(shown(dataset["id"]))
    resource = portal.resource(__extras={KEY: words("x", then="delete")})
    with portal.refused("as a field of its own", "resources", 0, KEY):
        portal.update(author, dataset, resources=[resource])


@pytest.mark.parametrize("then", ["give_back", "delete"])
def test_refused(then: str, author: str, org: str) -> None:
    """Nothing of the save stays, and a file of another owner looks like one that is missing."""
    other = new_user()
    file, mine, link = portal.upload(author, 3)
    foreign = portal.upload(other)[0]
    portal.new_dataset(author, attachment=mine)
    dataset = portal.new_dataset(
        author, owner_org=org, attachment=file, notes=f"see /file/download/{link}", second=link
    )
    before = portal.owners(file, mine, link, foreign)

    for unknown in (foreign, mine, str(uuid.uuid4())):
        with portal.refused(NOT_HERE, KEY):
            portal.update(author, dataset, title="changed", **{KEY: words(unknown, then=then)})
    # still named by its field, by another one, by a resource, in a text
    for file_id, fields, where in (
        (file, {}, "attachment"),
        (file, {"attachment": "", "several": [file]}, "several"),
        (file, {"attachment": "", "resources": [portal.resource(doc=file)]}, "resources / doc"),
        (link, {"second": ""}, "notes"),
    ):
        with portal.refused(f"{IN_USE}. Take it out of: {where}", KEY):
            portal.update(author, dataset, title="x", **fields, **{KEY: words(file_id, then=then)})
    assert shown(dataset["id"]) == dataset
    assert portal.owners(file, mine, link, foreign) == before


@pytest.mark.parametrize("then", ["give_back", "delete"])
def test_what_the_user_may_not_do(then: str, author: str, file: str) -> None:
    """The right to edit the dataset is not the right to take its files."""
    dataset = portal.new_dataset(author, attachment=file)
    with changed_config("ckan.files.owner.cascade_access", {"resource": []}):
        with portal.refused(NOT_ALLOWED, KEY):
            portal.update(author, dataset, attachment="", **{KEY: words(file, then=then)})
        assert shown(dataset["id"]) == dataset
        with default(then):  # no request has asked for it
            portal.update(author, dataset, attachment="")
    assert portal.owner(file) == ("package", dataset["id"], True)
    # with the right
    portal.update(author, dataset, attachment="", **{KEY: words(file, then=then)})
    assert portal.owner(file) == (own(author) if then == "give_back" else None)


def test_another_editor_gets_the_file(author: str, file: str) -> None:
    editor = new_user()
    org = organization_of(author, editor)
    dataset = portal.new_dataset(author, owner_org=org, attachment=file)
    portal.update(editor, dataset, attachment="", **{KEY: words(file, then="give_back")})
    assert portal.owner(file) == own(editor)
    # the form is sent a second time
    portal.update(editor, dataset, attachment="", **{KEY: words(file, then="give_back")})
    assert portal.owner(file) == own(editor)
    # a script saves, for no user
    dataset = portal.update(editor, dataset, attachment=file)
    context: Any = {"ignore_auth": True, "user": ""}
    data = {**dataset, "attachment": "", KEY: words(file, then="give_back")}
    with portal.refused("only be given back to a user", KEY):
        tk.get_action("package_update")(context, data)


@pytest.mark.parametrize("all_may", [True, False])
def test_dataset_without_an_organization(all_may: bool, file: str, author: str) -> None:
    """CKAN's own rights decide: users who may edit such a dataset may withdraw its files."""
    dataset = portal.new_dataset(author, attachment=file)
    stranger, editor = new_user(), new_user()
    organization_of(editor)
    data = {"attachment": "", KEY: words(file, then="give_back")}
    with changed_config("ckan.auth.create_unowned_dataset", all_may):
        if not all_may:
            with pytest.raises(tk.NotAuthorized):
                portal.update(stranger, dataset, **data)
        portal.update(stranger if all_may else editor, dataset, **data)
    assert portal.owner(file) == own(stranger if all_may else editor)


def test_file_that_an_earlier_save_has_kept(author: str, file: str) -> None:
    """Also when nothing else changes, and for the file of a resource that is removed."""
    docs = portal.upload(author, 2)
    resources = [portal.resource(doc=doc) for doc in docs]
    dataset = portal.new_dataset(author, attachment=file, resources=resources)
    dataset = portal.update(author, dataset, attachment="")
    assert portal.owner(file) == ("package", dataset["id"], True)
    portal.update(author, dataset, **{KEY: words(file, then="delete")})
    fields = {"resources": dataset["resources"][:1], KEY: words(docs[1], then="give_back")}
    portal.update(author, dataset, **fields)
    portal.update(author, dataset, resources=[], **{KEY: words(docs[0], then="delete")})
    assert portal.owners(file, *docs) == [None, None, own(author)]


@pytest.mark.parametrize("then", ["give_back", "delete"])
def test_default(then: str, author: str) -> None:
    kept, moved, gone, doc, removed, loose = portal.upload(author, 6)
    fields = {"attachment": kept, "second": moved, "several": [gone], "loose": loose}
    resources = [portal.resource(doc=doc), portal.resource(doc=removed)]
    dataset = portal.new_dataset(author, **fields, resources=resources)
    unnamed = portal.put(("package", dataset["id"]), pinned=True)[0]
    data = {name: value for name, value in dataset.items() if name not in fields}
    data["resources"] = [{**data["resources"][0], "doc": ""}]
    data |= {"several_as_text": [moved], KEY: words(kept, then="keep")}
    with default(then), count_commits() as commits:
        call("package_update", author, **data)
    assert len(commits) == 1
    here, done = ("package", dataset["id"], True), own(author) if then == "give_back" else None
    assert portal.owners(kept, moved, unnamed) == [here] * 3
    assert portal.owners(gone, doc, loose) == [done] * 3
    assert portal.owner(removed)[0] == "resource"
    # deleting a resource or the dataset releases nothing
    data = portal.update(author, shown(dataset["id"]), resources=[portal.resource(doc=kept)])
    with default(then):
        call("resource_delete", author, id=data["resources"][0]["id"])
        call("package_delete", author, id=dataset["id"])
    assert portal.owner(kept)[0] == "resource"


def test_default_elsewhere(author: str) -> None:
    """Fields of organizations, and a resource that is saved alone, with a word and without."""
    files = portal.upload(author, 3)
    data = {"name": f"g-{uuid.uuid4()}", "type": "files-organization"}
    sysadmin = new_user(sysadmin=True)
    made = call("organization_create", sysadmin, **data, logo=files[0])
    resources = [portal.resource(doc=files[1]), portal.resource(doc=files[2])]
    one, two = portal.new_dataset(author, resources=resources)["resources"]
    with default("delete"):
        call("organization_update", sysadmin, id=made["id"], **data, logo="")
        call("resource_update", author, **{**one, "doc": ""})
        call("resource_update", author, **{**two, "doc": "", KEY: words(files[2], then="keep")})
    assert portal.owners(*files) == [None, None, ("resource", two["id"], True)]


def test_seen_together(author: str, file: str) -> None:
    """A second connection sees all of it or nothing."""
    gone = portal.upload(author)[0]
    dataset = portal.new_dataset(author, attachment=file, second=gone)
    query = (
        "SELECT EXISTS (SELECT FROM package WHERE id = :id AND title = 'after'),"
        f" EXISTS (SELECT FROM {portal.OWNERS} WHERE file_id = :file AND owner_type = 'user'),"
        f" NOT EXISTS (SELECT FROM {portal.FILES} WHERE id = :gone)"
    )
    with watch(query, id=dataset["id"], file=file, gone=gone) as seen:
        data = [*words(file, then="give_back"), *words(gone, then="delete")]
        portal.update(author, dataset, title="after", attachment="", second="", **{KEY: data})
    assert seen == {(False, False, False), (True, True, True)}


def test_bytes_stay_when_the_save_fails(author: str) -> None:
    """CKAN 2.12 alone removes them before the commit."""
    file, foreign = portal.new_file(author), portal.upload(new_user())[0]
    dataset = portal.new_dataset(author, attachment=file)
    with portal.refused(NOT_HERE, KEY):
        data = words(file, foreign, then="delete")
        portal.update(author, dataset, attachment="", **{KEY: data})
    assert has_bytes(bytes_of(file))
    assert portal.owner(file) == ("package", dataset["id"], True)
    location = bytes_of(file)
    portal.update(author, dataset, attachment="", **{KEY: words(file, then="delete")})
    assert not has_bytes(location)


def test_costs(author: str, file: str) -> None:
    """Without a withdrawal: nothing more by default, and no lock with another default."""

    def sent(**fields: Any) -> list[str]:
        with statements() as seen:
            portal.update(author, shown(dataset["id"]), **fields)
        return seen

    dataset = portal.new_dataset(author, attachment=file)
    plain = sent(title="b")
    assert len(sent(title="c", **{KEY: words(file, then="keep")})) == len(plain)
    with default("delete"):
        with_default = sent(title="d")
        # the stored fields, and the owners of files among the ids in it that were not sent
        assert len(with_default) <= len(plain) + 3
        for start in ("SAVEPOINT", "SELECT file_id"):
            found = [[s for s in some if s.startswith(start)] for some in (plain, with_default)]
            assert found[0] == found[1]


@pytest.mark.parametrize("then", ["give_back", "delete"])
def test_costs_of_many(then: str, author: str) -> None:
    """They grow with the checks of rights, of which each file has its own."""

    def cost(count: int) -> int:
        files = portal.upload(author, count)
        dataset = portal.new_dataset(author, several=files)
        with statements() as seen:
            portal.update(author, dataset, several=[], **{KEY: words(*files, then=then)})
        return len(seen)

    assert cost(20) - cost(10) <= 10 * 20


def test_form(author: str, api: portal.Api) -> None:
    """The inputs of CKAN's own forms, also when the form comes back with an error."""
    file, doc = portal.upload(author, 2)
    dataset = portal.new_dataset(author, attachment=file, resources=[portal.resource(doc=doc)])
    resource = dataset["resources"][0]

    def post(path: str, then: str, *, withdrawn: str, **fields: str) -> Any:
        inputs = {"files_withdrawn__0__id": withdrawn, "files_withdrawn__0__then": then}
        inputs["_ckan_phase"] = "1"  # as the form of CKAN 2.11: it leaves the resources alone
        return api.submit(f"/files-python/{path}", author, save="", **fields, **inputs)

    edit, name = f"edit/{dataset['id']}", dataset["name"]
    status, page = post(edit, "delete", withdrawn=file, name="Not a name", attachment="")
    assert (status, portal.owner(file)) == (200, ("package", dataset["id"], True))
    assert "Must be purely lowercase" in page
    status, page = post(edit, "burn", withdrawn=file, name=name, attachment="")
    assert (status, "choose one of keep, give_back, delete" in page) == (200, True)
    status, _ = post(edit, "delete", withdrawn=file, name=name, attachment="")
    assert (status, portal.owner(file)) == (302, None)
    path = f"{dataset['id']}/resource/{resource['id']}/edit"
    status, _ = post(path, "give_back", withdrawn=doc, id=resource["id"], url="x", doc="")
    assert (status, portal.owner(doc)) == (302, own(author))
    assert KEY not in str(shown(dataset["id"]))
