"""The attachment field as the server renders it, and the files that it offers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files import form_request
from ckanext.files.pages.field import CHOICES_AT_ONCE
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call, new_user, organization_of

Visit = Callable[[str | None], None]
FIELD = {"name": "attachment", "label": "Attachment", "errors": None}

loaded = load_plugins("files", "files_test_forms")


@pytest.fixture
def visit(test_request_context: Any) -> Iterator[Visit]:
    """Begin a request of a user, or of a visitor who is not logged in."""
    with ExitStack() as requests:

        def visit(name: str | None, path: str = "/") -> None:
            requests.enter_context(test_request_context(path))
            tk.g.user = name or ""
            if name:
                tk.login_user(model.User.get(name))

        yield visit


def field(**parameters: Any) -> str:
    return str(tk.render_snippet("files/snippets/attachment_field.html", {**FIELD, **parameters}))


def update(file_id: str, **values: Any) -> None:
    with engine().begin() as connection:
        connection.execute(sa.update(file_table).where(file_table.c.id == file_id).values(**values))


def make_each_older(files: list[str]) -> None:
    for days, file in enumerate(files):
        update(file, created=sa.func.now() - sa.text(f"interval '{days} days'"))


def offered(*owner: str) -> list[str]:
    types, id_ = owner[:-1], owner[-1] if owner else None
    return [file.id for file in tk.h.files_field("attachment", "", types, id_).offered]


def test_offered(author: str, visit: Visit) -> None:
    """Own files that neither the profile nor anything else keeps, and files of what is edited."""
    attached, *own = portal.upload(author, 4)
    make_each_older(own)
    private = {"owner_org": organization_of(author), "private": True}
    dataset = portal.new_dataset(author, attachment=attached, **private)
    portal.put(("user", call("user_show", author, id=author)["id"]), pinned=True)
    portal.upload(new_user())
    visit(author)
    assert offered() == own
    for owner in (("package", dataset["id"]), ("resource", "package", dataset["name"])):
        assert sorted(offered(*owner)) == sorted([attached, *own])
    for owner in (
        ("group", dataset["id"]),
        ("package", "nowhere"),
        ("package", "a\0b"),
        ("x", "y"),
    ):
        assert offered(*owner) == own
    visit(new_user())
    assert offered("package", dataset["id"]) == []
    visit(None)
    assert offered("package", dataset["id"]) == []


def test_a_dataset_that_the_visitor_may_not_edit_offers_nothing(author: str, visit: Visit) -> None:
    """Also when it is public, and so are its files."""
    (file,) = portal.upload(author)
    dataset = portal.new_dataset(author, attachment=file, owner_org=organization_of(author))
    visit(new_user())
    assert tk.h.files_attached(file)[0].url
    assert offered("package", dataset["id"]) == []


def test_a_thousand_own_files_cost_as_much_as_twenty(author: str, visit: Visit) -> None:
    numbers = []
    for more in (CHOICES_AT_ONCE, 1000):
        portal.upload(author, more)
        visit(author)
        offered()
        with statements() as seen:
            assert len(offered()) == CHOICES_AT_ONCE
        numbers.append(len(seen))
    assert numbers[0] == numbers[1]


def test_chooser(app: Any, author: str) -> None:
    """Pages and search, and none for a visitor who is not logged in."""
    files = portal.upload(author, 45)
    make_each_older(files)
    update(files[30], name="50%_done.csv")
    client = portal.Client(app)
    headers = {"Authorization": portal.Api(app).token(author)}

    def choose(query: str, headers: dict[str, str] = headers) -> list[str]:
        answer = app.get(f"/file/choose{query}", headers=headers)
        assert answer.status_code == 200
        return re.findall(r'data-id="([\w-]+)"', answer.body)

    assert choose("") == files[:20]
    page = app.get("/file/choose", headers=headers).body
    (following,) = re.findall(r'hx-get="/file/choose(.*?)"', page)
    assert choose(following) == files[20:40]
    assert choose("?start=40") == files[40:]
    # parameters that are no arguments of the function that makes addresses
    page = app.get("/file/choose?endpoint=x&_scheme=ftp&owner=x", headers=headers).body
    assert re.findall(r'hx-get="(.*?)"', page) == ["/file/choose?owner=x&amp;start=20"]
    assert choose("?start=-5") == choose("?start=x") == files[:20]
    for words in ("50", "done", "DONE.csv+50", "done 5"):
        assert choose(f"?q={words}") == [files[30]]
    assert choose("?q=" + "a" * 5000) == []
    assert (
        "There are no files to choose from"
        in app.get("/file/choose?q=nothing", headers=headers).body
    )
    assert choose("", client.headers) == []
    assert app.get("/file/choose").status_code in (401, 403)
    assert app.get("/file/choose?q=%00", headers=headers).status_code == 403


# what the snippet writes


def test_one_file(author: str, visit: Visit) -> None:
    chosen, other = portal.upload(author, 2)
    visit(author)
    page = field(value=chosen, is_required=True)
    assert '<label class="form-label" for="field-attachment">' in page
    assert re.search(
        r'<input type="file" id="field-attachment"[^>]* name="files-upload:attachm', page
    )
    assert f'<input type="hidden" name="attachment" value="{chosen}" autocomplete="off">' in page
    assert re.search(
        'class="files-empty" name="attachment" value="" autocomplete="off" disabled', page
    )
    assert f'<option value="{other}">' in page
    assert "control-required" in page
    assert "files-several" not in page
    assert "error" not in page.replace("text-danger", "")


def test_several_files(author: str, visit: Visit) -> None:
    chosen, other = portal.upload(author, 2)
    visit(author)
    page = field(value=json.dumps([chosen]), multiple=True)
    assert (
        '<input type="hidden" class="files-empty" name="attachment" value="" autocomplete="off">'
        in page
    )
    assert 'name="files-several:attachment"' in page
    assert re.search(r'type="file"[^>]* multiple', page)
    assert re.search(rf'type="checkbox"[^>]* name="files-add:attachment" value="{other}"', page)


def test_with_an_error(author: str, visit: Visit) -> None:
    visit(author)
    page = field(value="unknown", errors=["One <problem>", "another"], help_text="Some help")
    assert '<span class="error-block" id="field-attachment-error">' in page
    assert "One &lt;problem&gt;, another" in page
    described = "field-attachment-error field-attachment-limits field-attachment-hint"
    assert f'aria-describedby="{described}"' in page
    assert 'aria-invalid="true"' in page
    assert "Some help" in page
    assert "Not available: unknown" in page


def test_what_is_taken_out_and_is_no_id(author: str, visit: Visit) -> None:
    """PostgreSQL refuses it, and so does the action: the form comes back."""
    (file,) = portal.upload(author)
    visit(author)
    form_request.take_out("attachment", {file: "delete", "a\0b": "delete"})
    found = tk.h.files_field("attachment", "")
    assert [each.file.id for each in found.taken_out] == [file]


def test_names_and_ids_are_escaped(author: str, visit: Visit) -> None:
    (file,) = portal.upload(author)
    # CKAN would have cleaned such a name
    update(file, name="<script>alert(1)</script>\"'")
    visit(author)
    for page in (field(value=file), field(value=file, multiple=True), field(value="")):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page
    page = field(value=["\"><b>'"], multiple=True)
    assert "<b>" not in page
    assert "&gt;&lt;b&gt;" in page


@pytest.mark.ckan_config("ckan.files.authenticated_uploads.allow", False)
def test_without_the_right_to_upload(author: str, visit: Visit) -> None:
    (file,) = portal.upload(author)
    visit(author)
    page = field(value="")
    assert 'type="file"' not in page
    assert file in page


def test_storage_of_uploads(author: str, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one to which users upload; the field may name another one."""
    option = "ckan.files.authenticated_uploads.storages"
    visit(author)
    monkeypatch.setitem(tk.config, option, ["resources", "default"])
    assert 'data-storage="resources"' in field(value="")
    assert 'data-storage="default"' in field(value="", storage="default")
    assert 'type="file"' not in field(value="", storage="nowhere")
    monkeypatch.setitem(tk.config, option, ["nowhere"])
    assert 'type="file"' not in field(value="")


def test_limits(author: str, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckanext.files.store.storages import get_storage

    settings = get_storage("default").settings
    monkeypatch.setattr(settings, "max_size", 10 * 1024**2)
    monkeypatch.setattr(settings, "supported_types", ["application/pdf", "text/csv"])
    visit(author)
    page = field(value="")
    assert "A file may have up to 10.0 MiB." in page or "up to 10 MiB." in page
    assert "PDF, CSV" in page
    assert 'accept="application/pdf,text/csv"' in page
    assert 'data-max-size="10485760"' in page


def test_words_of_scripts(visit: Visit) -> None:
    visit(None)
    assert tk.h.files_size_patterns() == [
        f"{{n}} {unit}" for unit in ["bytes", "KiB", "MiB", "GiB", "TiB"]
    ]
    times = tk.h.files_times_left()
    assert times == sorted(times)
    assert dict(times)[60] == "1 minute left"
    assert dict(times)[7200] == "2 hours left"
