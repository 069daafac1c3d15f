"""CKAN within a process: that of a worker, or the one that enqueues."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from ckan import model
from ckan.cli import load_config
from ckan.config.middleware import make_app


@functools.cache
def load() -> Any:
    """Return CKAN's Flask application; ``CKAN_INI`` names its configuration."""
    command = click.get_current_context(silent=True)
    if command and "flask_app" in command.meta:
        # this is the command `ckan`
        return command.meta["flask_app"]
    app: Any = make_app(load_config())
    return app._wsgi_app  # noqa: SLF001  # CKAN wraps it


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
