"""What a move of files from our tables into CKAN 2.12's consists of.

The move records the ids of moved files in a table of its own. A file that was
moved and then deleted in CKAN still has its row in our tables; without the record
a second move would bring it back without its bytes.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ckanext.files.backport.tables import file_table as old_file
from ckanext.files.store.models import file_table as core_file

moved_table = sa.Table(
    "files_moved_to_core", sa.MetaData(), sa.Column("file_id", sa.TEXT, primary_key=True)
)
"""Made by the first move, on CKAN 2.12 only."""


class UnmovedFiles:
    """SQL conditions on a row ``old`` of our table of files."""

    def __init__(self, connection: Connection) -> None:
        nothing = "(SELECT CAST(NULL AS text) AS file_id WHERE false)"
        moved = moved_table.name if sa.inspect(connection).has_table(moved_table.name) else nothing
        self.was_moved = f"EXISTS (SELECT FROM {moved} AS moved WHERE moved.file_id = old.id)"
        self.is_in_core = f"EXISTS (SELECT FROM {core_file} AS core WHERE core.id = old.id)"
        self.waits = f"NOT {self.was_moved} AND NOT {self.is_in_core}"
        self.files = f"{old_file} AS old WHERE {self.waits}"


class StorageCount(NamedTuple):
    """The numbers of files of one storage."""

    storage: str

    waiting: int
    """Files that are to be moved, or that this move has moved."""

    there: int
    """Files that CKAN's tables had before; their rows stay as they are."""

    gone: int
    """Files that an earlier move has moved, and that were deleted since; they stay deleted."""


class Obstacle(NamedTuple):
    """A reason not to move anything."""

    text: str
    advice: str

    places: list[str]
    """The first files, tables and so on that are concerned."""

    number: int
    """The number of all that are concerned."""


@dataclasses.dataclass
class CoreMove:
    """The result of a move, or of a look at what it would do."""

    tables_exist: bool = True
    storages: list[StorageCount] = dataclasses.field(default_factory=list)
    owners: int = 0
    """Rows of owners that move with the files."""

    transfers: int = 0
    """Lines of history that move with the files."""

    obstacles: list[Obstacle] = dataclasses.field(default_factory=list)
    """Nothing moves if there is one."""

    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Number of all files that move."""
        return sum(count.waiting for count in self.storages)
