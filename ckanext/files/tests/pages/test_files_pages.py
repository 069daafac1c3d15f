"""The pages of files over HTTP: each kind of user on each page with each form."""

from __future__ import annotations

import io
import itertools
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model
from ckan.common import config

from ckanext.files.pages.preview import HEAD
from ckanext.files.store.models import file_table
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.effects import engine, look, statements
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.owned_files import Owned
from ckanext.files.tests.support.users import call, new_user

loaded = load_plugins("files", "files_test_forms")

HOSTILE = ["<script>alert(1)</script>", "\"'><b>&quot;", "\u202eevil", "📎 {{ 7 * 7 }}", "x" * 300]
REFUSED = "There is no such file, or you"


class Pages:
    """A portal, as the browsers of several users see it."""

    def __init__(self, app: Any) -> None:
        self._api = portal.Api(app)
        self.environment: Any = app.flask_app.jinja_env
        self._app = app
        self._clients: dict[str | None, Any] = {}

    def get(self, path: str, user: str | None, **headers: str) -> Any:
        return self._open(path, user, headers=headers)

    def post(self, path: str, user: str | None, **form: Any) -> Any:
        return self._open(path, user, method="POST", data=form)

    def shown(self, path: str, user: str | None) -> str:
        page = self.get(path, user)
        assert page.status_code == 200
        return page.text

    def _open(self, path: str, user: str | None, **request: Any) -> Any:
        # of each user, for the messages that a session keeps
        client = self._clients.setdefault(user, self._app.test_client())
        headers = {**request.pop("headers", {})}
        if user:
            headers["Authorization"] = self._api.token(user)
        page = client.open(path, headers=headers, follow_redirects=False, **request)
        model.Session.remove()
        return page


class Site(Owned):
    """The users by role, and the files by the type of owner, each with a title of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.sysadmin = new_user(sysadmin=True)
        self.users = {
            "anonymous": None,
            "other": self.other,
            "member": self.member,
            "editor": self.editor,
            "admin": self.admin,
            "sysadmin": self.sysadmin,
        }
        self.files.update(removed=self.of_removed, alone=self.alone)
        for type_, file in self.files.items():
            call("files_title_update", self.sysadmin, id=file, title=f"Secret {type_}")


@pytest.fixture(scope="module")
def site(loaded: Any) -> Site:
    return Site()


@pytest.fixture(scope="module")
def pages(loaded: Any) -> Pages:
    return Pages(loaded())


ALL = {"anonymous", "other", "member", "editor", "admin", "sysadmin"}
MAY_READ = {
    "organization": ALL,
    "package": {"member", "editor", "admin", "sysadmin"},
    "resource": {"member", "editor", "admin", "sysadmin"},
    "group": ALL,
    "user": {"editor", "sysadmin"},
    "removed": {"member", "editor", "admin", "sysadmin"},
    "alone": {"sysadmin"},
}
MAY_EDIT = {
    "organization": {"admin", "sysadmin"},
    "package": {"editor", "admin", "sysadmin"},
    "resource": {"editor", "admin", "sysadmin"},
    "group": {"editor", "sysadmin"},
    "user": {"editor", "sysadmin"},
    "removed": {"editor", "admin", "sysadmin"},
    "alone": {"sysadmin"},
}
OF_DATASET = {"package", "resource", "removed"}
LISTS: dict[str, tuple[set[str], set[str]]] = {
    "/dataset/files/{dataset}": ({"editor", "admin", "sysadmin"}, OF_DATASET),
    "/organization/files/{organization}": ({"admin", "sysadmin"}, {*OF_DATASET, "organization"}),
    "/group/files/{group}": ({"editor", "sysadmin"}, {"group"}),
    "/ckan-admin/files": ({"sysadmin"}, set(MAY_READ)),
}
"""Who sees each page, and the files on it."""


def paths(site: Site) -> dict[str, str]:
    names = {name: getattr(site, name)["name"] for name in ("dataset", "organization", "group")}
    return {path.format(**names): path for path in LISTS}


def titles(text: str) -> set[str]:
    return set(re.findall(r"Secret (\w+)", text))


@pytest.mark.parametrize("role", sorted(ALL))
def test_lists(role: str, site: Site, pages: Pages) -> None:
    user = site.users[role]
    for path, pattern in paths(site).items():
        may, files = LISTS[pattern]
        page = pages.get(f"{path}?q=secret", user)
        assert (page.status_code == 200) == (role in may), path
        if role in may:
            assert titles(page.text) == files
            assert f"{len(files)} file" in page.text
        else:
            # as for what does not exist
            assert page.status_code == 404
            missing = pages.get(re.sub(r"[^/]+$", str(uuid.uuid4()), path), user)
            assert REFUSED in page.text or pattern == "/ckan-admin/files"
            assert not titles(page.text)
            assert missing.status_code == 404
    own = pages.get("/dashboard/files", user)
    assert (own.status_code == 200) == (role != "anonymous")
    assert titles(own.text) == ({"user"} if role == "editor" else set())


@pytest.mark.parametrize("role", sorted(ALL))
def test_tabs(role: str, site: Site, pages: Pages) -> None:
    """A link to a page of files is where its visitor may follow it."""
    user = site.users[role]
    for place, target in (
        ("/user/edit", "/dashboard/files"),
        ("/dashboard/datasets", "/dashboard/files"),
        (f"/dataset/edit/{site.dataset['name']}", f"/dataset/files/{site.dataset['name']}"),
        (
            f"/organization/edit/{site.organization['name']}",
            f"/organization/files/{site.organization['name']}",
        ),
        (f"/group/edit/{site.group['name']}", f"/group/files/{site.group['name']}"),
        ("/ckan-admin/", "/ckan-admin/files"),
    ):
        page = pages.get(place, user)
        if page.status_code == 200 and place != "/user/edit":
            assert f'href="{target}"' in page.text, place
            pages.shown(target, user)


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
    kept = pages.post(f"/file/transfer/{file}", user, **own).text
    assert "tick the box" in kept[kept.index("files-not-done") :]
    assert portal.owner(file)[0] == "package"
    pages.post(f"/file/transfer/{file}", user, **own, force="true")
    assert portal.owner(file)[0] == "user"

    assert "Delete this file?" in pages.shown(f"/file/delete/{file}?next={back}", user)
    done = pages.post(f"/file/delete/{file}", user, next=back)
    assert done.headers["Location"].endswith(back.replace(" ", "%20"))
    assert pages.get(page, user).status_code == 404


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


def test_uploads(author: str, pages: Pages) -> None:
    data = [(io.BytesIO(b"a"), "one.txt"), (io.BytesIO(b"b"), "two.txt")]
    assert pages.post("/dashboard/files", author, upload=data).status_code == 302
    shown = pages.shown("/dashboard/files", author)
    assert "one.txt was uploaded" in shown
    assert "2 files" in shown
    pages.post("/dashboard/files", author, upload=(io.BytesIO(b""), ""))
    assert "Choose a file first" in pages.shown("/dashboard/files", author)
    data = [(io.BytesIO(b"a"), "<i>three.txt")]
    pages.post("/dashboard/files", author, upload=data, storage="resources")
    shown = pages.shown("/dashboard/files", author)
    assert "was not uploaded" in shown
    assert "<i>" not in shown
    before = call("files_search", author)["count"]
    assert pages.post("/dashboard/files", None, upload=(io.BytesIO(b"a"), "x")).status_code == 404
    assert call("files_search", author)["count"] == before == 2


def test_search_filters_order_and_pages(pages: Pages) -> None:
    author = new_user()
    assert "There are no files here yet" in pages.shown("/dashboard/files", author)
    files = portal.upload(author, 45)
    for i, file in enumerate(files):
        call("files_title_update", author, id=file, title=f"Number {i:02}")
    numbers = re.compile(r"<bdi>Number (\d\d)</bdi>")
    first = pages.shown("/dashboard/files?sort=name+asc", author)
    assert "45 files" in first
    assert list(map(int, numbers.findall(first))) == list(range(20))
    assert "sort=name+asc&amp;page=3" in first or "page=3" in first
    last = pages.shown("/dashboard/files?sort=name+asc&page=3", author)
    assert list(map(int, numbers.findall(last))) == list(range(40, 45))
    assert list(map(int, numbers.findall(pages.shown("/dashboard/files?q=number+07", author)))) == [
        7
    ]
    assert "No file matches" in pages.shown("/dashboard/files?format=PDF", author)
    assert pages.get("/dashboard/files?page=x", author).status_code == 400
    assert pages.get("/dashboard/files?q=%00", author).status_code == 400
    pages.shown("/dashboard/files?sort=nothing&type=x&storage=y", author)


def test_many_files_cost_as_many_statements_as_one(author: str, pages: Pages) -> None:
    dataset = portal.new_dataset(author, several=portal.upload(author, 20))
    path, counts = f"/dataset/files/{dataset['name']}", []
    for address in (path, path, f"{path}?page=1&q={'x' * 5}"):
        with statements() as seen:
            pages.shown(address, author)
        counts.append(len(seen))
    assert counts[1] - counts[2] <= 3  # of the files and their owners


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


# what a page shows of the content


def uploaded(user: str, name: str, content: bytes, content_type: str = "") -> str:
    file = call("file_create", user, name=name, upload=content)["id"]
    if content_type:
        with engine().begin() as connection:
            of_file = sa.update(file_table).where(file_table.c.id == file)
            connection.execute(of_file.values(content_type=content_type))
    return file


PREVIEWS: dict[str, tuple[str, bytes, str, str, str]] = {
    "csv": ("a.csv", b"a;b\n1;<b>2</b>\n", "", "<bdi>&lt;b&gt;2&lt;/b&gt;</bdi>", "<b>2"),
    "long csv": ("a.csv", b"a,b\n" * 100_000, "text/csv", "is the beginning of the file", "\x00"),
    "utf-8": ("a.txt", "Öl\u202e".encode(), "", "Öl", "Ã"),
    "cut utf-8": ("a.txt", ("ö" * HEAD).encode(), "text/plain", "öö", "Ã"),
    "utf-16": ("a.txt", "Öl".encode("utf-16"), "text/plain", "Öl", "þ"),
    "latin-1": ("a.txt", "Öl".encode("latin-1"), "text/plain", "Öl", "files-none"),
    "html": ("a.html", b"<script>alert(1)</script>", "", "&lt;script&gt;alert(1)", "<script>alert"),
    "xml": ("a.xml", b"<?xml version='1.0'?><a/>", "", "&lt;a/&gt;", "<a/>"),
    "svg": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "<img", "<svg"),
    "png": ("a.png", b"\x89PNG\r\n\x1a\n", "image/png", "<img", "iframe"),
    "pdf": ("a.pdf", b"%PDF-1.4\n", "application/pdf", "<iframe", "sandbox="),
}
NO_PREVIEWS: dict[str, tuple[str, bytes, str]] = {
    "no pdf": ("a.pdf", b"<script>alert(1)</script>", "application/pdf"),
    "binary": ("a.bin", b"\0\1\2", "application/octet-stream"),
    "binary text": ("a.txt", b"a\0b", "text/plain"),
    "empty": ("a.txt", b"", "text/plain"),
}


@pytest.mark.parametrize("kind", PREVIEWS)
def test_preview(kind: str, author: str, pages: Pages) -> None:
    name, content, type_, there, missing = PREVIEWS[kind]
    file = uploaded(author, name, content, type_)
    page = pages.shown(f"/file/{file}", author)
    start = page.index("files-preview")
    shown = page[start : page.index("</section>", start)]
    assert there in shown
    assert missing not in shown
    assert len(shown) < 3 * HEAD


@pytest.mark.parametrize("kind", NO_PREVIEWS)
def test_no_preview(kind: str, author: str, pages: Pages) -> None:
    file = uploaded(author, *NO_PREVIEWS[kind])
    assert "files-preview" not in pages.shown(f"/file/{file}", author)
    assert pages.get(f"/file/preview/{file}", author).status_code == 404


def test_a_storage_that_fails(author: str, pages: Pages) -> None:
    """The page is there without a preview: the bytes are missing, or the storage is."""
    for storage in ("default", "nowhere"):
        [file] = portal.upload(author)
        with engine().begin() as connection:
            of_file = sa.update(file_table).where(file_table.c.id == file)
            connection.execute(of_file.values(storage=storage))
        assert "files-preview" not in pages.shown(f"/file/{file}", author)


def test_a_pdf_is_sent_for_a_frame_only(author: str, pages: Pages) -> None:
    content = b"%PDF-1.4\n" + b"x" * 100_000
    file = uploaded(author, "a.pdf", content, "application/pdf")
    page = pages.get(f"/file/preview/{file}", author)
    assert (page.status_code, page.data, page.mimetype) == (200, content, "application/pdf")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Content-Disposition"] == "inline"
    assert "private" in page.headers["Cache-Control"]
    for user in (None, new_user()):
        assert pages.get(f"/file/preview/{file}", user).status_code == 404
    # nothing else is ever sent inline
    for kind in ("html", "svg", "xml"):
        other = uploaded(author, *PREVIEWS[kind][:3])
        assert pages.get(f"/file/preview/{other}", author).status_code == 404
        download = pages.get(f"/file/download/{other}", author)
        assert download.headers["Content-Disposition"].startswith("attachment")


# a refused download


@pytest.fixture
def downloads(author: str) -> dict[str, str]:
    return {"refused": portal.upload(author)[0], "missing": str(uuid.uuid4())}


def test_refused_download(downloads: dict[str, str], pages: Pages) -> None:
    html = {"Accept": "text/html,*/*;q=0.8"}
    texts = set()
    for file, user in itertools.product(downloads.values(), (None, new_user())):
        path = f"/file/download/{file}"
        page = pages.get(path, user, **html)
        assert page.status_code == 404
        assert page.mimetype == "text/html"
        assert ("log in" in page.text) == (user is None)
        if user is None:
            assert f"/user/login?next={path}" in page.text
        assert "a.txt" not in page.text
        assert "private" in page.headers["Cache-Control"]
        texts.add((user, page.text[page.text.index("files-refused") :].replace(file, "ID")))
        plain = pages.get(path, user, Accept="application/json")
        assert plain.status_code == 404
        assert "files-refused" not in plain.text
    assert len({user for user, _ in texts}) == 2


def test_no_cache_keeps_a_refusal(
    downloads: dict[str, str], pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config, "ckan.cache_enabled", True)
    assert "public" in pages.get("/about", None).headers["Cache-Control"]
    for file in downloads.values():
        for path in (f"/file/{file}", f"/file/preview/{file}", f"/file/download/{file}"):
            page = pages.get(path, None, Accept="text/html")
            assert page.status_code == 404
            assert "private" in page.headers["Cache-Control"]
            assert "public" not in page.headers["Cache-Control"]


def test_a_download_keeps_the_name(author: str, pages: Pages) -> None:
    file = uploaded(author, "a.txt", b"hello")
    call("files_title_update", author, id=file, title="Another")
    page = pages.get(f"/file/download/{file}", author)
    assert page.data == b"hello"
    assert "a.txt" in page.headers["Content-Disposition"]


def test_offered_formats(author: str, site: Site, pages: Pages) -> None:
    """Formats of the files, whatever is searched; and the one that is chosen."""

    def offered(user: str, address: str) -> set[str]:
        page = pages.shown(address, user)
        if 'name="format"' not in page:
            return set()
        choices = page[page.index('name="format"') :].partition("</select>")[0]
        return {*re.findall(r'<option value="([^"]+)"', choices)}

    assert offered(author, "/dashboard/files") == set()
    files = portal.upload(author, 3)
    with engine().begin() as connection:
        for file, name in zip(files, ("a.CSV", "b.geojson", "c.unheard-of"), strict=True):
            of_file = sa.update(file_table).where(file_table.c.id == file)
            connection.execute(of_file.values(name=name, content_type="application/x-none"))
    assert offered(author, "/dashboard/files") == {"CSV", "GeoJSON"}
    assert offered(author, "/dashboard/files?q=nothing&format=CSV") == {"CSV", "GeoJSON"}
    assert offered(author, "/dashboard/files?format=PDF") == {"CSV", "GeoJSON", "PDF"}
    # too many to look at each
    assert offered(site.sysadmin, "/ckan-admin/files") > {"CSV", "GeoJSON", "ZIP"}
    portal.upload(author, 1001)
    assert offered(author, "/dashboard/files") > {"CSV", "GeoJSON", "ZIP"}


@pytest.fixture
def theme(pages: Pages, tmp_path: Path) -> Iterator[Path]:
    """A folder of templates before all others, as the one of a theme."""
    extend = pages.environment.extensions["ckan.lib.jinja_extensions.CkanExtend"]
    paths = (pages.environment.loader.searchpath, extend.searchpath)
    for searched in paths:
        searched.insert(0, str(tmp_path))
    pages.environment.cache.clear()
    yield tmp_path
    for searched in paths:
        searched.remove(str(tmp_path))
    pages.environment.cache.clear()


def test_a_theme_adds_a_column(theme: Path, author: str, pages: Pages) -> None:
    portal.upload(author)
    folder = theme / "files/pages/snippets"
    folder.mkdir(parents=True)
    [template] = documented.blocks("docs/operating/files.rst", "html\\+jinja")
    (folder / "list.html").write_text(template)
    shown = pages.shown("/dashboard/files", author)
    assert '<th scope="col">Storage</th>' in shown
    assert "<td>default</td>" in shown
    assert "a.txt</bdi></a>" in shown
