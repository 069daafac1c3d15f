"""Transfer any number of files, each to an owner of its own, as one step of a transaction.

The transfer checks the policy, locks the rows and changes the owners. It neither commits nor
rolls back: the action that calls it does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ckan import model
from sqlalchemy.orm import Session

from ckanext.files.errors import FilesError
from ckanext.files.store import FileRecord, OwnerChange, change_owners, read_files

from .owners import IN_DATASET, lock_owner, missing, scope_of
from .policy import Actor, Refusal, refusal_for
from .request_fields import Claim
from .resolved_owners import ResolvedOwners
from .results import completed
from .values import is_uuid

RefusalOf = Callable[[str, FileRecord | None], Refusal | None]
"""Called with the id and the record of a file, returns why the file may not move."""


class TransferRefusedError(FilesError):
    """Some of the files may not go to the new owner. The caller has to roll back."""

    def __init__(self, refusals: Mapping[str, Refusal]) -> None:
        super().__init__("; ".join(refusal.message(id_) for id_, refusal in refusals.items()))
        self.refusals = refusals


def transfer_together(
    session: Session,
    files: Mapping[str, FileRecord],
    changes: Mapping[str, OwnerChange],
    refusal_of: RefusalOf,
    actor: str,
    *,
    force: bool = False,
) -> list[str]:
    """Change the owners of all files, or raise and leave the transaction to be rolled back.

    The policy is checked with the records. A file that has changed since they were read is
    locked, read and checked again: then no other transaction can change it any more.

    :param files: records of the files that exist, by id.
    :param changes: the new owners, by id of the file. A pinned file stays pinned unless the
        transfer is forced.
    :param force: unpin files, unless the change pins them to the new owner.
    :returns: the ids of the files that have another owner now.
    :raises TransferRefusedError: at least one of the files may not move.
    """
    refusals = {id_: reason for id_ in changes if (reason := refusal_of(id_, files.get(id_)))}
    if refusals:
        raise TransferRefusedError(refusals)
    wanted = {
        id_: OwnerChange(change.owner, change.pinned or (files[id_].pinned and not force))
        for id_, change in changes.items()
    }
    wanted = {id_: change for id_, change in wanted.items() if files[id_] != (id_, *change)}
    lost = change_owners(session, files, wanted, actor) if wanted else set()
    moved = [
        id_
        for id_, change in wanted.items()
        if change.owner != files[id_].owner and id_ not in lost
    ]
    if not lost:
        return moved
    if taken := [id_ for id_ in lost if not files[id_].owner]:
        raise TransferRefusedError(dict.fromkeys(taken, Refusal.TAKEN))
    again = {id_: changes[id_] for id_ in lost}
    now = read_files(session, lost)
    return moved + transfer_together(session, now, again, refusal_of, actor, force=force)


def transfer(
    session: Session,
    file_ids: Collection[str],
    change: OwnerChange,
    actor: str,
    *,
    may_edit: Callable[[FileRecord], bool] = lambda _: True,
    force: bool = False,
) -> list[str]:
    """Transfer files to one owner, whose real id is needed, not its name.

    :param actor: name of the user for the files' history.
    :param may_edit: returns whether the user may edit a file; by default the caller has checked.
    :param force: move files also if they are pinned, and unpin them unless the change pins them
        to the new owner.
    :returns: the ids of the files that have another owner now.
    :raises TransferRefusedError: a file does not exist, may not be edited, or is pinned. The
        caller has to roll back.
    """
    scope = scope_of(session, change.owner)

    def refusal_of(_: str, file: FileRecord | None) -> Refusal | None:
        return refusal_for(file, change.owner, scope, may_edit, force=force)

    files, changes = read_files(session, file_ids), dict.fromkeys(file_ids, change)
    return transfer_together(session, files, changes, refusal_of, actor, force=force)


class OwnershipTransferTask:
    """The queued task that transfers all files that an action has claimed.

    It runs inside the action after the action succeeded. A refused file is an error of the
    field that named it, and undoes the action.
    """

    def __init__(self, action: str, claims: Mapping[str, Claim], actor: Actor) -> None:
        self._action = action
        self._claims = claims
        self._actor = actor

    def __call__(self, result: Any, idx: int, prev: Any) -> list[str]:
        """Return the ids of the files that have another owner now."""
        result = completed(result, self._action, self._actor.name)
        resolved = ResolvedOwners(result, self._claims, self._actor)
        self._lock_owners(resolved)
        resolved.errors.check()

        def refusal_of(file_id: str, file: FileRecord | None) -> Refusal | None:
            owner, scope = resolved.changes[file_id].owner, self._claims[file_id].field.scope
            refusal = refusal_for(file, owner, scope, self._actor.may_edit)
            if refusal is None and file is not None and resolved.is_left_behind(file):
                return Refusal.TWICE
            return refusal

        files = {file_id: claim.file for file_id, claim in self._claims.items()}
        try:
            return transfer_together(
                model.Session(), files, resolved.changes, refusal_of, self._actor.name
            )
        except TransferRefusedError as error:
            for file_id, refusal in error.refusals.items():
                resolved.refuse(file_id, refusal)
            resolved.errors.check()
            raise

    def _lock_owners(self, resolved: ResolvedOwners) -> None:
        """Lock the new owners that are no part of a dataset, and refuse those that are missing.

        The validator has locked the dataset, unless the action has created it. An owner is
        missing where a schema has the validator for another type of owner than it describes.
        """
        session = model.Session()
        owners = sorted({change.owner for change in resolved.changes.values()})
        locked = {claim.field.scope.dataset for claim in self._claims.values()}
        within = [owner for owner in owners if owner.type in IN_DATASET and owner not in locked]
        outside = [owner for owner in owners if owner.type not in IN_DATASET]
        absent = missing(session, within)
        absent |= {owner for owner in outside if not lock_owner(session, owner)}
        for file_id, change in resolved.changes.items():
            # another field than id may hold a name
            by_id = self._claims[file_id].field.arguments.id_field == "id"
            if change.owner in absent and (by_id or is_uuid(change.owner.id)):
                resolved.refuse(file_id, Refusal.NO_OWNER)
