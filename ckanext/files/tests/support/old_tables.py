"""The tables of ckanext-files 1.3.4, as PostgreSQL describes them, in a schema of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

SCHEMA = "files_test_old"

TABLES = """
    CREATE TABLE files_file (
        id text PRIMARY KEY,
        name text NOT NULL,
        storage text NOT NULL,
        created timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
        storage_data jsonb DEFAULT '{}',
        plugin_data jsonb DEFAULT '{}',
        location text NOT NULL,
        content_type text NOT NULL DEFAULT 'application/octet-stream',
        size bigint NOT NULL DEFAULT '0',
        hash text NOT NULL DEFAULT '',
        algorithm text NOT NULL DEFAULT ''
    );
    CREATE UNIQUE INDEX idx_files_file_location_in_storage ON files_file (storage, location);
    CREATE TABLE files_owner (
        file_id text PRIMARY KEY
            CONSTRAINT files_owner_file_id_fkey REFERENCES files_file ON DELETE CASCADE,
        owner_id text NOT NULL,
        owner_type text NOT NULL,
        pinned boolean NOT NULL DEFAULT false
    );
    CREATE INDEX idx_file_owner_owner ON files_owner (owner_type, owner_id);
    CREATE TABLE files_transfer_history (
        id text PRIMARY KEY,
        file_id text NOT NULL CONSTRAINT files_transfer_history_owner_file_id_fkey
            REFERENCES files_owner ON DELETE CASCADE,
        owner_id text NOT NULL,
        owner_type text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        actor text NOT NULL,
        action text NOT NULL DEFAULT 'transfer'
    );
    INSERT INTO files_file (id, name, storage, location, size)
        SELECT 'f' || n, 'a.txt', 'default', 'l' || n, n FROM generate_series(1, 3) AS n;
    INSERT INTO files_owner SELECT id, 'u1', 'user', id = 'f1' FROM files_file;
    INSERT INTO files_transfer_history (id, file_id, owner_id, owner_type, actor)
        SELECT 'h' || file_id, file_id, 'p1', 'package', 'admin' FROM files_owner;
"""

_LOOK = """
    SELECT table_name, column_name, data_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = :schema
    UNION ALL
    SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = :schema
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
        FROM pg_constraint WHERE connamespace = (:schema)::regnamespace
    ORDER BY 1, 2, 3
"""


def connect() -> Engine:
    """Return an engine that looks at that schema only."""
    options = {"options": f"-csearch_path={SCHEMA}"}
    return sa.create_engine(os.environ["CKAN_SQLALCHEMY_URL"], connect_args=options)


@contextmanager
def old_tables() -> Iterator[Engine]:
    """Make the tables with a few rows, and remove them in the end."""
    engine = connect()
    run(engine, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}; {TABLES}")
    yield engine
    run(engine, f"DROP SCHEMA {SCHEMA} CASCADE")
    engine.dispose()


def run(engine: Engine, statements: str) -> None:
    """Run statements and commit."""
    with engine.begin() as connection:
        connection.execute(sa.text(statements.replace(":", "\\:")))


def shape(engine: Engine) -> list[Any]:
    """Describe columns, indexes and constraints."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(_LOOK), {"schema": SCHEMA})]


def rows(engine: Engine) -> list[Any]:
    """Return what no change of the tables may lose."""
    statement = """
        SELECT f.id, f.name, f.storage, f.location, f.size, o.owner_type, o.owner_id, o.pinned,
            h.id, h.owner_type, h.owner_id, h.actor, h.action
        FROM files_file AS f LEFT JOIN files_owner AS o ON o.file_id = f.id
            LEFT JOIN files_transfer_history AS h ON h.file_id = f.id
        ORDER BY f.id, h.id
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]
