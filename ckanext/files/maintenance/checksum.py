"""Checksums of files, compared with the stored ones."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from ckanext.files.store.storages import get_storage

from .content import chunks_of, digest_of
from .errors import DamagedContentError, MissingContentError, UnreadableContentError
from .stored_file import StoredFile

Progress = Callable[[int], Any]


class Verdict(str, Enum):
    """What is known after a file was read."""

    SOUND = "verified"
    UNKNOWN = "without a checksum"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    MOVED = "moved or deleted meanwhile"


class Finding(NamedTuple):
    """The verdict about a file."""

    verdict: Verdict
    reason: str = ""


def verify(file: StoredFile, progress: Progress) -> Finding:
    """Read a file and compare its size and its checksum with the stored ones.

    :param progress: called with the number of bytes of each chunk.
    """
    digest, size = digest_of(file), 0
    if digest is None:
        return Finding(Verdict.UNKNOWN, f"its checksum is {file.algorithm}:{file.hash}")
    try:
        with chunks_of(get_storage(file.storage), file.data) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                progress(len(chunk))
        compare(file, size, digest)
    except MissingContentError as error:
        return Finding(Verdict.MISSING, str(error))
    except UnreadableContentError as error:
        return Finding(Verdict.UNREADABLE, str(error))
    except DamagedContentError as error:
        return Finding(Verdict.DAMAGED, str(error))
    return Finding(Verdict.SOUND)


def compare(file: StoredFile, size: int, digest: Any) -> None:
    """Raise DamagedContentError unless what was read is what was stored.

    :param digest: of what was read; None if there is nothing to compare it with.
    """
    # of what has no checksum, the size may be unknown, too
    if size != file.size and (digest or file.size):
        raise DamagedContentError(f"it has {size} bytes, not {file.size}")
    if digest and digest.hexdigest() != file.hash.lower():
        raise DamagedContentError(f"its {file.algorithm} is {digest.hexdigest()}, not {file.hash}")
