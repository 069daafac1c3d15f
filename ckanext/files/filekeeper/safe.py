"""Store and send files without harm to the site.

Beyond what the storages of CKAN 2.12.0 do:

- A file on local disk is an attachment like every other, unless its type is
  in ``ckan.files.inline_content_types``. CKAN 2.12.0 shows all of them inline.
- ``X-Content-Type-Options: nosniff`` keeps browsers from treating text as HTML.
- The file's name in the header ``Content-Disposition`` may have any character.
- A download of a location outside of the storage answers 404 instead of 500, and
  storages without a path refuse such a location, too.
- The size of an upload is the size of its stream, not the size that the client states.

An upload that was received in parts (:class:`.PreparedUpload`) keeps the location that was chosen
for it, and is not copied where the storage can take over its bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import file_keeper as fk
import flask
from ckan.common import config
from werkzeug.wsgi import ClosingIterator

from .chunks import Chunks
from .prepared import PreparedUpload


def is_supported_type(content_type: str | None, supported: list[str]) -> bool:
    """Return whether a type is in a list; ``*`` stands for all types."""
    return bool(content_type) and ("*" in supported or content_type in supported)


class SafeReader:
    """Streams a file in chunks of 64 KiB."""

    storage: Any

    def response(self, data: fk.FileData, extras: dict[str, Any]) -> flask.Response:
        """Return a response with the content of the file."""
        chunks = Chunks(self.storage.stream(data, **extras))
        try:
            # some adapters look for the file only when they read its content
            first = next(chunks, b"")
        except Exception:
            chunks.close()
            raise
        return flask.Response(
            ClosingIterator(itertools.chain([first], chunks), chunks.close),
            mimetype=data.content_type or None,
            headers={"Content-Length": str(data.size)},
        )


class SafeStorage:
    """Storage whose uploads are measured, and whose files run no script."""

    reader: Any
    validate_size: Any
    validate_content_type: Any

    def full_path(self, location: fk.Location, /, **kwargs: Any) -> str:
        """Return the path of a file, which is always within the storage."""
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts:
            raise fk.exc.LocationError(self, location)
        base: Any = super()
        return base.full_path(location, **kwargs)

    def prepare_location(
        self, location: str, sample: fk.Upload | None = None, /, **kwargs: Any
    ) -> fk.Location:
        """Return the location of a new file, which an upload may have already."""
        if isinstance(sample, PreparedUpload) and sample.location:
            return sample.location
        base: Any = super()
        return base.prepare_location(location, sample, **kwargs)

    def upload(self, location: fk.Location, upload: fk.Upload, /, **kwargs: Any) -> fk.FileData:
        """Store an upload if the storage accepts its size and its type."""
        upload = _measure(upload)
        self.validate_size(upload.size)
        self.validate_content_type(upload.content_type)
        if isinstance(upload, PreparedUpload) and (data := upload.take_over(self, location)):
            return data
        base: Any = super()
        return base.upload(location, upload, **kwargs)

    def as_response(
        self,
        data: fk.FileData,
        filename: str | None = None,
        /,
        send_inline: bool = False,
        **kwargs: Any,
    ) -> flask.Response:
        """Return a response with the file, or 404 when there is none.

        :param filename: name for the client; by default the location.
        :param send_inline: let the browser show the file, whatever its type.
        """
        try:
            response = self.reader.response(data, {**kwargs, "filename": filename})
        except fk.exc.LocationError:
            return flask.Response(status=404)
        if "location" in response.headers:
            return response
        types = config["ckan.files.inline_content_types"]
        is_inline = send_inline or is_supported_type(data.content_type, types)
        response.headers["Content-Disposition"] = _disposition(
            "inline" if is_inline else "attachment", filename or data.location
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _measure(upload: fk.Upload) -> fk.Upload:
    """Return the upload with its true size, where the stream is seekable."""
    stream = upload.seekable_stream
    if isinstance(upload, PreparedUpload):
        return upload
    # a pipe has the method seek, too
    if stream is None or not getattr(stream, "seekable", lambda: True)():
        return upload
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)
    return dataclasses.replace(upload, size=size)


def _disposition(kind: str, name: str) -> str:
    """Return the header; old clients read the first name, all others the second."""
    printable = "".join(c if c.isprintable() else "_" for c in name)
    plain = printable.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(printable, safe='')}"
