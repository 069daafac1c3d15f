"""Wiring of the plugin ``files_background``."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.common import CKANConfig

from ckanext.files.background.discovery import load_tasks

from .cli import get_commands


@tk.blanket.config_declarations
class FilesBackgroundPlugin(p.SingletonPlugin):
    """Background tasks, written by the commit that asks for them."""

    p.implements(p.IClick)
    p.implements(p.IConfigurable)

    def configure(self, config: CKANConfig) -> None:
        load_tasks()

    def get_commands(self) -> list[Any]:
        return get_commands()
