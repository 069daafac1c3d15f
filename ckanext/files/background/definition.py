"""Definition of a task: what its function must be, and what arguments that takes.

A worker must be able to find the function and call it. So a task is a top-level
function, and its definition is an error if its options are invalid or PostgreSQL
cannot hold its names. A job keeps the arguments by name, as JSON.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from procrastinate.retry import BaseRetryStrategy

from .errors import ArgumentError, BackgroundError, TaskDefinitionError
from .options import JobOptions, checked_name, job_options
from .values import as_json, as_key, check_size

REST = "*"
"""The key of positional arguments that have no name."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def path_of(function: Any) -> str:
    """Return ``module.function``, where a worker finds the function.

    :raises TaskDefinitionError: it is no top-level function.
    """
    if inspect.isclass(function) or not hasattr(function, "__qualname__"):
        raise TaskDefinitionError(f"Only a function can be a task: {function!r} is none")
    path = f"{function.__module__}.{function.__qualname__}"
    if "<locals>" in path or "<lambda>" in path:
        raise TaskDefinitionError(
            f"{path} is defined within a function, where no worker can find it: "
            "define it at the top level of a module. If a decorator below @task has made it, "
            "let that use functools.wraps"
        )
    if "." in function.__qualname__:
        raise TaskDefinitionError(f"{path} is a method: a task is a top-level function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDefinitionError(f"{path} is a generator: a task returns, it does not yield")
    return path


def check_options(path: str, retry: Any, percent: Any, timeout: Any) -> None:
    """Refuse invalid options of a task.

    :raises TaskDefinitionError: an option is invalid.
    """
    if not (isinstance(retry, BaseRetryStrategy) or (isinstance(retry, int) and retry >= 0)):
        raise TaskDefinitionError(
            f"The retry of {path} is a bool, a number or a RetryStrategy, not {retry!r}"
        )
    exceptions = getattr(retry, "retry_exceptions", None)
    if exceptions is not None and not isinstance(exceptions, Iterable):
        raise TaskDefinitionError(
            f"The retry_exceptions of {path} are a set of classes, not {exceptions!r}"
        )
    if percent is not None and not callable(percent):
        raise TaskDefinitionError(f"The percent of {path} is a function, not {percent!r}")
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise TaskDefinitionError(f"The timeout of {path} must be a number of seconds above 0")


def check_names(path: str, name: str, aliases: Sequence[str]) -> None:
    """Refuse names of a task that the table of jobs cannot hold.

    :raises TaskDefinitionError: a name is invalid.
    """
    if isinstance(aliases, str):
        raise TaskDefinitionError(
            f"The aliases of {path} are a list of names, not the string {aliases!r}"
        )
    with _definition_errors(path):
        for each in [name, *aliases]:
            checked_name(each, "name")


def default_options(path: str, options: JobOptions) -> dict[str, Any]:
    """Return the options of a task's jobs in Procrastinate's words.

    :raises TaskDefinitionError: an option is invalid.
    """
    defaults = {"queue": "default", "lock": None, "queueing_lock": None, "priority": 0}
    with _definition_errors(path):
        return {**defaults, **job_options(**options)}


@contextmanager
def _definition_errors(path: str) -> Iterator[None]:
    try:
        yield
    except BackgroundError as error:
        raise TaskDefinitionError(f"{error} (of the task {path})") from None


def check_context(function: Callable[..., Any], path: str) -> None:
    """Refuse a function that cannot take the context.

    :raises TaskDefinitionError: its first parameter is not positional, or it has none.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL):
        raise TaskDefinitionError(
            f"{path} has pass_context, but no first parameter that takes the context"
        )


def by_name(arguments: Mapping[str, Any], rest: Sequence[Any], task_name: str) -> dict[str, Any]:
    """Return arguments as a job keeps them.

    :param rest: positional arguments that have no name.
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

        :raises ArgumentError: the task no longer takes such arguments.
        """
        kwargs = copy.deepcopy(dict(packed))  # the call must stay as it is
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
