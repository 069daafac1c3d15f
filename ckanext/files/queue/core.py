"""The ten actions of CKAN that create and update: with a task queue, or as one commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from ckan.logic.action import create, update
from ckan.types import Action, ChainedAction, Context

from ckanext.files.capabilities import DEFERRED_PACKAGE_IS_LOST
from ckanext.files.chained import chain_core_action
from ckanext.files.transaction import Block, current_block

from .decorator import with_task_queue

ENTITIES = ("package", "resource", "group", "organization", "user")


def chained_core_actions(*guards: ChainedAction) -> dict[str, ChainedAction]:
    """Return the ten actions, chained with a queue around them.

    :param guards: chained actions that run within the queue. Each calls the next one, the last
        one calls the action.
    """
    return {core.__name__: _with_task_queue(core, guards) for core in _core_actions()}


def held_core_actions() -> dict[str, ChainedAction]:
    """Return the ten actions, chained so that each is one commit from its start on.

    CKAN commits within them before it calls the hooks of plugins, such as
    ``after_resource_create``.
    """
    return {core.__name__: held_action(core) for core in _core_actions()}


def _core_actions() -> Iterator[Action]:
    for entity in ENTITIES:
        yield getattr(create, f"{entity}_create")
        yield getattr(update, f"{entity}_update")


def held_action(core: Action) -> ChainedAction:
    """Return an action, chained so that it is one commit from its start on."""

    def chained(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
        with Block(eager=True, commit=not context.get("defer_commit")):
            return next_action(context, data_dict)

    return chain_core_action(core, chained)


def _with_task_queue(core: Action, guards: tuple[ChainedAction, ...]) -> ChainedAction:
    is_package = core in (create.package_create, update.package_update)
    deferred = _commit_to_hold if is_package and DEFERRED_PACKAGE_IS_LOST else nullcontext

    def chained(next_action: Action, context: Context, data_dict: dict[str, Any]) -> Any:
        action = next_action
        for guard in reversed(guards):
            action = partial(guard, action)
        with deferred(context):
            return action(context, data_dict)

    chained.__name__ = core.__name__
    return chain_core_action(core, with_task_queue(chained))


@contextmanager
def _commit_to_hold(context: Context) -> Iterator[None]:
    """Hide ``defer_commit`` from an action that leaves work undone when it is set.

    The action commits, but within a hold, which leaves the real commit to the caller.
    """
    block = current_block()
    if not block or not context.get("defer_commit"):
        yield
        return
    block.hold()
    del context["defer_commit"]
    try:
        yield
    finally:
        context["defer_commit"] = True
