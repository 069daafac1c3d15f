"""Downloads: the answer to visitors who may not, and the name of the file."""

from __future__ import annotations

import itertools
import uuid

import pytest
from ckan.common import config

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.file_pages import (
    Pages,
    uploaded,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call, new_user

loaded = load_plugins("files", "files_test_forms")


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
