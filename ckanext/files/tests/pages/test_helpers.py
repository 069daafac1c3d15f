"""The files that pages show and forms offer, to visitors who may see them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa

from ckanext.files import capabilities
from ckanext.files.pages.helpers import PageFile
from ckanext.files.store.models import file_table
from ckanext.files.tests.pages.conftest import Visit
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.hidden_file_plugin import HiddenFilePlugin, RefusedFilePlugin
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import (
    call,
    new_dataset,
    new_user,
    organization_of,
    put,
    upload,
)

loaded = load_plugins("files", "files_test_forms")


@pytest.fixture
def dataset(author: str) -> dict[str, Any]:
    """A private dataset with three files."""
    return new_dataset(
        author, owner_org=organization_of(author), private=True, several=upload(author, 3)
    )


def publish(dataset: dict[str, Any]) -> None:
    call("package_patch", None, id=dataset["id"], private=False)


def ids(files: list[PageFile]) -> list[str]:
    return [file.id for file in files]


def update(file_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(sa.update(file_table).where(file_table.c.id == file_id).values(**values))


def make_each_older(files: list[str]) -> None:
    for days, file in enumerate(files):
        update(file, created=sa.func.now() - sa.text(f"interval '{days} days'"))


def test_attached(author: str, dataset: dict[str, Any], visit: Visit) -> None:
    visit(author)
    several = json.loads(dataset["several"])
    files = tk.h.files_attached(dataset["several"])
    assert ids(files) == several
    (file,) = tk.h.files_attached(several[0])
    assert file == files[0]
    assert (file.name, file.size, file.format) == ("a.txt", 1, "TXT")
    assert file.url == f"/file/download/{file.id}"
    assert not file.is_own
    assert not file.is_chosen
    assert tk.h.files_attached(several[::-1]) == files[::-1]


@pytest.mark.parametrize("who", [None, "another"])
def test_a_file_that_the_visitor_may_not_see_is_an_id_only(
    who: str | None, author: str, dataset: dict[str, Any], visit: Visit
) -> None:
    first, *_ = several = json.loads(dataset["several"])
    of_a_purged_dataset = put(("package", str(uuid.uuid4())))
    hidden = [*several, *upload(author), *of_a_purged_dataset, str(uuid.uuid4())]
    visit(who and new_user())
    assert tk.h.files_attached(hidden) == [PageFile(id_) for id_ in hidden]
    offered = tk.h.files_offered(first, ["package"], dataset["id"])
    assert offered == [PageFile(first, is_chosen=True)]
    publish(dataset)
    assert [file.name for file in tk.h.files_attached(hidden)] == ["a.txt"] * 3 + [None] * 3


def test_values_that_name_no_file(visit: Visit) -> None:
    visit(None)
    for value in (None, "", [], "[]", 7, {}, {"id": "x"}, [["x"]], "a\0b", "x" * 100_000, "[1]"):
        assert tk.h.files_attached(value) == []
        assert tk.h.files_offered(value) == []
    for owner in (None, "", "a\0b", "nowhere", 5):
        assert tk.h.files_offered("", ["package", "group", "organization"], owner) == []


def test_own_files(author: str, visit: Visit) -> None:
    """Neither the attached ones, nor those that the profile keeps, and none without a user."""
    files = upload(author, 3)
    make_each_older(files)
    dataset = new_dataset(author, attachment=files.pop())
    put(("user", call("user_show", author, id=author)["id"]), pinned=True)
    assert tk.h.files_own_files() == []  # outside of a request
    visit(author)
    own = tk.h.files_own_files()
    assert ids(own) == files
    assert all(file.is_own and file.url for file in own)
    visit(None)
    assert tk.h.files_attached(dataset["attachment"])
    assert tk.h.files_own_files() == []


def test_offered(author: str, visit: Visit) -> None:
    chosen, kept, *own = upload(author, 4)
    dataset = new_dataset(author, several=[chosen, kept])
    make_each_older(own)
    visit(author)
    # the form comes back with a choice that has not been saved
    offered = tk.h.files_offered(["", own[1], chosen], ["package", "resource"], dataset["id"])
    assert ids(offered) == [own[1], chosen, kept, own[0]]
    assert [file.is_chosen for file in offered] == [True, True, False, False]
    assert [file.is_own for file in offered] == [True, False, False, True]


def test_offered_to_an_owner_by_name(author: str, visit: Visit) -> None:
    files = upload(author)
    dataset = new_dataset(author, attachment=files[0])
    visit(author)
    for owner_types, offered in (
        (["package"], files),
        (["resource", "package"], files),
        (["group"], []),
    ):
        assert ids(tk.h.files_offered("", owner_types, dataset["name"])) == offered


def test_format(author: str, visit: Visit) -> None:
    (file,) = upload(author)
    visit(author)
    for name, content_type, expected in (
        ("levels.csv", "text/plain", "CSV"),
        ("LEVELS.CSV", "text/plain", "CSV"),
        ("levels", "text/csv", "CSV"),
        ("levels.unheard-of", "application/unheard-of", None),
    ):
        update(file, name=name, content_type=content_type)
        assert tk.h.files_attached(file)[0].format == expected


def test_a_hundred_files_cost_as_much_as_one(author: str, visit: Visit) -> None:
    """CKAN is asked no more often than its answers can differ."""
    files = upload(author, 100)
    new_dataset(author, several=files)
    visit(author)
    tk.h.files_attached(files)
    numbers = []
    for shown in (files, files[:1]):
        with statements() as seen:
            assert all(file.url for file in tk.h.files_attached(shown))
        numbers.append(len(seen))
    assert numbers[0] == numbers[1]


PLUGINS: dict[str, Any] = {"files_test_hidden_file": HiddenFilePlugin}
if capabilities.IFiles:
    PLUGINS["files_test_refused_file"] = RefusedFilePlugin


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_that_decides_by_file(name: str, author: str, visit: Visit) -> None:
    """With an auth function, or with the interface of CKAN 2.12."""
    files = upload(author, 3)
    new_dataset(author, several=files)
    PLUGINS[name].hidden = files[1]
    p.load(name)
    visit(None)
    try:
        assert [bool(file.name) for file in tk.h.files_attached(files)] == [True, False, True]
    finally:
        p.unload(name)
