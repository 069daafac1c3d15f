"""Where the files that an action has claimed arrive in its result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ckan import model
from ckan.types import FlattenKey

from ckanext.files.store import FileRecord, Owner

from .claim import Claim
from .editor import Editor
from .field import Field
from .owners import is_editable
from .places import Place, Places, mentions, walk
from .problems import Problems
from .refusals import Refusal
from .transfer import Wish


class ResolvedOwners:
    """The new owner of each claimed file, or what is wrong with the field."""

    def __init__(self, result: Any, claims: Mapping[str, Claim], editor: Editor) -> None:
        self.wishes: dict[str, Wish] = {}
        self.problems = Problems()
        self._result = result
        self._editor = editor
        self._places = Places(result, (claim.place.key for claim in claims.values()))
        self._keys: dict[str, FlattenKey] = {}
        self._owners: dict[tuple[Field, FlattenKey], Owner | None] = {}
        for file_id, claim in claims.items():
            self._find(file_id, claim)

    def refuse(self, file_id: str, refusal: Refusal) -> None:
        """Say that a file does not move, at the place that names it."""
        self.problems.add(self._keys[file_id], refusal.of(file_id))

    def is_left_behind(self, file: FileRecord) -> bool:
        """Tell whether a file leaves a resource that goes on naming it.

        CKAN 2.12 does not validate resources that have not changed, so no
        validator has seen that two places name the file.
        """
        owner = file.owner
        if owner is None or owner.type != "resource" or owner == self.wishes[file.id].owner:
            return False
        number = self._resource_numbers.get(owner.id)
        if number is None or self._keys[file.id][:2] == ("resources", number):
            return False
        return mentions(self._result["resources"][number], file.id)

    @cached_property
    def _resource_numbers(self) -> dict[str, int]:
        ids = walk(self._result, ("resources", "id"))
        return {place.value: place.key[1] for place in ids if isinstance(place.value, str)}

    def _find(self, file_id: str, claim: Claim) -> None:
        field, key = claim.place.field, claim.place.key
        places = self._places.naming(file_id) or self._places.mentioning(file_id, key)
        owners = {
            place.key: self._owner(field, place.key, is_shown=True)
            for place in self._named_anew(places, claim)
        } or {key: self._owner(field, key, is_shown=False)}
        self._keys[file_id], owner = list(owners.items())[-1]
        if len(owners) > 1:
            # one of them may be where the file has been all the time
            new = [key for key, owner in owners.items() if owner != claim.file.owner]
            self._keys[file_id] = (new or list(owners))[-1]
            self.refuse(file_id, Refusal.TWICE)
        elif owner is None:
            self.refuse(file_id, Refusal.NO_OWNER)
        else:
            self.wishes[file_id] = Wish(owner, field.pin)

    def _named_anew(self, places: list[Place], claim: Claim) -> list[Place]:
        """Leave out the places that have named the file before, without owning it."""
        if len(places) < 2:
            return places
        before, field, owner = claim.place.before, claim.place.field, claim.file.owner
        return [
            place
            for place in places
            if owner == self._owner(field, place.key, is_shown=True)
            or not before.count(place.key, claim.file.id, self._resource_id(place.key))
        ] or places

    def _resource_id(self, key: FlattenKey) -> Any:
        return self._result["resources"][key[1]].get("id") if key[0] == "resources" else None

    def _owner(self, field: Field, key: FlattenKey, *, is_shown: bool) -> Owner | None:
        """Return the owner that a field at this place of the result stands for.

        A result need not show the field, as with CKAN's users: what it
        describes as a whole can still be the owner.
        """
        if is_shown:
            start = field.entity_key(key)
        elif field.owner_type == "resource":
            return None
        else:
            start = ()
        if (field, start) not in self._owners:
            entity = self._result
            for step in start:
                entity = entity[step]
            self._owners[field, start] = self._checked(field, entity)
        return self._owners[field, start]

    def _checked(self, field: Field, entity: Any) -> Owner | None:
        owner = field.owner(entity)
        if owner is None or field.id_field == "id":
            return owner
        editable = is_editable(model.Session(), owner, entity.get("id"), self._editor)
        return None if editable is False else owner
