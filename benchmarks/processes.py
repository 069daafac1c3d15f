"""Processes with CKAN loaded that call methods as they are told, by lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ckan import model

from . import site


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
    served, app = make(), site.load()
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
