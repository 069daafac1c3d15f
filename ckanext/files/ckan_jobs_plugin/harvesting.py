"""Harvesting as jobs, where the plugin ``harvest`` is loaded.

Otherwise nothing of it is imported: ckanext-harvest may not be installed.
"""

from __future__ import annotations

import sys
from typing import Any

import ckan.plugins as p
from ckan.common import config
from ckan.exceptions import CkanConfigurationException

from ckanext.files.background.errors import BackgroundError
from ckanext.files.harvest_jobs.options import ENABLED


def configure() -> None:
    """Put jobs under the queues of ckanext-harvest, or give it its own ones back."""
    uninstall()
    if not _is_wanted():
        return
    from ckanext.files.harvest_jobs import install

    try:
        install.install()
    except BackgroundError as error:
        raise CkanConfigurationException(str(error)) from error


def uninstall() -> None:
    """Give ckanext-harvest its own queues back, if they were replaced."""
    if "ckanext.files.harvest_jobs.install" in sys.modules:
        from ckanext.files.harvest_jobs import install

        install.uninstall()


def get_actions() -> dict[str, Any]:
    """Return the actions of ckanext-harvest that are chained."""
    if not _is_wanted():
        return {}
    from ckanext.files.harvest_jobs.actions import ACTIONS

    return ACTIONS


def _is_wanted() -> bool:
    return p.plugin_loaded("harvest") and config[ENABLED]
