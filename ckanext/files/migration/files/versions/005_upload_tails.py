"""The table of bytes that are too few for a part of a bucket.

For all versions of CKAN; see ``ckanext.files.uploads.tail``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "7b0c95d3ae12"
down_revision = "e1d83b62c794"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files_upload_tail",
        sa.Column(
            "upload_id",
            sa.TEXT,
            sa.ForeignKey("files_upload.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.execute("""
        INSERT INTO files_upload_tail
        SELECT id, "offset" - length(tail), tail FROM files_upload WHERE tail <> ''
    """)
    op.drop_column("files_upload", "tail")


def downgrade() -> None:
    tail = sa.Column("tail", sa.LargeBinary, nullable=False, server_default="")
    op.add_column("files_upload", tail)
    op.execute("""
        UPDATE files_upload SET tail = found.tail FROM (
            SELECT upload_id, string_agg(content, ''::bytea ORDER BY position) AS tail
            FROM files_upload_tail GROUP BY upload_id
        ) AS found WHERE id = upload_id
    """)
    op.drop_table("files_upload_tail")
