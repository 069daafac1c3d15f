"""The headers of tus 1.0, https://tus.io/protocols/resumable-upload: read and written."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, NamedTuple

import ckan.plugins.toolkit as tk

from ckanext.files.parameters import is_storable

from .errors import (
    ChecksumMismatchError,
    OtherVersionError,
    UploadRefusedError,
    WrongBodyTypeError,
)

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
ALGORITHMS = ("sha1", "md5", "sha256", "sha512")
"""Of checksums; the protocol demands sha1."""

BODY_TYPE = "application/offset+octet-stream"
"""The content type of a request that carries bytes of a file."""

MAX_SIZE = 2**63 - 1
"""The largest bigint of PostgreSQL."""


def check_version(headers: Any) -> None:
    """:raises OtherVersionError: the client speaks another version, or none."""
    if headers.get("Tus-Resumable") != VERSION:
        sentence = tk._(
            "This portal speaks version {version} of the protocol tus: send the header {header}"
        )
        raise OtherVersionError(sentence.format(version=VERSION, header="Tus-Resumable"))


def check_body_type(headers: Any) -> None:
    """:raises WrongBodyTypeError: the body is no part of a file."""
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != BODY_TYPE:
        sentence = tk._("The content type of the request must be {type}")
        raise WrongBodyTypeError(sentence.format(type=BODY_TYPE))


def read_length(headers: Any) -> int:
    """Return the size of the file that a client announces."""
    if "Upload-Defer-Length" in headers:
        sentence = tk._("The size of the file has to be known: send the header {header}")
        raise UploadRefusedError(sentence.format(header="Upload-Length"))
    return _number(headers, "Upload-Length")


def read_offset(headers: Any) -> int:
    """Return the position at which a client continues."""
    return _number(headers, "Upload-Offset")


def _number(headers: Any, name: str) -> int:
    text = headers.get(name, "")
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SIZE)):
        number = int(text)
        if number <= MAX_SIZE:
            return number
    sentence = tk._("The header {header} must be a number of bytes")
    raise UploadRefusedError(sentence.format(header=name))


def read_metadata(header: str) -> dict[str, str]:
    """Return the keys and values of the header ``Upload-Metadata``."""
    if not is_storable(header):
        sentence = tk._("The header {header} must be text without NUL")
        raise UploadRefusedError(sentence.format(header="Upload-Metadata"))
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        key, _, value = pair.partition(" ")
        if key in found:
            sentence = tk._("The header {header} has {key} twice: send it once")
            raise UploadRefusedError(sentence.format(header="Upload-Metadata", key=key))
        found[key] = _decoded(key, value.strip())
    return found


def _decoded(key: str, value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _odd_metadata(key) from error
    if not is_storable(text):
        raise _odd_metadata(key)
    return text


def _odd_metadata(key: str) -> UploadRefusedError:
    sentence = tk._(
        "The value of {key} in the header {header} must be text without NUL, in UTF-8 and base64"
    )
    return UploadRefusedError(sentence.format(key=key, header="Upload-Metadata"))


class Checksum(NamedTuple):
    """What a client says about the bytes of one request."""

    digest: Any
    """Takes the bytes that arrive."""

    expected: bytes

    def verify(self) -> None:
        """:raises ChecksumMismatchError: other bytes have arrived."""
        if not hmac.compare_digest(self.digest.digest(), self.expected):
            raise ChecksumMismatchError


def read_checksum(headers: Any) -> Checksum | None:
    """Return the checksum of the header ``Upload-Checksum``, if there is one."""
    header = headers.get("Upload-Checksum")
    if header is None:
        return None
    name, _, value = header.strip().partition(" ")
    if name not in ALGORITHMS:
        sentence = tk._("The header {header} must begin with one of these: {algorithms}")
        message = sentence.format(header="Upload-Checksum", algorithms=", ".join(ALGORITHMS))
        raise UploadRefusedError(message)
    try:
        expected = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        sentence = tk._("The header {header} must have a checksum in base64")
        raise UploadRefusedError(sentence.format(header="Upload-Checksum")) from error
    return Checksum(hashlib.new(name, usedforsecurity=False), expected)
