"""The files that pages show and forms offer, to visitors who may see them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from flask import render_template_string

import ckanext.files
from ckanext.files import capabilities
from ckanext.files.pages.page_files import PageFile
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.hook_plugins import HiddenFilePlugin, RefusedFilePlugin
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call, new_user, organization_of

Visit = Callable[[str | None], None]
TEMPLATES = "docs/recipes/templates.rst"

loaded = load_plugins("files", "files_test_forms")


@pytest.fixture
def dataset(author: str) -> dict[str, Any]:
    """A private dataset with three files."""
    fields = {"owner_org": organization_of(author), "several": portal.upload(author, 3)}
    return portal.new_dataset(author, private=True, **fields)


def ids(files: list[PageFile]) -> list[str]:
    return [file.id for file in files]


def update(file_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(sa.update(file_table).where(file_table.c.id == file_id).values(**values))


def test_attached(author: str, dataset: dict[str, Any], visit: Visit) -> None:
    visit(author)
    several = json.loads(dataset["several"])
    files = tk.h.files_attached(dataset["several"])
    assert ids(files) == several
    (file,) = tk.h.files_attached(several[0])
    assert file == files[0]
    assert (file.name, file.size, file.format) == ("a.txt", 1, "TXT")
    assert file.url == f"/file/download/{file.id}"
    assert tk.h.files_attached(several[::-1]) == files[::-1]


@pytest.mark.parametrize("who", [None, "another"])
def test_a_file_that_the_visitor_may_not_see_is_an_id_only(
    who: str | None, author: str, dataset: dict[str, Any], visit: Visit
) -> None:
    several = json.loads(dataset["several"])
    of_a_purged_dataset = portal.put(("package", str(uuid.uuid4())))
    hidden = [*several, *portal.upload(author), *of_a_purged_dataset, str(uuid.uuid4())]
    visit(who and new_user())
    assert tk.h.files_attached(hidden) == [PageFile(id_) for id_ in hidden]
    call("package_patch", None, id=dataset["id"], private=False)
    assert [file.name for file in tk.h.files_attached(hidden)] == ["a.txt"] * 3 + [None] * 3


def test_values_that_name_no_file(visit: Visit) -> None:
    visit(None)
    for value in (None, "", [], "[]", 7, {}, {"id": "x"}, [["x"]], "a\0b", "x" * 100_000, "[1]"):
        assert tk.h.files_attached(value) == []


def test_format(author: str, visit: Visit) -> None:
    (file,) = portal.upload(author)
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
    files = portal.upload(author, 100)
    portal.new_dataset(author, several=files)
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
    files = portal.upload(author, 3)
    portal.new_dataset(author, several=files)
    PLUGINS[name].hidden = files[1]
    p.load(name)
    visit(None)
    try:
        assert [bool(file.name) for file in tk.h.files_attached(files)] == [True, False, True]
    finally:
        p.unload(name)


@pytest.mark.parametrize("odd", [5, "", None, {"de": "Bericht"}, ["Bericht"]])
def test_an_odd_title_of_another_program(odd: Any, author: str, visit: Visit) -> None:
    """People see the name, wherever a file is shown."""
    (file,) = portal.upload(author)
    update(file, plugin_data={"files": {"title": odd}})
    visit(author)
    (attached,) = tk.h.files_attached(file)
    (found,) = call("files_search", author)["results"]
    assert (attached.title, attached.display_name) == (None, "a.txt")
    assert (found["title"], found["display_name"]) == (None, "a.txt")


# what the snippets write


def links(value: Any) -> str:
    return str(tk.render_snippet("files/snippets/attachment.html", {"value": value}))


def test_links(author: str, visit: Visit) -> None:
    files = portal.upload(author, 2)
    visit(author)
    page = links(files[0])
    assert f'href="/file/download/{files[0]}"' in page
    assert "a.txt" in page
    assert "(TXT, 1 bytes)" in page
    assert "<ul" not in page
    assert re.findall(r"/file/download/([\w-]+)", links(files)) == files
    preview = f'href="/file/{files[0]}" aria-label="Preview: a.txt"><small>Preview</small></a>'
    assert preview in page
    for value in (None, "", [], "[]"):
        assert links(value).strip() == ""


def test_hidden_files(author: str, visit: Visit) -> None:
    files = portal.upload(author, 2)
    visit(None)
    page = links(files)
    assert page.count("Not available") == 2
    assert "a.txt" not in page
    assert not any(file in page for file in files)


def test_names_are_escaped(author: str, visit: Visit) -> None:
    (file,) = portal.upload(author)
    # CKAN would have cleaned such a name
    update(file, name="<script>alert(1)</script>\"'")
    visit(author)
    page = links(file)
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_documented_snippets(author: str, visit: Visit) -> None:
    show, edit, *_, user_form, _theme = documented.blocks(TEMPLATES, "html\\+jinja")
    # tests/browser/field fills it in
    template = "ckanext/files/tests/support/user_form_templates/user/edit_user_form.html"
    assert user_form.strip() == (documented.ROOT / template).read_text().strip()
    attached, own = portal.upload(author, 2)
    dataset = portal.new_dataset(author, attachment=attached, name=f"d-{uuid.uuid4()}")
    visit(author)
    assert f"/file/download/{attached}" in render_template_string(show, pkg=dataset)
    page = render_template_string(edit, data=dataset, errors={})
    assert f'name="attachment" value="{attached}"' in page
    assert f'<option value="{own}">' in page
    assert "Report as PDF" in page


def test_a_theme_changes_a_part_of_the_field(theme: Any, author: str, visit: Visit) -> None:
    *_, template = documented.blocks(TEMPLATES, "html\\+jinja")
    (file,) = portal.upload(author)
    visit(author)
    data = {"name": "attachment", "label": "", "value": file}
    plain = str(tk.render_snippet("files/snippets/attachment_field.html", data))
    theme("files/snippets/attachment_chosen.html", template)
    themed = str(tk.render_snippet("files/snippets/attachment_field.html", data))
    assert "fa-paperclip" not in plain
    assert re.search(
        rf'fa-paperclip" aria-hidden="true"></i>\s*<a href="/file/download/{file}"', themed
    )
    assert themed.count("files-remove") == plain.count("files-remove")


def test_documented_blocks() -> None:
    """Each block of the snippets is in the list, and no other one."""
    folder = Path(next(iter(ckanext.files.__path__))) / "templates/files/snippets"
    blocks = {
        (path.name, block)
        for path in folder.iterdir()
        for block in re.findall(r"{%-? block (\w+)", path.read_text())
    }
    text = (documented.ROOT / TEMPLATES).read_text()
    rows = re.findall(r"\* - ``(\w+\.html)``\n +- ((?:.+\n)+?)(?= +\* -|\n)", text)
    listed = {(name, block) for name, cell in rows for block in re.findall(r"``(\w+)``", cell)}
    assert blocks == listed
