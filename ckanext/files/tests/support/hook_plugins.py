"""Plugins in each hook of CKAN's controllers, and plugins that refuse or copy a dataset's files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files import capabilities


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
    p.implements(p.IPackageController, inherit=True)


@_in_each_hook(p.IResourceController)
class ResourceHooksPlugin(p.SingletonPlugin):
    p.implements(p.IResourceController, inherit=True)


@_in_each_hook(p.IGroupController)
class GroupHooksPlugin(p.SingletonPlugin):
    p.implements(p.IGroupController, inherit=True)


@_in_each_hook(p.IOrganizationController)
class OrganizationHooksPlugin(p.SingletonPlugin):
    p.implements(p.IOrganizationController, inherit=True)


class HiddenFilePlugin(p.SingletonPlugin):
    """Refuses it with an auth function."""

    p.implements(p.IAuthFunctions)
    hidden = ""
    not_editable = ""

    def get_auth_functions(self) -> dict[str, Any]:
        return {
            "permission_read_file": self._permission_read_file,
            "permission_edit_file": self._permission_edit_file,
        }

    @staticmethod
    @tk.chained_auth_function
    def _permission_edit_file(next_auth: Any, context: Any, data_dict: Any) -> Any:
        if data_dict["id"] == HiddenFilePlugin.not_editable:
            return {"success": False}
        return next_auth(context, data_dict)

    @staticmethod
    @tk.chained_auth_function
    @tk.auth_allow_anonymous_access
    def _permission_read_file(next_auth: Any, context: Any, data_dict: Any) -> Any:
        if data_dict["id"] == HiddenFilePlugin.hidden:
            return {"success": False}
        return next_auth(context, data_dict)


class EmbargoPlugin(p.SingletonPlugin):
    """Refuses some datasets and resources to all but sysadmins."""

    p.implements(p.IAuthFunctions)
    secret: Collection[str] = ()

    def get_auth_functions(self) -> dict[str, Any]:
        names = ("package_show", "package_update", "resource_show", "resource_update")
        return dict.fromkeys(names, self._refuse)

    @staticmethod
    @tk.chained_auth_function
    @tk.auth_allow_anonymous_access
    def _refuse(next_auth: Any, context: Any, data_dict: Any) -> Any:
        if data_dict.get("id") in EmbargoPlugin.secret:
            return {"success": False}
        return next_auth(context, data_dict)


class FilesManagerPlugin(p.SingletonPlugin):
    """Lets a user manage all files."""

    p.implements(p.IAuthFunctions)
    manager = ""

    def get_auth_functions(self) -> dict[str, Any]:
        return {"permission_manage_files": self._permission_manage_files}

    @staticmethod
    @tk.chained_auth_function
    def _permission_manage_files(next_auth: Any, context: Any, data_dict: Any) -> Any:
        if context["user"] == FilesManagerPlugin.manager:
            return {"success": True}
        return next_auth(context, data_dict)


class RefusedFilePlugin(p.SingletonPlugin):
    """Refuses it with the interface of CKAN 2.12."""

    if capabilities.IFiles:
        p.implements(capabilities.IFiles, inherit=True)
    hidden = ""

    def files_file_allows(self, context: Any, file: Any, operation: Any) -> bool | None:
        return False if file.id == self.hidden else None


class CopiedFilePlugin(p.SingletonPlugin):
    """Writes the first file of a dataset into an extra, at each save."""

    p.implements(p.IActions)

    def get_actions(self) -> dict[str, Any]:
        return dict.fromkeys(("package_create", "package_update"), self._copy)

    @staticmethod
    @tk.chained_action
    def _copy(next_action: Any, context: Any, data_dict: Any) -> Any:
        fields = [data_dict, *data_dict.get("resources", ())]
        files = [each[name] for each in fields for name in _COPIED if each.get(name)]
        extras = [{"key": "main_file", "value": file} for file in files[:1]]
        return next_action(context, {**data_dict, "extras": extras})


_COPIED = ("attachment", "codebook")
