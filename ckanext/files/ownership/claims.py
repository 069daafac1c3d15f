"""What the validators of one action remember together.

A validator checks and records. It changes nothing, and locks nothing but the
dataset that is updated. When the action has succeeded, one task moves all files
that were recorded as moving.
"""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey

from ckanext.files.queue import TaskQueue, current_queue
from ckanext.files.store import FileRecord, Owner, read

from .claim import Claim
from .editor import Editor
from .field import Field
from .home import IN_DATASET, Home, lock_home
from .refusals import Refusal
from .rule import judge
from .task import OwnershipTransferTask
from .values import NoFileIdsError, file_ids

_KEY = "ckanext.files.claims"

#: Where an action keeps what it updates, by type of the owner.
_IN_CONTEXT = {
    "package": "package",
    "resource": "package",
    "group": "group",
    "organization": "group",
    "user": "user_obj",
}


class Claims:
    """The claims of one call of an action."""

    def __init__(self, queue: TaskQueue, context: Context) -> None:
        self._queue = queue
        self._session: Any = context.get("session") or model.Session
        self._editor = Editor(context)
        self._files: dict[str, FileRecord | None] = {}
        self._homes: dict[str | None, Home] = {}
        self._data: FlattenDataDict = {}
        self._places: dict[str, tuple[FlattenKey, int]] = {}
        self._moves: dict[str, Claim] = {}
        self._queued = False

    @classmethod
    def of_action(cls, context: Context) -> Claims:
        """Return those of the innermost action that carries a task queue.

        :raises OutOfQueueError: there is none.
        """
        queue = current_queue()
        if _KEY not in queue.memo:
            queue.memo[_KEY] = cls(queue, context)
        return queue.memo[_KEY]

    def claim(
        self, field: Field, key: FlattenKey, data: FlattenDataDict, context: Context
    ) -> FlattenErrorDict:
        """Check the files that a field names, and record that it names them.

        :returns: what is wrong, also with places that were claimed before: of
            two that name a file, the one is right to which it belongs.
        :raises NoFileIdsError: its value is nothing that names files.
        """
        ids = file_ids(data.get(key))
        home = self._home(field, data, context)
        self._load(ids, key, data)
        target = _target(field, key, data, context)
        # nobody has checked yet that a resource's id in the request is of this dataset
        known = None if field.id_field == "id" and field.entity_key(key) else target
        problems: FlattenErrorDict = {}
        for number, id_ in enumerate(ids):
            file, wrong = self._files[id_], key
            refusal = judge(file, known, home, self._editor.may_edit)
            first = self._places.setdefault(id_, (key, number))
            if not refusal and first != (key, number):
                refusal = Refusal.TWICE
                wrong = first[0] if file and file.owner and file.owner == target else key
            if refusal:
                problems.setdefault(wrong, []).append(refusal.of(id_))
            elif file:
                self._record(Claim(file, field, key, home), target)
        return problems

    def _load(self, ids: list[str], key: FlattenKey, data: FlattenDataDict) -> None:
        """Read these files, together with those that the field names elsewhere.

        A thousand resources with a file each are one query.
        """
        if data is not self._data:
            self._data, self._places = data, {}
        if all(id_ in self._files for id_ in ids):
            return
        unread = {*ids, *_siblings(key, data)}.difference(self._files)
        files = read(self._session, unread)
        self._files.update((id_, files.get(id_)) for id_ in unread)

    def _home(self, field: Field, data: FlattenDataDict, context: Context) -> Home:
        dataset_id = None
        if field.owner_type in IN_DATASET:
            dataset_id = _updated_id(field.owner_type, data, context)
        if dataset_id not in self._homes:
            if dataset_id:
                lock_home(self._session, dataset_id)
            self._homes[dataset_id] = Home(self._session, dataset_id)
        return self._homes[dataset_id]

    def _record(self, claim: Claim, target: Owner | None) -> None:
        file = claim.file
        if file.owner is not None and file.owner == target and (file.pinned or not claim.field.pin):
            self._moves.pop(file.id, None)
            return
        self._moves[file.id] = claim
        if not self._queued:
            self._queue.add(OwnershipTransferTask(self._queue.action, self._moves, self._editor))
            self._queued = True


def _siblings(key: FlattenKey, data: FlattenDataDict) -> set[str]:
    """Return the ids in all places of a request that differ only in their numbers."""
    names, length = key[::2], len(key)
    ids: set[str] = set()
    for other, value in data.items():
        if len(other) == length and other[::2] == names:
            try:
                ids.update(file_ids(value))
            except NoFileIdsError:
                continue  # the validator will get there
    return ids


def _target(field: Field, key: FlattenKey, data: FlattenDataDict, context: Context) -> Owner | None:
    """Return the new owner, as far as the request and the context tell."""
    start = field.entity_key(key)
    if field.id_field == "id" and not start:
        id_ = _updated_id(field.owner_type, data, context)
    else:
        # a field that the schema does not know is still among the rest
        rest: Any = data.get((*start, "__extras")) or {}
        id_ = data.get((*start, field.id_field), rest.get(field.id_field))
    return Owner(field.owner_type, id_) if isinstance(id_, str) and id_ else None


def _updated_id(owner_type: str, data: FlattenDataDict, context: Context) -> str | None:
    """Return the id of what the action updates; None on create.

    The request may name it by its name. A context that somebody has used
    before may still hold something else.
    """
    entity: Any = context.get(_IN_CONTEXT.get(owner_type, ""))
    if entity is None or data.get(("id",)) not in (entity.id, entity.name):
        return None
    return entity.id
