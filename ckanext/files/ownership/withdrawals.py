"""Files that a save takes out of a field: kept, given back or deleted in the commit of the save.

Purpose: what the user has chosen for a file that no field names any more
(:mod:`.withdrawal_words`), or what the option ``ckanext.files.withdrawn`` says for files without
a word.

Guarantee: the save and all that was asked for become true together, or nothing does.

Refused, with an error on ``files_withdrawn``, or in a form on the field that had the file: a file
of another owner, one that a field still names, one that another user has put into another field
while the form was open, and what the user may not do with the file. Nothing that was asked for is
left out silently. The option asks for nothing: where the user may not do what it says, the file
stays.

These stay with their owner, whatever the option says:

- the files of a resource that the request removes, unless the request has words for them;
- a file that moves to another field of the same dataset, group, organization or user;
- a file that was in no field before;
- a file that the form which is saved did not have in its fields when it was opened, or that
  another field has now and did not have then (:mod:`.form_fields`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Action, Context

from ckanext.files import form_request
from ckanext.files.queue import current_queue
from ckanext.files.store import Owner, read_files

from .form_fields import FormFields
from .owners import find_owner, lock_for_update
from .policy import Actor
from .stored_fields import Place, StoredFields, stored_fields_of
from .values import is_id, texts
from .withdrawal_task import Withdrawals, WithdrawalTask
from .withdrawal_words import KEEP, WithdrawalWords

OPTION = "ckanext.files.withdrawn"
"""What happens to a file without a word."""


def withdraw_files(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    """Call an action that carries a task queue, and do what it says about withdrawn files.

    An action for a resource calls one for its dataset, which gets the words.
    """
    queue = current_queue()
    owner_type, _, verb = queue.action.rpartition("_")
    if owner_type == "resource":
        with form_request.saving_resource(data_dict):
            return next_action(context, data_dict)
    words = WithdrawalWords()
    data_dict = words.take_from(data_dict)
    words.check()
    is_compared = verb == "update" and _needs_stored_fields(words)
    owner = _updated(owner_type, data_dict) if is_compared else None
    withdrawals = _withdrawals(owner, data_dict, words)
    if withdrawals.asked or withdrawals.unworded:
        task = WithdrawalTask(owner_type, withdrawals, Actor(context))
        # queued before the action begins, so that its own commit waits for them
        queue.add(task)
        if owner and form_request.is_form():
            # the lock may have to wait for an update that moves files: read the fields again
            lock_for_update(model.Session(), owner)
            task.withdrawals = _withdrawals(owner, data_dict, words)
    return next_action(context, data_dict)


def _needs_stored_fields(words: WithdrawalWords) -> bool:
    """Return whether an option or a form asks for the fields as they were before the action."""
    return tk.config[OPTION] != KEEP or (form_request.is_form() and bool(words.asked))


def _withdrawals(
    owner: Owner | None, request: dict[str, Any], words: WithdrawalWords
) -> Withdrawals:
    """Compare a request with the stored fields.

    :param owner: what has the fields; None if they are not needed.
    """
    default = tk.config[OPTION]
    if owner is None:
        return Withdrawals(words.asked, {}, set(), default)
    stored = stored_fields_of(model.Session(), owner)
    form = FormFields(stored, owner) if form_request.is_form() else None
    left_out = _files_left_out(owner, stored, form, request) if default != KEEP else {}
    unworded = {id_: places for id_, places in left_out.items() if id_ not in words.by_file}
    moved = _moved_files(form, words.asked) if form else set()
    return Withdrawals(words.asked, unworded, moved, default)


def _updated(owner_type: str, request: dict[str, Any]) -> Owner | None:
    """Return what an action updates; None if it does not exist: the action reports it."""
    id_ = request.get("id") or request.get("name")
    return find_owner(model.Session(), owner_type, id_) if is_id(id_) else None


def _files_left_out(
    owner: Owner, stored: StoredFields, form: FormFields | None, request: dict[str, Any]
) -> dict[str, set[Place]]:
    """Return the files for which the option may have to do something.

    They belong to what the request updates, are in its stored fields, and not in the request.

    :returns: what has such a field, by the id of the file.
    """
    # the form of a resource sends that only: package_update gets the rest as it is stored
    sent_fields = form_request.resource() if form and form_request.resource() else request
    sent = set(texts(sent_fields))  # mostly all: then the save costs two queries more, and no lock
    ids = {id_: places for id_, places in stored.uuids().items() if id_ not in sent}
    if form:
        ids = {id_: places for id_, places in ids.items() if form.takes_out(id_)}
    owners = {owner, *(Owner(kind, str(id_)) for kind, id_ in stored.places)}
    files = read_files(model.Session(), ids).values()
    return {file.id: ids[file.id] for file in files if file.owner in owners}


def _moved_files(form: FormFields, asked: Iterable[str]) -> set[str]:
    """Return the files that a form takes out of a field, and that are in another one now."""
    of_fields = [id_ for id_ in asked if form_request.field_taking_out(id_) is not None]
    return {id_ for id_ in of_fields if form.has_moved(id_)}
