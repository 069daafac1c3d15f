"""The options of the plugin, and those of the tasks that ship with it."""

from __future__ import annotations

from importlib import resources

import yaml
from ckan.config.declaration import Declaration, Key

from ckanext.files import background_plugin
from ckanext.files.maintenance import options


def declare(declaration: Declaration, key: Key) -> None:
    """Declare them."""
    text = resources.files(background_plugin).joinpath("config_declaration.yaml").read_text()
    declaration.load_dict(yaml.safe_load(text))
    options.declare(declaration, key)
