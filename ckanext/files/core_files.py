"""Wiring of the files of CKAN 2.12: additions to those in its core, or the backport on 2.11."""

from __future__ import annotations

import functools
from importlib import import_module
from types import ModuleType
from typing import Any

import ckan.plugins as p
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key

from . import capabilities, downloads, views
from .store.actions import actions as core_actions
from .store.storages import adapters


class CoreFilesPlugin(p.SingletonPlugin):
    """Files, with their storages, options and pages."""

    p.implements(p.IBlueprint)
    p.implements(p.IConfigDeclaration)
    if capabilities.CORE_FILES:
        p.implements(capabilities.IFiles, inherit=True)
    else:
        p.implements(p.IConfigurable)

    def get_blueprint(self) -> list[Any]:
        is_core = capabilities.CORE_FILES
        core = downloads.core_downloads if is_core else _backport("views").blueprint
        return [core, downloads.blueprint, views.blueprint]

    def files_get_storage_adapters(self) -> dict[str, Any]:
        return adapters()

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        if not capabilities.CORE_FILES:
            _backport("config").declare(declaration, key)

    def configure(self, config: CKANConfig) -> None:
        storages = _backport("storage").storages
        storages.reset()
        storages.collect()


def public(module: ModuleType) -> dict[str, Any]:
    """Return the functions in a module's ``__all__`` by their names."""
    return {name: getattr(module, name) for name in module.__all__}


def with_core_actions(ours: ModuleType) -> dict[str, Any]:
    """Return the actions of a module; on CKAN 2.11 also the actions of files of CKAN 2.12.

    CKAN lets a plugin chain no function of its own. So on CKAN 2.11 this function binds actions of
    the module to the backport's. On CKAN 2.12 it does the same with CKAN's: ours run innermost, and
    plugins that chain these actions get what the caller has sent.
    """
    backport = {} if capabilities.CORE_FILES else core_actions
    return {**backport, **_bound(core_actions, public(ours))}


def with_backport_auth(ours: ModuleType) -> dict[str, Any]:
    """Return the auth functions of a module; on CKAN 2.11 also CKAN 2.12's, with ours chained."""
    backport = {} if capabilities.CORE_FILES else public(_backport("auth"))
    return {**backport, **_bound(backport, public(ours))}


def validators_of_options() -> dict[str, Any]:
    """Return the validators that the options of files need, where CKAN lacks them."""
    return {} if capabilities.CORE_FILES else public(_backport("validators"))


def _bound(core: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    both = core.keys() & ours.keys()
    return {**ours, **{name: _bind(core[name], ours[name]) for name in both}}


def _bind(core: Any, chained: Any) -> Any:
    @functools.wraps(core)
    def function(context: Any, data_dict: Any) -> Any:
        return chained(core, context, data_dict)

    return function


def _backport(name: str) -> Any:
    return import_module(f"ckanext.files.backport.{name}")
