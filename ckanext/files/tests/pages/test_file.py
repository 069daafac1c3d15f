"""The page of a file over HTTP: each kind of user with each form."""

from __future__ import annotations

import json
import uuid
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa

from ckanext.files.store.models import file_table
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.file_pages import (
    ALL,
    MAY_EDIT,
    MAY_READ,
    REFUSED,
    Pages,
    Site,
    titles,
    uploaded,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.planting import plant
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_test_forms")

HOSTILE = ["<script>alert(1)</script>", "\"'><b>&quot;", "\u202eevil", "📎 {{ 7 * 7 }}", "x" * 300]


@pytest.mark.parametrize("role", sorted(ALL))
def test_page_of_a_file(role: str, site: Site, pages: Pages) -> None:
    user = site.users[role]
    for type_, file in site.files.items():
        page = pages.get(f"/file/{file}", user)
        if role not in MAY_READ[type_]:
            missing = pages.get(f"/file/{uuid.uuid4()}", user)
            assert page.status_code == missing.status_code == 404
            assert REFUSED in page.text
            assert not titles(page.text)
            continue
        assert page.status_code == 200
        assert titles(page.text) == {type_}
        assert ("files-edit" in page.text) == (role in MAY_EDIT[type_]), type_
        assert ("files-transfer" in page.text) == (role in MAY_EDIT[type_])
        assert ("files-delete" in page.text) == (role in MAY_EDIT[type_])


@pytest.mark.parametrize("role", sorted(ALL))
def test_forms_of_a_file(role: str, site: Site, pages: Pages) -> None:
    """What a user may not do changes nothing, and reveals nothing."""
    user = site.users[role]
    own = {"owner_type": "user", "owner_id": user or "x", "force": "true"}
    for type_, file in site.files.items():
        if role in MAY_EDIT[type_]:
            continue
        before = state(file)
        for name, form in (
            ("edit", {"title": "T", "name": "n"}),
            ("transfer", own),
            ("delete", {}),
        ):
            for page in (
                pages.post(f"/file/{name}/{file}", user, **form),
                pages.get(f"/file/{name}/{file}", user),
            ):
                assert page.status_code == 404
                assert not titles(page.text)
        assert state(file) == before


def state(file: str) -> Any:
    query = f"SELECT row(name, plugin_data) FROM {file_table} WHERE id = :id"
    return look(query.replace("row(", "CAST(row(").replace("data)", "data) AS text)"), id=file), (
        portal.owner(file)
    )


@pytest.mark.parametrize("role", ["editor", "admin", "sysadmin"])
def test_what_users_may_do(role: str, site: Site, pages: Pages) -> None:
    user, back = site.users[role], f"/dataset/files/{site.dataset['name']}?q=a&sort=name asc"
    [file] = portal.put(("package", site.dataset["id"]), pinned=True)
    page = f"/file/{file}"
    done = pages.post(f"/file/edit/{file}", user, title="Näme", name="Neu ß.csv", next=back)
    assert done.headers["Location"].startswith(f"http://test.ckan.net{page}?next=/dataset/")
    shown = pages.shown(f"{page}?next={back}", user)
    assert "Näme was changed" in shown
    for name in ("edit", "transfer"):
        again = pages.get(f"/file/{name}/{file}", user)
        assert again.headers["Location"].endswith(page)
    # beside the form, with what was sent
    refused = pages.post(f"/file/edit/{file}", user, title="x" * 501, name="New name").text
    assert 'value="New name"' in refused
    assert "at most 500 characters" in refused[refused.index("files-not-done") :]
    assert look(f"SELECT name FROM {file_table} WHERE id = :id", id=file).endswith(".csv")

    resource = {"owner_type": "package", "owner_id": site.dataset["name"]}
    assert pages.post(f"/file/transfer/{file}", user, **resource).status_code == 302
    nowhere = {"owner_type": "package", "owner_id": "nowhere", "force": "true"}
    refused = pages.post(f"/file/transfer/{file}", user, **nowhere).text
    assert "there is no such owner" in refused
    assert 'value="nowhere"' in refused
    own = {"owner_type": "user", "owner_id": user}
    assert "files-force" not in pages.shown(page, user)
    pinned = pages.post(f"/file/transfer/{file}", user, **own).text
    assert "files-force" in pinned
    assert "the file is pinned to its owner" in pinned[pinned.index("files-not-done") :]
    assert portal.owner(file)[0] == "package"
    pages.post(f"/file/transfer/{file}", user, **own, force="true")
    assert portal.owner(file)[0] == "user"

    assert "Delete this file?" in pages.shown(f"/file/delete/{file}?next={back}", user)
    done = pages.post(f"/file/delete/{file}", user, next=back)
    assert done.headers["Location"].endswith(back.replace(" ", "%20"))
    assert pages.get(page, user).status_code == 404


def test_an_unknown_word_in_a_form_changes_nothing(site: Site, pages: Pages) -> None:
    """A pinned file goes to another owner only if the form sends exactly what the box sends."""
    user = site.users["editor"]
    [file] = portal.put(("package", site.dataset["id"]), pinned=True)
    own = {"owner_type": "user", "owner_id": user}
    for force in ("false", "on"):
        answer = pages.post(f"/file/transfer/{file}", user, **own, force=force)
        assert answer.status_code == 400
    unknown = pages.post(f"/file/transfer/{file}", user, owner_type="team", owner_id=user).text
    assert "there is no such owner" in unknown
    assert portal.owner(file) == ("package", site.dataset["id"], True)


def test_what_names_a_file_is_shown_also_behind_much_that_is_hidden(
    site: Site, pages: Pages
) -> None:
    file = uploaded(site.admin, "notes.txt", b"notes")
    hidden = {"owner_org": portal.organization_of(site.sysadmin), "private": True}
    dataset = portal.new_dataset(site.sysadmin, notes=f"see {file}", **hidden)
    copies = """
        INSERT INTO package (id, name, title, notes, type, state, private, owner_org)
        SELECT id || n, name || n, title, notes, type, state, private, owner_org
        FROM package, generate_series(1, 200) AS n WHERE id = :id
    """
    change(copies, id=dataset["id"])
    portal.new_dataset(
        site.admin, notes=f"see {file}", title="Open", owner_org=site.organization["id"]
    )
    page = pages.shown(f"/file/delete/{file}", site.admin)
    assert "Open" in page[page.index("files-mentions") :].partition("</ul>")[0]


def test_a_refused_transfer_shows_the_file(site: Site, pages: Pages) -> None:
    """And what may break, as far as the visitor may see it, for the decision to do it anyway."""
    file = uploaded(site.admin, "notes.txt", b"what is in the file")
    org = site.organization["id"]
    portal.new_dataset(site.admin, attachment=file, title="<b>Open", owner_org=org)
    hidden = {"owner_org": portal.organization_of(site.sysadmin), "private": True}
    portal.new_dataset(site.sysadmin, title="Hidden", notes=f"see {file}", **hidden)
    extras = json.dumps({"of_a_plugin": {"portrait": file}})
    update = 'UPDATE "user" SET plugin_extras = CAST(:extras AS jsonb) WHERE name = :name'
    change(update, extras=extras, name=site.other)
    assert "what is in the file" in pages.shown(f"/file/{file}", site.admin)
    assert "files-mentions" not in pages.shown(f"/file/{file}", site.admin)
    for user, sees_both in ((site.admin, False), (site.sysadmin, True)):
        form = {"owner_type": "user", "owner_id": user}
        page = pages.post(f"/file/transfer/{file}", user, **form).text
        assert "Nothing was changed: the file is pinned to its owner" in page
        assert "what is in the file" in page
        mentions = page[page.index("files-mentions") :].partition("</ul>")[0]
        assert "&lt;b&gt;Open" in mentions
        assert "Field: attachment" in mentions
        assert "Field: plugin_extras" in mentions
        assert "of_a_plugin" not in mentions  # sysadmins read it with user_show
        assert ("Hidden" in mentions) == sees_both
        # a tick would not help
        unknown = pages.post(f"/file/transfer/{file}", user, **{**form, "owner_id": "nowhere"}).text
        assert "there is no such owner" in unknown
        assert "files-mentions" not in unknown
        refused = pages.post(f"/file/edit/{file}", user, title="x" * 501, name="n").text
        assert "what is in the file" in refused
        assert "files-mentions" not in refused


def test_suggested_owners(site: Site, pages: Pages) -> None:
    """What the user may see; the answer is the same for a hidden name and one that is missing."""
    [file] = portal.upload(site.other)
    word = f"w{uuid.uuid4().hex[:8]}"
    seen = portal.new_dataset(site.other, name=f"{word}-seen", title="<b>Seen")
    draft, others = (new_draft(user, f"{word}-{user}") for user in (site.other, site.admin))
    in_organization = {"owner_org": site.organization["id"], "private": True}
    hidden = portal.new_dataset(site.admin, name=f"{word}-hidden", **in_organization)
    for text in (word, f"{word}-", hidden["name"], f"{word}-hiddem"):
        form = {"owner_type": "package", "owner_id": text}
        after = pages.post(f"/file/transfer/{file}", site.other, **form)
        is_found = text in (word, f"{word}-")
        assert ("&lt;b&gt;Seen" in after.text) == is_found
        assert ("there is no such owner" in after.text) != is_found
        assert (f'name="choice" value="{draft}"' in after.text) == is_found
        for name in (hidden["name"], others):
            assert f'name="choice" value="{name}"' not in after.text
        assert portal.owner(file)[0] == "user"
    form = {"owner_type": "package", "owner_id": word, "choice": seen["name"]}
    assert pages.post(f"/file/transfer/{file}", site.other, **form).status_code == 302
    assert portal.owner(file)[:2] == ("package", seen["id"])


def test_no_suggestions(site: Site, pages: Pages) -> None:
    """For what no search takes: what PostgreSQL cannot hold, and the syntax of Solr."""
    [file] = portal.upload(site.other)
    for type_ in ("package", "organization", "group", "user", "resource", "\0"):
        for text in ("\0", "a\0b", "{!func}", "a {!x} {!y}", "_query_:a", "x" * 5000, '"', "\\"):
            form = {"owner_type": type_, "owner_id": text}
            after = pages.post(f"/file/transfer/{file}", site.other, **form)
            assert after.status_code in (200, 409), (type_, text[:9])
    assert portal.owner(file)[0] == "user"


def new_draft(user: str, name: str) -> str:
    """Make a dataset as CKAN's form does before its resources are there."""
    context: Any = {"user": user, "allow_state_change": True}
    made = tk.get_action("package_create")(context, {"name": name, "state": "draft"})
    assert made["state"] == "draft"
    return made["name"]


def test_next_leads_to_no_other_site(author: str, pages: Pages) -> None:
    [file] = portal.upload(author)
    for back in ("https://example.com/", "//example.com/", "javascript:alert(1)", "/\\example.com"):
        shown = pages.get("/file/" + file, author, Referer="x").text
        assert "example.com" not in shown
        page = pages.post(f"/file/edit/{file}", author, title="t", name="a", next=back)
        assert "example" not in page.headers["Location"], back
        assert "javascript" not in page.headers["Location"]


@pytest.mark.parametrize("kind", ["dataset", "organization", "group"])
def test_names_that_no_owner_has(kind: str, site: Site, pages: Pages) -> None:
    """PostgreSQL refuses the first one."""
    for name in ("a%00b", "%ff", "n" * 3000):
        assert pages.get(f"/{kind}/files/{name}", site.sysadmin).status_code == 404
    known = getattr(site, kind)["name"]
    assert pages.get(f"/{kind}/files/{known}", site.sysadmin).status_code == 200


def test_what_will_break(site: Site, pages: Pages) -> None:
    """The fields that name a file, of what the visitor may see."""
    [file] = portal.upload(site.editor)
    open_ = portal.new_dataset(site.editor, title="Open one", attachment=file)
    hidden = portal.new_dataset(
        site.sysadmin,
        title="Hidden one",
        notes=f"see /file/download/{file}",
        private=True,
        owner_org=portal.organization_of(site.sysadmin),
        resources=[portal.resource("linked", description=f"see {file}")],
    )
    shown = pages.shown(f"/file/delete/{file}", site.editor)
    assert "Open one" in shown
    assert "attachment" in shown
    assert "Hidden one" not in shown
    assert hidden["name"] not in shown
    shown = pages.shown(f"/file/delete/{file}", site.sysadmin)
    assert {"Hidden one", "notes", "description"} <= {
        word for word in ("Hidden one", "notes", "description") if word in shown
    }
    listed = pages.shown(f"/dataset/files/{open_['name']}", site.editor)
    assert "Field: attachment" in listed
    # in a repeating subfield
    plant("package", open_["id"], citations=json.dumps([{"page": 5}, {"paper": file}, "text"]))
    listed = pages.shown(f"/dataset/files/{open_['name']}", site.editor)
    assert "Fields: citations/paper, attachment" in listed


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_titles_are_text(text: str, site: Site, pages: Pages) -> None:
    author = new_user()
    [file] = portal.upload(author)
    with engine().begin() as connection:
        of_file = sa.update(file_table).where(file_table.c.id == file)
        connection.execute(of_file.values(name=text, plugin_data={"files": {"title": text}}))
    for path in ("/dashboard/files", f"/file/{file}", f"/file/delete/{file}"):
        page = pages.shown(path, author)
        assert "<script>alert" not in page
        assert "<b>" not in page.replace("<b>CKAN", "")
        assert " 49" not in page
        assert "<bdi>" in page
    done = pages.post(f"/file/edit/{file}", author, title=text, name="a.txt")
    assert done.status_code == 302
    page = pages.shown(f"/file/{file}", author)
    assert "<script>alert" not in page
