"""Where the files that an action has claimed arrive in its result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ckan.types import FlattenKey

from ckanext.files.store import FileRecord, Owner

from .claim import Claim
from .field import Field
from .places import Places, mentions, walk
from .problems import Problems
from .refusals import Refusal
from .transfer import Wish


class Arrivals:
    """The new owner of each claimed file, or what is wrong with the field."""

    def __init__(self, result: Any, claims: Mapping[str, Claim]) -> None:
        self.wishes: dict[str, Wish] = {}
        self.problems = Problems()
        self._result = result
        self._places = Places(result, (claim.key for claim in claims.values()))
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
        places = self._places.naming(file_id) or self._places.mentioning(file_id, claim.key)
        keys = [place.key for place in places] or [claim.key]
        owners = [self._owner(claim.field, key, is_shown=bool(places)) for key in keys]
        owner = owners[-1]
        self._keys[file_id] = keys[-1]
        if len(keys) > 1:
            # one of them may be where the file has been all the time
            new = [k for k, o in zip(keys, owners, strict=True) if o != claim.file.owner]
            self._keys[file_id] = (new or keys)[-1]
            self.refuse(file_id, Refusal.TWICE)
        elif owner is None:
            self.refuse(file_id, Refusal.NO_OWNER)
        else:
            self.wishes[file_id] = Wish(owner, claim.field.pin)

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
            self._owners[field, start] = field.owner(entity)
        return self._owners[field, start]
