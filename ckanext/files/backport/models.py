"""Files, their owners and their history, under the names that CKAN 2.12 has for them."""

from __future__ import annotations

import copy
from typing import Any, Literal

import sqlalchemy as sa
from ckan.lib.dictization import table_dictize
from ckan.model.meta import registry
from ckan.model.types import make_uuid
from ckan.types import Context
from sqlalchemy.orm import relationship

from ckanext.files.storable import all_storable

from .tables import file_table, history_table, owner_table


class File:
    """A file: what is known of it, not its bytes."""

    __table__ = file_table
    id: str
    storage_data: dict[str, Any]
    plugin_data: dict[str, Any]
    owner: FileOwner | None

    def __init__(self, **values: Any) -> None:
        """Make a file with an id, so that its owner can be made before either is stored."""
        nothing = {
            "content_type": "application/octet-stream",
            "size": 0,
            "hash": "",
            "algorithm": "",
        }
        data = {"storage_data": {}, "plugin_data": {}}
        _fill(self, {"id": make_uuid(), **nothing, **data, **values})

    def dictize(self, include_plugin_data: bool = False) -> dict[str, Any]:
        """Return the dictionary that actions answer with."""
        result: dict[str, Any] = table_dictize(self, {})
        plugin_data = result.pop("plugin_data")
        result["storage_data"] = copy.deepcopy(result["storage_data"])
        owner = self.owner
        result["owner_type"] = owner.owner_type if owner else None
        result["owner_id"] = owner.owner_id if owner else None
        result["pinned"] = owner.pinned if owner else False
        if include_plugin_data:
            result["plugin_data"] = copy.deepcopy(plugin_data)
        return result

    def patch_data(
        self,
        patch: dict[str, Any],
        dict_path: list[str] | None = None,
        prop: Literal["storage_data", "plugin_data"] = "plugin_data",
    ) -> dict[str, Any]:
        """Change some of the data that plugins or the storage keep; return all of it.

        :param dict_path: the keys that lead to the dictionary that is to be changed.
        """
        data = copy.deepcopy(getattr(self, prop))
        place = data
        for key in dict_path or []:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise TypeError(key)
        place.update(patch)
        setattr(self, prop, data)
        return data

    @classmethod
    def by_location(cls, location: str, storage: str) -> Any:
        """Return a statement that selects the file at a place."""
        return sa.select(cls).where(
            file_table.c.location == location, file_table.c.storage == storage
        )


class FileOwner:
    """What a file belongs to at present."""

    __table__ = owner_table
    file_id: str
    owner_type: str
    owner_id: str
    pinned: bool

    def __init__(self, **values: Any) -> None:
        _fill(self, {"pinned": False, **values})

    def dictize(self, context: Context) -> dict[str, Any]:
        """Return the columns."""
        return table_dictize(self, context)

    def select_history(self) -> Any:
        """Return a statement that selects the owners that the file has left."""
        return sa.select(FileOwnerTransferHistory).where(history_table.c.file_id == self.file_id)


class FileOwnerTransferHistory:
    """An owner that a file has left."""

    __table__ = history_table

    def __init__(self, **values: Any) -> None:
        _fill(self, {"id": make_uuid(), "action": "transfer", **values})

    def dictize(self, context: Context) -> dict[str, Any]:
        """Return the columns."""
        return table_dictize(self, context)

    @classmethod
    def from_owner(cls, owner: FileOwner, actor: str = "") -> FileOwnerTransferHistory:
        """Return the line that remembers an owner."""
        return cls(
            file_id=owner.file_id,
            owner_id=owner.owner_id,
            owner_type=owner.owner_type,
            actor=actor,
        )


def _fill(row: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


registry.map_imperatively(
    File,
    file_table,
    properties={
        "owner": relationship(
            FileOwner,
            uselist=False,
            cascade="all, delete-orphan",
            passive_deletes=True,
            lazy="joined",
        )
    },
)
registry.map_imperatively(FileOwner, owner_table)
registry.map_imperatively(FileOwnerTransferHistory, history_table)


def find_file(session: Any, id_: Any) -> File | None:
    """Return a file, if there is one; whatever is no text is no id."""
    return session.get(File, id_) if isinstance(id_, str) and all_storable(id_) else None


def find_file_at(session: Any, storage: Any, location: Any) -> File | None:
    """Return the file at a place, if there is one."""
    if not (isinstance(storage, str) and isinstance(location, str)):
        return None
    if not all_storable([storage, location]):
        return None
    return session.execute(File.by_location(location, storage)).scalar()


def lock_file(session: Any, id_: Any) -> File | None:
    """Return a file as it is now, if there is one; it stays so until the transaction ends.

    The owner is locked first, as by all who change both.
    """
    session.flush()  # what is read anew would otherwise forget what was to be written
    if find_file(session, id_) is None:
        return None
    for column in (owner_table.c.file_id, file_table.c.id):
        session.execute(sa.select(column).where(column == id_).with_for_update())
    return session.get(File, id_, populate_existing=True)
