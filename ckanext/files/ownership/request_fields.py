"""The fields of a request that name files, and which of it is new.

**What a request does not change moves nothing.** A stored value may be older than the
validator, or no validator has seen it: a user who saves something else has not asked for its
files. For example, a dataset is stored with ``attachment: A`` and a resource ``r1`` with
``doc: B``. These are the fields of a ``package_update``:

- ``attachment: [A, C]``: A was there before and moves nothing; C is claimed.
- ``attachment: [A, A]``: the field named A once, so the second one is new.
- ``doc: B`` in the resource ``r1``: was there before and moves nothing.
- ``doc: B`` in a resource without an id: CKAN makes a new resource of it. If B belongs to the
  dataset it has to follow, so it is claimed. If B belongs to another owner, it was in this field
  of a resource that the request does not send by id, and moves nothing.

The rule is :meth:`Mention.is_unchanged`, for values that name no files
:meth:`RequestField.is_unchanged`. Both ask the fields that :mod:`.stored_fields` reads.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from ckan.types import Context, FlattenDataDict, FlattenKey

from ckanext.files.store import FileRecord, Owner

from .field_arguments import FieldArguments
from .owners import DatasetScope
from .stored_fields import StoredFields
from .values import names_of


class RequestField(NamedTuple):
    """One field of one request."""

    arguments: FieldArguments
    """The arguments of the field's validator."""

    key: FlattenKey
    """The key in the validated data. Its numbers mean nothing afterwards: CKAN 2.12 counts only
    the resources that have changed."""

    new_owner: Owner | None
    """The owner of the field's files as the request names it; not checked."""

    resource_id: str | None
    """The id of the resource that has the field, as the request names it; not checked."""

    scope: DatasetScope
    """The dataset that the action updates; an empty scope on create."""

    stored: StoredFields
    """The fields of what the action updates, as they are stored."""

    @property
    def known_resource_id(self) -> str | None:
        """The id of the resource if the dataset has it; a resource with another id is new."""
        return self.resource_id if self.stored.has_resource(self.resource_id) else None

    def is_unchanged(self, value: Any) -> bool:
        """Return whether the field had this value before the request."""
        return self.stored.has(self.key, value, self.known_resource_id)


class Mention(NamedTuple):
    """One file in the value of one field."""

    file_id: str
    field: RequestField

    ordinal: int
    """How often the request has named the file in this field so far, this one included."""

    def is_unchanged(self, file: FileRecord | None) -> bool:
        """Return whether the field named the file this often before the request.

        A resource without a known id is new, and the files of the dataset have to follow.
        """
        field, resource_id = self.field, self.field.known_resource_id
        is_in_new_resource = field.key[0] == "resources" and not resource_id
        if is_in_new_resource and file and file.owner in field.scope:
            return False
        return field.stored.count(field.key, self.file_id, resource_id) >= self.ordinal


class Mentions:
    """The mentions of one request."""

    def __init__(self) -> None:
        self._counts: Counter[Any] = Counter()
        self._first: dict[str, Mention] = {}

    def add(self, file_id: str, field: RequestField) -> Mention:
        """Count one more mention of a file in a field."""
        field_and_file = (names_of(field.key), field.resource_id, file_id)
        self._counts[field_and_file] += 1
        return Mention(file_id, field, self._counts[field_and_file])

    def first(self, mention: Mention) -> Mention:
        """Return the mention for which the file was asked here first; by default this one."""
        return self._first.setdefault(mention.file_id, mention)


class Claim(NamedTuple):
    """A file that is to get the owner of the field that names it."""

    file: FileRecord
    """As it was when the validator read it."""

    field: RequestField


_IN_CONTEXT = {
    "package": "package",
    "resource": "package",
    "group": "group",
    "organization": "group",
    "user": "user_obj",
}
"""The key of the context under which an action keeps what it updates, by type of the owner."""


def updated_id(owner_type: str, data: FlattenDataDict, context: Context) -> str | None:
    """Return the id of what the action updates; None on create.

    The request may contain the name in place of the id. A context that was used for another
    action before may contain an unrelated object.
    """
    entity: Any = context.get(_IN_CONTEXT.get(owner_type, ""))
    if entity is None or data.get(("id",)) not in (entity.id, entity.name):
        return None
    return entity.id


def new_owner(
    arguments: FieldArguments, key: FlattenKey, data: FlattenDataDict, context: Context
) -> Owner | None:
    """Return the owner of a field's files, as far as the request and the context show it."""
    start = arguments.entity_key(key)
    if arguments.id_field == "id" and not start:
        id_ = updated_id(arguments.owner_type, data, context)
    else:
        # a field that the schema does not know is still in __extras
        extras: Any = data.get((*start, "__extras")) or {}
        id_ = data.get((*start, arguments.id_field), extras.get(arguments.id_field))
    return Owner(arguments.owner_type, id_) if isinstance(id_, str) and id_ else None
