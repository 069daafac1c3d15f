"""Deleting files that nobody needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ckan import model
from ckan.common import config

from ckanext.files.background import task
from ckanext.files.store import Move, Owner, give, read

from ..arguments import check
from ..deletion import delete
from ..errors import MaintenanceError
from ..mentions import can_be_found, find_mentioned
from ..removal import can_remove, is_public
from ..selection import Selection
from ..stored_file import StoredFile
from ..unneeded import abandoned, unattached
from ..walk import Walk, percent_of
from .removal import remove_later
from .retrying import AGAIN

_UNATTACHED = "ckanext.files.maintenance.delete_unattached"
_ABANDONED = "ckanext.files.maintenance.settle_abandoned"


@task(name=_UNATTACHED, lock=_UNATTACHED, percent=percent_of, retry=AGAIN)
def delete_unattached(
    days: float = 30,
    storages: Sequence[str] = (),
    dry_run: bool = True,
    batch: int = 1000,
    walk: dict[str, Any] | None = None,
) -> Any:
    """Delete uploads that nobody attached to anything.

    These are files that belong to a user who does not keep them (they are not
    pinned), which were neither uploaded nor given to the user within the last
    days, and whose id is nowhere in CKAN's database: in no field of a dataset,
    resource, group, organization or user, in no text, in no table of another
    plugin. The last is for fields that name files without owning them, and for
    links; it reads the whole database once for each batch. What it cannot see is
    a link from outside, such as another site or the datastore, so a portal whose
    users share uploads by their addresses had better not run this, or only for
    some storages.

    A file that is attached meanwhile is not deleted, and what attaches a file
    that is deleted meanwhile is refused, as with every deletion. Files without
    any owner are left alone. Bytes go after the commit.

    :param days: how long a file has to rest.
    :param storages: only files in these; all if it is empty.
    :param dry_run: only tell what would be deleted.
    :param batch: how many files are looked at in one step.
    """
    check(days=days, storages=storages, dry_run=dry_run, batch=batch)
    selection = unattached(days, storages)
    here, files = _page(selection, walk, batch)
    _delete(here, selection, files, dry_run)
    if len(files) < batch:
        return here.finish()
    return delete_unattached(days, storages, dry_run, batch, here.state())


@task(name=_ABANDONED, lock=_ABANDONED, percent=percent_of, retry=AGAIN)
def settle_abandoned(
    days: float = 1,
    give_to: str = "",
    storages: Sequence[str] = (),
    dry_run: bool = True,
    batch: int = 1000,
    walk: dict[str, Any] | None = None,
) -> Any:
    """Delete the files of purged owners, or give them to somebody.

    An owner is gone when there is no row of it: a dataset, resource, group,
    organization or user that was purged. What is only deleted can come back and
    keeps its files. Owners of other types are left alone.

    Deleting is as careful as :func:`delete_unattached`: a file that anything in
    the database names stays. Given away are all, pinned ones too, because nobody
    else could unpin them.

    :param days: how long a file has to rest; when its owner was purged is not
        known.
    :param give_to: name or id of a user who gets the files; empty to delete them.
    :param storages: only files in these; all if it is empty.
    :param dry_run: only tell what would be done.
    :param batch: how many files are looked at in one step.
    :raises MaintenanceError: there is no such user.
    """
    check(days=days, give_to=give_to, storages=storages, dry_run=dry_run, batch=batch)
    selection = abandoned(days, storages)
    heir = _heir(give_to)
    here, files = _page(selection, walk, batch)
    if heir:
        _give(here, selection, files, heir, dry_run)
    else:
        _delete(here, selection, files, dry_run)
    if len(files) < batch:
        return here.finish()
    return settle_abandoned(days, give_to, storages, dry_run, batch, here.state())


def _page(
    selection: Selection, walk: dict[str, Any] | None, batch: int
) -> tuple[Walk, list[StoredFile]]:
    here, session = Walk.load(walk), model.Session()
    if walk is None:
        here.total = selection.amount(session).files
    files = selection.page(session, here.after, batch)
    here.done += len(files)
    here.after = files[-1].id if files else here.after
    return here, files


def _delete(here: Walk, selection: Selection, files: list[StoredFile], dry_run: bool) -> None:
    doomed = _doomed(here, files)
    if dry_run:
        here.note("would be deleted", doomed)
    else:
        deleted = delete(model.Session(), selection, doomed)
        remove_later(deleted)
        here.note("deleted", _ids(deleted))
        here.note("changed meanwhile", sorted(set(doomed).difference(_ids(deleted))))
    here.tell()


def _doomed(here: Walk, files: list[StoredFile]) -> list[str]:
    """Return the ids of those that nobody needs, and note why the others stay."""

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
    here: Walk, selection: Selection, files: list[StoredFile], heir: Owner, dry_run: bool
) -> None:
    session = model.Session()
    if dry_run:
        here.note("would be given away", _ids(files))
    else:
        records = read(session, _ids(selection.lock(session, _ids(files))))
        moves = [Move(record, heir, pinned=False) for record in records.values()]
        given = sorted(set(records) - give(session, moves, config["ckan.site_id"]))
        here.note("given away", given)
        here.note("changed meanwhile", sorted(set(_ids(files)).difference(given)))
    here.tell()


def _heir(id_or_name: str) -> Owner | None:
    if not id_or_name:
        return None
    user: Any = model.User.get(id_or_name)
    if user is None or user.state != model.State.ACTIVE:
        raise MaintenanceError(f"There is no active user {id_or_name} to give files to")
    return Owner("user", user.id)


def _ids(files: Iterable[StoredFile]) -> list[str]:
    return [file.id for file in files]
