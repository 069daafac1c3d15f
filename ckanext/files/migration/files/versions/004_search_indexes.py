"""Indexes of the table of files, for searches and their filters.

On CKAN 2.12 the table is CKAN's own. Files that move there later get the indexes from the move,
``ckan files to-core``.
"""

from __future__ import annotations

from alembic import op

from ckanext.files.search.indexes import create_indexes, drop_indexes

revision = "e1d83b62c794"
down_revision = "5d21e8b64f03"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_indexes(op.get_bind())


def downgrade() -> None:
    drop_indexes(op.get_bind())
