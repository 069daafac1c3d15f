"""Verifying that files are what was stored: read their bytes, compare size and checksum."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from ckan import model

from ckanext.files.background import current_job, task
from ckanext.files.store import is_allowed
from ckanext.files.store.models import file_table
from ckanext.files.store.storages import get_storage

from .arguments import check
from .batches import RETRY, BatchProgress, check_reachable, percent_of
from .content import Progress, chunks_of, compare, digest_of
from .errors import (
    ContentError,
    DamagedContentError,
    MaintenanceError,
    MissingContentError,
    UnreadableContentError,
)
from .selection import Selection, StoredFile, in_storages, still_in_place, within

log = logging.getLogger(__name__)

_NAME = "ckanext.files.maintenance.verify_checksums"


class Verdict(str, Enum):
    """The result of reading a file, in the order of the summary."""

    SOUND = "verified"
    UNKNOWN = "without a checksum"
    DAMAGED = DamagedContentError.kind
    MISSING = MissingContentError.kind
    UNREADABLE = UnreadableContentError.kind
    MOVED = "moved or deleted meanwhile"


class Finding(NamedTuple):
    """The verdict on a file, with the reason."""

    verdict: Verdict
    reason: str = ""


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=RETRY)
def verify_checksums(
    storages: Sequence[str] = (),
    step_bytes: int = 256 * 2**20,
    batch: int = 500,
    progress: dict[str, Any] | None = None,
) -> Any:
    """Read all files, and report those that differ from what was stored. Nothing is changed.

    The task compares size and checksum with the row, by the algorithm of the row.
    It only counts files without a checksum, and files whose checksum a
    cloud has computed from several parts.

    When ten files in a row cannot be read, the storage counts as unavailable, and
    the step is tried again later.

    :param storages: only files in these storages; empty for all.
    :param step_bytes: bytes that one step reads; a larger file has its own step.
    :param batch: files that one step reads at most.
    """
    check(storages=storages, step_bytes=step_bytes, batch=batch)
    here, session = BatchProgress.load(progress), model.Session()
    selection = Selection(in_storages(storages))
    if progress is None:
        here.total = selection.amount(session).size
    page = selection.page(session, here.after, batch)
    files = within(page, step_bytes)
    found = [(file, _verify(here, file)) for file in files]
    check_reachable([_why_unreadable(finding) for _, finding in found])
    _note(here, found)
    here.publish()
    if len(files) == len(page) < batch:
        return here.finish()
    here.after = files[-1].id
    return verify_checksums(storages, step_bytes, batch, here.state())


@task(name="ckanext.files.maintenance.verify_upload")
def verify_upload(file_id: str) -> str:
    """Verify one file, with its progress in bytes. Any user who may see the file may ask for it.

    :raises ContentError: the file differs from what was stored, so the job fails.
    :raises MaintenanceError: the file does not exist, or the user who has asked
        for the job may not see it.
    """
    files = Selection([file_table.c.id == file_id]).page(model.Session(), "", 1)
    if not files or not _may_see(file_id):
        raise MaintenanceError(f"The file {file_id} does not exist, or you may not see it")
    [file] = files
    here = BatchProgress(total=file.size)
    finding = _verify(here, file)
    if finding.verdict is Verdict.UNREADABLE:
        # the storage's own message may contain its folder, which is not for users
        log.error("The file %s of storage %s: %s", file.id, file.storage, finding.reason)
        raise ContentError(f"The file {file.display_name} is {finding.verdict.value}")
    if finding.verdict is not Verdict.SOUND:
        raise ContentError(
            f"The file {file.display_name} is {finding.verdict.value}: {finding.reason}"
        )
    here.publish(f"{file.display_name}: {file.algorithm} is {file.hash}, as it was stored")
    return finding.verdict.value


def _verify(here: BatchProgress, file: StoredFile) -> Finding:
    start = here.done

    def progress(size: int) -> None:
        here.done += size
        here.publish(f"{file.display_name}: {int(here.done - start)} of {file.size} bytes")

    finding = _read(file, progress)
    here.done = start + file.size
    if finding.verdict is Verdict.MISSING and not still_in_place(model.Session(), [file]):
        return Finding(Verdict.MOVED)
    return finding


def _read(file: StoredFile, progress: Progress) -> Finding:
    digest, size = digest_of(file), 0
    if digest is None:
        return Finding(Verdict.UNKNOWN, f"its checksum is {file.algorithm}:{file.hash}")
    try:
        with chunks_of(get_storage(file.storage), file.data) as chunks:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                progress(len(chunk))
        compare(file, size, digest)
    except ContentError as error:
        return Finding(Verdict(error.kind), str(error))
    return Finding(Verdict.SOUND)


def _why_unreadable(finding: Finding) -> str:
    return finding.reason if finding.verdict is Verdict.UNREADABLE else ""


def _note(here: BatchProgress, found: list[tuple[StoredFile, Finding]]) -> None:
    for verdict in Verdict:
        some = [(file, finding) for file, finding in found if finding.verdict is verdict]
        if verdict is Verdict.SOUND:
            here.count(verdict.value, len(some))
        else:
            here.note(verdict.value, [f"{f.id} in {f.storage}: {why}" for f, (_, why) in some])


def _may_see(file_id: str) -> bool:
    job = current_job()
    if job is None or job.user_id is None:
        return True  # a script has asked
    user: Any = model.User.get(job.user_id)
    context: Any = {"user": user.name if user else "", "auth_user_obj": user}
    return is_allowed("file_show", {"id": file_id}, context)
