"""The title of a file: what people see instead of the name, which CKAN has munged.

It is in the data that plugins keep with a file, so that it moves from CKAN 2.11 to 2.12 with it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .models import expire, file_table, flush_files

LONGEST_TITLE = 500
"""In characters."""

INDEXED_TITLE = "plugin_data #>> '{files,title}'"
"""SQL of a file's title as indexes have it: the text of anything that code of others has put there,
such as a number."""

TITLE = f"""
    CASE jsonb_typeof(plugin_data #> '{{files,title}}')
        WHEN 'string' THEN nullif({INDEXED_TITLE}, '')
    END
"""
"""SQL of a file's title; NULL if it has none. :func:`title_of` does the same."""

_UPDATE = sa.text(f"""
    UPDATE {file_table} SET plugin_data = CASE
        WHEN :title = '' THEN plugin_data #- '{{files,title}}'
        ELSE plugin_data || jsonb_build_object(
            'files',
            CASE jsonb_typeof(plugin_data -> 'files')
                WHEN 'object' THEN plugin_data -> 'files' ELSE '{{}}'
            END || jsonb_build_object('title', CAST(:title AS text))
        )
    END
    WHERE id = :id
    RETURNING id
""")


def title_of(plugin_data: Any) -> str | None:
    """Return the title in the data of plugins; None if there is none."""
    ours = plugin_data.get("files") if isinstance(plugin_data, dict) else None
    title = ours.get("title") if isinstance(ours, dict) else None
    return title if title and isinstance(title, str) else None


def shown_name(title: str | None, name: str) -> str:
    """Return what people see: the title, else the name."""
    return title or name


def set_title(session: Session, file_id: str, title: str) -> bool:
    """Change the title of a file, or remove it if it is empty; return whether the file exists.

    What other plugins store with the file stays as it is, also what they store meanwhile.
    """
    flush_files(session)
    found = session.execute(_UPDATE, {"id": file_id, "title": title}).first()
    expire(session, [file_id])
    return found is not None
