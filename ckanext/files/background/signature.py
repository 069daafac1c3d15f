"""How the arguments of a task are kept: by name, as JSON."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import ArgumentError
from .values import as_json, as_key, check_size

REST = "*"
"""The key of positional arguments that have no name."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def by_name(arguments: Mapping[str, Any], rest: Sequence[Any], task_name: str) -> dict[str, Any]:
    """Return arguments as a job keeps them.

    :param rest: positional ones that have no name.
    :raises ArgumentError: JSON or a job cannot hold them.
    """
    if REST in arguments:
        raise ArgumentError(f"No argument of task {task_name} can be called {REST!r}")
    packed = {
        as_key(name, f"name of an argument of task {task_name}"): as_json(
            value, f"argument {name!r} of task {task_name}"
        )
        for name, value in arguments.items()
    }
    if rest:
        packed[REST] = [
            as_json(value, f"argument {number} of task {task_name}")
            for number, value in enumerate(rest, 1)
        ]
    check_size(packed, task_name)
    return packed


class Signature:
    """The parameters of a task's function, without the context."""

    def __init__(self, function: Callable[..., Any], task_name: str, pass_context: bool) -> None:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        if pass_context and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[0]
        self._signature = signature.replace(parameters=parameters)
        self._positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self._only = {p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY}
        self._task_name = task_name

    def pack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by name, as JSON.

        :raises ArgumentError: they do not fit, or JSON cannot hold them.
        """
        named: dict[str, Any] = {}
        more: dict[str, Any] = {}
        rest: Sequence[Any] = ()
        for name, value in self._bind(args, kwargs).arguments.items():
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                rest = value
            elif kind is inspect.Parameter.VAR_KEYWORD:
                more = value
            else:
                named[name] = value
        if taken := named.keys() & more.keys():
            raise ArgumentError(
                f"Task {self._task_name} gets {taken.pop()!r} by position and by name: "
                "a job keeps its arguments by name"
            )
        return by_name({**named, **more}, rest, self._task_name)

    def unpack(self, packed: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments, which the function may change.

        :raises ArgumentError: the task takes such arguments no more.
        """
        kwargs = copy.deepcopy(dict(packed))  # the call remains what it is
        rest = kwargs.pop(REST, [])
        if not isinstance(rest, list):
            raise ArgumentError(
                f"Task {self._task_name}: the argument {REST!r} is no list: {rest!r}"
            )
        named = self._positional if rest else [n for n in self._positional if n in self._only]
        args = []
        for name in named:
            if name not in kwargs:
                break
            args.append(kwargs.pop(name))
        args += rest
        self._bind(args, kwargs)
        return args, kwargs

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"Task {self._task_name}{self._signature} cannot be called so: {error}"
            ) from None
