"""The tables of resumable uploads, and of bytes that are too few for a part of a bucket.

For all versions of CKAN; see ``ckanext.files.uploads.table`` and ``ckanext.files.uploads.tail``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "5d21e8b64f03"
down_revision = "c4a9e07d2f35"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files_upload",
        sa.Column("id", sa.TEXT, primary_key=True),
        _text("user_id"),
        _text("storage"),
        _text("name"),
        _text("metadata"),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("is_stored", sa.Boolean, nullable=False, server_default=sa.false()),
        _text("content_type", server_default=""),
        _text("location", server_default=""),
        sa.Column("parts", JSONB, nullable=False, server_default="{}"),
        _text("writer", server_default=""),
        sa.Column("file_id", sa.TEXT),
        sa.Column(
            "created", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("idx_files_upload_user", "files_upload", ["user_id", "created"])
    op.create_index("idx_files_upload_expires", "files_upload", ["expires"])
    upload = sa.ForeignKey("files_upload.id", ondelete="CASCADE")
    op.create_table(
        "files_upload_tail",
        sa.Column("upload_id", sa.TEXT, upload, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("files_upload_tail")
    op.drop_table("files_upload")


def _text(name: str, **options: Any) -> Any:
    return sa.Column(name, sa.TEXT, nullable=False, **options)
