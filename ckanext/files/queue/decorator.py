"""Give an action a task queue."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from ckan import model

from ckanext.files.transaction import Block, is_commit_requested

from .queue import TaskQueue, innermost

Action = TypeVar("Action", bound=Callable[..., Any])


@overload
def with_task_queue(action: Action) -> Action: ...


@overload
def with_task_queue(*, atomic: bool = True, eager: bool = False) -> Callable[[Action], Action]: ...


def with_task_queue(action: Any = None, *, atomic: bool = True, eager: bool = False) -> Any:
    """Let tasks be queued inside of an action (decorator).

    Within the action ``add_task`` may be used; the tasks run when it has
    returned. Works on plain and on chained actions, and keeps name, docstring
    and CKAN's marks (``side_effect_free``, ``auth_audit_exempt``, ...).

    By default the action and its tasks become true in one commit, from the
    first ``add_task`` on; the same holds for ``on_commit`` and for a background
    task's ``delay``. An action that uses none of them stays as it was. An action
    that uses them is committed at its end, also when its own code does not commit.

    :param atomic: False lets the action commit as it does by itself, and runs
        the tasks after that: a task that fails does not undo the action.
    :param eager: True makes it one commit from the action's start on. For an
        action that commits before it queues its first task.
    """
    if action is None:
        return functools.partial(with_task_queue, atomic=atomic, eager=eager)
    if eager and not atomic:
        raise TypeError("with_task_queue: eager=True asks for one commit, atomic=False for none")
    name: str = action.__name__

    @functools.wraps(action)
    def with_queue(*args: Any, **kwargs: Any) -> Any:
        commit = not _caller_commits(args, kwargs)
        if not atomic:
            return _run_apart(name, commit, action, args, kwargs)
        with (
            Block(eager=eager, commit=commit) as block,
            innermost(TaskQueue(name, block)) as queue,
        ):
            result = action(*args, **kwargs)
            queue.run(result)
            return result

    return with_queue


def _run_apart(name: str, commit: bool, action: Any, args: Any, kwargs: Any) -> Any:
    with innermost(TaskQueue(name, None)) as queue:
        result = action(*args, **kwargs)
        try:
            if (queue.run(result) or is_commit_requested(model.Session())) and commit:
                model.Session.commit()
        except BaseException:
            model.Session.rollback()
            raise
        return result


def _caller_commits(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether the caller makes the commit itself."""
    # a chained action gets the next action before the context
    context = next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, Mapping)), {})
    return bool(context.get("defer_commit"))
