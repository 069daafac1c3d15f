"""Removing bytes that no row names."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.engine import Engine

from ckanext.files.backport.removal import remove_unnamed
from ckanext.files.store.models import file_table
from ckanext.files.store.overlapping_storages import OverlappingStorages
from ckanext.files.store.storages import Capability, exc, get_storage
from ckanext.files.store.stored import unnamed

from .errors import StorageRefusedError

log = logging.getLogger(__name__)

_PATIENCE = "10s"


def storage_for(name: str, *needed: Any) -> Any:
    """Return a storage that can do what is needed.

    :param needed: capabilities.
    :raises StorageRefusedError: it cannot, or there is none of that name.
    """
    try:
        keeper = get_storage(name)
    except exc.UnknownStorageError as error:
        raise StorageRefusedError(f"There is no option ckan.files.storage.{name}.type") from error
    for capability in needed:
        if not keeper.supports(capability):
            raise StorageRefusedError(
                f"The storage {name} cannot do what is needed: it lacks {capability.name}"
            )
    return keeper


def can_remove(name: str) -> bool:
    """Tell whether there is a storage of that name that can remove bytes."""
    try:
        storage_for(name, Capability.REMOVE)
    except StorageRefusedError:
        return False
    return True


def remove(engine: Engine, storage: str, data: Any) -> bool:
    """Remove bytes unless a row names them; tell whether there were any.

    On a connection of its own. Whoever stores there at the moment is waited
    for, as far as they have a row for it: CKAN 2.12 writes the row last, so
    there a location that is used again could lose its new bytes.
    """
    keeper = storage_for(storage, Capability.REMOVE)
    return remove_unnamed(engine, file_table, storage, keeper, data, _PATIENCE)


def remove_all(engine: Engine, storage: str, some: Iterable[Any]) -> list[str]:
    """Remove bytes as :func:`remove` does; return the locations at which there were any.

    Bytes that the row of another storage names, which has the same folder, stay.
    What cannot be removed keeps nothing else: its error comes when all have been tried.
    """
    storage_for(storage, Capability.REMOVE)
    removed: list[str] = []
    failed: Exception | None = None
    by_location = {str(data.location): data for data in some}
    with engine.connect() as connection:
        free = unnamed(
            connection, file_table, storage, list(by_location), OverlappingStorages(storage)
        )
    for data in map(by_location.__getitem__, free):
        try:
            if remove(engine, storage, data):
                removed.append(str(data.location))
        except exc.LocationError as error:
            # no location of this storage, now or later
            log.warning("Storage %s does not remove %s: %s", storage, data.location, error)
        except Exception as error:
            log.warning("Storage %s keeps what no row names: %s: %s", storage, data.location, error)
            failed = error
    if failed:
        raise failed
    return removed


def is_public(storage: str) -> bool:
    """Tell whether anybody may read what is in a storage, at addresses that name its location."""
    return bool(storage_for(storage).settings.public)


def remove_in_vain(engine: Engine, storage: str, data: Any) -> None:
    """Remove what was stored in vain. What fails is logged: there is something else to tell."""
    try:
        remove(engine, storage, data)
    except Exception:
        log.exception("Storage %s keeps what no row names: %s", storage, data.location)
