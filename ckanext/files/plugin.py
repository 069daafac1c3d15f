"""Wiring of the plugin ``files``."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.common import CKANConfig
from ckan.lib.plugins import DefaultTranslation

from . import helpers
from .cli import get_commands
from .core_files import CoreFilesPlugin, validators_of_options, with_backport
from .logic import action, auth, scheming, validators
from .logic.guard import guarded
from .logic.search_document import without_long_lists
from .ownership import refuse_used_ids
from .queue.core import chained_core_actions


@tk.blanket.helpers(helpers)
class FilesPlugin(CoreFilesPlugin, DefaultTranslation):
    """Task queues for CKAN's actions, and files that belong to datasets."""

    p.implements(p.IActions)
    p.implements(p.IAuthFunctions)
    p.implements(p.IClick)
    p.implements(p.IConfigurer)
    p.implements(p.IPackageController, inherit=True)
    p.implements(p.ITranslation)
    p.implements(p.IValidators)

    def get_actions(self) -> dict[str, Any]:
        return {
            **chained_core_actions(refuse_used_ids),
            **guarded(with_backport("action", _public(action))),
        }

    def get_auth_functions(self) -> dict[str, Any]:
        return with_backport("auth", _public(auth))

    def get_commands(self) -> list[Any]:
        return get_commands()

    def get_validators(self) -> dict[str, Any]:
        return {**validators_of_options(), **_public(validators), **_public(scheming)}

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "templates")

    def before_dataset_index(self, pkg_dict: dict[str, Any]) -> dict[str, Any]:
        return without_long_lists(pkg_dict)


def _public(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}
