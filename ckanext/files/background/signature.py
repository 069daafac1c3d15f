"""How the arguments of a task are kept: by name, as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import ArgumentError
from .values import as_json

REST = "*"
"""The key of positional arguments that have no name."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature:
    """The parameters of a task's function, without the context."""

    def __init__(self, function: Callable[..., Any], task_name: str, pass_context: bool) -> None:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1 if pass_context else 0 :]
        self._signature = signature.replace(parameters=parameters)
        self._positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self._only = {p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY}
        self._task_name = task_name

    def pack(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by name, as JSON.

        :raises ArgumentError: they do not fit, or JSON cannot hold them.
        """
        bound = self._bind(args, kwargs).arguments
        packed: dict[str, Any] = {}
        for name, value in bound.items():
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                packed[REST] = list(value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                packed.update(value)
            else:
                packed[name] = value
        return {
            name: as_json(value, f"argument {name!r} of task {self._task_name}")
            for name, value in packed.items()
        }

    def unpack(self, packed: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments.

        :raises ArgumentError: the task takes such arguments no more.
        """
        kwargs = dict(packed)
        rest = kwargs.pop(REST, [])
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
