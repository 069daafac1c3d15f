"""What the validators of one action remember together.

A validator checks and records. It changes nothing, and locks nothing but the
dataset that is updated. When the action has succeeded, one task moves all files
that were recorded as moving.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ckan import model
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey

from ckanext.files.queue import TaskQueue, current_queue
from ckanext.files.store import FileRecord, Owner, read

from .claim import Claim, Mention, Place
from .dataset_scope import IN_DATASET, DatasetScope, lock_dataset
from .editor import Editor
from .field import Field
from .owners import is_editable
from .policy import judge
from .refusals import Refusal
from .stored_fields import KINDS, StoredFields
from .task import OwnershipTransferTask
from .used_ids import sent_ids
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
        self._homes: dict[str | None, DatasetScope] = {}
        self._data: FlattenDataDict = {}
        self._befores: dict[tuple[str, str | None], StoredFields] = {}
        self._mentions: dict[str, Mention] = {}
        self._counts: Counter[Any] = Counter()
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
        :raises NoFileIdsError: its value is nothing that names files, and is new.
        """
        place = self._place(field, key, data, context)
        try:
            ids = file_ids(data.get(key))
        except NoFileIdsError:
            if place.is_unchanged(data.get(key)):
                return {}
            raise
        self._load(ids, key, data)
        problems: FlattenErrorDict = {}
        for id_ in ids:
            for wrong, refusal in self._claim(place, id_):
                problems.setdefault(wrong, []).append(refusal.of(id_))
        return problems

    def _claim(self, place: Place, id_: str) -> Iterator[tuple[FlattenKey, Refusal]]:
        file, mention = self._files[id_], self._mention(place, id_)
        is_there = self._is_there(place, file)
        if not is_there and mention.is_unchanged(file):
            return  # it claims nothing
        first = self._mentions.setdefault(id_, mention)
        refusal = None if is_there else judge(file, None, place.home, self._editor.may_edit)
        if refusal:
            yield place.key, refusal
        elif first is not mention:
            if not (first.is_unchanged(file) and mention.is_unchanged(file)):
                is_ours = file is not None and file.owner and file.owner == place.target
                yield (first.place.key if is_ours else place.key), Refusal.TWICE
        elif file:
            self._record(file, place)

    def _place(
        self, field: Field, key: FlattenKey, data: FlattenDataDict, context: Context
    ) -> Place:
        resource_id: Any = data.get((*key[:2], "id")) if key[0] == "resources" else None
        return Place(
            field,
            key,
            _target(field, key, data, context),
            resource_id if isinstance(resource_id, str) else None,
            self._home(field, data, context),
            self._before(data, context),
        )

    def _mention(self, place: Place, id_: str) -> Mention:
        where = (place.key[::2], place.resource_id, id_)
        self._counts[where] += 1
        return Mention(id_, place, self._counts[where])

    def _is_there(self, place: Place, file: FileRecord | None) -> bool:
        """Tell whether the file belongs to what the request edits, at this place."""
        target = place.target
        if file is None or target is None or file.owner != target:
            return False
        if place.field.id_field != "id":
            return bool(is_editable(self._session, target, place.before.id, self._editor))
        # nobody has checked yet that a resource's id in the request is of this dataset
        return place.resource_id is None or place.home.had(target)

    def _load(self, ids: list[str], key: FlattenKey, data: FlattenDataDict) -> None:
        """Read these files, together with those that the field names elsewhere.

        A thousand resources with a file each are one query.
        """
        if data is not self._data:
            self._data, self._mentions = data, {}
            self._counts.clear()
        if all(id_ in self._files for id_ in ids):
            return
        unread = {*ids, *_siblings(key, data)}.difference(self._files)
        files = read(self._session, unread)
        self._files.update((id_, files.get(id_)) for id_ in unread)

    def _home(self, field: Field, data: FlattenDataDict, context: Context) -> DatasetScope:
        dataset_id = None
        if field.owner_type in IN_DATASET:
            dataset_id = _updated_id(field.owner_type, data, context)
        if dataset_id not in self._homes:
            if dataset_id:
                lock_dataset(self._session, dataset_id)
            self._homes[dataset_id] = DatasetScope(self._session, dataset_id)
        return self._homes[dataset_id]

    def _before(self, data: FlattenDataDict, context: Context) -> StoredFields:
        ids = ((kind, _updated_id(kind, data, context)) for kind in KINDS)
        which = next((found for found in ids if found[1]), ("", None))
        if which not in self._befores:
            self._befores[which] = StoredFields(self._session, *which, sent_ids(self._queue))
        return self._befores[which]

    def _record(self, file: FileRecord, place: Place) -> None:
        field, target = place.field, place.target
        if file.owner is not None and file.owner == target and (file.pinned or not field.pin):
            self._moves.pop(file.id, None)
            return
        self._moves[file.id] = Claim(file, place)
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
