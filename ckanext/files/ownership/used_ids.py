r"""Nothing new gets files by having the id of an owner that is gone.

The files of a deleted or purged owner keep its id. CKAN accepts the id of a removed resource
again, also in another dataset, and a sysadmin may set any id that is free. Such an id is refused
on the field ``id``.

The check takes three steps, because CKAN has to report its own errors first, and because some
of what it writes has ids that CKAN has made:

1. :func:`refuse_used_ids` is in front of each action that carries a task queue. It puts the
   request into the queue's memo. The queue belongs to the innermost action, so an action that
   is called within another one has a request of its own.
2. The action validates and adds its objects to the session. The flush that writes them calls
   :func:`_check_ids`, which reads the request from the memo. New objects with an id from the
   request, and resources that go to another dataset, are looked up among the owners of files.
   If one has files, the listener raises \:class:`UsedIdError` before anything is written.
3. The error leaves the action, and :func:`refuse_used_ids` turns it into a ``ValidationError``
   on the fields that had the id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ckan import model
from ckan.model import meta
from ckan.plugins import toolkit as tk
from ckan.types import Action, Context, FlattenKey
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history

from ckanext.files.errors import FilesError
from ckanext.files.queue import TaskQueue, current_queue, innermost_queue
from ckanext.files.store import Owner, owners_with_files

from .request_entities import entities
from .results import FieldErrors

_KEY = "ckanext.files.request"

_TYPES: dict[type[Any], tuple[str, ...]] = {
    model.Package: ("package",),
    model.Resource: ("resource",),
    # CKAN may set is_organization later
    model.Group: ("group", "organization"),
    model.User: ("user",),
}


class UsedIdError(FilesError):
    """Something new has the id of an owner of files. The caller has to roll back."""

    def __init__(self, ids: set[str]) -> None:
        super().__init__(", ".join(sorted(ids)))
        self.ids = ids


def refuse_used_ids(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    """Call an action that carries a task queue, and refuse ids that own files already."""
    current_queue().memo[_KEY] = data_dict
    try:
        return next_action(context, data_dict)
    except UsedIdError as error:
        model.Session.rollback()  # as CKAN does after failed validation
        errors = FieldErrors()
        sentence = tk._("This id cannot be used again. Leave it out to get a new one")
        for key in [key for key, id_ in _ids(data_dict) if id_ in error.ids] or [("id",)]:
            errors.add(key, sentence)
        errors.check()
        raise


def sent_ids(queue: TaskQueue) -> set[str | None]:
    """Return the ids that the request of an action contains, such as the ids of resources."""
    return {id_ for _, id_ in _ids(queue.memo.get(_KEY) or {})}


@event.listens_for(meta.Session, "before_flush")
def _check_ids(session: Session, *_: Any) -> None:
    queue = innermost_queue()
    request = queue.memo.get(_KEY) if queue else None
    if request is None:
        return
    # other ids of new objects were made by CKAN
    sent = {id_ for _, id_ in _ids(request)}
    suspects = [item for item in session.new if type(item) in _TYPES and item.id in sent]
    suspects += [item for item in session.dirty if _changes_dataset(item)]
    owners = {Owner(name, item.id) for item in suspects for name in _TYPES[type(item)]}
    if owners and (used := owners_with_files(session, owners)):
        raise UsedIdError({owner.id for owner in used})


def _ids(request: dict[str, Any]) -> Iterator[tuple[FlattenKey, str]]:
    """Yield the ids that a request contains, with the keys of their fields."""
    for start, entity in entities(request):
        for fields in (entity, entity.get("__extras")):
            if isinstance(fields, dict) and isinstance(id_ := fields.get("id"), str):
                yield (*start, "id"), id_


def _changes_dataset(item: Any) -> bool:
    """Return whether a resource, which may be a removed one, goes to another dataset."""
    if type(item) is not model.Resource:
        return False
    former = get_history(item, "package_id").deleted
    package = vars(item).get("package")
    after = {item.package_id, package.id if package is not None else item.package_id}
    return after != {former[0] if former else item.package_id}
