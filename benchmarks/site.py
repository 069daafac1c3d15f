"""CKAN within a process of a benchmark, and such a process from outside.

``CKAN_INI`` names its configuration. It calls methods as it is told, by lines of JSON.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
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


class CkanDiedError(Exception):
    """A process has ended before its answer; what it printed last is on standard error."""


class CkanProcess:
    """A process that runs ``python -m MODULE ARGUMENTS``, which calls :func:`serve`."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._name = arguments[0]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def call(self, method: str, **arguments: Any) -> Any:
        """Let it call a method, and return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps([method, arguments])}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise CkanDiedError(f"The process of {self._name!r} died in {method!r}")
        return json.loads(answer)

    def end(self) -> None:
        self._process.communicate()


def serve(make: Callable[[], object]) -> None:
    """Call the methods of an object, each in a request of CKAN, until there are no more calls."""
    # standard output is for the answers; whatever else is printed goes to standard error
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    served, app = make(), load()
    for line in sys.stdin:
        method, arguments = json.loads(line)
        with app.test_request_context():
            try:
                answer = getattr(served, method)(**arguments)
            finally:
                model.Session.remove()
        print(json.dumps(answer), file=answers, flush=True)


def announce(what: str) -> None:
    """Print what is measured now."""
    print(f">>> {what}", file=sys.stderr, flush=True)
