"""Wiring of the plugin ``files``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.common import CKANConfig
from ckan.lib.plugins import DefaultTranslation

from . import capabilities, helpers
from .logic.search_document import without_long_lists
from .queue.core import chained_core_actions
from .storages_plugin import StoragesPlugin, option_validators


@tk.blanket.helpers(helpers)
class FilesPlugin(StoragesPlugin, DefaultTranslation):
    """Task queues for CKAN's actions, and files that belong to datasets."""

    p.implements(p.IActions)
    p.implements(p.IAuthFunctions)
    p.implements(p.IClick)
    p.implements(p.IConfigurer)
    p.implements(p.IPackageController, inherit=True)
    p.implements(p.ITranslation)
    p.implements(p.IValidators)

    def get_actions(self) -> dict[str, Any]:
        return {**chained_core_actions(), **_logic_of_files("action")}

    def get_auth_functions(self) -> dict[str, Any]:
        return _logic_of_files("auth")

    def get_commands(self) -> list[Any]:
        if not capabilities.CORE_FILES:
            return []
        return import_module("ckanext.files.cli").get_commands()

    def get_validators(self) -> dict[str, Any]:
        return {
            **option_validators(),
            **_logic_of_files("validators"),
            **_logic_of_files("scheming"),
        }

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "templates")

    def before_dataset_index(self, pkg_dict: dict[str, Any]) -> dict[str, Any]:
        return without_long_lists(pkg_dict)


def _logic_of_files(name: str) -> dict[str, Any]:
    """Return what a module of ``logic`` offers, where there are files."""
    if not capabilities.CORE_FILES:
        return {}
    module = import_module(f"ckanext.files.logic.{name}")
    return {item: getattr(module, item) for item in module.__all__}
