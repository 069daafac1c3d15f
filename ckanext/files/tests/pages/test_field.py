"""The attachment field as the server renders it, and the files that it offers."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from werkzeug.datastructures import MultiDict

from ckanext.files import form_request
from ckanext.files.pages.offered import OFFERED_AT_ONCE
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call, new_user, organization_of

Visit = Callable[[str | None], None]
FIELD = {"name": "attachment", "label": "Attachment", "errors": None}

loaded = load_plugins("files", "files_test_forms")


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
    call("package_patch", author, id=dataset["id"], attachment="")
    portal.put(("user", user_id(author)), pinned=True)
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


def test_what_another_field_names_is_not_offered(
    app: Any, author: str, visit: Visit, dataset_of_five: dict[str, Any]
) -> None:
    """Neither what is stored, nor what a form has sent; the chooser looks into the form itself."""
    attached, of_resource, kept, own, sent = dataset_of_five["files"]
    owner = ("package", dataset_of_five["id"])
    visit(author)
    assert sorted(offered(*owner)) == sorted([kept, own, sent])
    visit(author)
    form_request.mark()
    request: Any = tk.request
    request.form = MultiDict([("second", own), ("several", ""), ("several", sent)])
    assert offered(*owner) == [kept]
    assert offered() == []

    headers = {"Authorization": portal.Api(app).token(author)}
    page = app.get(f"/file/choose?owner_type=package&owner={owner[1]}", headers=headers).body
    chooser = re.findall(r'data-id="([\w-]+)"', page)
    # a form of the dataset has no fields of its resources
    assert sorted(chooser) == sorted([attached, kept, own, sent])
    assert of_resource not in chooser


def test_files_of_one_name(app: Any, author: str, visit: Visit) -> None:
    """The choices have size, time of day and, of a file that is not the user's own, the owner."""
    files = portal.upload(author, 3)
    place = {"owner_org": organization_of(author), "title": "<Levels>", "name": f"n{files[0]}"}
    dataset = portal.new_dataset(author, attachment=files[2], **place)
    call("package_patch", author, id=dataset["id"], attachment="")
    visit(author)
    texts = []
    for file, owner in zip(files, ("", "", ", belongs to “<Levels>”"), strict=True):
        created = datetime(2026, 11, 28, 1, 59, len(texts))
        update(file, created=created)
        at = tk.h.render_datetime(created, with_hours=True, with_seconds=True)
        assert f"59:0{len(texts)}" in at
        texts.append(f"a.txt (TXT, 1 bytes, {at}{owner})")
    headers = {"Authorization": portal.Api(app).token(author)}
    address = f"/file/choose?owner_type=package&owner={dataset['id']}"
    chooser = app.get(address, headers=headers).body
    field_of: Any = {"value": "", "owner_types": ["package"], "owner": dataset["id"]}
    labels = re.findall('aria-label="Choose (.*?)"', chooser)
    for page in (field(**field_of), field(multiple=True, **field_of), chooser, "\n".join(labels)):
        assert "<Levels>" not in page
        for text in texts:
            assert text in html.unescape(page)


@pytest.fixture
def dataset_of_five(author: str) -> dict[str, Any]:
    """One file in a field, one in a field of a resource, one kept; two are the author's own."""
    files = portal.upload(author, 5)
    dataset = portal.new_dataset(
        author,
        owner_org=organization_of(author),
        attachment=files[0],
        second=files[2],
        resources=[portal.resource(for_dataset=files[1])],
    )
    portal.update(author, dataset, second="")
    assert [owner[0] for owner in portal.owners(*files[:3])] == ["package"] * 3
    return {**dataset, "files": files}


def test_a_dataset_that_the_visitor_may_not_edit_offers_nothing(author: str, visit: Visit) -> None:
    """Also when it is public, and so are its files."""
    (file,) = portal.upload(author)
    dataset = portal.new_dataset(author, attachment=file, owner_org=organization_of(author))
    visit(new_user())
    assert tk.h.files_attached(file)[0].url
    assert offered("package", dataset["id"]) == []


def test_a_thousand_own_files_cost_as_much_as_twenty(author: str, visit: Visit) -> None:
    numbers = []
    for more in (OFFERED_AT_ONCE, 1000):
        portal.upload(author, more)
        visit(author)
        offered()
        visit(author)
        with statements() as seen:
            assert len(offered()) == OFFERED_AT_ONCE
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
    assert app.get("/file/choose").status_code == 401
    assert app.get("/file/choose?q=%00", headers=headers).status_code == 400


@pytest.mark.parametrize("owner_type", ["package_relationship", "resource_view", "vocabulary"])
def test_choices_of_a_form_that_edits_no_owner_of_files(
    owner_type: str, app: Any, author: str, visit: Visit
) -> None:
    """The user's own files; CKAN's auth function is not asked."""
    own = portal.upload(author)
    headers = {"Authorization": portal.Api(app).token(author)}
    answer = app.get(f"/file/choose?owner_type={owner_type}&owner=x", headers=headers)
    assert re.findall(r'data-id="([\w-]+)"', answer.body) == own
    visit(author)
    assert offered(owner_type, "x") == own


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
    assert "One &lt;problem&gt;. another" in page
    described = "field-attachment-error field-attachment-limits field-attachment-hint"
    assert f'aria-describedby="{described}"' in page
    assert 'aria-invalid="true"' in page
    assert "Some help" in page
    assert "Unavailable file <small" in page
    assert "(unknown)</small>" in page
    assert 'data-label="Unavailable file unknown"' in page


GONE = "It was deleted, or you are not allowed to see it. Detach it, or choose another file."


def test_files_that_belong_elsewhere_now(author: str, visit: Visit) -> None:
    """A visitor who may not see the new owner reads the same as of a file that was deleted."""
    files = portal.upload(author, 4)
    moved, taken_back, deleted, _ = files
    editor = new_user()
    dataset = portal.new_dataset(
        author, several=files, owner_org=organization_of(author, editor), private=True
    )
    place = {"title": "<b>Other", "owner_org": organization_of(author), "private": True}
    other = portal.new_dataset(author, **place)
    for id_, owner in ((moved, ("package", other["id"])), (taken_back, ("user", user_id(author)))):
        to_owner = {"owner_type": owner[0], "owner_id": owner[1], "force": True}
        call("files_transfer_ownership", author, id=id_, **to_owner)
    portal.delete_file(deleted)

    def entries(visitor: str, *owner: Any) -> list[str]:
        """Return the rows of the files, without their ids."""
        visit(visitor)
        page = field(value=files, multiple=True, owner_types=owner[:1], owner=owner[-1])
        rows = re.findall("<li.*?</li>", page.partition("files-taken-out")[0], re.S)
        return [row.replace(id_, "ID") for id_, row in zip(files, rows, strict=True)]

    of_moved, of_taken_back, of_deleted, of_stays = entries(author, "package", dataset["id"])
    assert (
        f'<a href="/files-python/{other["name"]}">It belongs to “&lt;b&gt;Other” now.</a>'
        in of_moved
    )
    assert "It belongs to “" in of_taken_back
    assert GONE in of_deleted
    assert 'data-stored="yes"' in of_stays
    for row in (of_moved, of_taken_back, of_deleted):
        # there is nothing to keep, give back or delete
        assert 'data-stored="yes"' not in row
        assert '<option value="ID">Detach</option>' in row
    assert "files-lost" not in of_stays

    of_moved, of_taken_back, of_deleted, of_stays = entries(editor, "package", dataset["id"])
    assert GONE in of_deleted
    assert of_moved == of_taken_back == of_deleted
    assert "files-lost" not in of_stays
    # a form that does not know what it edits
    of_moved, _, of_deleted, _ = entries(author, None)
    assert "files-lost" not in of_moved
    assert GONE in of_deleted


def user_id(name: str) -> str:
    return call("user_show", name, id=name)["id"]


def test_a_file_of_a_resource_is_no_stranger_to_its_dataset(author: str, visit: Visit) -> None:
    (file,) = portal.upload(author)
    place = {"owner_org": organization_of(author), "resources": [portal.resource(doc=file)]}
    dataset = portal.new_dataset(author, **place)
    visit(author)
    for owner in (("package", dataset["id"]), ("resource", dataset["resources"][0]["id"])):
        (chosen,) = tk.h.files_field("attachment", file, [owner[0]], owner[1]).chosen
        assert (chosen.belongs_elsewhere, chosen.is_stored) == (False, True)
    other = portal.new_dataset(author, owner_org=place["owner_org"])
    (chosen,) = tk.h.files_field("attachment", file, ["package"], other["id"]).chosen
    assert (chosen.belongs_elsewhere, chosen.is_stored) == (True, False)


def test_what_is_taken_out_and_is_no_id(author: str, visit: Visit) -> None:
    """PostgreSQL refuses it, and so does the action: the form comes back."""
    (file,) = portal.upload(author)
    dataset = portal.new_dataset(author, attachment=file, owner_org=organization_of(author))
    visit(author)
    form_request.take_out("attachment", {file: "delete", "a\0b": "delete"})
    found = tk.h.files_field("attachment", "", ["package"], dataset["id"])
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
    # a label points to an input that is there
    (labelled,) = re.findall('<label class="form-label" for="(.*?)"', page)
    assert re.search(f'<input [^>]*id="{labelled}"', page)


def test_storage_of_uploads(author: str, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one to which users upload; the field may name another one."""
    option = "ckan.files.authenticated_uploads.storages"
    monkeypatch.setitem(tk.config, option, ["resources", "default"])
    visit(author)
    assert 'data-storage="resources"' in field(value="")
    assert 'data-storage="default"' in field(value="", storage="default")
    assert 'type="file"' not in field(value="", storage="nowhere")
    monkeypatch.setitem(tk.config, option, ["nowhere"])
    visit(author)
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
