"""What a form edits, and the files that its fields name.

A form may have a hundred fields of files, in repeating subfields. Its first field looks up what all
of them need.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import authz, model

from ckanext.files import form_request
from ckanext.files.ownership import (
    StoredFields,
    digests_of_other_fields,
    find_owner,
    is_id,
    is_owner_type,
    is_uuid,
    place_of,
    scope_of,
    stored_fields_of,
)
from ckanext.files.store import FileRecord, Owner, read_files

from .page_files import PageFile, page_files
from .request_cache import cached_per_request
from .visitor import visitor

_MOST_DIGESTS = 1000
"""Of other fields, that a field of a form sends. Flask refuses a form of 500 kB. What is left out
counts as moved."""


class EditedForm:
    """A form that edits something, and its user.

    :param owners: what it edits; empty if that is new, or if the form does not know.
    """

    def __init__(self, owners: list[Owner]) -> None:
        self.owners = owners
        self._user = visitor()
        self._files: dict[str, tuple[FileRecord | None, PageFile]] = {}

    @cached_property
    def named(self) -> set[str]:
        """The ids that are in a field: as it is stored, or as the form has sent it."""
        return {*self._stored, *_sent_ids()}

    def initial(self, name: str, ids: Sequence[str]) -> list[str]:
        """Return what the form sends as ``files-initial:NAME``: ids, digests of other fields."""
        digests = (
            digests_of_other_fields(name, ids, stored, owner)
            for stored, owner in self._stored_fields
        )
        return [*ids, *islice(chain.from_iterable(digests), _MOST_DIGESTS)]

    @cached_property
    def named_outside(self) -> set[str]:
        """The ids that no field of the form names, but one of the same dataset does.

        A field of a resource can have files that belong to the dataset.
        """
        edited = {place_of(owner) for owner in self.owners}
        return {id_ for id_, places in self._stored.items() if places.isdisjoint(edited)}

    def look_up(self, ids: Collection[str]) -> list[tuple[FileRecord | None, PageFile]]:
        """Return the files with these ids, in this order.

        The first field to ask reads the files of all fields.
        """
        unknown = set(ids) - self._files.keys()
        if unknown:
            unknown |= self.named - self.named_outside - self._files.keys()
            records = read_files(model.Session(), unknown)
            found = {file.id: (records.get(file.id), file) for file in page_files(unknown)}
            self._files.update(found)
        return [self._files[id_] for id_ in ids]

    def is_unattached(self, record: FileRecord | None) -> bool:
        """Return whether a file is the user's own, not attached to anything."""
        return record is not None and record.owner == self._user and not record.pinned

    def belongs_elsewhere(self, record: FileRecord | None, file: PageFile) -> bool:
        """Return whether the form cannot have a file: it does not exist, or is of something else.

        A form that does not know what it edits cannot know either whether a file belongs there.
        """
        if record is None or not self.owners:
            return file.name is None
        if record.owner in self.owners or any(record.owner in each for each in self._scopes):
            return False
        # an unattached file was chosen a moment ago, unless the field is stored like that
        return not self.is_unattached(record) or file.id in self._stored

    @cached_property
    def _stored(self) -> dict[str, set[Any]]:
        """The ids in stored fields, also of the rest of the dataset; each with its places."""
        found: dict[str, set[Any]] = {}
        for stored, _ in self._stored_fields:
            for id_, places in stored.uuids().items():
                found.setdefault(id_, set()).update(places)
        return found

    @cached_property
    def _stored_fields(self) -> list[tuple[StoredFields, Owner]]:
        return [(stored_fields_of(model.Session(), owner), owner) for owner in self.owners]

    @cached_property
    def _scopes(self) -> list[Container[Any]]:
        return [scope_of(model.Session(), owner) for owner in self.owners]


def edited_form(owner_types: Iterable[str], owner: Any) -> EditedForm:
    """Return the form that edits something, one object for all its fields.

    :param owner_types: what it may be.
    :param owner: its id or name. What does not exist, and what the visitor may not edit, is left
        out.
    """
    return _edited_form(tuple(owner_types), owner if is_id(owner) else None)


@cached_per_request
def _edited_form(owner_types: tuple[str, ...], owner: str | None) -> EditedForm:
    if owner is None:
        return EditedForm([])
    functions = authz.auth_functions_list()
    known = [each for each in owner_types if is_owner_type(each) and f"{each}_update" in functions]
    found = filter(None, (find_owner(model.Session(), type_, owner) for type_ in known))
    return EditedForm([each for each in found if _may_update(each)])


def _may_update(owner: Owner) -> bool:
    return tk.h.check_access(f"{owner.type}_update", {"id": owner.id})


def _sent_ids() -> set[str]:
    """Return the ids that a form which comes back has sent.

    Also those that it has taken out of a field: they are still there, until it is saved.
    """
    sent = tk.request.form.items(multi=True) if form_request.is_form() else ()
    return {value for _, value in sent if is_uuid(value)}
