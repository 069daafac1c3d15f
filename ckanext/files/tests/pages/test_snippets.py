"""What the snippets write into pages."""

from __future__ import annotations

import re
import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from flask import render_template_string

from ckanext.files.store.models import file_table
from ckanext.files.tests.pages.conftest import Visit
from ckanext.files.tests.support import documented
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import call, new_dataset, organization_of, upload

loaded = load_plugins("files", "files_test_forms")

FIELD = {"name": "attachment", "label": "Attachment", "errors": None}
TEMPLATES = "docs/recipes/templates.rst"


def links(value: Any) -> str:
    return str(tk.render_snippet("files/snippets/attachment.html", {"value": value}))


def field(**parameters: Any) -> str:
    return str(tk.render_snippet("files/snippets/attachment_field.html", {**FIELD, **parameters}))


def test_links(author: str, visit: Visit) -> None:
    files = upload(author, 2)
    visit(author)
    page = links(files[0])
    assert f'href="/file/download/{files[0]}"' in page
    assert "a.txt" in page
    assert "(TXT, 1 bytes)" in page
    assert "<ul" not in page
    assert re.findall(r"/file/download/([\w-]+)", links(files)) == files
    for value in (None, "", [], "[]"):
        assert links(value).strip() == ""


def test_hidden_files(author: str, visit: Visit) -> None:
    files = upload(author, 2)
    visit(None)
    page = links(files)
    assert page.count("Not available") == 2
    assert "a.txt" not in page
    assert not any(file in page for file in files)


def test_dataset_page_of_a_file_that_went_elsewhere(author: str, app: Any) -> None:
    """The page is public, the file belongs to something private now."""
    (file,) = upload(author)
    dataset = new_dataset(author, attachment=file)
    private = new_dataset(author, owner_org=organization_of(author), private=True)
    new_owner = {"owner_type": "package", "owner_id": private["id"], "force": True}
    call("files_transfer_ownership", None, id=file, **new_owner)
    with app.flask_app.test_request_context():
        assert "Not available" in links(dataset["attachment"])


def test_names_and_ids_are_escaped(author: str, visit: Visit) -> None:
    (file,) = upload(author)
    with engine().begin() as connection:
        change = sa.update(file_table).where(file_table.c.id == file)
        # CKAN would have cleaned such a name
        connection.execute(change.values(name="<script>alert(1)</script>\"'"))
    visit(author)
    for page in (links(file), field(value=file), field(value=file, multiple=True)):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page
    for page in (field(value="\"><b>'"), field(value=["\"><b>'"], multiple=True)):
        assert "<b>" not in page
        assert "&gt;&lt;b&gt;" in page


def test_field(author: str, visit: Visit) -> None:
    chosen, other = upload(author, 2)
    visit(author)
    page = field(value=chosen, is_required=True)
    assert '<label class="form-label" for="field-attachment">' in page
    assert '<select id="field-attachment" name="attachment"' in page
    assert re.search(rf'value="{chosen}" selected', page)
    assert re.search(rf'value="{other}">', page)
    assert '<option value="">' in page
    assert "control-required" in page
    assert "error" not in page
    assert "aria-" not in page


def test_field_for_several(author: str, visit: Visit) -> None:
    chosen, other = upload(author, 2)
    visit(author)
    page = field(value=[chosen], multiple=True)
    assert '<input type="hidden" name="attachment" value="">' in page
    assert re.findall(r'type="checkbox".*?value="([\w-]+)"( checked)?', page) == [
        (chosen, " checked"),
        (other, ""),
    ]
    assert 'role="group"' in page


def test_field_with_an_error(author: str, visit: Visit) -> None:
    upload(author)
    visit(author)
    page = field(value="unknown", errors=["One <problem>", "another"], help_text="Some help")
    assert '<span class="error-block" id="field-attachment-error">' in page
    assert "One &lt;problem&gt;, another" in page
    assert 'aria-describedby="field-attachment-error field-attachment-hint"' in page
    assert 'aria-invalid="true"' in page
    assert "Some help" in page
    assert "Not available: unknown" in page


def test_hint_for_a_user_without_files(author: str, visit: Visit) -> None:
    visit(author)
    assert "file_create" in field(value="")
    assert "There are no files to choose from" in field(value="", multiple=True)
    upload(author)
    assert "file_create" not in field(value="")


def test_documented_snippets(author: str, visit: Visit) -> None:
    show, edit = documented.blocks(TEMPLATES, "html\\+jinja")
    attached, own = upload(author, 2)
    dataset = new_dataset(author, attachment=attached, name=f"d-{uuid.uuid4()}")
    visit(author)
    assert f"/file/download/{attached}" in render_template_string(show, pkg=dataset)
    page = render_template_string(edit, data=dataset, errors={})
    assert re.findall(r'<option value="([\w-]+)"( selected)?', page) == [
        (attached, " selected"),
        (own, ""),
    ]
    assert "Report as PDF" in page
