"""Wiring of the plugin ``files``."""

from __future__ import annotations

from importlib import resources
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import yaml
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key
from ckan.lib.plugins import DefaultTranslation

from . import ownership, uploads
from .cli import get_commands
from .core_files import (
    CoreFilesPlugin,
    public,
    validators_of_options,
    with_backport_auth,
    with_core_actions,
)
from .logic import action, auth, scheming, validators
from .logic.guard import guarded
from .logic.search_document import without_long_lists
from .ownership import refuse_used_ids, withdraw_files
from .pages import blueprints, helpers
from .queue.core import chained_core_actions
from .uploads import views as upload_views


def declare(declaration: Declaration, _key: Key) -> None:
    """Declare the options that both versions of CKAN have from this plugin."""
    for package in (ownership.__name__, uploads.__name__):
        text = resources.files(package).joinpath("config_declaration.yaml").read_text()
        declaration.load_dict(yaml.safe_load(text))


class FilesPlugin(CoreFilesPlugin, DefaultTranslation):
    """Task queues for CKAN's actions, and files that belong to datasets."""

    p.implements(p.IActions)
    p.implements(p.IAuthFunctions)
    p.implements(p.IClick)
    p.implements(p.IConfigurer)
    p.implements(p.IPackageController, inherit=True)
    p.implements(p.ITemplateHelpers)
    p.implements(p.ITranslation)
    p.implements(p.IValidators)

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        super().declare_config_options(declaration, key)
        declare(declaration, key)

    def get_actions(self) -> dict[str, Any]:
        return {
            **chained_core_actions(withdraw_files, refuse_used_ids),
            **guarded(with_core_actions(action)),
        }

    def get_auth_functions(self) -> dict[str, Any]:
        return with_backport_auth(auth)

    def get_blueprint(self) -> list[Any]:
        return [*super().get_blueprint(), upload_views.blueprint, *blueprints]

    def get_commands(self) -> list[Any]:
        return get_commands()

    def get_helpers(self) -> dict[str, Any]:
        return public(helpers)

    def get_validators(self) -> dict[str, Any]:
        return {**validators_of_options(), **public(validators), **public(scheming)}

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "templates")
        tk.add_resource("assets", "files")

    def before_dataset_index(self, pkg_dict: dict[str, Any]) -> dict[str, Any]:
        return without_long_lists(pkg_dict)
