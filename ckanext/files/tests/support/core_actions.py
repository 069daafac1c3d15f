"""Calls of the ten core actions, and how to see in the database what they have done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.tests import factories

from ckanext.files.queue.core import ENTITIES
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.users import site_user

TEN = [f"{entity}_{verb}" for entity in ENTITIES for verb in ("create", "update")]

_COLUMN = {
    "package": ("package", "title"),
    "resource": ("resource", "name"),
    "group": ('"group"', "title"),
    "organization": ('"group"', "title"),
    "user": ('"user"', "fullname"),
}


@dataclasses.dataclass(frozen=True)
class Call:
    """One call that makes something of a given mark, and the SQL that sees it."""

    action: str
    data: dict[str, Any]
    mark: str
    user: str
    package_id: str | None
    """The dataset whose search document it changes."""

    @property
    def sql(self) -> str:
        """An expression: whether the change is there, for the parameter ``mark``."""
        table, column = _COLUMN[self.action.split("_")[0]]
        return f"EXISTS (SELECT FROM {table} WHERE {column} = :mark)"

    @property
    def is_committed(self) -> bool:
        """Whether the change is there, over another connection."""
        return look(f"SELECT {self.sql}", mark=self.mark)

    def __call__(self, **context: Any) -> Any:
        whole: Any = {"user": self.user, **context}
        return tk.get_action(self.action)(whole, self.data)


def prepare(action: str, unique: Callable[[str], str]) -> Call:
    """Make what the action needs; an update takes what an earlier one has updated."""
    mark, package_id = unique("mark"), None
    entity, verb = action.split("_")
    if verb == "create":
        data = _new(entity, mark, unique)
        if entity == "resource":
            package_id = data["package_id"] = factories.Dataset()["id"]
    else:
        data = _kept_for_updates(entity)
        package_id = {"package": data["id"], "resource": data.get("package_id")}.get(entity)
        data = data | {_COLUMN[entity][1]: mark}
    return Call(action, data, mark, site_user(), package_id)


_kept: dict[str, dict[str, Any]] = {}


def _kept_for_updates(entity: str) -> dict[str, Any]:
    """Return one that is updated again and again, for it takes longer to make than to update."""
    exists = f"SELECT EXISTS (SELECT FROM {_COLUMN[entity][0]} WHERE id = :id)"
    if entity not in _kept or not look(exists, id=_kept[entity]["id"]):
        _kept[entity] = _FACTORIES[entity]()
    return _kept[entity]


_FACTORIES: dict[str, Callable[[], Any]] = {
    "package": factories.Dataset,
    "resource": factories.Resource,
    "group": factories.Group,
    "organization": factories.Organization,
    "user": factories.User,
}


def _new(entity: str, mark: str, unique: Callable[[str], str]) -> dict[str, Any]:
    name = unique("name")
    if entity == "user":
        return {
            "name": name,
            "email": f"{name}@example.com",
            "password": "correct horse battery",
            "fullname": mark,
        }
    if entity == "resource":
        return {"url": "http://example.com", "name": mark}
    return {"name": name, "title": mark}


each_action = pytest.mark.parametrize("action", TEN)
