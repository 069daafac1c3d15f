"""Where the files that an action has claimed arrive in its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckan.types import FlattenKey

from ckanext.files.store import FileRecord, Owner

from .claim import Claim
from .field import Field
from .places import Places, mentions
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
        if file.owner is None or file.owner.type != "resource":
            return False
        if file.owner == self.wishes[file.id].owner:
            return False
        resources = self._result.get("resources") if isinstance(self._result, dict) else None
        return any(
            resource.get("id") == file.owner.id
            and self._keys[file.id][:2] != ("resources", number)
            and mentions(resource, file.id)
            for number, resource in enumerate(resources or [])
        )

    def _find(self, file_id: str, claim: Claim) -> None:
        places = self._places.naming(file_id) or self._places.mentioning(file_id, claim.key)
        keys = [place.key for place in places]
        # one of two places may be where the file has been all the time
        new = [key for key in keys if self._owner(claim.field, key) != claim.file.owner]
        self._keys[file_id] = (new or keys or [claim.key])[-1]
        if len(keys) > 1:
            self.refuse(file_id, Refusal.TWICE)
            return
        owner = self._owner(claim.field, keys[0] if keys else None)
        if owner is None:
            self.refuse(file_id, Refusal.NO_OWNER)
        else:
            self.wishes[file_id] = Wish(owner, claim.field.pin)

    def _owner(self, field: Field, key: FlattenKey | None) -> Owner | None:
        """Return the owner that a field at this place of the result stands for.

        :param key: None if the result does not show the field, as with CKAN's
            users: what the whole result describes can still be the owner.
        """
        start = field.entity_key(key) if key else ()
        if key is None and field.owner_type == "resource":
            return None
        entity = self._result
        for step in start:
            entity = entity[step]
        return field.owner(entity)
