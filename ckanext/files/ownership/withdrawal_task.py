"""The queued task that gives back or deletes the files that a save has taken out of its fields.

For the rules see :mod:`.withdrawals`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from functools import partial
from typing import Any, NamedTuple

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Context
from sqlalchemy.orm import Session

from ckanext.files import form_request
from ckanext.files.error_texts import text_of
from ckanext.files.queue import add_task, current_queue
from ckanext.files.store import (
    FileAccess,
    FileRecord,
    Owner,
    OwnerChange,
    describe_files,
    load_files,
    lock_owners_of,
    read_files,
)

from .claims import claimed_ids
from .owners import DatasetScope, lock_for_update, lock_owner
from .policy import Actor
from .results import FieldErrors
from .stored_fields import Place, stored_fields_of
from .transfer import transfer
from .withdrawal_words import DELETE, GIVE_BACK, Withdrawal

log = logging.getLogger(__name__)


class Withdrawals(NamedTuple):
    """What may have to be done after a save."""

    asked: Mapping[str, Withdrawal]
    """By the id of the file; without those that stay."""

    unworded: Mapping[str, set[Place]]
    """Files that fields named before the save, with what has these fields."""

    moved: Set[str]
    """Files that came into another field while the form was open that takes them out."""

    default: str
    """What happens to a file of ``unworded`` that no field names any more."""

    def file_ids(self) -> set[str]:
        """Return the ids of all files."""
        return {*self.asked, *self.unworded}


class WithdrawalTask:
    """Locks the files, and queues what is to be done with them behind the transfer.

    Runs first in the queue: so the files that the action withdraws and those that it claims are
    locked in one order.
    """

    def __init__(self, owner_type: str, withdrawals: Withdrawals, actor: Actor) -> None:
        self._owner_type = owner_type
        self.withdrawals = withdrawals
        self._actor = actor

    def __call__(self, result: Any, idx: int, prev: Any) -> None:
        session = model.Session()
        session.flush()
        owner = Owner(self._owner_type, result if isinstance(result, str) else result["id"])
        if owner.type == "package":
            # an update that goes on naming a file waits here, as this one waits for such an update
            lock_for_update(session, owner)
        if self._actor.as_owner:
            lock_owner(session, self._actor.as_owner)
        lock_owners_of(session, self.withdrawals.file_ids() | claimed_ids(current_queue()))
        add_task(partial(self._withdraw, owner))

    def _withdraw(self, owner: Owner, result: Any, idx: int, prev: Any) -> None:
        saved = _Saved(model.Session(), owner, self.withdrawals.file_ids())
        self._do_what_was_asked(saved)
        without_word = [
            id_
            for id_, places in self.withdrawals.unworded.items()
            if saved.owns(id_) and not saved.mentions(id_) and saved.has_one_of(places)
        ]
        for sentence in self._do(self.withdrawals.default, without_word).values():
            log.info("%s, so it stays", sentence)

    def _do_what_was_asked(self, saved: _Saved) -> None:
        asked, errors = self.withdrawals.asked, FieldErrors()
        refused = {id_: word for id_ in asked if (word := self._refusal(saved, id_))}
        for then in (GIVE_BACK, DELETE):
            ids = [id_ for id_, word in asked.items() if word.then == then and saved.owns(id_)]
            refused |= self._do(then, [id_ for id_ in ids if id_ not in refused])
        for id_, sentence in refused.items():
            errors.add(asked[id_].key, sentence)
        errors.check()

    def _refusal(self, saved: _Saved, file_id: str) -> str | None:
        if saved.owns(file_id):
            return self._refusal_of_owned(saved, file_id)
        if self._is_back_already(saved, file_id):
            return None
        if form_request.is_form() and not self._actor.sees(file_id):
            return tk._(
                "A file that you have detached here was deleted meanwhile, or belongs to something"
                " else. Save again to go on without it"
            )
        sentence = tk._("File {file} does not belong here. It may have been withdrawn meanwhile")
        return sentence.format(file=self._actor.name_among_several(file_id))

    def _refusal_of_owned(self, saved: _Saved, file_id: str) -> str | None:
        if file_id in self.withdrawals.moved:
            sentence = tk._(
                "File {file} is now in another field. Open the form again before you detach it"
            )
            return sentence.format(file=self._actor.name_among_several(file_id))
        if saved.mentions(file_id):
            sentence = tk._("File {file} is still in use here. Take it out of: {fields}")
            file, fields = self._actor.name_among_several(file_id), saved.fields_with(file_id)
            return sentence.format(file=file, fields=fields)
        return None

    def _is_back_already(self, saved: _Saved, file_id: str) -> bool:
        """Return whether the user has the file: a form that is sent twice is no error."""
        user = self._actor.as_owner
        is_asked = self.withdrawals.asked[file_id].then == GIVE_BACK
        return is_asked and user is not None and saved.is_owned_by(user, file_id)

    def _do(self, then: str, file_ids: list[str]) -> dict[str, str]:
        """Do it with those files with which the user may; return why not with the others."""
        if not file_ids:
            return {}
        return self._give_back(file_ids) if then == GIVE_BACK else self._delete(file_ids)

    def _give_back(self, file_ids: list[str]) -> dict[str, str]:
        user = self._actor.as_owner
        if user is None:
            sentence = tk._("File {file} can only be given back to a user")
            return {
                id_: sentence.format(file=self._actor.name_among_several(id_)) for id_ in file_ids
            }
        request = {"owner_type": user.type, "owner_id": user.id, "force": True}
        access = FileAccess(["files_transfer_ownership"], self._actor.context, request)
        files = describe_files(model.Session(), file_ids)
        allowed = [id_ for id_, file in files.items() if access.allows(file)]
        to_user = OwnerChange(user, pinned=False)
        transfer(model.Session(), allowed, to_user, self._actor.name, force=True)
        sentence = tk._("You are not allowed to take back file {file}")
        refused = [id_ for id_ in file_ids if id_ not in allowed]
        return {id_: sentence.format(file=self._actor.name_among_several(id_)) for id_ in refused}

    def _delete(self, file_ids: list[str]) -> dict[str, str]:
        files = load_files(model.Session(), file_ids)  # with one query
        sentences = {file.id: self._deletion_error(file.id) for file in files}
        return {id_: sentence for id_, sentence in sentences.items() if sentence}

    def _deletion_error(self, file_id: str) -> str | None:
        """Delete a file; return why it was not deleted, if it was not."""
        context: Context = {**tk.fresh_context(self._actor.context), "defer_commit": True}
        try:
            tk.get_action("file_delete")(context, {"id": file_id})
        except (tk.NotAuthorized, tk.ObjectNotFound):
            sentence, reason = tk._("You are not allowed to delete file {file}"), ""
        except tk.ValidationError as error:
            sentence, reason = tk._("File {file} cannot be deleted: {reason}"), text_of(error)
        else:
            return None
        return sentence.format(file=self._actor.name_among_several(file_id), reason=reason)


class _Saved:
    """What an action has saved, within its transaction."""

    def __init__(self, session: Session, owner: Owner, file_ids: set[str]) -> None:
        self._owner = owner
        self._dataset = DatasetScope(session, owner.id if owner.type == "package" else None)
        self._fields = stored_fields_of(session, owner)
        self._files: Mapping[str, FileRecord] = read_files(session, file_ids)

    def owns(self, file_id: str) -> bool:
        """Return whether a file belongs to it, or to a resource of it, removed ones included."""
        owner = self._owner_of(file_id)
        if owner is None:
            return False
        return owner == self._owner or self._dataset.includes_removed(owner)

    def is_owned_by(self, owner: Owner, file_id: str) -> bool:
        """Return whether a file belongs to another owner, which is this one."""
        return self._owner_of(file_id) == owner

    def mentions(self, file_id: str) -> bool:
        """Return whether a field names a file, or has a text with its id, such as a link."""
        return self._fields.mention(file_id)

    def fields_with(self, file_id: str) -> str:
        """Return the names of the fields that mention a file."""
        return ", ".join(" / ".join(names) for names in self._fields.mentioning(file_id))

    def has_one_of(self, places: set[Place]) -> bool:
        """Return whether one of these still exists."""
        return not places.isdisjoint(self._fields.places)

    def _owner_of(self, file_id: str) -> Owner | None:
        file = self._files.get(file_id)
        return file.owner if file else None
