"""CKAN's configuration, as a contender has it: that of the tests with other plugins."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path
from typing import Any

from .contenders import Contender

ROOT = Path(__file__).resolve().parent.parent.parent


def write_ini(contender: Contender, folder: Path) -> Path:
    """Return the file, which is written into a folder."""
    parser: Any = RawConfigParser()
    parser.optionxform = str  # the names of options stay as they are
    parser.read(ROOT / "test.ini")
    parser["app:main"].update({"ckan.plugins": contender.plugins, **dict(contender.options)})
    # nobody shall write a line for each job
    for section in ("logger_root", "logger_ckan", "logger_ckanext"):
        parser[section]["level"] = "WARNING"
    path = folder / f"{contender.name}.ini"
    with path.open("w") as output:
        parser.write(output)
    return path
