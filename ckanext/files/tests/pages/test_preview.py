"""What the page of a file shows of its content."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from ckanext.files.filekeeper.chunks import CHUNK_SIZE
from ckanext.files.pages.preview import HEAD, LARGEST_SHOWN
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import Location, get_storage
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.file_pages import (
    Pages,
    uploaded,
)
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.memory import on_linux, peak, reset_peak
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_test_forms")

PREVIEWS: dict[str, tuple[str, bytes, str, str, str]] = {
    "csv": ("a.csv", b"a;b\n1;<b>2</b>\n", "", "<bdi>&lt;b&gt;2&lt;/b&gt;</bdi>", "<b>2"),
    "head of csv": ("a.csv", b"a;b\n1;2\n", "", "<bdi>b</bdi></th>", "<bdi>2</bdi></th>"),
    "csv of a name without ASCII": ("данные.csv", b"a;b\n1;2\n", "", "<bdi>2</bdi>", "<pre"),
    "long csv": ("a.csv", b"a,b\n" * 100_000, "text/csv", "is the beginning of the file", "\x00"),
    "utf-8": ("a.txt", "Öl\u202e".encode(), "", "Öl", "Ã"),
    "cut utf-8": ("a.txt", ("ö" * HEAD).encode(), "text/plain", "öö", "Ã"),
    "utf-16": ("a.txt", "Öl".encode("utf-16"), "text/plain", "Öl", "þ"),
    "latin-1": ("a.txt", "Öl".encode("latin-1"), "text/plain", "Öl", "files-none"),
    "html": ("a.html", b"<script>alert(1)</script>", "", "&lt;script&gt;alert(1)", "<script>alert"),
    "xml": ("a.xml", b"<?xml version='1.0'?><a/>", "", "&lt;a/&gt;", "<a/>"),
    "svg": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "<img", "<svg"),
    "bmp": ("a.bmp", b"BM", "image/bmp", "<img", "iframe"),
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
    shown = pages.shown(f"/file/{file}", author)
    assert "files-preview" not in shown
    assert "There is no preview of this file." in shown
    assert pages.get(f"/file/preview/{file}", author).status_code == 404


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_a_large_file_is_not_loaded_by_itself(kind: str, author: str, pages: Pages) -> None:
    name, content, type_, there, _ = PREVIEWS[kind]
    file = uploaded(author, name, content, type_)
    assert f'{there} class="' in pages.shown(f"/file/{file}", author)
    assert 'loading="lazy"' in pages.shown(f"/file/{file}", author)
    with engine().begin() as connection:
        of_file = sa.update(file_table).where(file_table.c.id == file)
        connection.execute(of_file.values(size=LARGEST_SHOWN + 1))
    assert "There is no preview of this file." in pages.shown(f"/file/{file}", author)
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


@on_linux
@pytest.mark.parametrize("kind", ["geojson", "csv", "pdf"])
def test_memory_for_a_file_of_one_line(kind: str, author: str, pages: Pages) -> None:
    """A preview reads 64 KiB of it, and a PDF is sent in chunks of that size."""
    size, limit = LARGEST_SHOWN if kind == "pdf" else 300 * 2**20, 16 * 2**20
    beginning, type_ = {
        "geojson": (b'{"type": "FeatureCollection"', "application/geo+json"),
        "csv": (b"a,b", "text/csv"),
        "pdf": (b"%PDF-1.4 ", "application/pdf"),
    }[kind]
    file = uploaded(author, f"a.{kind}", beginning.ljust(HEAD), type_)
    _lengthen(file, size)
    before = reset_peak()
    assert "files-preview" in pages.shown(f"/file/{file}", author)
    assert peak() - before < limit
    if kind == "pdf":
        sent = pages.get(f"/file/preview/{file}", author)
        lengths = [len(chunk) for chunk in sent.iter_encoded()]
        assert (sum(lengths), max(lengths)) == (size, CHUNK_SIZE)
        sent.close()
        assert peak() - before < limit


def _lengthen(file: str, size: int) -> None:
    """Add NUL bytes, which take no space on the disk."""
    columns = file_table.c
    change = sa.update(file_table).where(columns.id == file).values(size=size)
    with engine().begin() as connection:
        place = connection.execute(change.returning(columns.storage, columns.location)).one()
    path = get_storage(place.storage).full_path(Location(place.location))
    with Path(path).open("r+b") as content:
        content.truncate(size)
