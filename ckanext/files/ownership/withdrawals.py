"""Files that a save takes out of a field: kept, given back or deleted in the commit of the save.

Purpose: what the user has chosen for a file that no field names any more
(:mod:`.withdrawal_words`), or what the option ``ckanext.files.withdrawn`` says for files without
a word.

Guarantee: the save and all that was asked for become true together, or nothing does.

Refused, with an error on ``files_withdrawn``: a file of another owner, one that a field still
names, and what the user may not do with the file. Nothing that was asked for is left out silently.
The option asks for nothing: where the user may not do what it says, the file stays.

These stay with their owner, whatever the option says:

- the files of a resource that the request removes, unless the request has words for them;
- a file that moves to another field of the same dataset, group, organization or user;
- a file that was in no field before.
"""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Action, Context

from ckanext.files.queue import current_queue
from ckanext.files.store import Owner, read_files

from .owners import find_owner
from .policy import Actor
from .stored_fields import Place, stored_fields_of
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
        return next_action(context, data_dict)
    words = WithdrawalWords()
    data_dict = words.take_from(data_dict)
    words.check()
    left_out = _files_left_out(owner_type, data_dict) if verb == "update" else {}
    withdrawals = Withdrawals(
        asked={id_: word for id_, word in words.by_file.items() if word.then != KEEP},
        unworded={id_: places for id_, places in left_out.items() if id_ not in words.by_file},
        default=tk.config[OPTION],
    )
    if withdrawals.asked or withdrawals.unworded:
        # queued before the action begins, so that its own commit waits for them
        queue.add(WithdrawalTask(owner_type, withdrawals, Actor(context)))
    return next_action(context, data_dict)


def _files_left_out(owner_type: str, request: dict[str, Any]) -> dict[str, set[Place]]:
    """Return the files for which the option may have to do something.

    They belong to what the request updates, are in its stored fields, and not in the request.

    :returns: what has such a field, by the id of the file.
    """
    id_ = request.get("id") or request.get("name")
    if tk.config[OPTION] == KEEP or not is_id(id_):
        return {}
    session = model.Session()
    owner = find_owner(session, owner_type, id_)
    if owner is None:
        return {}  # the action reports it
    stored = stored_fields_of(session, owner)
    sent = set(texts(request))  # mostly all: then the save costs two queries more, and no lock
    ids = {id_: places for id_, places in stored.uuids().items() if id_ not in sent}
    owners = {owner, *(Owner(kind, str(id_)) for kind, id_ in stored.places)}
    files = read_files(session, ids).values()
    return {file.id: ids[file.id] for file in files if file.owner in owners}
