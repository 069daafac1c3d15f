"""The files that pages show and forms offer, to visitors who may see them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa

from ckanext.files.pages.helpers import PageFile
from ckanext.files.tests.support.effects import engine
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

Visit = Callable[[str | None], None]


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
    hidden = [*json.loads(dataset["several"]), *upload(author), str(uuid.uuid4())]
    visit(who and new_user())
    assert tk.h.files_attached(hidden) == [PageFile(id_) for id_ in hidden]
    publish(dataset)
    assert [file.name for file in tk.h.files_attached(hidden)] == ["a.txt"] * 3 + [None] * 2


def test_file_of_something_that_is_gone(author: str, visit: Visit) -> None:
    (file,) = put(("package", str(uuid.uuid4())))
    visit(author)
    assert tk.h.files_attached(file) == [PageFile(file)]


@pytest.mark.parametrize(
    "value", [None, "", [], "[]", 7, {}, {"id": "x"}, [["x"]], "a\0b", "x" * 100_000, "[1]"]
)
def test_values_that_name_no_file(value: Any, visit: Visit) -> None:
    visit(None)
    assert tk.h.files_attached(value) == []
    assert tk.h.files_offered(value) == []


def test_own_files(author: str, visit: Visit) -> None:
    files = upload(author, 3)
    for days, file in enumerate(files):
        make_older(file, days)
    new_dataset(author, attachment=files.pop())
    visit(author)
    own = tk.h.files_own_files()
    assert ids(own) == files
    assert all(file.is_own and file.url for file in own)


def test_own_files_without_those_that_the_profile_keeps(author: str, visit: Visit) -> None:
    put(("user", call("user_show", author, id=author)["id"]), pinned=True)
    visit(author)
    assert tk.h.files_own_files() == []


def test_visitors_own_nothing(visit: Visit) -> None:
    visit(None)
    assert tk.h.files_own_files() == []


def test_helpers_outside_of_a_request(dataset: dict[str, Any]) -> None:
    publish(dataset)
    assert tk.h.files_own_files() == []


def test_offered(author: str, visit: Visit) -> None:
    chosen, kept, *own = upload(author, 4)
    dataset = new_dataset(author, several=[chosen, kept])
    for days, file in enumerate(own):
        make_older(file, days)
    visit(author)
    # the form comes back with a choice that has not been saved
    offered = tk.h.files_offered(["", own[1], chosen], ["package", "resource"], dataset["id"])
    assert ids(offered) == [own[1], chosen, kept, own[0]]
    assert [file.is_chosen for file in offered] == [True, True, False, False]
    assert [file.is_own for file in offered] == [True, False, False, True]


@pytest.mark.parametrize("owner_types", [["package"], ["resource", "package"], ["group"]])
def test_offered_to_an_owner_by_name(author: str, owner_types: list[str], visit: Visit) -> None:
    (file,) = upload(author)
    dataset = new_dataset(author, attachment=file)
    visit(author)
    expected = [file] if "package" in owner_types else []
    assert ids(tk.h.files_offered("", owner_types, dataset["name"])) == expected


@pytest.mark.parametrize("owner", [None, "", "a\0b", "nobody", 5])
def test_offered_to_nothing(owner: Any, visit: Visit) -> None:
    visit(None)
    assert tk.h.files_offered("", ["package", "group", "organization"], owner) == []


def test_offered_only_what_the_visitor_may_see(dataset: dict[str, Any], visit: Visit) -> None:
    visit(new_user())
    (first, *_) = json.loads(dataset["several"])
    offered = tk.h.files_offered(first, ["package"], dataset["id"])
    assert offered == [PageFile(first, is_chosen=True)]


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("levels.csv", "text/plain", "CSV"),
        ("LEVELS.CSV", "text/plain", "CSV"),
        ("levels", "text/csv", "CSV"),
        ("levels.unheard-of", "application/unheard-of", None),
    ],
)
def test_format(
    author: str, visit: Visit, name: str, content_type: str, expected: str | None
) -> None:
    (file,) = upload(author)
    update(file, name=name, content_type=content_type)
    visit(author)
    assert tk.h.files_attached(file)[0].format == expected


def make_older(file_id: str, days: int) -> None:
    update(file_id, created=sa.func.now() - sa.text(f"interval '{days} days'"))


def update(file_id: str, **values: Any) -> None:
    from ckanext.files.store.models import file_table

    with engine().begin() as connection:
        connection.execute(sa.update(file_table).where(file_table.c.id == file_id).values(**values))
