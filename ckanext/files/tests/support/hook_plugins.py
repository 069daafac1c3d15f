"""Plugins that sit in each hook of CKAN's controllers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckan.plugins as p


class Listener:
    """What the hooks tell their names to, such as ``IPackageController.edit``."""

    on_hook: Callable[[str], Any] | None = None


def _hook(name: str) -> Callable[..., Any]:
    def hook(self: Any, *args: Any) -> Any:
        if Listener.on_hook:
            Listener.on_hook(name)
        return args[0]  # what CKAN takes back from those hooks that may change it

    return hook


def _in_each_hook(interface: Any) -> Callable[[type], type]:
    def decorate(plugin: type) -> type:
        for name, method in vars(interface).items():
            if callable(method) and not name.startswith("_"):
                setattr(plugin, name, _hook(f"{interface.__name__}.{name}"))
        return plugin

    return decorate


@_in_each_hook(p.IPackageController)
class PackageHooksPlugin(p.SingletonPlugin):
    """The hooks of datasets."""

    p.implements(p.IPackageController, inherit=True)


@_in_each_hook(p.IResourceController)
class ResourceHooksPlugin(p.SingletonPlugin):
    """The hooks of resources."""

    p.implements(p.IResourceController, inherit=True)


@_in_each_hook(p.IGroupController)
class GroupHooksPlugin(p.SingletonPlugin):
    """The hooks of groups."""

    p.implements(p.IGroupController, inherit=True)


@_in_each_hook(p.IOrganizationController)
class OrganizationHooksPlugin(p.SingletonPlugin):
    """The hooks of organizations."""

    p.implements(p.IOrganizationController, inherit=True)
