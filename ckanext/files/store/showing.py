"""Tell of a file as CKAN's own actions do."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from .models import File


def show(session: Session, file_id: str, *, include_plugin_data: bool = False) -> dict[str, Any]:
    """Return the dictionary of a file that exists."""
    file: Any = session.get(File, file_id)
    return file.dictize(include_plugin_data)
