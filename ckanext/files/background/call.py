"""Calls, and the registry of the tasks that they name.

A call is a task's name with arguments, as a job keeps it. The registry finds the
task again, in this process or after an upgrade, and refuses two tasks of one name.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from procrastinate.retry import BaseRetryStrategy

from ckanext.files.hint import with_hint

from .errors import ArgumentError, StepTimeout, TaskDefinitionError, UnknownTaskError

_MARK = "__call__"

_MAX_SHOWN = 200
"""Characters of an argument in messages and logs."""


@dataclasses.dataclass(frozen=True)
class Call:
    """What calling a task returns. Nothing has run.

    A task that returns a call goes on with it in the same job. A call may be an
    argument of another task; that task gets it as JSON, see
    :func:`deserialize_task`.
    """

    task_name: str

    args: dict[str, Any]
    """The arguments by name, as JSON; more positional ones as a list under ``*``."""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of the call as an argument of a task."""
        return {_MARK: self.task_name, "args": self.args}

    def run_once(self) -> Any:
        """Run the task's function, once and now; return its result, which may be a call.

        :raises UnknownTaskError: the task's source was deleted.
        :raises ArgumentError: the task no longer takes such arguments.
        """
        return find_task(self.task_name).run(self)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={_short(value)}" for name, value in self.args.items())
        return f"{self.task_name}({arguments})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def deserialize_task(value: Any) -> Call:
    """Return the call that JSON describes; a call is returned as it is.

    :raises ArgumentError: the value describes no call.
    """
    if isinstance(value, Call):
        return value
    if isinstance(value, dict) and value.keys() == {_MARK, "args"}:
        name, args = value[_MARK], value["args"]
        if isinstance(name, str) and isinstance(args, dict):
            return Call(name, args)
    raise ArgumentError(f"This is no call of a task: {_short(value)}")


class RegisteredTask(Protocol):
    """What the registry's callers need of a :class:`~ckanext.files.background.task.Task`."""

    name: str
    path: str
    aliases: Sequence[str]
    options: dict[str, Any]
    retry_strategy: BaseRetryStrategy | None
    atomic: bool
    """Whether a step is one commit. Otherwise it runs without a transaction around it."""

    timeout_error: type[StepTimeout]
    """What interrupts a step that takes too long, or whose job is to end at once."""

    @property
    def function(self) -> Callable[..., Any]: ...

    def delay(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def pack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]: ...
    def run(self, call: Call) -> Any: ...
    def percent_of(self, call: Call) -> float | None: ...

    def timeout_of(self, job_id: int) -> float | None:
        """Return the seconds that the next step of a job may take; before the step begins.

        :returns: 0 for no limit, None for the limit of the worker.
        """
        ...


_tasks: dict[str, RegisteredTask] = {}

resolvers: list[Callable[[str], RegisteredTask | None]] = []
"""Each may know tasks that no decorator has registered, by their names.

Also the main threads of workers ask, so a resolver does not wait for anything.
"""


def register_task(task: RegisteredTask) -> None:
    """Make a task known by its name and its aliases.

    The same function, defined again when its module is reloaded, replaces the old one.

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


def _is_another(task: RegisteredTask, other: RegisteredTask) -> bool:
    """Return whether a module that is imported for the first time has two functions of one name."""
    module = sys.modules.get(task.__module__)
    names = getattr(module, "__dict__", None)
    # false during a reload
    being_imported = getattr(getattr(module, "__spec__", None), "_initializing", False)
    return being_imported and other.function.__globals__ is names


def is_registered(name: str) -> bool:
    """Return whether a decorator has made a task of that name."""
    return name in _tasks


def is_known(name: str) -> bool:
    """Return whether there is a task of that name."""
    return _look_up(name) is not None


def find_task(name: str) -> RegisteredTask:
    """Return a task by its name or one of its aliases.

    :raises UnknownTaskError: there is none.
    """
    if (task := _look_up(name)) is not None:
        return task
    raise unknown_task(name)


def unknown_task(name: str) -> UnknownTaskError:
    """Return the error that there is no task of a name."""
    sentence = (
        f"There is no task {name}: its source was deleted or renamed, or the module that "
        "defines it is not loaded here."
    )
    return UnknownTaskError(with_hint(sentence, name, _tasks))


def _look_up(name: str) -> RegisteredTask | None:
    if (task := _tasks.get(name)) is not None:
        return task
    return next((task for resolve in resolvers if (task := resolve(name)) is not None), None)


def all_tasks() -> list[RegisteredTask]:
    """Return each task once, by name."""
    return sorted(set(_tasks.values()), key=lambda task: task.name)
