"""Deleting files that are not needed: uploads that are not attached, and files of purged owners.

A file is deleted only if its upload and the last change of its owner are older
than some days, and if no row of the database names it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from ckan import model
from ckan.common import config
from sqlalchemy.orm import Session

from ckanext.files.background import task
from ckanext.files.store import Owner, OwnerChange, change_owners, read_files
from ckanext.files.store.models import expire, file_table, history_table, owner_table

from .arguments import check
from .batches import RETRY, BatchProgress, percent_of
from .errors import MaintenanceError
from .mentions import can_be_found, find_mentioned
from .removal import can_remove, is_public, remove_later
from .selection import Selection, StoredFile, as_rows, in_storages

_UNATTACHED = "ckanext.files.maintenance.delete_unattached"
_ABANDONED = "ckanext.files.maintenance.settle_abandoned"
_ENTITIES: dict[str, Any] = {
    "package": model.Package,
    "resource": model.Resource,
    "group": model.Group,
    "organization": model.Group,
    "user": model.User,
}


@task(name=_UNATTACHED, lock=_UNATTACHED, percent=percent_of, retry=RETRY)
def delete_unattached(
    days: float = 30,
    storages: Sequence[str] = (),
    dry_run: bool = True,
    batch: int = 1000,
    progress: dict[str, Any] | None = None,
) -> Any:
    """Delete uploads that are not attached to anything.

    An upload is not attached if it belongs to a user and is not pinned, if it was
    neither uploaded nor given to the user within the last days, and if its id is
    nowhere in CKAN's database: in no field of a dataset, resource, group,
    organization or user, in no text, in no table of another plugin. The last
    condition is for links, and for fields that name files without owning them; the
    task reads the whole database once for each batch. It cannot find links from
    outside, such as another site or the datastore. Where users share uploads by
    their addresses, do not run this task, or run it only for some storages.

    A file that a request attaches meanwhile is not deleted. A request that
    attaches a file which is deleted meanwhile fails, as with each deletion. Files
    without an owner are left alone. The bytes are removed after the commit.

    :param days: the least age of the upload and of the last change of its owner.
    :param storages: only files in these storages; empty for all.
    :param dry_run: only report what would be deleted.
    :param batch: files that one step looks at.
    """
    check(days=days, storages=storages, dry_run=dry_run, batch=batch)
    selection = unattached(days, storages)
    here, files = _page(selection, progress, batch)
    _delete(here, selection, files, dry_run)
    if len(files) < batch:
        return here.finish()
    return delete_unattached(days, storages, dry_run, batch, here.state())


@task(name=_ABANDONED, lock=_ABANDONED, percent=percent_of, retry=RETRY)
def settle_abandoned(
    days: float = 1,
    give_to: str = "",
    storages: Sequence[str] = (),
    dry_run: bool = True,
    batch: int = 1000,
    progress: dict[str, Any] | None = None,
) -> Any:
    """Delete the files of purged owners, or give them to a user.

    An owner is purged if it has no row any more: a dataset, resource, group,
    organization or user. A deleted owner can come back and keeps its files. Owners
    of other types are left alone.

    The task deletes a file only if no row of the database names it, see
    :func:`delete_unattached`. It gives away pinned files too, because otherwise
    only a sysadmin could unpin them.

    :param days: the least age of the upload and of the last change of its owner; CKAN
        does not record when the owner was purged.
    :param give_to: name or id of the user who gets the files; empty to delete them.
    :param storages: only files in these storages; empty for all.
    :param dry_run: only report what would be done.
    :param batch: files that one step looks at.
    :raises MaintenanceError: the user does not exist, or is not active.
    """
    check(days=days, give_to=give_to, storages=storages, dry_run=dry_run, batch=batch)
    selection = abandoned(days, storages)
    recipient = _recipient(give_to)
    here, files = _page(selection, progress, batch)
    if recipient:
        _give(here, selection, files, recipient, dry_run)
    else:
        _delete(here, selection, files, dry_run)
    if len(files) < batch:
        return here.finish()
    return settle_abandoned(days, give_to, storages, dry_run, batch, here.state())


def unattached(days: float, storages: Collection[str] = ()) -> Selection:
    """Select files that belong to users and are not pinned.

    :param days: the least age of the upload and of the last change of its owner.
    """
    loose = [owner_table.c.owner_type == "user", owner_table.c.pinned.is_(False)]
    return Selection([*loose, *_older(days), *in_storages(storages)], owned=True)


def abandoned(days: float, storages: Collection[str] = ()) -> Selection:
    """Select files whose owner was purged.

    Owners of a plugin's own type count as existing: their tables are not known.
    """
    purged = sa.or_(*(_is_purged(type_, entity) for type_, entity in _ENTITIES.items()))
    return Selection([purged, *_older(days), *in_storages(storages)], owned=True)


def _older(days: float) -> list[Any]:
    limit = datetime.now(timezone.utc) - timedelta(days=days)
    change = sa.select(history_table.c.id).where(
        history_table.c.file_id == file_table.c.id, history_table.c.at >= limit
    )
    return [file_table.c.created < limit, ~change.exists()]


def _is_purged(owner_type: str, entity: Any) -> Any:
    row = sa.select(entity.id).where(entity.id == owner_table.c.owner_id)
    return sa.and_(owner_table.c.owner_type == owner_type, ~row.exists())


def delete(session: Session, selection: Selection, ids: Collection[str]) -> list[StoredFile]:
    """Delete rows of files, with their owners and history; return the files. The bytes stay.

    Skips files that the selection does not contain any more, and files that
    another transaction has locked.
    """
    files = selection.lock(session, ids)
    locked = _ids(files)
    session.execute(file_table.delete().where(file_table.c.id.in_(as_rows(locked))))
    expire(session, locked)
    return files


def _page(
    selection: Selection, progress: dict[str, Any] | None, batch: int
) -> tuple[BatchProgress, list[StoredFile]]:
    here, session = BatchProgress.load(progress), model.Session()
    if progress is None:
        here.total = selection.amount(session).files
    files = selection.page(session, here.after, batch)
    here.done += len(files)
    here.after = files[-1].id if files else here.after
    return here, files


def _delete(
    here: BatchProgress, selection: Selection, files: list[StoredFile], dry_run: bool
) -> None:
    unneeded = _unneeded(here, files)
    if dry_run:
        here.note("would be deleted", unneeded)
    else:
        deleted = delete(model.Session(), selection, unneeded)
        remove_later(deleted)
        here.note("deleted", _ids(deleted))
        here.note("changed meanwhile", sorted(set(unneeded).difference(_ids(deleted))))
    here.publish()


def _unneeded(here: BatchProgress, files: list[StoredFile]) -> list[str]:
    """Return the ids of files that can be deleted, and note why the others stay."""

    def keep(kind: str, is_kept: Callable[[StoredFile], bool]) -> None:
        here.note(kind, _ids(filter(is_kept, rest)))
        rest[:] = [file for file in rest if not is_kept(file)]

    rest = list(files)
    keep("in a storage that cannot remove", lambda file: not can_remove(file.storage))
    keep("in a public storage", lambda file: is_public(file.storage))
    keep("with an id that cannot be looked for", lambda file: not can_be_found(file.id))
    named = find_mentioned(model.Session.get_bind().engine, _ids(rest))
    keep("named somewhere", lambda file: file.id in named)
    return _ids(rest)


def _give(
    here: BatchProgress,
    selection: Selection,
    files: list[StoredFile],
    recipient: Owner,
    dry_run: bool,
) -> None:
    session = model.Session()
    if dry_run:
        here.note("would be given away", _ids(files))
    else:
        records = read_files(session, _ids(selection.lock(session, _ids(files))))
        changes = dict.fromkeys(records, OwnerChange(recipient, pinned=False))
        unchanged = change_owners(session, records, changes, config["ckan.site_id"])
        given = sorted(set(records) - unchanged)
        here.note("given away", given)
        here.note("changed meanwhile", sorted(set(_ids(files)).difference(given)))
    here.publish()


def _recipient(id_or_name: str) -> Owner | None:
    if not id_or_name:
        return None
    user: Any = model.User.get(id_or_name)
    if user is None or user.state != model.State.ACTIVE:
        raise MaintenanceError(f"There is no active user {id_or_name} to give files to")
    return Owner("user", user.id)


def _ids(files: Iterable[StoredFile]) -> list[str]:
    return [file.id for file in files]
