"""Calls of the ten core actions, and how to see in the database what they have done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.tests import factories

from ckanext.files.queue.core import ENTITIES

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
    def is_visible(self) -> str:
        """SQL: whether the change is there, for the parameter ``mark``."""
        table, column = _COLUMN[self.action.split("_")[0]]
        return f"EXISTS (SELECT FROM {table} WHERE {column} = :mark)"

    def __call__(self, **context: Any) -> Any:
        whole: Any = {"user": self.user, **context}
        return tk.get_action(self.action)(whole, self.data)


def prepare(action: str, unique: Callable[[str], str]) -> Call:
    """Make what the action needs."""
    mark = unique("mark")
    entity, verb = action.split("_")
    package_id = None
    if entity == "resource" or action == "package_update":
        package_id = factories.Dataset()["id"]
    if verb == "create":
        data = _new(entity, mark, unique)
        if entity == "resource":
            data["package_id"] = package_id
    elif entity == "resource":
        data = factories.Resource(package_id=package_id) | {"name": mark}
    elif entity == "package":
        data = tk.get_action("package_show")({}, {"id": package_id}) | {"title": mark}
    else:
        factory = {"group": factories.Group, "organization": factories.Organization}
        if entity == "user":
            data = factories.User() | {"fullname": mark}
        else:
            data = factory[entity]() | {"title": mark}
    return Call(action, data, mark, factories.Sysadmin()["name"], package_id)


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
