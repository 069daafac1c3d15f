"""The tables of files, for CKAN 2.11.

Where ckanext-files 1.x has made them already they are used as they are, and
stay when this migration is undone. CKAN 2.12 has tables of its own, and gets
none here.
"""

from __future__ import annotations

import click
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "b7d1c5f0a901"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables = sa.inspect(op.get_bind())
    if tables.has_table("file_owner"):
        return
    if tables.has_table("files_file"):
        click.secho(
            "The tables of ckanext-files 1.x are there and will be used with the files that they "
            "hold. Check them with: ckan files takeover --dry-run",
            fg="yellow",
        )
        return
    op.create_table(
        "files_file",
        sa.Column("id", sa.TEXT, primary_key=True),
        sa.Column("name", sa.TEXT, nullable=False),
        sa.Column("storage", sa.TEXT, nullable=False),
        _time("created"),
        _jsonb("storage_data"),
        _jsonb("plugin_data"),
        sa.Column("location", sa.TEXT, nullable=False),
        sa.Column("content_type", sa.TEXT, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.TEXT, nullable=False),
        sa.Column("algorithm", sa.TEXT, nullable=False),
    )
    op.create_index(
        "idx_files_file_location_in_storage", "files_file", ["storage", "location"], unique=True
    )
    op.create_table(
        "files_owner",
        sa.Column(
            "file_id", sa.TEXT, sa.ForeignKey("files_file.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("owner_id", sa.TEXT, nullable=False),
        sa.Column("owner_type", sa.TEXT, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("idx_files_owner_owner", "files_owner", ["owner_type", "owner_id"])
    op.create_table(
        "files_transfer_history",
        sa.Column("id", sa.TEXT, primary_key=True),
        sa.Column(
            "file_id",
            sa.TEXT,
            sa.ForeignKey("files_owner.file_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("owner_id", sa.TEXT, nullable=False),
        sa.Column("owner_type", sa.TEXT, nullable=False),
        _time("at"),
        sa.Column("actor", sa.TEXT, nullable=False),
        sa.Column("action", sa.TEXT, nullable=False, server_default="transfer"),
    )
    op.create_index("idx_files_transfer_history_file", "files_transfer_history", ["file_id"])


def downgrade() -> None:
    tables = sa.inspect(op.get_bind())
    if tables.has_table("files_alembic_version") or not tables.has_table("files_file"):
        return
    for name in ("files_transfer_history", "files_owner", "files_file"):
        op.drop_table(name)


def _jsonb(name: str) -> sa.Column:
    return sa.Column(name, JSONB, nullable=False, server_default="{}")


def _time(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
