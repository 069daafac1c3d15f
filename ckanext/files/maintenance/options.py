"""The options of maintenance."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml
from ckan.common import config
from ckan.config.declaration import Declaration, Key

from ckanext.files import maintenance

PREFIX = "ckanext.files.maintenance"
TIMEZONE = f"{PREFIX}.timezone"


def declare(declaration: Declaration, _key: Key) -> None:
    """Declare the options, for a plugin's ``IConfigDeclaration``."""
    text = resources.files(maintenance).joinpath("config_declaration.yaml").read_text()
    declaration.load_dict(yaml.safe_load(text))


def option(task: str, name: str) -> Any:
    """Return the value of a task's option."""
    return config[f"{PREFIX}.{task}.{name}"]


def timezone() -> str:
    """Return the name of the time zone in which schedules are."""
    return config[TIMEZONE].strip()
