"""The intents of transactions about the search index."""

from __future__ import annotations

import sqlalchemy as sa

from ckanext.files.tests.support.effects import engine
from ckanext.files.transaction import index_repair


def forget_intents() -> None:
    """Leave no intents to the tests that follow."""
    with engine().begin() as connection:
        connection.execute(
            sa.text(
                "DELETE FROM files_index_intent WHERE id IN"
                " (SELECT id FROM files_index_intent FOR UPDATE SKIP LOCKED)"
            )
        )


def intents() -> list[tuple[str, int]]:
    """Return dataset and number of looks of each intent that is left and not locked."""
    with engine().connect() as connection:
        query = (
            "SELECT package_id, looks FROM files_index_intent ORDER BY id FOR UPDATE SKIP LOCKED"
        )
        return [(package_id, looks) for package_id, looks in connection.execute(sa.text(query))]


def announced() -> list[str]:
    """Return the datasets of all intents, also those of transactions that go on."""
    with engine().connect() as connection:
        query = "SELECT package_id FROM files_index_intent ORDER BY id"
        return list(connection.execute(sa.text(query)).scalars())


def look_now() -> list[index_repair.Repair]:
    """Have the next look at all intents now."""
    index_repair.make_all_due()
    return list(index_repair.repair_due())
