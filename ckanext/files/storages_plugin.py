"""How CKAN gets to know the storages: by the interface of CKAN 2.12, or by the backport."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key

from . import capabilities

#: Those of CKAN 2.12 that the options need, where CKAN has them not.
OPTION_VALIDATORS: dict[str, Any] = {}

if capabilities.CORE_FILES:
    from .store.adapters import adapters

    class StoragesPlugin(p.SingletonPlugin):
        """Adapters for the storages of CKAN itself."""

        p.implements(p.IFiles, inherit=True)  # pyright: ignore[reportAttributeAccessIssue]

        def files_get_storage_adapters(self) -> dict[str, Any]:
            return adapters()

else:
    from .backport import declaration, option_validators, storages

    OPTION_VALIDATORS.update(
        {name: getattr(option_validators, name) for name in option_validators.__all__}
    )

    class StoragesPlugin(p.SingletonPlugin):
        """Storages with their options."""

        p.implements(p.IConfigDeclaration)
        p.implements(p.IConfigurable)

        def declare_config_options(self, declared: Declaration, key: Key) -> None:
            declaration.declare(declared, key)

        def configure(self, config: CKANConfig) -> None:
            storages.storages.reset()
            storages.storages.collect()
