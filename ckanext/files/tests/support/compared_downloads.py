"""The downloads over HTTP that are compared with those of CKAN's core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from ckan import model
from ckan.common import config
from werkzeug.http import parse_options_header

from ckanext.files.tests.support.compared_files import GONE, Sample

_HEADERS = ("Content-Type", "Content-Length", "X-Content-Type-Options")

_SCRIPT = b"<script>alert(1)</script>"

_CONTENTS = {
    "text": b"hello",
    "nothing": b"",
    "html": b"<!doctype html><html><body>" + _SCRIPT + b"</body></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + _SCRIPT + b"</svg>",
    "xml": b"<?xml version='1.0'?><x/>",
    "pdf": b"%PDF-1.4\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0",
}
"""Bytes that the storage recognizes as different types."""


class Download(NamedTuple):
    """A request of ``/file/download/ID``."""

    name: str
    owner: str | None = None
    """Owner of the file; None: the file does not exist."""

    file: str = "a.txt"
    content: bytes = b"hello"
    inline: tuple[str, ...] = ()
    """The option ``ckan.files.inline_content_types``."""

    bytes_are_gone: bool = False
    users: tuple[str, ...] = ("anonymous", "other", "owner", "member", "editor", "sysadmin")

    def answer(self, sample: Sample, user: str, app: Any) -> Any:
        """Return status, headers and bytes of the user's download."""
        file = GONE
        if self.owner is not None:
            file = sample.new_file(self.owner, name=self.file, upload=self.content)
        if self.bytes_are_gone:
            sample.lose_bytes(file)
        token = sample.token(user)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(config, "ckan.files.inline_content_types", list(self.inline))
            headers = {"Authorization": token} if token else {}
            response = app.get(f"/file/download/{file}", headers=headers)
        model.Session.remove()
        if response.status_code != 200:
            return {"status": response.status_code}
        disposition, options = parse_options_header(response.headers["Content-Disposition"])
        answer = {
            **{name: response.headers.get(name) for name in _HEADERS},
            "disposition": disposition,
            "name": options["filename"],
            "bytes": response.data.decode("latin-1"),
        }
        return sample.plain(answer, file)


def downloads(sample: Sample) -> Iterator[Download]:
    """Yield all downloads."""
    for owner in sample.owners:
        yield Download(f"a file of {owner}", owner)
    yield Download("no file")
    few = ("owner",)
    for name, content in _CONTENTS.items():
        yield Download(f"content: {name}", "user", f"a.{name}", content, users=few)
        inline = ("text/plain", "image/png")
        yield Download(f"inline: {name}", "user", f"a.{name}", content, inline, users=few)
    for file in ("ä ö.txt", 'quo"te.txt', "a.html", "no-ending"):
        yield Download(f"name: {file}", "user", file, users=few)
    yield Download("bytes are gone", "user", bytes_are_gone=True, users=few)
