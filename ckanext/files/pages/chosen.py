"""The files that a field names, each with where it belongs."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ckan import model

from ckanext.files.ownership import scope_of, stored_fields_of
from ckanext.files.search import OwnerDescription, describe_owners
from ckanext.files.store import FileRecord, Owner, read_files

from .choices import visitor
from .page_files import PageFile, files_attached
from .rights import may_see


@dataclasses.dataclass(frozen=True)
class ChosenFile:
    """A file that the field names, or that was taken out of it in a form that comes back."""

    file: PageFile

    is_stored: bool
    """It belongs to what the form edits already: it needs a new place when it is taken out."""

    is_lost: bool = False
    """The field goes on naming it, but it belongs to something else now, or does not exist."""

    owner: OwnerDescription | None = None
    """What a lost file belongs to now, if the visitor may see both."""

    then: str = ""
    """What is to happen to it when it is taken out."""


def chosen_files(
    ids: list[str], taken_out: Mapping[str, str], owners: Sequence[Owner]
) -> Iterator[ChosenFile]:
    """Yield the files with these ids, in this order.

    :param taken_out: what is to happen to those that are taken out.
    :param owners: what the form edits; empty if it is new, or if the form does not know.
    """
    records = read_files(model.Session(), ids) if ids else {}
    here = _Here(owners)
    for file in files_attached(ids):
        record, then = records.get(file.id), taken_out.get(file.id, "")
        if here.has_lost(record, file):
            yield ChosenFile(file, is_stored=False, is_lost=True, owner=_seen_owner(record, file))
        else:
            yield ChosenFile(file, is_stored=not here.is_loose(record), then=then)


class _Here:
    """What the form edits, and its user."""

    def __init__(self, owners: Sequence[Owner]) -> None:
        self._owners = owners
        self._user = visitor()

    def is_loose(self, record: FileRecord | None) -> bool:
        """Return whether a file is the user's own, not attached to anything."""
        return record is not None and record.owner == self._user and not record.pinned

    def has_lost(self, record: FileRecord | None, file: PageFile) -> bool:
        """Return whether the form names a file that it cannot have.

        A form that does not know what it edits cannot know either whether a file belongs there.
        """
        if record is None or not self._owners:
            return file.name is None
        if record.owner in self._owners or any(record.owner in each for each in self._scopes):
            return False
        # a loose file was chosen a moment ago, unless the field is stored like that
        return not self.is_loose(record) or file.id in self._stored

    @cached_property
    def _scopes(self) -> list[Container[Any]]:
        return [scope_of(model.Session(), owner) for owner in self._owners]

    @cached_property
    def _stored(self) -> set[str]:
        session = model.Session()
        return {id_ for owner in self._owners for id_ in stored_fields_of(session, owner).uuids()}


def _seen_owner(record: FileRecord | None, file: PageFile) -> OwnerDescription | None:
    owner = record.owner if record else None
    if owner is None or file.name is None or not may_see(owner):
        return None
    return describe_owners(model.Session(), [owner])[owner]
