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


def with_backport(kind: str, ours: ModuleType) -> dict[str, Any]:
    """Return the actions or auth functions of a module together with CKAN 2.12's own.

    CKAN lets a plugin chain no function of its own, so on CKAN 2.11 this function chains them to
    the backport's. On CKAN 2.12 it does so with the actions of files: plugins that chain them get
    what the caller has sent, and ours get what CKAN's would get.

    :param kind: ``action`` or ``auth``.
    :param ours: its functions may be chained to CKAN's.
    """
    functions = public(ours)
    if not capabilities.CORE_FILES:
        core = public(_backport(kind))
    elif kind == "action":
        core = {name: function for name, function in core_actions.items() if name in functions}
    else:
        core = {}
    chained = {name: _chain(core[name], functions[name]) for name in core.keys() & functions.keys()}
    return {**core, **functions, **chained}


def validators_of_options() -> dict[str, Any]:
    """Return the validators that the options of files need, where CKAN lacks them."""
    return {} if capabilities.CORE_FILES else public(_backport("validators"))


def _chain(core: Any, chained: Any) -> Any:
    @functools.wraps(core)
    def function(context: Any, data_dict: Any) -> Any:
        return chained(core, context, data_dict)

    return function


def _backport(name: str) -> Any:
    return import_module(f"ckanext.files.backport.{name}")
