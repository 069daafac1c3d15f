"""The task that gives the files of one action to their new owners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckan import model

from ckanext.files.store import FileRecord

from .claim import Claim
from .dataset_scope import IN_DATASET
from .editor import Editor
from .owners import lock_owner, missing
from .policy import judge
from .refusals import Refusal
from .resolved_owners import ResolvedOwners
from .results import completed
from .transfer import TransferRefusedError, transfer_together
from .values import is_uuid


class OwnershipTransferTask:
    """Moves all files that an action has claimed, together.

    Runs inside the action after it succeeded. Whatever it finds wrong is an
    error of the field that named the file, and undoes the action.
    """

    def __init__(self, action: str, claims: Mapping[str, Claim], editor: Editor) -> None:
        self._action = action
        self._claims = claims
        self._editor = editor

    def __call__(self, result: Any, idx: int, prev: Any) -> list[str]:
        """Return the ids of the files that have another owner now."""
        result = completed(result, self._action, self._editor.name)
        arrivals = ResolvedOwners(result, self._claims, self._editor)
        self._lock_owners(arrivals)
        arrivals.problems.check()

        def judge_file(file_id: str, file: FileRecord | None) -> Refusal | None:
            target, home = arrivals.wishes[file_id].owner, self._claims[file_id].place.home
            refusal = judge(file, target, home, self._editor.may_edit)
            if refusal is None and file is not None and arrivals.is_left_behind(file):
                return Refusal.TWICE
            return refusal

        files = {file_id: claim.file for file_id, claim in self._claims.items()}
        try:
            return transfer_together(
                model.Session(), arrivals.wishes, files, judge_file, self._editor.name
            )
        except TransferRefusedError as error:
            for file_id, refusal in error.refusals.items():
                arrivals.refuse(file_id, refusal)
            arrivals.problems.check()
            raise

    def _lock_owners(self, arrivals: ResolvedOwners) -> None:
        """Lock what is no part of a dataset: a validator has locked that, or it is new.

        A schema may have the validator for another type of owner. Then there is
        no owner of that type with this id.
        """
        owners = sorted({wish.owner for wish in arrivals.wishes.values()})
        locked = {claim.place.home.dataset for claim in self._claims.values()}
        within = [owner for owner in owners if owner.type in IN_DATASET and owner not in locked]
        gone = missing(model.Session(), within) | {
            owner
            for owner in owners
            if owner.type not in IN_DATASET and not lock_owner(model.Session(), owner)
        }
        for file_id, wish in arrivals.wishes.items():
            # another field than id may hold a name
            is_id = self._claims[file_id].place.field.id_field == "id" or is_uuid(wish.owner.id)
            if wish.owner in gone and is_id:
                arrivals.refuse(file_id, Refusal.NO_OWNER)
