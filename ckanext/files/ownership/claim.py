"""One file that one place of a request names."""

from __future__ import annotations

from typing import Any, NamedTuple

from ckan.types import FlattenKey

from ckanext.files.store import FileRecord, Owner

from .dataset_scope import DatasetScope
from .field import Field
from .stored_fields import StoredFields


class Place(NamedTuple):
    """One field of one request."""

    field: Field

    key: FlattenKey
    """The place in the validated data. Its numbers mean nothing afterwards:
    CKAN 2.12 counts only the resources that have changed."""

    target: Owner | None
    """What the request says that the field's files belong to; nobody has checked it."""

    resource_id: str | None
    """The same for the resource that has the field, if one has it."""

    home: DatasetScope
    """The dataset that the action updates; an empty home on create."""

    before: StoredFields
    """What the action updates, as it is stored."""

    @property
    def known_resource_id(self) -> str | None:
        """The id of the resource if the dataset has it."""
        return self.resource_id if self.before.has_resource(self.resource_id) else None

    def is_unchanged(self, value: Any) -> bool:
        """Tell whether the field has had a value before the request."""
        return self.before.has(self.key, value, self.known_resource_id)


class Mention(NamedTuple):
    """One file in the value of one field."""

    file_id: str
    place: Place

    ordinal: int
    """How often the request has named the file in this field so far."""

    def is_unchanged(self, file: FileRecord | None) -> bool:
        """Tell whether the field has named the file before the request.

        A resource that is sent without its id is a new one, to which the files of the dataset
        have to follow; any other file is where it was.
        """
        key, id_ = self.place.key, self.place.known_resource_id
        if key[0] == "resources" and not id_ and file and file.owner in self.place.home:
            return False
        return self.place.before.count(key, self.file_id, id_) >= self.ordinal


class Claim(NamedTuple):
    """A field names a file, which is to belong to what the field describes."""

    file: FileRecord
    """As it was when the validator looked."""

    place: Place
