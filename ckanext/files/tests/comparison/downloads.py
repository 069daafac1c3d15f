"""Ask for the bytes of files, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from ckan import model
from ckan.common import config
from ckan.tests import factories
from werkzeug.http import parse_options_header

from .cast import GONE, Cast
from .plain import plain

_HEADERS = ("Content-Type", "Content-Length", "X-Content-Type-Options")

_SCRIPT = b"<script>alert(1)</script>"

#: Bytes that are found to be of different types.
_CONTENTS = {
    "text": b"hello",
    "nothing": b"",
    "html": b"<!doctype html><html><body>" + _SCRIPT + b"</body></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + _SCRIPT + b"</svg>",
    "xml": b"<?xml version='1.0'?><x/>",
    "pdf": b"%PDF-1.4\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0",
}


class Download(NamedTuple):
    """A request of ``/file/download/ID``."""

    name: str
    owner: str | None = None
    """What the file belongs to; None: no such file."""

    file: str = "a.txt"
    content: bytes = b"hello"
    inline: tuple[str, ...] = ()
    """The option ``ckan.files.inline_content_types``."""

    bytes_are_gone: bool = False
    users: tuple[str, ...] = ("anonymous", "other", "owner", "member", "editor", "sysadmin")


def downloads(cast: Cast) -> Iterator[Download]:
    """Yield all of them."""
    for owner in cast.owners:
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


class Visitor:
    """Downloads on behalf of the cast."""

    def __init__(self, app: Any, cast: Cast) -> None:
        self._app = app
        self._cast = cast
        self._tokens = {
            label: factories.APIToken(user=name)["token"] if name else ""
            for label, name in cast.users.items()
        }

    def answer(self, download: Download, user: str) -> Any:
        """Return status, headers and bytes."""
        file, labels = GONE, dict(self._cast.labels)
        if download.owner is not None:
            file = self._cast.new_file(download.owner, name=download.file, upload=download.content)
            labels[file] = "<file>"
        if download.bytes_are_gone:
            self._cast.lose_bytes(file)
        token = self._tokens[user]
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(config, "ckan.files.inline_content_types", list(download.inline))
            response = self._app.get(
                f"/file/download/{file}", headers={"Authorization": token} if token else {}
            )
        model.Session.remove()
        if response.status_code != 200:
            return {"status": response.status_code}
        headers = {name: response.headers.get(name) for name in _HEADERS}
        disposition, options = parse_options_header(response.headers["Content-Disposition"])
        said = {**headers, "disposition": disposition, "name": options["filename"]}
        return plain({**said, "bytes": response.data.decode("latin-1")}, labels)
