"""What is known of a file when its ownership is decided."""

from __future__ import annotations

from typing import NamedTuple


class Owner(NamedTuple):
    """Something that a file belongs to."""

    type: str
    """``package``, ``resource``, ``group``, ``organization``, ``user``, or a plugin's own."""

    id: str


class FileRecord(NamedTuple):
    """A file and its owner, as they were at one moment."""

    id: str
    owner: Owner | None
    pinned: bool
    """The owner keeps the file: it moves no more without force."""
