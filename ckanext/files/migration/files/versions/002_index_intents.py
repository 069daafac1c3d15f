"""The table of intents, from which the extension repairs the search index after a crash.

For all versions of CKAN; see ``ckanext.files.transaction.index_intents``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "c4a9e07d2f35"
down_revision = "b7d1c5f0a901"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files_index_intent",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("package_id", sa.TEXT, nullable=False),
        _time("created", "clock_timestamp()"),
        # when the repair looks at the row, if it still exists and is not locked
        _time("due", "clock_timestamp() + interval '1 second'"),
        sa.Column("looks", sa.Integer, nullable=False, server_default=sa.text("0")),
    )


def downgrade() -> None:
    op.drop_table("files_index_intent")


def _time(name: str, default: str) -> Any:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text(default)
    )
