"""Files in the storage ``plain``: their rows, their bytes, and the actions that change both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
from ckan.common import config

from ckanext.files.tests.support.effects import look


def folder() -> Path:
    return Path(config["ckan.files.storage.plain.path"])


def stored() -> dict[str, bytes]:
    """Return the bytes of each location."""
    return {file.name: file.read_bytes() for file in folder().iterdir()}


def rows() -> list[str]:
    """Return the locations that committed rows name."""
    query = "SELECT array_agg(location ORDER BY location) FROM files_file WHERE storage = 'plain'"
    return look(query) or []


def kept() -> dict[str, bytes]:
    """Return the bytes of each location, all of which committed rows name, and no others."""
    found = stored()
    assert rows() == sorted(found)
    return found


def call(action: str, data: dict[str, Any], **context: Any) -> Any:
    ours: Any = {"ignore_auth": True, **context}
    return tk.get_action(action)(ours, data)


def create(name: str, content: Any = b"old", **context: Any) -> str:
    data = {"name": name, "storage": "plain", "upload": content}
    return call("file_create", data, **context)["id"]


def delete(id_: str, **context: Any) -> None:
    call("file_delete", {"id": id_}, **context)
