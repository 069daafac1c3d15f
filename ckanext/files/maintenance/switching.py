"""Letting rows of files name their bytes in another storage."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ckanext.files.store.arrays import literal
from ckanext.files.store.identity import expire, flush_files
from ckanext.files.store.models import file_table

from .content import digest_of
from .copying import Copy

# Files that somebody else works with are left alone: nobody waits for anybody.
_SWITCH = sa.text(f"""
    WITH locked AS (
        SELECT new.*
        FROM
            unnest(
                CAST(:ids AS text[]), CAST(:old_locations AS text[]), CAST(:old_hashes AS text[]),
                CAST(:locations AS text[]), CAST(:sizes AS bigint[]), CAST(:hashes AS text[]),
                CAST(:algorithms AS text[]), CAST(:storage_data AS text[])
            ) AS new (
                id, old_location, old_hash, location, size, hash, algorithm, storage_data)
            JOIN {file_table} AS file
                ON file.id = new.id AND file.storage = :source
                AND file.location = new.old_location AND file.hash = new.old_hash
        ORDER BY new.id
        FOR UPDATE OF file SKIP LOCKED
    )
    UPDATE {file_table} AS file
    SET
        storage = :target, location = locked.location, size = locked.size, hash = locked.hash,
        algorithm = locked.algorithm, storage_data = CAST(locked.storage_data AS jsonb)
    FROM locked
    WHERE file.id = locked.id
    RETURNING file.id
""")


def switch(session: Session, source: str, target: str, copies: Collection[Copy]) -> set[str]:
    """Let files be where their copies are, in one statement; return the ids of those that are.

    Files that are no longer as they were when they were copied stay: they were
    deleted or moved meanwhile, or somebody works with them at the moment.
    A checksum that could be compared stays that of the file, by its algorithm.
    """
    if not copies:
        return set()
    flush_files(session)
    values = {"source": source, "target": target, **_columns(copies)}
    switched = set(session.execute(_SWITCH, values).scalars())
    expire(session, switched)
    return switched


def _columns(copies: Collection[Copy]) -> dict[str, str]:
    checksums = [_checksum(copy) for copy in copies]
    return {
        "ids": literal(copy.file.id for copy in copies),
        "old_locations": literal(copy.file.location for copy in copies),
        "old_hashes": literal(copy.file.hash for copy in copies),
        "locations": literal(copy.data.location for copy in copies),
        "sizes": literal(str(copy.data.size) for copy in copies),
        "hashes": literal(hash_ for hash_, _ in checksums),
        "algorithms": literal(algorithm for _, algorithm in checksums),
        "storage_data": literal(json.dumps(copy.data.storage_data) for copy in copies),
    }


def _checksum(copy: Copy) -> tuple[str, str]:
    known: Any = copy.file if digest_of(copy.file) else copy.data
    return known.hash, known.algorithm
