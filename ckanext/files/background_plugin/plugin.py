"""Wiring of the plugin ``files_background``."""

from __future__ import annotations

from importlib import resources
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import yaml
from ckan.common import CKANConfig
from ckan.config.declaration import Declaration, Key
from ckan.exceptions import CkanConfigurationException

from ckanext.files import maintenance
from ckanext.files.background.discovery import load_tasks
from ckanext.files.filekeeper.removal import IRemovalJobs
from ckanext.files.maintenance.errors import ScheduleError
from ckanext.files.maintenance.removal import write_removal_job
from ckanext.files.maintenance.schedule import register_schedules

from . import action, action_on_found, action_on_queues, auth, location, pages
from .cli import get_commands


def declare(declaration: Declaration, _key: Key) -> None:
    """Declare the options of background tasks and of maintenance."""
    for package in (__package__ or "", maintenance.__name__):
        text = resources.files(package).joinpath("config_declaration.yaml").read_text()
        declaration.load_dict(yaml.safe_load(text))


@tk.blanket.auth_functions(auth)
@tk.blanket.blueprints([location.blueprint, pages.blueprint])
class FilesBackgroundPlugin(p.SingletonPlugin):
    """Background tasks, written by the commit that asks for them."""

    p.implements(p.IActions)
    p.implements(p.IClick)
    p.implements(p.IConfigDeclaration)
    p.implements(p.IConfigurable)
    p.implements(p.IConfigurer)
    p.implements(p.ITemplateHelpers)
    p.implements(IRemovalJobs)

    def __init__(self, **kwargs: Any) -> None:
        # CKAN makes the plugins in the order of the option ckan.plugins
        if not p.plugin_loaded("files"):
            raise CkanConfigurationException(
                "The plugin files_background needs the plugin files before it: "
                "ckan.plugins = files files_background"
            )
        super().__init__(**kwargs)

    def configure(self, config: CKANConfig) -> None:
        location.listen()
        load_tasks()
        try:
            register_schedules()
        except ScheduleError as error:
            raise CkanConfigurationException(str(error)) from error

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        declare(declaration, key)

    def get_actions(self) -> dict[str, Any]:
        modules: Any = (action, action_on_found, action_on_queues)
        return {name: getattr(each, name) for each in modules for name in each.__all__}

    def get_helpers(self) -> dict[str, Any]:
        return pages.all_helpers()

    def write_removal_job(self, storage: str, data: Any) -> bool:
        return write_removal_job(storage, data)

    def update_config(self, config: CKANConfig) -> None:
        tk.add_template_directory(config, "templates")

    def get_commands(self) -> list[Any]:
        return get_commands()
