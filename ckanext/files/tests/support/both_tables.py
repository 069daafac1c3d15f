"""Our tables beside the tables of CKAN 2.12, with files to move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.backport.tables import metadata
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.upgrade.core_move import moved_table

CORE = ("file", "file_owner", "file_owner_transfer_history")
OLD = ("files_file", "files_owner", "files_transfer_history")

# what a file is, in both
_FILES = """
    SELECT f.id, f.name, f.storage, f.location, f.content_type, f.size, f.hash, f.algorithm,
        f.created, f.storage_data::text, f.plugin_data::text,
        o.owner_type, o.owner_id, o.pinned,
        h.id, h.owner_type, h.owner_id, h.at, h.actor, h.action
    FROM {0} AS f LEFT JOIN {1} AS o ON o.file_id = f.id LEFT JOIN {2} AS h ON h.file_id = f.id
    ORDER BY f.id, h.id
"""

_FILL = """
    INSERT INTO files_file (id, name, storage, location, size, hash, created, plugin_data)
        SELECT 'f' || n, n || '.txt', CASE WHEN n % 3 = 0 THEN 'resources' ELSE 'default' END,
            'l' || n, n * 3000000000, md5(n::text),
            '2020-01-01Z'::timestamptz + n * '1 s'::interval,
            jsonb_build_object('n', n)
        FROM generate_series(1, {count}) AS n;
    INSERT INTO files_owner SELECT 'f' || n, 'o' || n, 'package', n % 2 = 0
        FROM generate_series(1, {count}) AS n WHERE n % 5 > 0;
    INSERT INTO files_transfer_history (id, file_id, owner_id, owner_type, at, actor)
        SELECT 'h' || file_id || n, file_id, 'u1', 'user', '2021-01-01Z', 'admin'
        FROM files_owner, generate_series(1, 2) AS n WHERE pinned;
"""


@contextmanager
def filled(count: int) -> Iterator[None]:
    """Make the old tables and fill them; CKAN's are empty."""
    drop()
    metadata.create_all(engine())
    change(_FILL.format(count=count))
    yield
    drop()


def drop() -> None:
    """Remove the old tables and empty CKAN's."""
    model.Session.remove()  # what it has read would be locked
    change("TRUNCATE file, file_owner, file_owner_transfer_history")
    change(f"DROP TABLE IF EXISTS {', '.join(OLD)}, {moved_table} CASCADE")


def in_core(id_: str, storage: str, location: str) -> str:
    """Return the statement that gives CKAN a file already."""
    return (
        "INSERT INTO file (id, name, storage, location, content_type, size, hash, algorithm,"
        " created, storage_data, plugin_data)"
        f" VALUES ('{id_}', 'core.txt', '{storage}', '{location}', 'text/plain', 1, '', '', now(),"
        " '{}', '{}')"
    )


def files(tables: tuple[str, ...]) -> list[Any]:
    """Return all files with their owners and history."""
    with engine().connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(_FILES.format(*tables)))]


def checksums(tables: tuple[str, ...] = (*OLD, *CORE)) -> list[Any]:
    """Return a checksum of each of these tables that exists, and the names of all tables."""
    every = look(
        "SELECT string_agg(tablename, ' ' ORDER BY 1) FROM pg_tables WHERE schemaname = 'public'"
    )
    there = [name for name in tables if name in every.split()]
    query = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} AS t"
    return [*(look(query.format(name)) for name in there), every]
