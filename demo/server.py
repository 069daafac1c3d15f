"""The real web server and the real worker, each in a process of its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dev.process import CkanServer, Process


class Site(CkanServer):
    """CKAN's own web server, started by the command ``demo-site``."""

    def __init__(self, ini: Path, log: Path, port: int, environment: Mapping[str, str]) -> None:
        self._tokens = Path(environment["CKAN_STORAGE_PATH"], "tokens.json")
        self._tokens.unlink(missing_ok=True)
        super().__init__(ini, log, port, environment, ["demo-site", str(self._tokens)])

    def tokens(self) -> dict[str, str]:
        """Return the API token of each user, once they are made.

        :raises ProcessError: CKAN has ended before.
        """
        self.wait_until(self._tokens.exists)
        return json.loads(self._tokens.read_text())


@contextmanager
def running(process: Process) -> Iterator[None]:
    """Start a process with an empty log, and stop it at the end."""
    process.log.unlink(missing_ok=True)
    process.start()
    try:
        yield
    finally:
        process.stop()


def worker(ini: Path, log: Path, environment: Mapping[str, str]) -> Process:
    """Return a worker of background jobs, not started."""
    arguments = ["files", "background", "worker", "--concurrency", "2"]
    return Process(["ckan", "-c", str(ini), *arguments], log, environment)


def command_line(folder: Path, ini: Path, environment: Mapping[str, str]) -> Path:
    """Write a script that is the command ``ckan`` of the running site, and return its path."""
    names = ["PATH", "PYTHONPATH", *sorted(name for name in environment if name.startswith("CKAN"))]
    exports = [f"export {name}={shlex.quote(environment[name])}" for name in names]
    # completion reads no -c that is not typed, and should not print what CKAN logs
    exports += [f"export CKAN_INI={ini}", '[ -z "$_CKAN_COMPLETE" ] || exec 2>/dev/null']
    script = folder / "ckan"
    folder.mkdir(exist_ok=True)
    script.write_text("\n".join(["#!/bin/sh", *exports, 'exec ckan "$@"', ""]))
    script.chmod(0o700)  # it has the password of the database
    return script
