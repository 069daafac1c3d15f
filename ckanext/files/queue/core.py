"""The ten actions of CKAN that carry a task queue."""

from __future__ import annotations

from typing import Any

from ckan.logic.action import create, update
from ckan.types import Action, ChainedAction, Context

from ckanext.files.chained import chained_like

from .decorator import with_task_queue

ENTITIES = ("package", "resource", "group", "organization", "user")


def chained_core_actions() -> dict[str, ChainedAction]:
    """Return the ten actions, chained with a queue around them."""
    return {
        core.__name__: _with_task_queue(core)
        for entity in ENTITIES
        for core in (getattr(create, f"{entity}_create"), getattr(update, f"{entity}_update"))
    }


def _with_task_queue(core: Action) -> ChainedAction:
    def chained(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
        return next_action(context, data_dict)

    chained.__name__ = core.__name__
    return chained_like(core, with_task_queue(chained))
