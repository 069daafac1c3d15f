"""The lists of files over HTTP: each kind of user on each list."""

from __future__ import annotations

import io
import random
import re
import uuid
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.effects import engine, statements
from ckanext.files.tests.support.file_pages import (
    ALL,
    MAY_READ,
    Pages,
    Site,
    titles,
)
from ckanext.files.tests.support.hook_plugins import FilesManagerPlugin
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.tus import metadata
from ckanext.files.tests.support.users import call, new_user
from ckanext.files.uploads.table import create_upload, transaction

loaded = load_plugins("files", "files_test_forms")

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


def test_a_user_who_may_manage_all_files(site: Site, pages: Pages) -> None:
    """The page of all files is that user's, with its filters."""
    addresses = ["/ckan-admin/files", "/ckan-admin/files?type=user", "/ckan-admin/files?type=group"]
    p.load("files_test_files_manager")
    try:
        for FilesManagerPlugin.manager, status in ((site.other, 200), (site.member, 404)):
            for address in addresses:
                assert pages.get(address, site.other).status_code == status, address
    finally:
        p.unload("files_test_files_manager")


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
            assert page.text.count("<h1>Files</h1>") == 1
        else:
            # as for what does not exist
            assert page.status_code == 404
            missing = pages.get(re.sub(r"[^/]+$", str(uuid.uuid4()), path), user)
            assert "There is no such page, or you" in page.text or pattern == "/ckan-admin/files"
            assert not titles(page.text)
            assert missing.status_code == 404
    own = pages.get("/dashboard/files", user)
    assert own.status_code == (302 if role == "anonymous" else 200)
    assert titles(own.text) == ({"user"} if role == "editor" else set())
    if role != "anonymous":
        assert own.text.count("<h1>My Files</h1>") == 1
        assert "Owner" not in own.text


def test_the_own_files_lead_to_the_login(pages: Pages) -> None:
    page = pages.get("/dashboard/files?q=a", None)
    assert page.status_code == 302
    assert "/user/login?next=/dashboard/files?q%3Da" in page.headers["Location"]
    assert "Not authorized to see this page" in pages.shown("/user/login", None)


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


GONE = "does not take this file from you any more"


def begin_upload(user: str, name: str, storage: str = "default", form: str = "") -> str:
    """Begin an upload of six bytes; return its id."""
    found: Any = model.User.get(user)
    values = {"user_id": found.id, "storage": storage, "name": name, "size": 6}
    values |= {"metadata": metadata(form=form), "is_stored": False}
    with transaction() as connection:
        return create_upload(connection, values).id


def discard_forms(page: str) -> list[str]:
    """Return the ids of the uploads that a page discards without a script."""
    return re.findall(r'action="/dashboard/files/discard/(.+?)"', page)


def test_uploads_that_cannot_go_on(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each upload that counts is listed, and can be discarded, whatever has changed."""
    user = new_user()
    lost, alive = begin_upload(user, "lost.bin", "gone"), begin_upload(user, "alive.bin")
    page = pages.shown("/dashboard/files", user)
    form, _, rest = page.partition("</noscript>")
    assert (discard_forms(form), discard_forms(rest)) == ([alive], [lost])
    assert (form.count(GONE), rest.count(GONE)) == (0, 1)
    assert "lost.bin" not in form

    with monkeypatch.context() as patch:
        patch.setattr(get_storage("default").settings, "max_size", 5)
        assert pages.shown("/dashboard/files", user).count(GONE) == 2
    with monkeypatch.context() as patch:
        patch.setitem(tk.config, "ckan.files.authenticated_uploads.allow", False)
        page = pages.shown("/dashboard/files", user)
        assert "files-own-uploads" not in page
        assert (sorted(discard_forms(page)), page.count(GONE)) == (sorted([alive, lost]), 2)

    for other in (None, new_user()):
        assert pages.post(f"/dashboard/files/discard/{lost}", other).status_code == 302
    assert {each["id"] for each in call("files_upload_list", user)} == {lost, alive}
    assert pages.post(f"/dashboard/files/discard/{lost}", user).status_code == 302
    page = pages.shown("/dashboard/files", user)
    assert "The upload of lost.bin is cancelled." in page
    assert discard_forms(page) == [alive]
    pages.post(f"/dashboard/files/discard/{lost}", user)
    assert "There is no such upload" in pages.shown("/dashboard/files", user)


def test_a_field_offers_what_can_go_on(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the uploads that were begun in its form, into its storage."""
    user = new_user()
    alive = begin_upload(user, "alive.bin", form="/")
    begin_upload(user, "elsewhere.bin", form="/dataset/new")
    begin_upload(user, "lost.bin", "gone", form="/")

    def offered() -> list[str]:
        visit(user)
        return [upload["id"] for upload in tk.h.files_field("report", "").unfinished]

    assert offered() == [alive]
    monkeypatch.setattr(get_storage("default").settings, "max_size", 5)
    assert offered() == []


def test_uploads(author: str, pages: Pages) -> None:
    for name in ("one.txt", "Zwölf Monate.txt"):
        data = [(io.BytesIO(b"a"), name)]
        assert pages.post("/dashboard/files", author, upload=data).status_code == 302
        assert f"{name} was uploaded" in pages.shown("/dashboard/files", author)
    pages.post("/dashboard/files", author, upload=(io.BytesIO(b""), ""))
    assert "Choose a file first" in pages.shown("/dashboard/files", author)
    data = [(io.BytesIO(b"a"), "<i>three.txt")]
    pages.post("/dashboard/files", author, upload=data, storage="resources")
    shown = pages.shown("/dashboard/files", author)
    assert "was not uploaded" in shown
    assert "<i>" not in shown
    before = call("files_search", author)["count"]
    assert pages.post("/dashboard/files", None, upload=(io.BytesIO(b"a"), "x")).status_code == 302
    assert call("files_search", author)["count"] == before == 2


def flashes(page: str) -> list[str]:
    """Return the messages of CKAN about what was done, in the order of the page."""
    found = re.findall('<div class="alert[^>]*>(.*?)</div>', page, re.S)
    return [" ".join(re.sub("<.*?>", "", each).split()) for each in found]


@pytest.mark.parametrize("letter", ["a", "年", "🐟"])
def test_messages_about_many_uploads_fit_into_a_cookie(
    letter: str, author: str, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CKAN 2.12 keeps messages in a cookie, and browsers ignore one of more than 4 KiB."""
    rng = random.Random(1)
    settings = get_storage("default").settings
    monkeypatch.setattr(settings, "max_size", 1)

    def send(*sizes: int) -> list[str]:
        names = [f"{letter * 60}{rng.getrandbits(128)}.txt" for _ in sizes]
        data = [(io.BytesIO(b"a" * n), name) for n, name in zip(sizes, names, strict=True)]
        answer = pages.post("/dashboard/files", author, upload=data, storage="default")
        assert answer.status_code == 302
        cookies = answer.headers.getlist("Set-Cookie")
        assert max(map(len, cookies), default=0) < 4096, [len(each) for each in cookies]
        return flashes(pages.shown("/dashboard/files", author))

    made, refused = send(*[1] * 30, *[2] * 30)
    assert made == "30 files were uploaded"
    assert refused.startswith(letter * 60)
    shown = refused.count(" was not uploaded: ")
    assert shown >= 1
    assert refused.endswith(f". {30 - shown} more files were not uploaded")
    (refused,) = send(2, 2) if letter == "a" else send(2)
    assert "more" not in refused
    (made,) = send(1)
    assert made.startswith(letter * 60)
    assert "uploaded" in made


def test_the_message_about_a_long_name(
    author: str, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut, so that the browser keeps it."""
    name = "".join(random.Random(1).choices("あいうえおかきくけこ🐟🐠", k=480)) + ".txt"
    answer = pages.post("/dashboard/files", author, upload=[(io.BytesIO(b"a"), name)])
    assert max(map(len, answer.headers.getlist("Set-Cookie")), default=0) < 4096
    (shown,) = flashes(pages.shown("/dashboard/files", author))
    assert shown.startswith(name[:50])
    assert shown.endswith("…")


def test_many_files_cost_as_many_statements_as_one(author: str, pages: Pages) -> None:
    dataset = portal.new_dataset(author, several=portal.upload(author, 20))
    path, counts = f"/dataset/files/{dataset['name']}", []
    for address in (path, path, f"{path}?page=1&q={'x' * 5}"):
        with statements() as seen:
            pages.shown(address, author)
        counts.append(len(seen))
    assert counts[1] - counts[2] <= 3  # of the files and their owners


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


def test_an_empty_page_leads_to_the_last_one(author: str, pages: Pages) -> None:
    """As after the deletion of its only file. Search and order stay."""
    files = portal.upload(author, 21)
    path = "/dashboard/files?q=a&sort=size+desc"

    def led_to(page: int) -> str:
        answer = pages.get(f"{path}&page={page}", author)
        assert answer.status_code == 302
        return answer.headers["Location"].partition("/dashboard")[2]

    assert led_to(3) == "/files?q=a&sort=size+desc&page=2"
    call("file_delete", author, id=files[0])
    for page in (2, 900):
        assert led_to(page) == "/files?q=a&sort=size+desc&page=1"
    assert "20 files" in pages.shown(f"/dashboard{led_to(2)}", author)
    assert "No file matches" in pages.shown("/dashboard/files?q=nothing&page=2", author)
    assert "There are no files here yet" in pages.shown("/dashboard/files?page=2", new_user())


def test_a_theme_adds_a_column(theme: Any, author: str, pages: Pages) -> None:
    portal.upload(author)
    [template] = documented.blocks("docs/operating/files.rst", "html\\+jinja")
    theme("files/pages/snippets/list.html", template)
    shown = pages.shown("/dashboard/files", author)
    assert '<th scope="col">Storage</th>' in shown
    assert "<td>default</td>" in shown
    assert "a.txt</bdi></a>" in shown
