"""Files by name, with links, as far as the visitor may see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.ownership import NoFileIdsError, file_ids
from ckanext.files.search import OwnerDescription
from ckanext.files.store import (
    BEFORE_DOWNLOAD,
    FileAccess,
    FileDescription,
    describe_files,
    format_of,
    shown_name,
)


@dataclasses.dataclass(frozen=True)
class PageFile:
    """A file as a template shows it."""

    id: str

    name: str | None = None
    """None: the file does not exist, or the visitor may not see it."""

    title: str | None = None
    """What people see instead of the name, if the file has one."""

    url: str | None = None
    """The address of the download."""

    size: int | None = None
    """In bytes."""

    format: str | None = None
    """CKAN's name of the format; None if CKAN does not know it."""

    created: datetime | None = None

    owner: OwnerDescription | None = None
    """What it belongs to, where that distinguishes it from others."""

    @property
    def display_name(self) -> str | None:
        return self.name and shown_name(self.title, self.name)


def files_attached(value: Any) -> list[PageFile]:
    """Return the files that the value of a field names, in their order.

    :param value: an id, a list of ids, or such a list as JSON.
    """
    return page_files(named_ids(value))


def page_files(ids: Collection[str]) -> list[PageFile]:
    """Return the files with these ids, in this order."""
    visible = visible_files(describe_files(model.Session(), ids).values() if ids else [])
    files = {file.id: file for file in visible}
    return [files.get(id_, PageFile(id_)) for id_ in ids]


def named_ids(value: Any) -> list[str]:
    """Return the ids that the value of a field names, each once; none if it names no files."""
    try:
        return list(dict.fromkeys(file_ids(value)))
    except NoFileIdsError:
        return []


def visible_files(files: Iterable[FileDescription]) -> list[PageFile]:
    """Return the files that the visitor may see, in their order."""
    access = FileAccess(BEFORE_DOWNLOAD)
    return [_page_file(file) for file in files if access.allows(file)]


def _page_file(file: FileDescription) -> PageFile:
    return PageFile(
        id=file.id,
        name=file.name,
        title=file.title,
        url=tk.url_for("file.download", id=file.id),
        size=file.size,
        format=format_of(file.name, file.content_type),
        created=file.created,
    )
