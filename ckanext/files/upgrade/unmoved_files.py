"""Which files of the old tables are still to be moved into those of CKAN, as SQL.

What has been moved is remembered in a table: a file that was moved, and deleted
since, is in the old tables still, and must not come back without its bytes.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ckanext.files.backport.tables import file_table as old_file
from ckanext.files.store.models import file_table as core_file

#: On CKAN 2.12 only, and made by the first move.
moved_table = sa.Table(
    "files_moved_to_core", sa.MetaData(), sa.Column("file_id", sa.TEXT, primary_key=True)
)


class UnmovedFiles:
    """Conditions about a file ``old`` of the old tables."""

    def __init__(self, connection: Connection) -> None:
        remembers = sa.inspect(connection).has_table(moved_table.name)
        nothing = "(SELECT CAST(NULL AS text) AS file_id WHERE false)"
        moved = moved_table.name if remembers else nothing
        self.was_moved = f"EXISTS (SELECT FROM {moved} AS moved WHERE moved.file_id = old.id)"
        self.is_in_core = f"EXISTS (SELECT FROM {core_file} AS core WHERE core.id = old.id)"
        self.waits = f"NOT {self.was_moved} AND NOT {self.is_in_core}"
        self.files = f"{old_file} AS old WHERE {self.waits}"
