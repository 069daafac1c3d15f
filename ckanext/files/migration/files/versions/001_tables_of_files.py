"""The tables of files, for CKAN 2.11.

If ckanext-files 1.x has made them already, this migration and its downgrade leave them unchanged.
CKAN 2.12 has tables of its own, and gets none here.
"""

from __future__ import annotations

from typing import Any

import click
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from ckanext.files import capabilities

TABLE_OF_VERSIONS_1 = "files_alembic_version"
"""Where ckanext-files 1.x records its migrations."""

revision = "b7d1c5f0a901"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables = sa.inspect(op.get_bind())
    if tables.has_table("files_file"):
        _report_existing(tables)
    if capabilities.CORE_FILES or tables.has_table("files_file"):
        return
    _create_files()
    _create_owners()
    _create_history()


def downgrade() -> None:
    tables = sa.inspect(op.get_bind())
    if tables.has_table(TABLE_OF_VERSIONS_1):
        click.secho(
            "The tables of files were made by ckanext-files 1.x and stay as they are.", fg="yellow"
        )
        return
    for name in ("files_transfer_history", "files_owner", "files_file"):
        if tables.has_table(name):
            op.drop_table(name)


def _report_existing(tables: Any) -> None:
    if not tables.has_table(TABLE_OF_VERSIONS_1):
        click.echo("The tables of files are there already.")
        return
    revision = op.get_bind().execute(sa.text(f"SELECT version_num FROM {TABLE_OF_VERSIONS_1}"))
    click.secho(
        f"ckanext-files 1.x has made the tables of files (its revision is {revision.scalar()}). "
        "They stay as they are. Check them with: ckan files takeover --dry-run",
        fg="yellow",
    )
    if capabilities.CORE_FILES:
        click.secho("Then move the files to CKAN's own tables: ckan files to-core", fg="yellow")


def _create_files() -> None:
    op.create_table(
        "files_file",
        sa.Column("id", sa.TEXT, primary_key=True),
        _text("name"),
        _text("storage"),
        _time("created"),
        _jsonb("storage_data"),
        _jsonb("plugin_data"),
        _text("location"),
        _text("content_type", server_default="application/octet-stream"),
        sa.Column("size", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        _text("hash", server_default=""),
        _text("algorithm", server_default=""),
    )
    op.create_index(
        "idx_files_file_location_in_storage", "files_file", ["storage", "location"], unique=True
    )


def _create_owners() -> None:
    op.create_table(
        "files_owner",
        sa.Column(
            "file_id", sa.TEXT, sa.ForeignKey("files_file.id", ondelete="CASCADE"), primary_key=True
        ),
        _text("owner_id"),
        _text("owner_type"),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("idx_file_owner_owner", "files_owner", ["owner_type", "owner_id"])


def _create_history() -> None:
    op.create_table(
        "files_transfer_history",
        sa.Column("id", sa.TEXT, primary_key=True),
        _text("file_id"),
        _text("owner_id"),
        _text("owner_type"),
        _time("at"),
        _text("actor"),
        _text("action", server_default="transfer"),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["files_owner.file_id"],
            "files_transfer_history_owner_file_id_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index("idx_files_transfer_history_file", "files_transfer_history", ["file_id"])


def _text(name: str, **options: Any) -> Any:
    return sa.Column(name, sa.TEXT, nullable=False, **options)


def _jsonb(name: str) -> Any:
    return sa.Column(name, JSONB, nullable=False, server_default="{}")


def _time(name: str) -> Any:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
