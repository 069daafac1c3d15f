"""Wiring of what CKAN 2.12 has in its core: the additions to it, or the backport."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import ckan.plugins as p
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key

from . import capabilities


class CoreFilesPlugin(p.SingletonPlugin):
    """Files, with their storages, options and pages."""

    p.implements(p.IBlueprint)
    if capabilities.CORE_FILES:
        p.implements(capabilities.IFiles, inherit=True)
    else:
        p.implements(p.IConfigDeclaration)
        p.implements(p.IConfigurable)

    def get_blueprint(self) -> list[Any]:
        from .views import caching, downloads, old_links, sessions

        files = downloads if capabilities.CORE_FILES else _backport("view")
        ours = [view.blueprint for view in (caching, old_links, sessions)]
        return [files.blueprint, *ours]

    def files_get_storage_adapters(self) -> dict[str, Any]:
        from .store.adapters import adapters

        return adapters()

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        _backport("declaration").declare(declaration, key)

    def configure(self, config: CKANConfig) -> None:
        storages = _backport("storages").storages
        storages.reset()
        storages.collect()


def with_backport(kind: str, ours: dict[str, Any]) -> dict[str, Any]:
    """Return actions or auth functions together with those that CKAN 2.12 has.

    :param kind: ``action`` or ``auth``.
    :param ours: some of them chained to those of CKAN. A plugin cannot chain
        its own, so those of the backport are put together here.
    """
    if capabilities.CORE_FILES:
        return ours
    core = _public(kind)
    chained = {name: _chained(core[name], ours[name]) for name in core.keys() & ours.keys()}
    return {**core, **ours, **chained}


def validators_of_options() -> dict[str, Any]:
    """Return the validators of CKAN 2.12 that the options need, where CKAN has them not."""
    return {} if capabilities.CORE_FILES else _public("option_validators")


def _chained(core: Any, chained: Any) -> Any:
    @functools.wraps(core)
    def function(context: Any, data_dict: Any) -> Any:
        return chained(core, context, data_dict)

    return function


def _public(name: str) -> dict[str, Any]:
    module = _backport(name)
    return {item: getattr(module, item) for item in module.__all__}


def _backport(name: str) -> Any:
    return import_module(f"ckanext.files.backport.{name}")
