"""Template helpers: files by name, with links, as far as the visitor may see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.ownership import NoFileIdsError, file_ids, find_owner, is_id
from ckanext.files.search import Viewer, format_of
from ckanext.files.store import FileDescription, Owner, describe_files, describe_files_of

__all__ = ["files_attached", "files_offered", "files_own_files"]


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

    is_own: bool = False
    """The visitor has uploaded the file, and it is not attached to anything yet."""

    is_chosen: bool = False
    """The field that is being edited names the file."""

    @property
    def display_name(self) -> str | None:
        """What people see: the title, else the name."""
        return self.title or self.name


def files_attached(value: Any) -> list[PageFile]:
    """Return the files that the value of a field names, in their order.

    :param value: an id, a list of ids, or such a list as JSON.
    """
    try:
        ids = list(dict.fromkeys(file_ids(value)))
    except NoFileIdsError:
        return []
    visible = _visible(describe_files(model.Session(), ids).values() if ids else [])
    files = {file.id: file for file in visible}
    return [files.get(id_, PageFile(id_)) for id_ in ids]


def files_own_files() -> list[PageFile]:
    """Return the visitor's files that are not attached to anything yet, newest first."""
    user = tk.current_user
    if not user or not user.is_authenticated:
        return []
    own = describe_files_of(model.Session(), Owner("user", user.id), without_pinned=True)
    return [dataclasses.replace(file, is_own=True) for file in _visible(own)]


def files_offered(
    value: Any, owner_types: Collection[str] = (), owner: str | None = None
) -> list[PageFile]:
    """Return the files that a form offers for a field.

    First the files that the field names, in their order, then other files of what is being
    edited, such as those that the field named before, then the files of the visitor.

    :param value: the current value of the field, also when the form comes back with an error.
    :param owner_types: what the form edits: ``package``, ``resource``, ``group`` or
        ``organization``; several where the form does not know.
    :param owner: its id or name; empty when it does not exist yet.
    """
    own = {file.id: file for file in files_own_files()}
    chosen = [own.get(file.id, file) for file in files_attached(value)]
    files = {file.id: dataclasses.replace(file, is_chosen=True) for file in chosen}
    for file in [*_visible(_files_of(owner_types, owner)), *own.values()]:
        files.setdefault(file.id, file)
    return list(files.values())


def _files_of(owner_types: Collection[str], owner: str | None) -> Iterator[FileDescription]:
    if not is_id(owner):
        return
    session = model.Session()
    for owner_type in owner_types:
        if found := find_owner(session, owner_type, owner):
            yield from describe_files_of(session, found)


def _visible(files: Iterable[FileDescription]) -> list[PageFile]:
    viewer = Viewer()
    return [_page_file(file) for file in files if viewer.may_download(file)]


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
