"""The tasks that this process knows, by name."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

from .errors import TaskDefinitionError, UnknownTaskError

if TYPE_CHECKING:
    from .task import Task

_tasks: dict[str, Task[Any]] = {}


def register(task: Task[Any]) -> None:
    """Make a task known by its name and its aliases.

    The same function again, as when its module is reloaded, takes its place.

    :raises TaskDefinitionError: another task has one of the names.
    """
    names = [task.name, *task.aliases]
    for name in names:
        other = _tasks.get(name)
        if other and (other.path != task.path or _is_another(task, other)):
            raise TaskDefinitionError(
                f"Two tasks are called {name}: {other.path} and {task.path}. "
                "Give one of them another name: @task(name=...)"
            )
    _tasks.update(dict.fromkeys(names, task))


def _is_another(task: Task[Any], other: Task[Any]) -> bool:
    """Tell whether a module that is imported for the first time has two functions of one name."""
    module = sys.modules.get(task.__module__)
    names = getattr(module, "__dict__", None)
    # not so when it is reloaded
    being_imported = getattr(getattr(module, "__spec__", None), "_initializing", False)
    return being_imported and other.function.__globals__ is names


def is_known(name: str) -> bool:
    """Tell whether there is a task of that name."""
    return name in _tasks


def find(name: str) -> Task[Any]:
    """Return a task by its name or one of its aliases.

    :raises UnknownTaskError: there is none.
    """
    if name in _tasks:
        return _tasks[name]
    similar = difflib.get_close_matches(name, _tasks, n=1)
    hint = f" Did you mean {similar[0]}?" if similar else ""
    raise UnknownTaskError(
        f"There is no task {name}: its source was deleted or renamed, or the module that "
        f"defines it is not loaded here.{hint}"
    )


def all_tasks() -> list[Task[Any]]:
    """Return each task once, by name."""
    return sorted(set(_tasks.values()), key=lambda task: task.name)
