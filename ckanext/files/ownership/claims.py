"""The files that the validators of one action have claimed.

A validator checks and records. It changes nothing, and locks nothing but the dataset that the
action updates. After the action succeeded, one queued task transfers all claimed files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckan import model
from ckan.types import Context, FlattenDataDict, FlattenErrorDict, FlattenKey

from ckanext.files.queue import TaskQueue, current_queue
from ckanext.files.store import FileRecord, Owner, read_files

from .field_arguments import FieldArguments
from .owners import IN_DATASET, DatasetScope, is_editable, lock_for_update
from .policy import Actor, Refusal, refusal_for
from .request_fields import Claim, Mentions, RequestField, new_owner, updated_id
from .stored_fields import KINDS, StoredFields
from .transfer import OwnershipTransferTask
from .used_ids import sent_ids
from .values import NoFileIdsError, file_ids, names_of

_KEY = "ckanext.files.claims"


class Claims:
    """The claims of one call of an action."""

    def __init__(self, queue: TaskQueue, context: Context) -> None:
        self._queue = queue
        self._session: Any = context.get("session") or model.Session
        self._actor = Actor(context)
        self._files: dict[str, FileRecord | None] = {}
        self._scopes: dict[str | None, DatasetScope] = {}
        self._stored: dict[tuple[str, str | None], StoredFields] = {}
        self._mentions: dict[int, tuple[object, Mentions]] = {}
        self._moving: dict[str, Claim] = {}
        self._queued = False

    @classmethod
    def of_action(cls, context: Context) -> Claims:
        """Return the claims of the innermost action that carries a task queue.

        :raises OutOfQueueError: there is no such action.
        """
        queue = current_queue()
        if _KEY not in queue.memo:
            queue.memo[_KEY] = cls(queue, context)
        return queue.memo[_KEY]

    @property
    def moving_ids(self) -> set[str]:
        """The ids of the files that have to move."""
        return set(self._moving)

    def claim(
        self, arguments: FieldArguments, key: FlattenKey, data: FlattenDataDict, context: Context
    ) -> FlattenErrorDict:
        """Check the files that a field names, and record those that have to move.

        :returns: errors by field. When two fields name one file, the error is on the field
            whose owner does not have the file, which may be one that was checked before.
        :raises NoFileIdsError: the value names no files, and is new.
        """
        field = self._field(arguments, key, data, context)
        try:
            ids = file_ids(data.get(key))
        except NoFileIdsError:
            if field.is_unchanged(data.get(key)):
                return {}
            raise
        self._load(ids, key, data)
        mentions = self._mentions_of(data, context)
        errors: FlattenErrorDict = {}
        for id_ in ids:
            for wrong, refusal in self._claim(field, id_, mentions):
                errors.setdefault(wrong, []).append(refusal.message(self._actor.name_of(id_)))
        return errors

    def _claim(
        self, field: RequestField, id_: str, mentions: Mentions
    ) -> Iterator[tuple[FlattenKey, Refusal]]:
        file, mention = self._files[id_], mentions.add(id_, field)
        is_there = self._is_there(field, file)
        if not is_there and mention.is_unchanged(file):
            return
        first = mentions.first(mention)
        refusal = None if is_there else refusal_for(file, None, field.scope, self._actor.may_edit)
        if refusal:
            yield field.key, refusal
        elif first is not mention:
            if not (first.is_unchanged(file) and mention.is_unchanged(file)):
                belongs_here = file is not None and file.owner and file.owner == field.new_owner
                yield (first.field.key if belongs_here else field.key), Refusal.TWICE
        elif file:
            self._record(file, field)

    def _mentions_of(self, data: FlattenDataDict, context: Context) -> Mentions:
        """Return the mentions of one validation.

        CKAN makes a list of the schema's keys for each call of ``validate``. Unlike the context
        a validator finds the same one in each copy, and unlike the flattened data it is small:
        the claims keep it as long as the action runs. An action that calls a validator by
        itself has no such list.
        """
        validation: object = context.get("schema_keys", data)
        if id(validation) not in self._mentions:
            self._mentions[id(validation)] = validation, Mentions()
        return self._mentions[id(validation)][1]

    def _field(
        self, arguments: FieldArguments, key: FlattenKey, data: FlattenDataDict, context: Context
    ) -> RequestField:
        resource_id: Any = data.get((*key[:2], "id")) if key[0] == "resources" else None
        return RequestField(
            arguments,
            key,
            new_owner(arguments, key, data, context),
            resource_id if isinstance(resource_id, str) else None,
            self._scope(arguments, data, context),
            self._stored_fields(data, context),
        )

    def _is_there(self, field: RequestField, file: FileRecord | None) -> bool:
        """Return whether the file belongs to the owner of this field, and the user may edit it."""
        owner = field.new_owner
        if file is None or owner is None or file.owner != owner:
            return False
        if field.arguments.id_field != "id":
            return bool(is_editable(self._session, owner, field.stored.id, self._actor))
        # CKAN has not checked yet that the resource is one of this dataset
        return field.resource_id is None or field.scope.includes_removed(owner)

    def _load(self, ids: list[str], key: FlattenKey, data: FlattenDataDict) -> None:
        """Read these files, together with those in the same field of other resources.

        A thousand resources with a file each are one query.
        """
        if all(id_ in self._files for id_ in ids):
            return
        unread = {*ids, *_ids_in_siblings(key, data)}.difference(self._files)
        files = read_files(self._session, unread)
        self._files.update((id_, files.get(id_)) for id_ in unread)

    def _scope(
        self, arguments: FieldArguments, data: FlattenDataDict, context: Context
    ) -> DatasetScope:
        dataset_id = None
        if arguments.owner_type in IN_DATASET:
            dataset_id = updated_id(arguments.owner_type, data, context)
        if dataset_id not in self._scopes:
            if dataset_id:
                lock_for_update(self._session, Owner("package", dataset_id))
            self._scopes[dataset_id] = DatasetScope(self._session, dataset_id)
        return self._scopes[dataset_id]

    def _stored_fields(self, data: FlattenDataDict, context: Context) -> StoredFields:
        ids = ((kind, updated_id(kind, data, context)) for kind in KINDS)
        updated = next((found for found in ids if found[1]), ("", None))
        if updated not in self._stored:
            self._stored[updated] = StoredFields(self._session, *updated, sent_ids(self._queue))
        return self._stored[updated]

    def _record(self, file: FileRecord, field: RequestField) -> None:
        stays = file.pinned or not field.arguments.pin
        if file.owner is not None and file.owner == field.new_owner and stays:
            self._moving.pop(file.id, None)
            return
        self._moving[file.id] = Claim(file, field)
        if not self._queued:
            self._queue.add(OwnershipTransferTask(self._queue.action, self._moving, self._actor))
            self._queued = True


def claimed_ids(queue: TaskQueue) -> set[str]:
    """Return the ids of the files that have to move at the end of an action."""
    claims: Claims | None = queue.memo.get(_KEY)
    return claims.moving_ids if claims else set()


def _ids_in_siblings(key: FlattenKey, data: FlattenDataDict) -> set[str]:
    """Return the ids in all fields of a request whose keys differ only in their numbers."""
    names, length = names_of(key), len(key)
    ids: set[str] = set()
    for other, value in data.items():
        if len(other) == length and names_of(other) == names:
            try:
                ids.update(file_ids(value))
            except NoFileIdsError:
                continue  # the validator of that field reports it
    return ids
