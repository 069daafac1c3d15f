"""A call: a task with its arguments, as a job keeps it."""

from __future__ import annotations

import dataclasses
from typing import Any

from .errors import ArgumentError
from .registry import find

_MARK = "__call__"

_SHOWN = 200
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
        """Return what stands for it among the arguments of a task."""
        return {_MARK: self.task_name, "args": self.args}

    def run_once(self) -> Any:
        """Run the task's function, once and now; return its result, which may be a call.

        :raises UnknownTaskError: the task's source was deleted.
        :raises ArgumentError: the task takes such arguments no more.
        """
        return find(self.task_name).run(self)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={_short(value)}" for name, value in self.args.items())
        return f"{self.task_name}({arguments})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def deserialize_task(value: Any) -> Call:
    """Return the call that JSON stands for; a call is returned as it is.

    :raises ArgumentError: it stands for none.
    """
    if isinstance(value, Call):
        return value
    if isinstance(value, dict) and value.keys() == {_MARK, "args"}:
        name, args = value[_MARK], value["args"]
        if isinstance(name, str) and isinstance(args, dict):
            return Call(name, args)
    raise ArgumentError(f"This is no call of a task: {_short(value)}")
