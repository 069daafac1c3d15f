"""CKAN within a process of a benchmark; ``CKAN_INI`` names its configuration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import click
from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app

ROOT = Path(__file__).resolve().parent.parent


def write_ini(path: Path, options: Mapping[str, str]) -> str:
    """Write the configuration of the tests with other options; return its path."""
    parser: Any = RawConfigParser()
    parser.optionxform = str  # the names of options stay as they are
    parser.read(ROOT / "test.ini")
    parser["app:main"].update(options)
    # no line for each job
    for section in ("logger_root", "logger_ckan", "logger_ckanext"):
        parser[section]["level"] = "WARNING"
    with path.open("w") as output:
        parser.write(output)
    return str(path)


@functools.cache
def load() -> Any:
    """Return CKAN's Flask application."""
    command = click.get_current_context(silent=True)
    if command and "flask_app" in command.meta:
        # this is the command `ckan`
        return command.meta["flask_app"]
    app: Any = make_app(load_config())
    return app._wsgi_app  # noqa: SLF001  # CKAN wraps it without its contexts


def in_request(function: Callable[[int], None]) -> Callable[[int], None]:
    """Let a task have what a request has, and a session of its own."""

    @functools.wraps(function)
    def within(number: int) -> None:
        with load().test_request_context():
            try:
                function(number)
            finally:
                model.Session.remove()

    return within


def forget_connections() -> None:
    """Leave to the parent, in a process that was forked, the connections to the database."""
    engine: Any = model.Session.get_bind()
    engine.dispose(close=False)
