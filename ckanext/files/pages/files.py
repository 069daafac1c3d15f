"""Files by name, with links, as far as the visitor may see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePath
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.ownership import NoFileIdsError, file_ids, find_owner, is_id
from ckanext.files.store import FileDescription, Owner, describe_files, describe_files_of

from .page_file import PageFile
from .viewer import Viewer


def attached(value: Any) -> list[PageFile]:
    """Return the files that the value of a field names, in their order."""
    try:
        ids = list(dict.fromkeys(file_ids(value)))
    except NoFileIdsError:
        return []
    visible = _visible(describe_files(model.Session(), ids).values() if ids else [])
    files = {file.id: file for file in visible}
    return [files.get(id_, PageFile(id_)) for id_ in ids]


def own_files() -> list[PageFile]:
    """Return the visitor's files that are not attached to anything yet, newest first."""
    user = tk.current_user
    if not user or not user.is_authenticated:
        return []
    own = describe_files_of(model.Session(), Owner("user", user.id), without_pinned=True)
    return [dataclasses.replace(file, is_own=True) for file in _visible(own)]


def offered(value: Any, owner_types: Collection[str], owner: str | None) -> list[PageFile]:
    """Return the files to choose from: the chosen ones, others of the owner, the visitor's."""
    own = {file.id: file for file in own_files()}
    chosen = [own.get(file.id, file) for file in attached(value)]
    files = {file.id: dataclasses.replace(file, is_chosen=True) for file in chosen}
    for file in [*_visible(_belongings(owner_types, owner)), *own.values()]:
        files.setdefault(file.id, file)
    return list(files.values())


def _belongings(owner_types: Collection[str], owner: str | None) -> Iterator[FileDescription]:
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
        url=tk.url_for("file.download", id=file.id),
        size=file.size,
        format=_format(file),
        created=file.created,
    )


def _format(file: FileDescription) -> str | None:
    known = tk.h.resource_formats()
    # the name first: a storage takes most tables for mere text
    for hint in (PurePath(file.name).suffix[1:], file.content_type):
        if found := known.get(hint.lower()):
            return found[1]
    return None
