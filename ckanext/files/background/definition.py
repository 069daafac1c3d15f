"""What a task must be, so that a worker can find and run it: checked when it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from procrastinate.retry import BaseRetryStrategy

from .errors import BackgroundError, TaskDefinitionError
from .options import checked_name, job_options

if TYPE_CHECKING:
    from .task import Task

_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def path_of(function: Any) -> str:
    """Return ``module.function``, where a worker finds it.

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
    """Refuse options of a task that make no sense.

    :raises TaskDefinitionError: one of them is not what it should be.
    """
    if not (isinstance(retry, BaseRetryStrategy) or (isinstance(retry, int) and retry >= 0)):
        raise TaskDefinitionError(
            f"The retry of {path} is a bool, a number or a RetryStrategy, not {retry!r}"
        )
    if percent is not None and not callable(percent):
        raise TaskDefinitionError(f"The percent of {path} is a function, not {percent!r}")
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise TaskDefinitionError(f"The timeout of {path} must be a number of seconds above 0")


def check_names(task: Task[Any]) -> None:
    """Refuse names and options of jobs that the table of jobs cannot hold.

    :raises TaskDefinitionError: there is such a one.
    """
    if isinstance(task.aliases, str):
        raise TaskDefinitionError(
            f"The aliases of {task.path} are a list of names, not the string {task.aliases!r}"
        )
    try:
        for name in [task.name, *task.aliases]:
            checked_name(name, "name")
        job_options(**task.options)
    except BackgroundError as error:
        raise TaskDefinitionError(f"{error} (of the task {task.path})") from None


def check_context(function: Callable[..., Any], path: str) -> None:
    """Refuse a function with no place for the context.

    :raises TaskDefinitionError: it has no positional parameter.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise TaskDefinitionError(
            f"{path} has pass_context, but no first parameter that takes the context"
        )
