"""The dictionaries of files that a search returns: CKAN's own, with what people see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ckan.plugins.toolkit as tk
from sqlalchemy.orm import Session

from ckanext.files.store import Owner, format_of, load_files, shown_name, title_of

from .owners import describe_owners


def file_dicts(
    session: Session, ids: Sequence[str], *, include_plugin_data: bool = False
) -> list[dict[str, Any]]:
    """Return the dictionaries of the files that exist, in the order of their ids.

    A few statements for any number of files.
    """
    files = {file.id: file for file in load_files(session, ids)}
    found = [files[id_] for id_ in ids if id_ in files]
    owners = describe_owners(session, filter(None, map(_owner, found)))
    result: list[dict[str, Any]] = []
    for file in found:
        owner = _owner(file)
        shown = file.dictize(include_plugin_data)
        result.append({**shown, **_seen(file), "owner": owners[owner]._asdict() if owner else None})
    return result


def _owner(file: Any) -> Owner | None:
    return Owner(file.owner.owner_type, file.owner.owner_id) if file.owner else None


def _seen(file: Any) -> dict[str, Any]:
    """Return what people see of a file."""
    title = title_of(file.plugin_data)
    return {
        "title": title,
        "display_name": shown_name(title, file.name),
        "format": format_of(file.name, file.content_type),
        "url": tk.url_for("file.download", id=file.id, _external=True),
    }
