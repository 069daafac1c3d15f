"""The tables of files on CKAN 2.11.

They have the shape and the names of the tables of ckanext-files 1.3, so that its rows stay where
they are, and the columns of CKAN 2.12's own tables, so that the rows can move there.

Apart from :mod:`.model`, because CKAN 2.12 loads this module, too: the move to CKAN's own tables
reads these. Mapped classes would clash with CKAN 2.12's.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from ckan.model import meta
from ckan.model.types import make_uuid
from sqlalchemy.dialects.postgresql import JSONB

from ckanext.files import capabilities

metadata: sa.MetaData = sa.MetaData() if capabilities.CORE_FILES else meta.metadata
"""CKAN's own on CKAN 2.11: CKAN creates its tables, and empties them between tests."""


def _text(name: str, *arguments: Any, default: str | None = None) -> Any:
    options: Any = {} if default is None else {"default": default, "server_default": default}
    return sa.Column(name, sa.TEXT, *arguments, nullable=False, **options)


def _jsonb(name: str) -> Any:
    return sa.Column(name, JSONB, nullable=False, default=dict, server_default="{}")


def _time(name: str) -> Any:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


file_table = sa.Table(
    "files_file",
    metadata,
    sa.Column("id", sa.TEXT, primary_key=True, default=make_uuid),
    _text("name"),
    _text("storage"),
    _time("created"),
    _jsonb("storage_data"),
    _jsonb("plugin_data"),
    _text("location"),
    _text("content_type", default="application/octet-stream"),
    sa.Column("size", sa.BigInteger, nullable=False, default=0, server_default=sa.text("0")),
    _text("hash", default=""),
    _text("algorithm", default=""),
    sa.Index("idx_files_file_location_in_storage", "storage", "location", unique=True),
)

owner_table = sa.Table(
    "files_owner",
    metadata,
    sa.Column(
        "file_id", sa.TEXT, sa.ForeignKey("files_file.id", ondelete="CASCADE"), primary_key=True
    ),
    _text("owner_id"),
    _text("owner_type"),
    sa.Column("pinned", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Index("idx_file_owner_owner", "owner_type", "owner_id"),
)

history_table = sa.Table(
    "files_transfer_history",
    metadata,
    sa.Column("id", sa.TEXT, primary_key=True, default=make_uuid),
    _text(
        "file_id",
        sa.ForeignKey(
            "files_owner.file_id",
            name="files_transfer_history_owner_file_id_fkey",
            ondelete="CASCADE",
        ),
    ),
    _text("owner_id"),
    _text("owner_type"),
    _time("at"),
    _text("actor"),
    _text("action", default="transfer"),
    # deleting a file looks for its history
    sa.Index("idx_files_transfer_history_file", "file_id"),
)
