"""The ten actions of CKAN that carry a task queue."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk
from ckan.logic.action import create, update
from ckan.types import Action, ChainedAction, Context

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

    # CKAN wraps a chained action into a partial and copies vars() onto it:
    # that is how the docstring that help_show tells and the marks survive
    chained.__name__ = core.__name__
    vars(chained).update(
        vars(core),
        **{name: getattr(core, name) for name in ("__doc__", "__name__", "__qualname__", "__module__")},
    )
    return tk.chained_action(with_task_queue(chained))
