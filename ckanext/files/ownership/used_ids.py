"""Nobody gets files by giving something new the id of what owned them, and is gone.

Files of what was deleted or purged stay with its id. CKAN lets the id of a
removed resource be used again, also in another dataset, and a sysadmin may
give any id that is free.
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
from ckanext.files.store import Owner, owning

from .problems import Problems

_KEY = "ckanext.files.request"

_TYPES: dict[type[Any], tuple[str, ...]] = {
    model.Package: ("package",),
    model.Resource: ("resource",),
    # whether it is an organization may be said later
    model.Group: ("group", "organization"),
    model.User: ("user",),
}


class UsedIdError(FilesError):
    """Something new has an id to which files belong. The transaction has to be rolled back."""

    def __init__(self, ids: set[str]) -> None:
        super().__init__(", ".join(sorted(ids)))
        self.ids = ids


def refuse_used_ids(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
    """Run an action that carries a task queue; an id that owns files is an error of ``id``.

    What CKAN has to say comes first: the id is looked at when it is about to be written.
    """
    current_queue().memo[_KEY] = data_dict
    try:
        return next_action(context, data_dict)
    except UsedIdError as error:
        model.Session.rollback()  # as CKAN does with what is not valid
        problems = Problems()
        sentence = tk._("This id cannot be used again. Leave it out to get a new one")
        for key in [key for key, id_ in _given(data_dict) if id_ in error.ids] or [("id",)]:
            problems.add(key, sentence)
        problems.check()
        raise


def sent_ids(queue: TaskQueue) -> set[str | None]:
    """Return the ids that the request of an action gives, to resources for example."""
    return {id_ for _, id_ in _given(queue.memo.get(_KEY) or {})}


@event.listens_for(meta.Session, "before_flush")
def _look_at_ids(session: Session, *_: Any) -> None:
    queue = innermost_queue()
    request = queue.memo.get(_KEY) if queue else None
    if request is None:
        return
    # CKAN gives ids as well: those are new
    given = {id_ for _, id_ in _given(request)}
    suspects = [item for item in session.new if type(item) in _TYPES and item.id in given]
    suspects += [item for item in session.dirty if _changes_dataset(item)]
    owners = {Owner(name, item.id) for item in suspects for name in _TYPES[type(item)]}
    if owners and (used := owning(session, owners)):
        raise UsedIdError({owner.id for owner in used})


def _given(request: dict[str, Any]) -> Iterator[tuple[FlattenKey, str]]:
    """Yield the ids that a request gives, and where."""
    places: list[tuple[FlattenKey, Any]] = [((), request)]
    resources = request.get("resources")
    if isinstance(resources, list):
        places += [(("resources", n), resource) for n, resource in enumerate(resources)]
    for start, entity in places:
        rest = entity.get("__extras") if isinstance(entity, dict) else None
        for fields in (entity, rest):
            if isinstance(fields, dict) and isinstance(id_ := fields.get("id"), str):
                yield (*start, "id"), id_


def _changes_dataset(item: Any) -> bool:
    """Tell whether a resource, which may have been removed, goes to another dataset."""
    if type(item) is not model.Resource:
        return False
    former = get_history(item, "package_id").deleted
    package = vars(item).get("package")
    after = {item.package_id, package.id if package is not None else item.package_id}
    return after != {former[0] if former else item.package_id}
