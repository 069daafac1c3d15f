"""Strays: bytes that no row names, seen twice.

An upload that is not committed looks the same, and no kind of storage reports
the age of its bytes. So bytes are strays if two looks some hours apart find them
without a row, and find the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ckan import model
from file_keeper.default.adapters.fs import FsStorage
from sqlalchemy.engine import Connection, Engine

from ckanext.files.background import record, task
from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages, storages_of_ckan
from ckanext.files.store.storages import Capability, FileData, Location, exc, get_storage
from ckanext.files.store.storages import storages as all_storages
from ckanext.files.store.stored import find_strays

from .arguments import check
from .batches import RETRY, BatchProgress, percent_of
from .errors import StorageRefusedError
from .moving import MOVE_STORAGE
from .removal import remove_all, storage_for

_NAME = "ckanext.files.maintenance.remove_strays"
_MAX_STRAYS_OF_JOB = 500
_WAIT_FOR_MOVE = 600
"""Seconds until a job looks again that has found a running move."""


class Stray(NamedTuple):
    """A location that no row names, and what it looked like."""

    location: str

    sight: str
    """Differs for other bytes, as far as the storage can report."""


@task(name=_NAME, lock=_NAME, percent=percent_of, retry=RETRY)
def remove_strays(
    storages: Sequence[str] = (),
    hours: float = 24,
    dry_run: bool = True,
    progress: dict[str, Any] | None = None,
) -> Any:
    """Find bytes that no row names, and have them removed if they are the same some hours later.

    Bytes without a row may be an upload that is not committed, so this task
    removes nothing: it defers jobs of :func:`remove_seen_strays`, which look
    again. It leaves alone everything in the folder of another storage, of CKAN
    itself, or of uploads that are not complete.

    One step lists one storage, however large the storage is.

    :param storages: only these; by default all storages that can be listed, except
        those in which CKAN itself keeps files without rows.
    :param hours: longer than any upload takes.
    :param dry_run: only report the bytes.
    :raises StorageRefusedError: a storage cannot be listed, or CKAN keeps files
        without rows there.
    """
    check(storages=storages, hours=hours, dry_run=dry_run)
    here = BatchProgress.load(progress)
    names = sorted(storages or _all())
    for name in names:
        _storage_with_strays(name)
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
    here.publish()
    return remove_strays(storages, hours, dry_run, here.state())


@task(name="ckanext.files.maintenance.remove_seen_strays", retry=RETRY)
def remove_seen_strays(storage: str, strays: Sequence[Sequence[str]]) -> str:
    """Remove bytes that were seen without a row, if they are the same and still have no row.

    Waits while a job moves files: the bytes may be copies that get their rows at
    the end of its step. A later move writes other bytes.

    :param strays: location and sight of each.
    """
    if record.runs(MOVE_STORAGE):
        remove_seen_strays.configure(countdown=_WAIT_FOR_MOVE).delay(storage, strays)
        return "put off, as files are moved"
    here = BatchProgress()
    removed = remove_again_seen(
        model.Session.get_bind().engine, storage, [Stray(*stray) for stray in strays]
    )
    here.note("removed", [f"{storage}: {location}" for location in removed])
    return here.finish()


def find(connection: Connection, name: str) -> list[Stray]:
    """List all locations of a storage; return those that no row names."""
    storage = _storage_with_strays(name)
    return list(_look(storage, find_strays(connection, file_table, name)))


def remove_again_seen(engine: Engine, name: str, strays: Iterable[Stray]) -> list[str]:
    """Remove strays that look the same and still have no row; return their locations."""
    storage, overlapping = _storage_with_strays(name), OverlappingStorages(name)
    was = {stray.location: stray for stray in strays if overlapping.owns(stray.location)}
    same = [stray for stray in _look(storage, was) if stray == was[stray.location]]
    return remove_all(engine, name, [FileData(Location(location)) for location, _ in same])


def _look_again(storage: str, strays: list[Stray], hours: float) -> None:
    deferrer = remove_seen_strays.configure(countdown=hours * 3600)
    for start in range(0, len(strays), _MAX_STRAYS_OF_JOB):
        deferrer.delay(storage, strays[start : start + _MAX_STRAYS_OF_JOB])


def _all() -> list[str]:
    own = storages_of_ckan()
    return [n for n in all_storages if n not in own and get_storage(n).supports(Capability.SCAN)]


def _storage_with_strays(name: str) -> Any:
    """Return a storage that can be listed, and in which only files with rows belong.

    :raises StorageRefusedError: it is none.
    """
    if name in storages_of_ckan():
        raise StorageRefusedError(f"CKAN keeps things in the storage {name} that have no rows")
    return storage_for(name, Capability.SCAN)


def _look(storage: Any, locations: Iterable[str]) -> Iterable[Stray]:
    for location in locations:
        try:
            yield Stray(location, _sight(storage, location))
        except (exc.LocationError, FileNotFoundError):
            continue  # removed meanwhile, or a location that the storage refuses


def _sight(storage: Any, location: str) -> str:
    if isinstance(storage, FsStorage):
        state = Path(storage.full_path(Location(location))).stat()
        return f"{state.st_mtime_ns}:{state.st_size}"
    if storage.supports(Capability.ANALYZE):
        data = storage.analyze(Location(location))
        return f"{data.hash}:{data.size}"
    return ""
