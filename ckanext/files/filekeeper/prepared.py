"""Uploads that were received before: a storage may only have to take over their bytes."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import file_keeper as fk

TakeOver = Callable[[Any, fk.Location], "fk.FileData | None"]
"""Lets a storage have bytes at a location without a copy; returns None if it has to copy them."""


@dataclasses.dataclass
class PreparedUpload(fk.Upload):
    """An upload whose location was chosen earlier, and whose bytes may be in the storage already.

    Its size is measured and its type is found in its content, by the code that makes it.
    """

    location: Any = ""
    """Where it goes; empty if the storage chooses."""

    take_over: TakeOver = lambda storage, location: None
    """What the storage calls before it would copy the bytes."""


class BytesElsewhere(io.RawIOBase):
    """The stream of an upload whose bytes are in the storage already.

    Code that looks into the content of uploads must not take it for an empty file.
    """

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, _buffer: Any) -> int:
        raise io.UnsupportedOperation("The bytes of this upload are in its storage already")
