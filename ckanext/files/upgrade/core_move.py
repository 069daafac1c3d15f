"""What a move of the old tables into those of CKAN has found, or done."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class StorageCount(NamedTuple):
    """Files of one storage."""

    storage: str

    waiting: int
    """Not in CKAN's tables yet: they are to be moved, or have just been."""

    there: int
    """In CKAN's tables already, which stay as they are."""

    gone: int
    """Moved by an earlier run, and deleted since: they are not brought back."""


class Obstacle(NamedTuple):
    """Something that stands in the way of a move."""

    text: str
    advice: str

    places: list[str]
    """The first of those that are concerned."""

    number: int
    """Of all that are concerned."""


@dataclasses.dataclass
class CoreMove:
    """One run, or what it would do."""

    tables_exist: bool = True
    storages: list[StorageCount] = dataclasses.field(default_factory=list)
    owners: int = 0
    """That go with the files."""

    transfers: int = 0
    """Lines of history that go with the files."""

    obstacles: list[Obstacle] = dataclasses.field(default_factory=list)
    """If there is one, nothing moves."""

    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Number of all files that are to move."""
        return sum(count.waiting for count in self.storages)
