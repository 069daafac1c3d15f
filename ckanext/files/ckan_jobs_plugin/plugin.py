"""Wiring of the plugin ``files_jobs``."""

from __future__ import annotations

import logging
from importlib import resources
from typing import Any

import ckan.plugins as p
import click
import yaml
from ckan import model
from ckan.common import CKANConfig, config
from ckan.config.declaration import Declaration, Key
from ckan.exceptions import CkanConfigurationException

from ckanext.files.background import NotInstalledError, schema
from ckanext.files.ckan_jobs import policy
from ckanext.files.ckan_jobs.errors import PolicyError
from ckanext.files.ckan_jobs.install import install, uninstall
from ckanext.files.queue.core import held_core_actions

from . import ckans_commands, harvesting
from .cli import get_commands

log = logging.getLogger(__name__)

_ONE_COMMIT = "ckanext.files.jobs.one_commit"


def declare(declaration: Declaration, _key: Key) -> None:
    """Declare the options of jobs."""
    text = resources.files(__package__ or "").joinpath("config_declaration.yaml").read_text()
    declaration.load_dict(yaml.safe_load(text))


class FilesJobsPlugin(p.SingletonPlugin):
    """``toolkit.enqueue_job`` of every extension writes rows, as the commit has it."""

    p.implements(p.IConfigDeclaration)
    p.implements(p.IConfigurable)
    p.implements(p.IActions)
    p.implements(p.IClick)

    def __init__(self, **kwargs: Any) -> None:
        # CKAN makes its plugins also when it unloads them, and announces that only to others
        uninstall()
        ckans_commands.uninstall()
        harvesting.uninstall()
        if not p.plugin_loaded("files_background"):
            raise CkanConfigurationException(
                "The plugin files_jobs needs the plugin files_background before it: "
                "ckan.plugins = files files_background files_jobs"
            )
        super().__init__(**kwargs)

    def declare_config_options(self, declaration: Declaration, key: Key) -> None:
        declare(declaration, key)

    def configure(self, config: CKANConfig) -> None:
        try:
            policy.check()
        except PolicyError as error:
            raise CkanConfigurationException(str(error)) from error
        install()
        ckans_commands.install()
        harvesting.configure()
        if not click.get_current_context(silent=True):
            _warn_of_missing_tables()  # a command that needs them says so, and one creates them

    def get_actions(self) -> dict[str, Any]:
        # hooks ask for jobs after CKAN's own commit: a kill in between would lose the job
        held = held_core_actions() if config[_ONE_COMMIT] else {}
        return {**held, **harvesting.get_actions()}

    def get_commands(self) -> list[Any]:
        return get_commands()


def _warn_of_missing_tables() -> None:
    try:
        with model.meta.engine.connect() as connection:  # pyright: ignore[reportOptionalMemberAccess]
            schema.check(connection)
    except NotInstalledError as error:
        log.critical("Jobs cannot be asked for. %s", error)
