"""Finding the tasks of extensions.

Modules with tasks are named by entry points, by plugins, and by an option. A
module of this portal that cannot be imported is an error that says who named
it. But an environment may have extensions that only other portals use, or that
were written for Celery: what is wrong with their entry points is told, in the
log and by commands, and stops nothing.
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

from .errors import TaskDefinitionError
from .registry import all_tasks
from .task import Task

log = logging.getLogger(__name__)

_OURS = "ckanext.files.background_tasks"

GROUPS = (_OURS, "ckan.celery_task")
"""Of entry points to a function that returns the paths of modules."""

OPTION = "ckanext.files.background.task_modules"


not_loaded: list[str] = []
"""What is wrong with entry points that were left out, see :func:`load_tasks`."""


class IBackgroundTasks(p.Interface):
    """Implemented by plugins that have background tasks."""

    def get_background_task_modules(self) -> Iterable[str]:
        """Return the paths of the modules that define them, such as ``ckanext.NAME.tasks``."""
        return []


def load_tasks() -> None:
    """Import all modules with tasks that extensions name.

    An entry point is left out if something is wrong with it, unless it is of the
    group ``ckanext.files.background_tasks`` and its extension has a plugin here.

    :raises TaskDefinitionError: a module cannot be imported, or is not named well.
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
    forgiving = not (point.group == _OURS and _has_plugin_here(point))
    with _told(forgiving):
        for module in _listed(lambda: _modules_of(point), origin):
            with _told(forgiving):
                _load(module, origin)


def _has_plugin_here(point: EntryPoint) -> bool:
    installed = point.dist.entry_points if point.dist else ()
    return any(p.plugin_loaded(each.name) for each in installed if each.group == "ckan.plugins")


@contextmanager
def _told(forgiving: bool) -> Iterator[None]:
    try:
        yield
    except TaskDefinitionError as error:
        if not forgiving:
            raise
        log.warning("Background tasks are left out. %s", error)
        not_loaded.append(str(error))


def _named() -> Iterable[tuple[str, str]]:
    """Return who names a module, and the module, for those of this portal's configuration."""
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
        told = names or found
        raise TaskDefinitionError(
            f"The {origin} must give a list of paths of modules, not {told!r}"
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


def _check_place(task: Task[Any]) -> None:
    """Refuse a task that a decorator above ``@task`` hides; its module has to be imported.

    :raises TaskDefinitionError: callers get what the decorator has made, workers the task.
    """
    found = getattr(sys.modules[task.__module__], task.__name__, None)
    if isinstance(found, Task) or not callable(found):
        return
    inner = inspect.unwrap(found, stop=lambda each: isinstance(each, Task))
    if inner is not inspect.unwrap(task.function):
        raise TaskDefinitionError(
            f"{task.path} is no task any more: a decorator above @task has made {found!r} of it, "
            "which no worker runs. Put @task above all other decorators"
        )
