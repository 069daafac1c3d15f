"""Finding the tasks of extensions.

Entry points, plugins and an option name modules with tasks. If a module of this
portal cannot be imported, the error shows where it is named. An environment may
also have extensions that only other portals use, or that were written for Celery:
errors of their entry points are logged and shown by commands, and stop nothing.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import ckan.plugins as p
from ckan.common import config

from .call import RegisteredTask, all_tasks
from .errors import TaskDefinitionError
from .task import Task

log = logging.getLogger(__name__)

_OURS = "ckanext.files.background_tasks"

GROUPS = (_OURS, "ckan.celery_task")
"""Groups of entry points. Each names a function that returns the paths of modules."""

OPTION = "ckanext.files.background.task_modules"

not_loaded: list[str] = []
"""The errors of entry points that :func:`load_tasks` left out."""


class IBackgroundTasks(p.Interface):
    """Implemented by plugins that have background tasks."""

    def get_background_task_modules(self) -> Iterable[str]:
        """Return the paths of the modules that define them, such as ``ckanext.NAME.tasks``."""
        return []


def load_tasks() -> None:
    """Import all modules with tasks that extensions name.

    An entry point that fails is left out, unless it belongs to the group
    ``ckanext.files.background_tasks`` and its extension has a plugin in this portal.

    :raises TaskDefinitionError: a module cannot be imported, or its name is invalid.
    """
    not_loaded.clear()
    for group in GROUPS:
        for point in entry_points(group=group):
            _load_all(point)
    for origin, module in list(_named()):
        _load(module, origin)


def _load_all(point: EntryPoint) -> None:
    origin = f"entry point {point.name} = {point.value} of group {point.group}"
    if point.dist:
        origin += f" in {point.dist.name}"
    strict = point.group == _OURS and _has_plugin_here(point)
    with _errors_logged(unless=strict):
        for module in _listed(lambda: _modules_of(point), origin):
            with _errors_logged(unless=strict):
                _load(module, origin)


def _has_plugin_here(point: EntryPoint) -> bool:
    installed = point.dist.entry_points if point.dist else ()
    return any(p.plugin_loaded(each.name) for each in installed if each.group == "ckan.plugins")


@contextmanager
def _errors_logged(unless: bool) -> Iterator[None]:
    try:
        yield
    except TaskDefinitionError as error:
        if unless:
            raise
        log.warning("Background tasks are left out. %s", error)
        not_loaded.append(str(error))


def _named() -> Iterator[tuple[str, str]]:
    """Yield the origin and the name of each module that plugins and the option name."""
    for plugin in p.PluginImplementations(IBackgroundTasks):
        origin = f"plugin {plugin.name}"
        for module in _listed(plugin.get_background_task_modules, origin):
            yield origin, module
    for module in p.toolkit.aslist(config.get(OPTION)):
        yield f"option {OPTION}", module


def _modules_of(point: EntryPoint) -> Iterable[str]:
    return point.load()()


def _listed(modules: Callable[[], Iterable[str]], origin: str) -> list[str]:
    try:
        found: Any = modules()
        listed = isinstance(found, Iterable) and not isinstance(found, (str, bytes))
        names: list[Any] = list(found) if listed else []
    except (Exception, SystemExit) as error:
        raise TaskDefinitionError(f"The {origin} fails: {error!r}") from error
    if not listed or not all(name and isinstance(name, str) for name in names):
        raise TaskDefinitionError(
            f"The {origin} must give a list of paths of modules, not {names or found!r}"
        )
    return names


def _load(module: str, origin: str) -> None:
    try:
        import_module(module)
        for task in all_tasks():
            if f"{task.__module__}.".startswith(f"{module}."):
                _check_place(task)
    except TaskDefinitionError as error:
        raise TaskDefinitionError(f"{error} (module {module}, named by the {origin})") from error
    except (Exception, SystemExit) as error:
        raise TaskDefinitionError(
            f"The module {module}, named by the {origin}, cannot be imported: {error!r}"
        ) from error


def _check_place(task: RegisteredTask) -> None:
    """Refuse a task of an imported module that a decorator above ``@task`` hides.

    :raises TaskDefinitionError: callers would run the decorator's result, workers the task.
    """
    found = getattr(sys.modules[task.__module__], task.function.__name__, None)
    if isinstance(found, Task) or not callable(found):
        return
    inner = inspect.unwrap(found, stop=lambda each: isinstance(each, Task))
    if inner is not inspect.unwrap(task.function):
        raise TaskDefinitionError(
            f"{task.path} is no task any more: a decorator above @task has made {found!r} of it, "
            "which no worker runs. Put @task above all other decorators"
        )
