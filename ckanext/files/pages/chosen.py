"""The files that a field names, each with where it belongs."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ckan import model

from ckanext.files.ownership import scope_of
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

    belongs_elsewhere: bool = False
    """The field goes on naming it, but it belongs to something else now, or does not exist."""

    owner: OwnerDescription | None = None
    """What such a file belongs to now, if the visitor may see both."""

    then: str = ""
    """What is to happen to it when it is taken out."""


class EditedForm:
    """A form that edits something, and its user.

    :param owners: what the form edits; empty if it is new, or if the form does not know.
    :param stored: the ids that the stored fields name.
    """

    def __init__(self, owners: Sequence[Owner], stored: Container[str]) -> None:
        self._owners = owners
        self._stored = stored
        self._user = visitor()

    def is_unattached(self, record: FileRecord | None) -> bool:
        """Return whether a file is the user's own, not attached to anything."""
        return record is not None and record.owner == self._user and not record.pinned

    def belongs_elsewhere(self, record: FileRecord | None, file: PageFile) -> bool:
        """Return whether the form cannot have a file: it does not exist, or is of something else.

        A form that does not know what it edits cannot know either whether a file belongs there.
        """
        if record is None or not self._owners:
            return file.name is None
        if record.owner in self._owners or any(record.owner in each for each in self._scopes):
            return False
        # an unattached file was chosen a moment ago, unless the field is stored like that
        return not self.is_unattached(record) or file.id in self._stored

    @cached_property
    def _scopes(self) -> list[Container[Any]]:
        return [scope_of(model.Session(), owner) for owner in self._owners]


def chosen_files(
    ids: list[str], taken_out: Mapping[str, str], form: EditedForm
) -> Iterator[ChosenFile]:
    """Yield the files with these ids, in this order.

    :param taken_out: what is to happen to those that are taken out.
    """
    records = read_files(model.Session(), ids) if ids else {}
    for file in files_attached(ids):
        record, then = records.get(file.id), taken_out.get(file.id, "")
        if form.belongs_elsewhere(record, file):
            owner = _seen_owner(record, file)
            yield ChosenFile(file, is_stored=False, belongs_elsewhere=True, owner=owner)
        else:
            yield ChosenFile(file, is_stored=not form.is_unattached(record), then=then)


def _seen_owner(record: FileRecord | None, file: PageFile) -> OwnerDescription | None:
    owner = record.owner if record else None
    if owner is None or file.name is None or not may_see(owner):
        return None
    return describe_owners(model.Session(), [owner])[owner]
