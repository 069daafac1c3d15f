"""Removing bytes without a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ckan import model

from ckanext.files.background import record, task
from ckanext.files.store.overlapping_storages import storages_of_ckan
from ckanext.files.store.storages import Capability, get_storage
from ckanext.files.store.storages import storages as all_storages

from ..arguments import check
from ..strays import Stray, find, remove_again_seen, storage_with_strays
from ..walk import Walk, percent_of
from .moving import MOVE_STORAGE
from .retrying import AGAIN

_NAME = "ckanext.files.maintenance.remove_strays"
_STRAYS_OF_ONE_JOB = 500
_WHILE_MOVING = 600
"""Seconds until it is tried again."""


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=AGAIN)
def remove_strays(
    storages: Sequence[str] = (),
    hours: float = 24,
    dry_run: bool = True,
    walk: dict[str, Any] | None = None,
) -> Any:
    """Find bytes that no row names, and have them removed if they are still there later.

    What has no row may be an upload that is under way, so nothing is removed at
    once: jobs of :func:`remove_seen_strays` look again after some hours, and
    remove what is the same and still without a row. Left alone is what lies in
    the folder of another storage or of CKAN itself.

    One step lists one storage, however large it is.

    :param storages: only these; by default all that can be listed, but for those
        in which CKAN itself keeps things without rows.
    :param hours: how long an upload may take.
    :param dry_run: only tell what there is.
    :raises StorageRefusedError: one of the given storages is no such storage.
    """
    check(storages=storages, hours=hours, dry_run=dry_run)
    here = Walk.load(walk)
    names = sorted(map(_checked, storages) if storages else _all())
    rest = [name for name in names if name > here.after]
    here.total = len(names)
    if not rest:
        return here.finish()
    strays = find(model.Session().connection(), rest[0])
    here.note(
        "without a row" if dry_run else "to be looked at again",
        [f"{rest[0]}: {stray.location}" for stray in strays],
    )
    if not dry_run:
        _look_again(rest[0], strays, hours)
    here.after, here.done = rest[0], len(names) - len(rest) + 1
    here.tell()
    return remove_strays(storages, hours, dry_run, here.state())


@task(name="ckanext.files.maintenance.remove_seen_strays", retry=AGAIN)
def remove_seen_strays(storage: str, strays: Sequence[Sequence[str]]) -> str:
    """Remove bytes that were seen without a row, if they are the same and have none now.

    Not while files are moved: bytes that were seen may be copies that get their
    rows at the end of a step. Those of later moves were not seen.

    :param strays: location of each, and what it looked like.
    """
    if record.count({"task": MOVE_STORAGE, "status": ["doing"]}):
        remove_seen_strays.configure(countdown=_WHILE_MOVING).delay(storage, strays)
        return "put off, as files are moved"
    here = Walk()
    removed = remove_again_seen(
        model.Session.get_bind().engine, storage, [Stray(*stray) for stray in strays]
    )
    here.note("removed", [f"{storage}: {location}" for location in removed])
    return here.finish()


def _look_again(storage: str, strays: list[Stray], hours: float) -> None:
    deferrer = remove_seen_strays.configure(countdown=hours * 3600)
    for start in range(0, len(strays), _STRAYS_OF_ONE_JOB):
        deferrer.delay(storage, strays[start : start + _STRAYS_OF_ONE_JOB])


def _checked(name: str) -> str:
    storage_with_strays(name)
    return name


def _all() -> list[str]:
    own = storages_of_ckan()
    return [n for n in all_storages if n not in own and get_storage(n).supports(Capability.SCAN)]
