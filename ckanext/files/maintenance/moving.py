"""Moving the files of a storage into another one."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.background import task
from ckanext.files.store.models import array_literal, expire, file_table, flush_files

from .arguments import check
from .batches import RETRY, BatchProgress, check_reachable, percent_of
from .content import digest_of
from .copying import Copier, Copy
from .errors import (
    ContentError,
    MaintenanceError,
    MissingContentError,
    NotAcceptedError,
    UnreadableContentError,
)
from .removal import remove_later
from .selection import Selection, StoredFile, still_in_place, within

MOVE_STORAGE = "ckanext.files.maintenance.move_storage"

_LATE = "changed meanwhile"

# skips locked rows: a step waits for no other transaction, so it cannot be part of a deadlock
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


@task(name=MOVE_STORAGE, lock=MOVE_STORAGE, percent=percent_of, retry=RETRY)
def move_storage(
    source: str,
    target: str,
    dry_run: bool = True,
    keep_seconds: float = 3600,
    step_bytes: int = 256 * 2**20,
    batch: int = 100,
    progress: dict[str, Any] | None = None,
) -> Any:
    """Move all files of a storage into another one, while the portal stays in use.

    A step copies some files, compares the bytes that it has read with the stored
    checksums and the copies with these bytes, and lets the rows name the copies,
    all in one commit. The same commit writes a job that removes the old bytes
    later, so a reader who has read a row before the commit still finds what the
    row named. After a kill each row names bytes in one of the two storages; at
    most some copies have no row, and :func:`remove_strays` removes them.

    Damaged and missing files stay in the source, and so do files that the target
    does not take. The task may miss files that are uploaded meanwhile: first
    change the options that name the source for uploads, or run the task again.

    :param dry_run: only report what would be moved. No byte is read.
    :param keep_seconds: how long the old bytes stay.
    :param step_bytes: bytes that one step copies; a larger file has its own step.
    :param batch: files that one step copies at most.
    :raises StorageRefusedError: a storage does not exist, lacks a capability, or is public.
    """
    check(
        source=source,
        target=target,
        dry_run=dry_run,
        keep_seconds=keep_seconds,
        step_bytes=step_bytes,
        batch=batch,
    )
    here, session = BatchProgress.load(progress), model.Session()
    copier = Copier(source, target)
    selection = Selection([file_table.c.storage == source])
    if progress is None:
        # the step reads each byte twice: the file and its copy
        here.total = 2 * selection.amount(session).size
    page = selection.page(session, here.after, batch)
    files = within(page, step_bytes)
    if dry_run:
        _report(here, copier, files)
    else:
        _move(here, copier, files, keep_seconds)
    here.publish()
    if len(files) == len(page) < batch:
        here.count(f"left in {source}", selection.amount(session).files)
        return here.finish()
    here.after = files[-1].id
    return move_storage(source, target, dry_run, keep_seconds, step_bytes, batch, here.state())


def switch(session: Session, source: str, target: str, copies: Collection[Copy]) -> set[str]:
    """Let rows name the copies of their files, in one statement; return the ids of these files.

    Skips a row that has changed since its file was copied, because the file was
    deleted or moved, and a row that another transaction has locked. A checksum
    that can be verified stays in the row, with its algorithm.
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
        "ids": array_literal(copy.file.id for copy in copies),
        "old_locations": array_literal(copy.file.location for copy in copies),
        "old_hashes": array_literal(copy.file.hash for copy in copies),
        "locations": array_literal(copy.data.location for copy in copies),
        "sizes": array_literal(str(copy.data.size) for copy in copies),
        "hashes": array_literal(hash_ for hash_, _ in checksums),
        "algorithms": array_literal(algorithm for _, algorithm in checksums),
        "storage_data": array_literal(json.dumps(copy.data.storage_data) for copy in copies),
    }


def _checksum(copy: Copy) -> tuple[str, str]:
    known: Any = copy.file if digest_of(copy.file) else copy.data
    return known.hash, known.algorithm


def _report(here: BatchProgress, copier: Copier, files: list[StoredFile]) -> None:
    for file in files:
        try:
            copier.check(file)
            here.count("would be moved", 1)
        except NotAcceptedError as error:
            here.note(error.kind, [f"{file.id}: {error}"])
        here.done += 2 * file.size


def _move(
    here: BatchProgress, copier: Copier, files: list[StoredFile], keep_seconds: float
) -> None:
    session = model.Session()
    results = [_copy(here, copier, file) for file in files]
    check_reachable([_why_unreadable(result) for result in results])
    copies = [result for result in results if isinstance(result, Copy)]
    moved = switch(session, copier.source, copier.target, copies)
    remove_later((copy.file for copy in copies if copy.file.id in moved), keep_seconds)
    here.count("moved", len(moved))
    late = [copy for copy in copies if copy.file.id not in moved]
    here.note(_LATE, [copy.file.id for copy in late])
    for copy in late:
        copier.discard(session, copy.data)


def _copy(here: BatchProgress, copier: Copier, file: StoredFile) -> Copy | MaintenanceError:
    """Return the copy, or the error that has prevented it."""
    start = here.done

    def progress(size: int) -> None:
        here.done += size
        here.publish(f"copying {file.display_name}")

    try:
        return copier.copy(model.Session(), file, progress)
    except (ContentError, NotAcceptedError) as error:
        is_missing = isinstance(error, MissingContentError)
        is_late = is_missing and not still_in_place(model.Session(), [file])
        here.note(_LATE if is_late else error.kind, [f"{file.id}: {error}"])
        return error
    finally:
        here.done = start + 2 * file.size


def _why_unreadable(result: Copy | MaintenanceError) -> str:
    return str(result) if isinstance(result, UnreadableContentError) else ""
