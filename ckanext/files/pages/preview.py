"""What a page shows of the content of a file, without any risk for the visitor.

- An image is shown by ``<img>``: no script runs there, also not of SVG.
- A PDF is shown in a frame, by an address that sends bytes only if they are a PDF.
- Text is read up to 64 KiB and becomes text of the page: HTML and SVG appear as their source.
- Everything else has no preview, and neither has an image or a PDF of more than 32 MiB, which a
  browser would load as a whole, nor a file that is empty or whose storage fails. The page says so
  in one sentence, without a reason: format and size stand above it.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

import flask

from ckanext.files.filekeeper.chunks import Chunks
from ckanext.files.store.storages import Capability, FileData, get_storage

log = logging.getLogger(__name__)

HEAD = 64 * 1024
"""Bytes of a file that a preview reads."""

LARGEST_SHOWN = 32 * 1024**2
"""Bytes of an image or a PDF that a page shows."""

_IMAGE_NAMES = ("png", "jpeg", "gif", "webp", "avif", "bmp", "x-ms-bmp", "svg+xml")
_IMAGES = frozenset(f"image/{name}" for name in _IMAGE_NAMES)
_TEXTS = frozenset(
    f"application/{name}"
    for name in ("json", "ld+json", "geo+json", "xml", "sql", "yaml", "x-yaml", "javascript", "csv")
)
_TABLES = {"CSV", "TSV"}
_DELIMITERS = ",;\t|"
_MOST_ROWS, _MOST_COLUMNS, _LONGEST_CELL = 20, 30, 200

_PDF = "application/pdf"
_PDF_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; object-src 'self';"
    " script-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""``sandbox`` is missing: Chromium shows no PDF then. Its viewer, and Firefox's, run the scripts of
a PDF apart from the site that has sent it."""

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Preview(NamedTuple):
    """What a page shows."""

    kind: str
    """``image``, ``pdf``, ``table``, ``text`` or, without a preview, nothing."""

    text: str = ""
    rows: list[list[str]] = []
    is_cut: bool = False
    """The file has more than the preview shows."""


NOTHING = Preview("")


def preview_of(file: dict[str, Any]) -> Preview:
    """Return the preview of a file.

    :param file: its dictionary, with ``format``.
    """
    if file["content_type"] in {*_IMAGES, _PDF} and file["size"] > LARGEST_SHOWN:
        return NOTHING
    if file["content_type"] in _IMAGES:
        return Preview("image")
    if file["content_type"] == _PDF:
        return Preview("pdf") if head_of(file, 5).startswith(b"%PDF-") else NOTHING
    if not _is_text(file):
        return NOTHING
    return _of_text(head_of(file), file["size"] > HEAD, file["format"])


def _is_text(file: dict[str, Any]) -> bool:
    type_ = file["content_type"]
    return type_.startswith("text/") or type_ in _TEXTS or file["format"] in _TABLES


def _of_text(head: bytes, is_cut: bool, format_: str | None) -> Preview:
    text = decoded(head)
    if not text or "\0" in text:
        return NOTHING
    if is_cut:
        text = text.rpartition("\n")[0] or text  # the last line may be incomplete
    if format_ in _TABLES:
        rows = _rows(text)
        if rows:
            return Preview("table", rows=rows[:_MOST_ROWS], is_cut=is_cut or len(rows) > _MOST_ROWS)
    return Preview("text", text, is_cut=is_cut)


def decoded(head: bytes) -> str:
    """Return the text in the first bytes of a file: UTF-8, UTF-16 with its mark, or Latin-1."""
    encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        return decoder.decode(head)  # a character that is cut at the end is left out
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _rows(text: str) -> list[list[str]]:
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        rows = list(islice(reader, _MOST_ROWS + 1))
    except csv.Error:
        return []
    return [[cell[:_LONGEST_CELL] for cell in row[:_MOST_COLUMNS]] for row in rows if row]


def head_of(file: dict[str, Any], size: int = HEAD) -> bytes:
    """Return the first bytes of a file; none if its storage cannot read them, for any reason."""
    try:
        storage = get_storage(file["storage"])
        with closing(_open(storage, FileData.from_dict(file), size)) as chunks:
            return _first(chunks, size)
    except Exception:  # each adapter has exceptions of its own
        log.warning("No preview of file %s in %s", file["id"], file["storage"], exc_info=True)
        return b""


def _open(storage: Any, data: Any, size: int) -> Chunks:
    if storage.supports(Capability.RANGE):
        return Chunks(storage.range(data, 0, size), size)
    return Chunks(storage.stream(data) if storage.supports(Capability.STREAM) else (), size)


def _first(chunks: Chunks, size: int) -> bytes:
    found = bytearray()
    for chunk in chunks:
        found += chunk[: size - len(found)]
        if len(found) == size:
            break
    return bytes(found)


def pdf_response(file: dict[str, Any]) -> flask.Response | None:
    """Return a response that shows a PDF in a frame; None if the bytes are no PDF."""
    if preview_of(file).kind != "pdf":
        return None
    storage = get_storage(file["storage"])
    if not storage.supports(Capability.STREAM):
        return None
    chunks = Chunks(storage.stream(FileData.from_dict(file)))
    response = flask.Response(chunks, mimetype=_PDF)
    response.headers.update(
        {
            "Content-Disposition": "inline",
            "Content-Length": str(file["size"]),
            "Content-Security-Policy": _PDF_POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",
        }
    )
    return response
