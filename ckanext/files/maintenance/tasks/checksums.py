"""Verifying that files are what they were."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.background import current_job, task
from ckanext.files.store.models import file_table

from ..arguments import check
from ..checksum import Finding, Verdict, verify
from ..errors import ContentError, MaintenanceError
from ..missing import still_so
from ..selection import Selection, in_storages, within
from ..stored_file import StoredFile
from ..walk import Walk, percent_of
from .retrying import AGAIN, check_reachable

log = logging.getLogger(__name__)

_NAME = "ckanext.files.maintenance.verify_checksums"


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=AGAIN)
def verify_checksums(
    storages: Sequence[str] = (),
    step_bytes: int = 256 * 2**20,
    batch: int = 500,
    walk: dict[str, Any] | None = None,
) -> Any:
    """Read all files, and tell which are not what was stored. Nothing is changed.

    Size and checksum are compared with those of the row, by its algorithm. Files
    without a checksum are counted, and so are those whose checksum a cloud has
    made of several parts.

    When nothing can be read any more, the storage is taken for away, and the
    step is tried again later.

    :param storages: only files in these; all if it is empty.
    :param step_bytes: how much is read in one step; a larger file has a step to itself.
    :param batch: how many files are read in one step at most.
    """
    check(storages=storages, step_bytes=step_bytes, batch=batch)
    here, session = Walk.load(walk), model.Session()
    selection = Selection(in_storages(storages))
    if walk is None:
        here.total = selection.amount(session).size
    page = selection.page(session, here.after, batch)
    files = within(page, step_bytes)
    found = [(file, _verify(here, file)) for file in files]
    check_reachable([_why_unreadable(finding) for _, finding in found])
    _note(here, found)
    here.tell()
    if len(files) == len(page) < batch:
        return here.finish()
    here.after = files[-1].id
    return verify_checksums(storages, step_bytes, batch, here.state())


@task(name="ckanext.files.maintenance.verify_upload")
def verify_upload(file_id: str) -> str:
    """Verify one file, with its progress in bytes. It may be the job of any user.

    :raises ContentError: the file is not what was stored, so the job fails.
    :raises MaintenanceError: there is no such file, or the user who has asked
        may not see it.
    """
    files = Selection([file_table.c.id == file_id]).page(model.Session(), "", 1)
    if not files or not _may_see(file_id):
        raise MaintenanceError(f"The file {file_id} does not exist, or you may not see it")
    [file] = files
    here = Walk(total=file.size)
    finding = _verify(here, file)
    if finding.verdict is Verdict.UNREADABLE:
        # what a storage says of that may tell where its folder is
        log.error("The file %s of storage %s: %s", file.id, file.storage, finding.reason)
        raise ContentError(f"The file {file.name} is {finding.verdict.value}")
    if finding.verdict is not Verdict.SOUND:
        raise ContentError(f"The file {file.name} is {finding.verdict.value}: {finding.reason}")
    here.tell(f"{file.name}: {file.algorithm} is {file.hash}, as it was stored")
    return finding.verdict.value


def _verify(here: Walk, file: StoredFile) -> Finding:
    start = here.done

    def progress(size: int) -> None:
        here.done += size
        here.tell(f"{file.name}: {int(here.done - start)} of {file.size} bytes")

    finding = verify(file, progress)
    here.done = start + file.size
    if finding.verdict is Verdict.MISSING and not still_so(model.Session(), [file]):
        return Finding(Verdict.MOVED)
    return finding


def _why_unreadable(finding: Finding) -> str:
    return finding.reason if finding.verdict is Verdict.UNREADABLE else ""


def _note(here: Walk, found: list[tuple[StoredFile, Finding]]) -> None:
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
    try:
        tk.check_access("file_show", context, {"id": file_id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        return False
    return True
