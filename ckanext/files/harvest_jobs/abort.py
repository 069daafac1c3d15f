"""``harvest_job_abort`` leaves alone what workers fetch at that moment.

The transaction of a fetch has locked its object: the action would wait for its end, and then write
over the state that it has given. When the fetch is undone, its next try finds that the harvest job
has ended, and ends the object as ERROR. Where there is no next try, :mod:`.recovery` does.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ckan.model import meta
from ckanext.harvest.logic.action import update  # pyright: ignore[reportMissingImports]
from ckanext.harvest.model import HarvestObject  # pyright: ignore[reportMissingImports]
from sqlalchemy import event, inspect

from ckanext.files.chained import chain_core_action

from . import records

_aborts: ContextVar[bool] = ContextVar("ckanext.files.harvest_abort", default=False)


def _abort(next_action: Any, context: Any, data_dict: dict[str, Any]) -> Any:
    token = _aborts.set(True)
    try:
        return next_action(context, data_dict)
    finally:
        _aborts.reset(token)


@event.listens_for(meta.Session, "before_flush")
def _spare(session: Any, *_: Any) -> None:
    """Let no object end that a worker fetches, or that has ended since it was read."""
    if not _aborts.get():
        return
    objects = [each for each in session.dirty if isinstance(each, HarvestObject)]
    if objects := [each for each in objects if inspect(each).attrs.state.history.added]:
        free = records.lock_free(each.id for each in objects)
        for each in objects:
            if each.id not in free:
                session.expire(each)


harvest_job_abort = chain_core_action(update.harvest_job_abort, _abort)
