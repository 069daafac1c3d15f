"""Finding the tasks of extensions.

Modules with tasks are named by entry points, by plugins, and by an option. A
module that cannot be imported is an error that says who named it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import ckan.plugins as p
from ckan.common import config

from .errors import TaskDefinitionError

GROUPS = ("ckanext.files.background_tasks", "ckan.celery_task")
"""Of entry points to a function that returns the paths of modules."""

OPTION = "ckanext.files.background.task_modules"


class IBackgroundTasks(p.Interface):
    """Implemented by plugins that have background tasks."""

    def get_background_task_modules(self) -> Iterable[str]:
        """Return the paths of the modules that define them, such as ``ckanext.NAME.tasks``."""
        return []


def load_tasks() -> None:
    """Import all modules with tasks that extensions name.

    :raises TaskDefinitionError: one of them cannot be imported, or is not named well.
    """
    for origin, module in list(_named()):
        _load(module, origin)


def _named() -> Iterable[tuple[str, str]]:
    for group in GROUPS:
        for point in entry_points(group=group):
            origin = f"entry point {point.name} = {point.value} of group {group}"
            for module in _listed(lambda point=point: _modules_of(point), origin):
                yield origin, module
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
    except Exception as error:
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
    except TaskDefinitionError as error:
        raise TaskDefinitionError(f"{error} (module {module}, named by the {origin})") from error
    except Exception as error:
        raise TaskDefinitionError(
            f"The module {module}, named by the {origin}, cannot be imported: {error!r}"
        ) from error
