"""Moving the files of a storage."""

from __future__ import annotations

from typing import Any

from ckan import model

from ckanext.files.background import task
from ckanext.files.store.models import file_table

from ..arguments import check
from ..copying import Copier, Copy
from ..errors import (
    ContentError,
    DamagedContentError,
    MaintenanceError,
    MissingContentError,
    NotAcceptedError,
    UnreadableContentError,
)
from ..missing import still_so
from ..removal import remove_in_vain
from ..selection import Selection, within
from ..stored_file import StoredFile
from ..switching import switch
from ..walk import Walk, percent_of
from .removal import remove_later
from .retrying import AGAIN, check_reachable

MOVE_STORAGE = "ckanext.files.maintenance.move_storage"
_KINDS: dict[type[Exception], str] = {
    DamagedContentError: "damaged",
    MissingContentError: "missing",
    NotAcceptedError: "not accepted",
    UnreadableContentError: "unreadable",
}


@task(name=MOVE_STORAGE, lock=MOVE_STORAGE, percent=percent_of, retry=AGAIN)
def move_storage(
    source: str,
    target: str,
    dry_run: bool = True,
    keep_seconds: float = 3600,
    step_bytes: int = 256 * 2**20,
    batch: int = 100,
    walk: dict[str, Any] | None = None,
) -> Any:
    """Move all files of a storage into another one, while the portal goes on.

    A step copies some files, compares what was read with the stored checksums
    and what was written with what was read, and lets the rows name the copies,
    all in one commit. The old bytes go later, by a job that the same commit has
    written: who has read a row right before finds what it names. A process that
    is killed leaves rows that name either, and at most copies without rows,
    which :func:`remove_strays` removes.

    Damaged and missing files stay where they are, and so do those that the
    target does not take. Files that come meanwhile may be left: change the
    options that name the source for uploads first, or run it again.

    :param dry_run: only tell what would be moved. No byte is read.
    :param keep_seconds: how long the old bytes stay.
    :param step_bytes: how much is copied in one step; a larger file has a step to itself.
    :param batch: how many files are copied in one step at most.
    :raises StorageRefusedError: one of the storages cannot do its part.
    """
    check(
        source=source,
        target=target,
        dry_run=dry_run,
        keep_seconds=keep_seconds,
        step_bytes=step_bytes,
        batch=batch,
    )
    here, session = Walk.load(walk), model.Session()
    copier = Copier(source, target)
    selection = Selection([file_table.c.storage == source])
    if walk is None:
        # each byte is read twice
        here.total = 2 * selection.amount(session).size
    page = selection.page(session, here.after, batch)
    files = within(page, step_bytes)
    if dry_run:
        _foretell(here, copier, files)
    else:
        _move(here, copier, files, keep_seconds)
    here.tell()
    if len(files) == len(page) < batch:
        here.count(f"left in {source}", selection.amount(session).files)
        return here.finish()
    here.after = files[-1].id
    return move_storage(source, target, dry_run, keep_seconds, step_bytes, batch, here.state())


def _foretell(here: Walk, copier: Copier, files: list[StoredFile]) -> None:
    for file in files:
        try:
            copier.check(file)
            here.count("would be moved", 1)
        except NotAcceptedError as error:
            here.note(_KINDS[NotAcceptedError], [f"{file.id}: {error}"])
        here.done += 2 * file.size


def _move(here: Walk, copier: Copier, files: list[StoredFile], keep_seconds: float) -> None:
    session = model.Session()
    results = [_copy(here, copier, file) for file in files]
    check_reachable([_why_unreadable(result) for result in results])
    copies = [result for result in results if isinstance(result, Copy)]
    moved = switch(session, copier.source, copier.target, copies)
    remove_later((copy.file for copy in copies if copy.file.id in moved), keep_seconds)
    here.count("moved", len(moved))
    late = [copy for copy in copies if copy.file.id not in moved]
    here.note("changed meanwhile", [copy.file.id for copy in late])
    for copy in late:
        remove_in_vain(session.get_bind().engine, copier.target, copy.data)


def _why_unreadable(result: Copy | MaintenanceError) -> str:
    return str(result) if isinstance(result, UnreadableContentError) else ""


def _copy(here: Walk, copier: Copier, file: StoredFile) -> Copy | MaintenanceError:
    """Return the copy, or why there is none."""
    start = here.done

    def progress(size: int) -> None:
        here.done += size
        here.tell(f"copying {file.name}")

    try:
        return copier.copy(model.Session(), file, progress)
    except (ContentError, NotAcceptedError) as error:
        was = isinstance(error, MissingContentError) and not still_so(model.Session(), [file])
        here.note("changed meanwhile" if was else _KINDS[type(error)], [f"{file.id}: {error}"])
        return error
    finally:
        here.done = start + 2 * file.size
