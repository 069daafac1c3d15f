"""What a search of files finds, for whom, in which order, and how files are shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import ckan.plugins as p
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.logic import NotAuthorized, NotFound, ValidationError

from ckanext.files import capabilities
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.hook_plugins import (
    EmbargoPlugin,
    HiddenFilePlugin,
    RefusedFilePlugin,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.owned_files import Owned
from ckanext.files.tests.support.users import call, new_user

loaded = load_plugins("files", "files_test_forms")

HOSTILE = ["<script>alert(1)</script>", "\"'&quot;", "\u202eevil\u202c", "📎 Bericht", "x" * 300]
NAMES = ["annual-report_2024.pdf", "Annual Report 2023.csv", "weather.CSV", "README"]


def update(file_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(sa.update(file_table).where(file_table.c.id == file_id).values(**values))


def found(user: str | None, /, **data: Any) -> list[str]:
    """Return the ids, after a check of the count."""
    answer = call("files_search", user, **{"rows": 1000, **data})
    assert answer["count"] == len(answer["results"])
    assert answer["count_is_exact"]
    return [file["id"] for file in answer["results"]]


@pytest.fixture(scope="module", autouse=True)
def no_other_files(loaded: None) -> None:
    """A sysadmin finds the files of all users, and other modules leave more than a page has."""
    with engine().begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {file_table} CASCADE"))


@pytest.fixture
def named(author: str) -> dict[str, str]:
    """The ids of files of the author, by name."""
    ids = dict(zip(NAMES, portal.upload(author, len(NAMES)), strict=True))
    for name, file in ids.items():
        update(file, name=name, content_type="text/plain")
    return ids


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("report", NAMES[:2]),
        ("REPORT 2024", NAMES[:1]),
        ("2024", NAMES[:1]),
        ("ann", NAMES[:2]),
        ("ann report", []),
        ("annual-report_2024.pdf", NAMES[:1]),
        ("csv", NAMES[1:3]),
        ("report weather", []),
        ("nothing like it", []),
        ("!'&|:*", NAMES),
        ("", NAMES),
        ("report' | 'weather", []),
        ("y" * 3000, []),
    ],
)
def test_words(q: str, names: list[str], author: str, named: dict[str, str]) -> None:
    assert {*found(author, q=q)} == {named[name] for name in names}


def test_words_of_titles(author: str, named: dict[str, str]) -> None:
    readme = named["README"]
    call("files_title_update", author, id=readme, title="Überblick: die <Öfen> (Stand 3/2024)")
    for q in ("öfen", "ÜBERBLICK", "readme", "stand 3", "2024 überb"):
        assert readme in found(author, q=q), q
    call("files_title_update", author, id=readme, title="")
    assert found(author, q="öfen") == []


def test_formats_and_storages(author: str, named: dict[str, str]) -> None:
    assert {*found(author, format="CSV")} == {*found(author, q="csv")}
    assert found(author, format="text/csv") == found(author, format="csv")
    # by the type where the name has no suffix that CKAN knows
    assert found(author, format="TXT") == [named["README"]]
    update(named["README"], content_type="text/csv")
    shown = call("files_search", author, format="CSV")["results"]
    assert {file["name"] for file in shown} == {*NAMES[1:]}
    assert {file["format"] for file in shown} == {"CSV"}
    assert found(author, format="unheard-of") == []
    assert len(found(author, storage="default")) == 4
    assert found(author, storage="elsewhere") == []


def test_what_follows_the_last_dot_is_the_format(author: str) -> None:
    """Also when nothing precedes it. A search finds by it what the files say."""
    formats = {".csv": "CSV", "..CSV": "CSV", "a.b.csv": "CSV", "csv": "TXT", "csv.": "TXT"}
    formats |= {".": "TXT", "a.csv.": "TXT", "a.csv/b": "TXT", "a/.csv": "CSV", "a.csv.pdf": "PDF"}
    files = dict(zip(portal.upload(author, len(formats)), formats.items(), strict=True))
    for file, (name, _) in files.items():
        update(file, name=name, content_type="text/plain")
    answer = call("files_search", author, include_formats=True)
    assert {file["name"]: file["format"] for file in answer["results"]} == formats
    assert answer["formats"] == ["CSV", "PDF", "TXT"]
    for format_ in answer["formats"]:
        expected = {file for file, (_, each) in files.items() if each == format_}
        assert {*found(author, format=format_)} == expected


@pytest.mark.parametrize("name", ["年次報告書.csv", "данные.CSV", "تقرير.csv"])
def test_format_of_a_name_of_which_ckan_keeps_only_the_suffix(name: str, author: str) -> None:
    file = call("file_create", author, name=name, upload=b"a;b\n1;2\n")["id"]
    [shown] = call("files_search", author, format="CSV")["results"]
    assert (shown["id"], shown["name"], shown["format"]) == (file, ".csv", "CSV")


def test_order_and_pages(author: str) -> None:
    files = portal.upload(author, 25)
    for i, file in enumerate(files):
        name = f"{'B' if i % 2 else 'a'}{i:02}.txt"
        age = sa.text(f"interval '{i} h'")
        update(file, name=name, size=i // 5, created=sa.func.now() - age)
    call("files_title_update", author, id=files[24], title="A title")
    assert found(author) == files
    assert found(author, sort="created") == files[::-1]
    assert {*found(author, sort="name")[:13]} == {*files[::2]}
    assert found(author, sort="name desc") == found(author, sort="name")[::-1]
    assert {*found(author, sort="size desc")[:5]} == {*files[20:]}
    pages = [
        [f["id"] for f in call("files_search", author, sort="size", start=i, rows=10)["results"]]
        for i in (0, 10, 20)
    ]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert {id_ for page in pages for id_ in page} == {*files}
    beyond = call("files_search", author, start=100)
    assert (beyond["count"], beyond["results"]) == (25, [])
    assert call("files_search", author, rows=0)["count"] == 25


@pytest.mark.parametrize(
    "data",
    [
        {"q": 5},
        {"q": "a\0"},
        {"sort": "hash"},
        {"sort": ["name"]},
        {"sort": "name asc; DROP"},
        {"rows": 1001},
        {"rows": -1},
        {"start": -1},
        {"start": 2**40},
        {"rows": "many"},
        {"rows": 1.5},
        {"start": [1]},
        {"storage": ["x"]},
        {"format": "\ud800"},
        {"owner_type": 7},
    ],
)
def test_refused_parameters(data: dict[str, Any], author: str) -> None:
    with pytest.raises(ValidationError) as caught:
        call("files_search", author, **data)
    assert list(caught.value.error_dict) == list(data)


@pytest.fixture(scope="module")
def owned(loaded: Any) -> Owned:
    return Owned()


def test_files_of_owners(owned: Owned) -> None:
    dataset = {*owned.of("package", "resource"), owned.of_removed}
    for user in (owned.admin, owned.editor):
        for id_ in (owned.dataset["id"], owned.dataset["name"]):
            assert {*found(user, owner_type="package", owner_id=id_)} == dataset
        assert {*found(user, owner_type="resource", owner_id=owned.first)} == owned.of("resource")
    organization = {"owner_type": "organization", "owner_id": owned.organization["name"]}
    assert {*found(owned.admin, **organization)} == {*dataset, *owned.of("organization")}
    # the datasets in a group are not the group's own
    group = {"owner_type": "group", "owner_id": owned.group["id"]}
    assert {*found(owned.editor, **group)} == owned.of("group")
    assert {*found(owned.editor)} == owned.of("user")
    assert found(owned.other) == []


def test_refused_and_missing_owners_look_alike(owned: Owned) -> None:
    refused = {
        "package": (owned.dataset["id"], [owned.member, owned.other]),
        "resource": (owned.first, [owned.member, owned.other]),
        "organization": (owned.organization["id"], [owned.editor, owned.member, owned.other]),
        "group": (owned.group["id"], [owned.admin, owned.member, owned.other]),
        "user": (owned.editor_id, [owned.admin, owned.member, owned.other]),
        "unheard-of": ("x", [owned.admin]),
    }
    for type_, (id_, users) in refused.items():
        for user in users:
            answers = set()
            for one in (id_, str(uuid.uuid4())):
                with pytest.raises(NotAuthorized) as caught:
                    call("files_search", user, owner_type=type_, owner_id=one)
                answers.add(str(caught.value))
            assert len(answers) == 1
    data: dict[str, str]
    for data in ({}, {"owner_type": "package", "owner_id": owned.dataset["id"]}):
        with pytest.raises(NotAuthorized):
            call("files_search", "", **data)
    for user in (owned.admin, owned.other):
        for data in ({"owner_type": "user"}, {"owner_id": owned.first}):
            with pytest.raises(NotAuthorized):
                call("files_search", user, **data)


def test_sysadmin(owned: Owned) -> None:
    sysadmin = new_user(sysadmin=True)
    every = {*owned.files.values(), owned.alone, owned.of_removed}
    assert every <= {*found(sysadmin)}
    datasets = {*found(sysadmin, owner_type="package")}
    assert datasets & every == {*owned.of("package", "resource"), owned.of_removed}
    assert {*found(sysadmin, owner_type="user")} & every == owned.of("user")
    purged = str(uuid.uuid4())
    files = portal.put(("package", purged), 2)
    assert {*found(sysadmin, owner_type="package", owner_id=purged)} == {*files}


def test_owners_are_shown(owned: Owned) -> None:
    owner = {"owner_type": "organization", "owner_id": owned.organization["id"]}
    results = call("files_search", owned.admin, **owner)["results"]
    shown = {file["id"]: file["owner"] for file in results}
    package = shown[owned.files["package"]]
    name, id_ = owned.dataset["name"], owned.dataset["id"]
    assert (package["type"], package["id"], package["name"]) == ("package", id_, name)
    assert package["url"].endswith(f"/{name}")
    resource = shown[owned.files["resource"]]
    assert resource["url"].endswith(f"/{name}/resource/{owned.first}")
    assert resource["title"].endswith(" / first")
    removed = shown[owned.of_removed]
    assert (removed["url"], removed["is_deleted"]) == (None, True)
    organization = shown[owned.files["organization"]]
    assert organization["url"] == f"/organization/{owned.organization['name']}"
    results = call("files_search", new_user(sysadmin=True), rows=1000)["results"]
    shown = {file["id"]: file["owner"] for file in results}
    assert shown[owned.alone] is None
    assert shown[owned.files["group"]]["url"] == f"/group/{owned.group['name']}"
    assert shown[owned.files["user"]]["url"] == f"/user/{owned.editor}"


def test_twenty_files_cost_as_many_statements_as_one(author: str) -> None:
    resources = [portal.resource(str(i)) for i in range(20)]
    organization = portal.organization_of(author)
    dataset = portal.new_dataset(author, resources=resources, owner_org=organization)
    for resource in dataset["resources"]:
        portal.put(("resource", resource["id"]))
    owner = {"owner_type": "package", "owner_id": dataset["id"]}
    numbers = []
    for rows in (20, 20, 1):
        model.Session.remove()  # what it has read already
        with statements() as seen:
            answer = call("files_search", author, rows=rows, **owner)
        assert len(answer["results"]) == rows
        numbers.append(len(seen))
    assert numbers[1] == numbers[2] < 25


PLUGINS: dict[str, Any] = {"files_test_hidden_file": HiddenFilePlugin}
if capabilities.IFiles:
    PLUGINS["files_test_refused_file"] = RefusedFilePlugin


@pytest.fixture(params=PLUGINS)
def hiding(request: pytest.FixtureRequest) -> Iterator[Any]:
    p.load(request.param)
    yield PLUGINS[request.param]
    p.unload(request.param)


def test_plugin_that_hides_a_file(hiding: Any, author: str) -> None:
    """It is on no page and in no count."""
    dataset = portal.new_dataset(author, name=f"d-{uuid.uuid4()}")
    files = portal.put(("package", dataset["id"]), 5)
    hiding.hidden = files[2]
    owner = {"owner_type": "package", "owner_id": dataset["id"]}
    assert {*found(author, **owner)} == {*files} - {files[2]}
    pages = [call("files_search", author, rows=2, start=i, **owner) for i in (0, 2, 4)]
    assert [len(page["results"]) for page in pages] == [2, 2, 0]
    assert [page["count"] for page in pages] == [4] * 3


def test_a_plugin_that_hides_parts(loaded: Any) -> None:
    """Files of a dataset or a resource that the user may not see are in no list of its owner."""
    owned = Owned()
    organization = {"owner_type": "organization", "owner_id": owned.organization["id"]}
    dataset = {"owner_type": "package", "owner_id": owned.dataset["id"]}
    p.load("files_test_embargo")
    try:
        EmbargoPlugin.secret = ()
        every = {*found(owned.admin, **organization)}
        assert every == owned.of("organization", "package", "resource") | {owned.of_removed}
        EmbargoPlugin.secret = {owned.first, owned.second}
        assert {*found(owned.admin, **dataset)} == owned.of("package")
        EmbargoPlugin.secret = {owned.dataset["id"], owned.first, owned.second}
        answer = call("files_search", owned.admin, include_formats=True, **organization)
        assert {file["id"] for file in answer["results"]} == owned.of("organization")
        assert (answer["count"], answer["formats"]) == (1, None)
    finally:
        p.unload("files_test_embargo")


# titles


@pytest.mark.parametrize("title", HOSTILE)
def test_a_title_is_any_text(title: str, author: str) -> None:
    [file] = portal.upload(author)
    update(file, plugin_data={"other": {"kept": 1}, "files": {"also": "kept"}})
    shown = call("files_title_update", author, id=file, title=f"  {title} ")
    assert (shown["title"], shown["display_name"], shown["name"]) == (title, title, "a.txt")
    context: Any = {"user": author, "include_plugin_data": True}
    data = p.toolkit.get_action("file_show")(context, {"id": file})["plugin_data"]
    assert data == {"other": {"kept": 1}, "files": {"also": "kept", "title": title}}
    [again] = call("files_search", author)["results"]
    assert again == shown
    shown = call("files_title_update", author, id=file, title=" ")
    assert (shown["title"], shown["display_name"]) == (None, "a.txt")


@pytest.mark.parametrize(
    ("sent", "name", "title"),
    [
        ("Budget 2026.pdf", "budget-2026.pdf", "Budget 2026.pdf"),
        ("年次報告書 2026.pdf", "-2026.pdf", "年次報告書 2026.pdf"),
        ("budget.pdf", "budget.pdf", None),
        ("a\nb.pdf", "ab.pdf", None),
        ("\u200b\u202e", "___", None),
    ],
)
def test_a_name_that_ckan_munges_is_the_title(
    sent: str, name: str, title: str | None, author: str
) -> None:
    made = call("file_create", author, name=sent, upload=b"a")
    model.Session.remove()  # what was not committed is gone
    [found] = call("files_search", author, owner_type="user", owner_id=made["owner_id"])["results"]
    assert (found["id"], found["name"], found["title"]) == (made["id"], name, title)
    assert call("file_show", author, id=made["id"]) == made


UNSEEN = ["\u200b", "\u2063\u200d", "\u202e", "\u3164", "\u00ad", "\u2800", "\ufe0f", "\u034f"]
"""Texts of which people see nothing: a link with such a text cannot be found."""


@pytest.mark.parametrize(
    "title", ["x" * 501, "a\nb", "a\tb", "a\u2028b", "\x1b[31m", 5, ["a"], *UNSEEN]
)
def test_refused_titles(title: Any, author: str) -> None:
    [file] = portal.upload(author)
    with pytest.raises(ValidationError) as caught:
        call("files_title_update", author, id=file, title=title)
    assert list(caught.value.error_dict) == ["title"]


def test_who_may_change_a_title(owned: Owned) -> None:
    file = owned.files["resource"]
    for user in (owned.admin, owned.editor):
        assert call("files_title_update", user, id=file, title=user)["title"] == user
    for user in (owned.member, owned.other, ""):
        answers = set()
        for id_ in (file, str(uuid.uuid4())):
            with pytest.raises(NotAuthorized) as caught:
                call("files_title_update", user, id=id_, title="mine")
            answers.add(str(caught.value))
        assert len(answers) == 1
    with pytest.raises(NotFound):
        call("files_title_update", new_user(sysadmin=True), id=str(uuid.uuid4()), title="x")


def test_a_title_waits_for_the_commit_of_its_caller(author: str) -> None:
    [file] = portal.upload(author)
    context: Any = {"user": author, "defer_commit": True}
    p.toolkit.get_action("files_title_update")(context, {"id": file, "title": "new"})
    model.Session.rollback()
    [shown] = call("files_search", author)["results"]
    assert shown["title"] is None


def test_documented_example(owned: Owned) -> None:
    largest_files = documented.run("docs/recipes/search.rst", 0)["largest_files"]
    assert len(largest_files(owned.admin, owned.organization["name"])) >= 4
    with pytest.raises(NotAuthorized):
        largest_files(owned.other, owned.organization["name"])
