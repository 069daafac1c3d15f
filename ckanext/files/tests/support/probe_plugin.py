"""A plugin that lets a test act at the places where plugins act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files.queue.core import ENTITIES
from ckanext.files.shared import with_task_queue


class ProbePlugin(p.SingletonPlugin):
    """Calls the hooks that a test has set, by the name of the place.

    ``before:ACTION`` and ``after:ACTION`` run inside of the ten core actions'
    frames and around ``file_create`` and ``file_delete``; ``after_dataset_create`` and the like are
    CKAN's own hooks.
    """

    p.implements(p.IActions)
    p.implements(p.IForkObserver)
    p.implements(p.IDomainObjectModification, inherit=True)
    p.implements(p.IPackageController, inherit=True)
    p.implements(p.IResourceController, inherit=True)

    hooks: ClassVar[dict[str, Callable[..., Any]]] = {}

    @classmethod
    def call(cls, place: str, *args: Any) -> None:
        if hook := cls.hooks.get(place):
            hook(*args)

    def get_actions(self) -> dict[str, Any]:
        chained = [f"{entity}_{verb}" for entity in ENTITIES for verb in ("create", "update")]
        return {name: _probed(name) for name in [*chained, "file_create", "file_delete"]} | {
            "probe": with_task_queue(_probe),
            "probe_eager": with_task_queue(eager=True)(_probe),
            "probe_apart": with_task_queue(atomic=False)(_probe),
        }

    def before_fork(self) -> None:
        self.call("before_fork")

    def notify(self, entity: Any, operation: Any) -> None:
        self.call("notify", entity, operation)

    def before_dataset_index(self, pkg_dict: Any) -> Any:
        self.call("before_dataset_index", pkg_dict)
        return pkg_dict

    def after_dataset_create(self, context: Any, pkg_dict: Any) -> None:
        self.call("after_dataset_create", context, pkg_dict)

    def after_dataset_update(self, context: Any, pkg_dict: Any) -> None:
        self.call("after_dataset_update", context, pkg_dict)

    def after_resource_create(self, context: Any, resource: Any) -> None:
        self.call("after_resource_create", context, resource)

    def after_resource_update(self, context: Any, resource: Any) -> None:
        self.call("after_resource_update", context, resource)


class ProbeError(Exception):
    """What a test lets fail fails with this."""


def fail(*_: Any) -> None:
    """A task or a hook that fails."""
    raise ProbeError


def nothing(*_: Any) -> None:
    """A task that does nothing: it only begins the hold."""


def in_action(do: Callable[[], Any], action: str = "probe", /, **context: Any) -> Any:
    """Do something within a custom action that carries a queue."""
    whole: Any = context
    return tk.get_action(action)(whole, {"do": lambda _: do()})


def in_hold(do: Callable[[], Any], /, **context: Any) -> Any:
    """Do something within a custom action that holds from its start."""
    return in_action(do, "probe_eager", **context)


def _probed(name: str) -> Any:
    @tk.chained_action
    def action(next_action: Any, context: Any, data_dict: Any) -> Any:
        ProbePlugin.call(f"before:{name}", context, data_dict)
        result = next_action(context, data_dict)
        ProbePlugin.call(f"after:{name}", context, data_dict)
        return result

    return action


def _probe(context: Any, data_dict: Any) -> Any:
    """A custom action that does whatever the test wants."""
    return data_dict["do"](context)
