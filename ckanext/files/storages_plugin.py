"""How CKAN gets to know the storages: by the interface of CKAN 2.12, or by the backport."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import ckan.plugins as p
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key

from . import capabilities


class StoragesPlugin(p.SingletonPlugin):
    """Storages with their adapters and options."""

    if capabilities.CORE_FILES:
        p.implements(p.IFiles, inherit=True)  # pyright: ignore
    else:
        p.implements(p.IConfigDeclaration)
        p.implements(p.IConfigurable)

    def files_get_storage_adapters(self) -> dict[str, Any]:
        from .store.adapters import adapters

        return adapters()

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        _backport("declaration").declare(declaration, key)

    def configure(self, config: CKANConfig) -> None:
        storages = _backport("storages").storages
        storages.reset()
        storages.collect()


def option_validators() -> dict[str, Any]:
    """Return the validators of CKAN 2.12 that the options need, where CKAN has them not."""
    if capabilities.CORE_FILES:
        return {}
    module = _backport("option_validators")
    return {name: getattr(module, name) for name in module.__all__}


def _backport(name: str) -> Any:
    return import_module(f"ckanext.files.backport.{name}")
