"""Files that nobody seems to need.

A file rests when neither its upload nor a change of its owner is younger than
some days.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from ckan import model

from ckanext.files.store.models import file_table, history_table, owner_table

from .selection import Selection, in_storages

_ENTITIES: dict[str, Any] = {
    "package": model.Package,
    "resource": model.Resource,
    "group": model.Group,
    "organization": model.Group,
    "user": model.User,
}


def unattached(days: float, storages: Collection[str] = ()) -> Selection:
    """Return the uploads that still belong to a user, who does not keep them.

    :param days: how long they have rested.
    """
    loose = [owner_table.c.owner_type == "user", owner_table.c.pinned.is_(False)]
    return Selection([*loose, *_resting(days), *in_storages(storages)], owned=True)


def abandoned(days: float, storages: Collection[str] = ()) -> Selection:
    """Return the files whose owner was purged: there is no row of it any more.

    What is only deleted keeps its files. Of an owner of a plugin's own type
    nobody knows whether it exists, so it does.
    """
    gone = sa.or_(*(_is_gone(type_, entity) for type_, entity in _ENTITIES.items()))
    return Selection([gone, *_resting(days), *in_storages(storages)], owned=True)


def _resting(days: float) -> list[Any]:
    moment = datetime.now(timezone.utc) - timedelta(days=days)
    change = sa.select(history_table.c.id).where(
        history_table.c.file_id == file_table.c.id, history_table.c.at >= moment
    )
    return [file_table.c.created < moment, ~change.exists()]


def _is_gone(owner_type: str, entity: Any) -> Any:
    there = sa.select(entity.id).where(entity.id == owner_table.c.owner_id)
    return sa.and_(owner_table.c.owner_type == owner_type, ~there.exists())
