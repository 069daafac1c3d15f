"""The commands of dev: ``python3 -m dev COMMAND ...``.

run VERSION COMMAND...   run a command with everything in place for a version of CKAN
types VERSION            check the types against it
venv VERSION             make its virtual environment
start, stop              start or stop the servers
clean                    stop them, and remove everything that was made
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from . import environments, packages, runs
from .console import LOGS, NOTES, ROOT, STATE, DevError


def run(version: str, *command: str) -> None:
    start()
    if command[0] == "pytest":
        packages.install_browser()
    environments.make(version)
    runs.become(version, *command)


def types(version: str) -> None:
    environments.make(version)
    programs = environments.folder_of(version) / "bin"
    os.execv(programs / "pyright", ["pyright", "--pythonpath", str(programs / "python")])


def start() -> None:
    servers = [server for server in runs.SERVERS if server.is_ours]
    packages.install(*(name for server in servers for name in server.packages))
    for server in servers:
        server.start()


def stop() -> None:
    for server in runs.SERVERS:
        server.stop()


def clean() -> None:
    stop()
    for folder in (runs.POSTGRES.folder, STATE, ROOT / "build", ROOT / "dist"):
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str]) -> None:
    for folder in (LOGS, NOTES):
        folder.mkdir(parents=True, exist_ok=True)
    runs.forget_outer_run()
    match arguments:
        case ["run", version, command, *more]:
            run(version, command, *more)
        case ["types" | "venv" as name, version]:
            {"types": types, "venv": environments.make}[name](version)
        case ["start" | "stop" | "clean" as name]:
            {"start": start, "stop": stop, "clean": clean}[name]()
        case _:
            raise DevError(f"no such command\n\n{__doc__}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DevError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
