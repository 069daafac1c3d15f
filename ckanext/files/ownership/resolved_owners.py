"""The new owners of the claimed files, found in the result of the action."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ckan import model
from ckan.types import FlattenKey

from ckanext.files.store import FileRecord, Owner, OwnerChange

from .field_arguments import FieldArguments
from .owners import is_editable
from .policy import Actor, Refusal
from .request_fields import Claim
from .results import FieldErrors, ResultField, ResultFields, contains, fields_at


class ResolvedOwners:
    """The owner change of each claimed file, or an error on the field that names it."""

    def __init__(self, result: Any, claims: Mapping[str, Claim], actor: Actor) -> None:
        self.changes: dict[str, OwnerChange] = {}
        self.errors = FieldErrors()
        self._result = result
        self._actor = actor
        self._fields = ResultFields(result, (claim.field.key for claim in claims.values()))
        self._keys: dict[str, FlattenKey] = {}
        self._owners: dict[tuple[FieldArguments, FlattenKey], Owner | None] = {}
        for file_id, claim in claims.items():
            self._resolve(file_id, claim)

    def refuse(self, file_id: str, refusal: Refusal) -> None:
        """Add an error to the field that names a file."""
        self.errors.add(self._keys[file_id], refusal.message(self._actor.name_of(file_id)))

    def is_left_behind(self, file: FileRecord) -> bool:
        """Return whether a file leaves a resource that goes on naming it.

        CKAN 2.12 does not validate resources that have not changed, so no validator has seen
        that two resources name the file.
        """
        owner = file.owner
        if owner is None or owner.type != "resource" or owner == self.changes[file.id].owner:
            return False
        number = self._resource_numbers.get(owner.id)
        if number is None or self._keys[file.id][:2] == ("resources", number):
            return False
        return contains(self._result["resources"][number], file.id)

    @cached_property
    def _resource_numbers(self) -> dict[str, int]:
        ids = fields_at(self._result, ("resources", "id"))
        return {field.value: field.key[1] for field in ids if isinstance(field.value, str)}

    def _resolve(self, file_id: str, claim: Claim) -> None:
        arguments, key = claim.field.arguments, claim.field.key
        naming = self._fields.naming(file_id) or self._fields.containing(file_id, key)
        owners = {
            field.key: self._owner(arguments, field.key, is_shown=True)
            for field in self._newly_naming(naming, claim)
        } or {key: self._owner(arguments, key, is_shown=False)}
        self._keys[file_id], owner = list(owners.items())[-1]
        if len(owners) > 1:
            # the error belongs on a field whose owner does not have the file
            new = [key for key, owner in owners.items() if owner != claim.file.owner]
            self._keys[file_id] = (new or list(owners))[-1]
            self.refuse(file_id, Refusal.TWICE)
        elif owner is None:
            self.refuse(file_id, Refusal.NO_OWNER)
        else:
            self.changes[file_id] = OwnerChange(owner, arguments.pin)

    def _newly_naming(self, fields: list[ResultField], claim: Claim) -> list[ResultField]:
        """Leave out the fields that named the file before the request, without owning it."""
        if len(fields) < 2:
            return fields
        stored, arguments = claim.field.stored, claim.field.arguments
        return [
            field
            for field in fields
            if claim.file.owner == self._owner(arguments, field.key, is_shown=True)
            or not stored.count(field.key, claim.file.id, self._resource_id(field.key))
        ] or fields

    def _resource_id(self, key: FlattenKey) -> Any:
        return self._result["resources"][key[1]].get("id") if key[0] == "resources" else None

    def _owner(self, arguments: FieldArguments, key: FlattenKey, *, is_shown: bool) -> Owner | None:
        """Return the owner of the files of a field of the result.

        :param is_shown: whether the result has the field. CKAN's users do not show theirs: then
            the owner is what the result describes as a whole.
        """
        if is_shown:
            start = arguments.entity_key(key)
        elif arguments.owner_type == "resource":
            return None
        else:
            start = ()
        if (arguments, start) not in self._owners:
            entity = self._result
            for step in start:
                entity = entity[step]
            self._owners[arguments, start] = self._editable_owner(arguments, entity)
        return self._owners[arguments, start]

    def _editable_owner(self, arguments: FieldArguments, entity: Any) -> Owner | None:
        owner = arguments.owner(entity)
        if owner is None or arguments.id_field == "id":
            return owner
        editable = is_editable(model.Session(), owner, entity.get("id"), self._actor)
        return None if editable is False else owner
