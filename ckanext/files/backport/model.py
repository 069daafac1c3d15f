"""Files, their owners and former owners, under the names of ``ckan.model.file`` in CKAN 2.12."""

from __future__ import annotations

import copy
from typing import Any, Literal

import sqlalchemy as sa
from ckan.lib.dictization import table_dictize
from ckan.model.meta import registry
from ckan.model.types import make_uuid
from ckan.types import Context
from sqlalchemy.orm import relationship

from ckanext.files.parameters import all_storable

from .tables import file_table, history_table, owner_table


class File:
    """A file: its details, not its bytes."""

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
        """Return the dictionary that actions return."""
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
        """Change some of the data of plugins or of the storage; return all of it.

        :param dict_path: the keys that lead to the dictionary that changes.
        """
        data = copy.deepcopy(getattr(self, prop))
        target = data
        for key in dict_path or []:
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise TypeError(key)
        target.update(patch)
        setattr(self, prop, data)
        return data

    @classmethod
    def by_location(cls, location: str, storage: str) -> Any:
        """Return a statement that selects the file at a location."""
        return sa.select(cls).where(
            file_table.c.location == location, file_table.c.storage == storage
        )


class FileOwner:
    """The present owner of a file."""

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
        """Return a statement that selects the former owners of the file."""
        return sa.select(FileOwnerTransferHistory).where(history_table.c.file_id == self.file_id)


class FileOwnerTransferHistory:
    """A former owner of a file."""

    __table__ = history_table

    def __init__(self, **values: Any) -> None:
        _fill(self, {"id": make_uuid(), "action": "transfer", **values})

    def dictize(self, context: Context) -> dict[str, Any]:
        """Return the columns."""
        return table_dictize(self, context)

    @classmethod
    def from_owner(cls, owner: FileOwner, actor: str = "") -> FileOwnerTransferHistory:
        """Return the row that records an owner before a transfer."""
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
    """Return a file, if there is one; an id that is no text finds none."""
    return session.get(File, id_) if isinstance(id_, str) and all_storable(id_) else None


def find_file_at(session: Any, storage: Any, location: Any) -> File | None:
    """Return the file at a location, if there is one."""
    if not (isinstance(storage, str) and isinstance(location, str)):
        return None
    if not all_storable([storage, location]):
        return None
    return session.execute(File.by_location(location, storage)).scalar()


def lock_file(session: Any, id_: Any) -> File | None:
    """Return a file as it is now, if there is one, and lock it until the transaction ends.

    The owner's row is locked first, as in every transaction that changes both.
    """
    session.flush()  # populate_existing below would discard pending changes
    if find_file(session, id_) is None:
        return None
    for column in (owner_table.c.file_id, file_table.c.id):
        session.execute(sa.select(column).where(column == id_).with_for_update())
    return session.get(File, id_, populate_existing=True)
