"""The commands of dev: ``python3 -m dev COMMAND ...``.

run VERSION COMMAND...   run a command with everything in place for a version of CKAN
venv VERSION             make its virtual environment; 2.12-extensions has extensions of others, too
browser                  install a browser for the tests
start, stop              start or stop the servers
clean                    stop them, and remove everything that was made

A run has databases, a Solr core, a Redis database and a folder of its own. The process that makes
these becomes the command: it has the terminal and gets all signals. A later run removes them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from . import environments
from .datastore import Datastore
from .environments import LOGS, NOTES, ROOT, RUNS, STATE, lock
from .postgres import Postgres, migrate_given
from .servers import Redis, Solr

# PostgreSQL last: its migrations need the other two
POSTGRES = Postgres()
SERVERS = Solr(), Redis(), POSTGRES
DATASTORE = Datastore(POSTGRES)
OUR_VARIABLES = "CKANEXT_FILES_OWN"
"""The environment variable that names the variables that a run has set."""


def main(*arguments: str) -> None:
    for folder in (LOGS, NOTES):
        folder.mkdir(parents=True, exist_ok=True)
    # variables of a run around this one; those that the developer has set stay
    for name in os.environ.pop(OUR_VARIABLES, "").split():
        os.environ.pop(name, None)
    match arguments:
        case ["run", version, *command] if command:
            run(version, command)
        case ["venv", version]:
            environments.make(version)
        case ["browser"]:
            environments.install("chromium-driver")
        case ["start" | "stop" | "clean" as name]:
            {"start": start, "stop": stop, "clean": clean}[name]()
        case _:
            sys.exit(f"error: no such command\n\n{__doc__}")


def run(environment: str, command: list[str]) -> None:
    start()
    environments.make(environment)
    with lock("runs"):
        remove_ended_runs()
        variables = make_run(environments.version_of(environment))
    path = ":".join([*map(str, environments.programs_of(environment)), os.environ["PATH"]])
    os.environ.update({**variables, OUR_VARIABLES: " ".join(variables), "PATH": path})
    # each start of CKAN would compile all modules again
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.execvp("env", ["env", *command])


def make_run(version: str) -> dict[str, str]:
    """Return the environment variables of a run."""
    name = f"run_{version.replace('.', '_')}_{os.getpid()}"
    storage = RUNS / name / "storage"
    storage.mkdir(parents=True)
    ours = {} if os.environ.get("CKAN_STORAGE_PATH") else {"CKAN_STORAGE_PATH": str(storage)}
    for server in SERVERS:
        if server.is_ours:
            ours[server.variable] = server.create(name, version, ours)
    if DATASTORE.is_ours:
        ours |= DATASTORE.create(name, version)
    if os.environ.get(Postgres.variable):
        migrate_given(version, ours)
    return ours


def remove_ended_runs() -> None:
    for folder in RUNS.glob("run_*"):
        if not Path("/proc", folder.name.rpartition("_")[2]).exists():
            # PostgreSQL may be vacuuming the database: then a later run removes it
            with suppress(subprocess.CalledProcessError):
                for server in SERVERS:
                    if server.running:
                        server.remove(folder.name)
                if POSTGRES.running:
                    DATASTORE.remove(folder.name)
                shutil.rmtree(folder)


def start() -> None:
    servers = [server for server in SERVERS if server.is_ours]
    environments.install(*(name for server in servers for name in server.packages))
    for server in servers:
        server.start()


def stop() -> None:
    for server in SERVERS:
        server.stop()


def clean() -> None:
    stop()
    for folder in (POSTGRES.folder, STATE, ROOT / "build", ROOT / "dist"):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    main(*sys.argv[1:])
