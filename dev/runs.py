"""Runs of a command, each with a database, a Solr core, a Redis database and a folder of its own.

The process that makes these becomes the command: it has the terminal and gets all signals. A later
run removes them when that process has ended.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .console import RUNS, DevError, lock
from .environments import folder_of, migrate
from .servers import Postgres, Redis, Solr

# PostgreSQL last: its migrations need the other two
SOLR, REDIS, POSTGRES = SERVERS = Solr(), Redis(), Postgres()
_OURS = "CKANEXT_FILES_OWN"
"""The environment variable that names the variables that a run has set."""


def forget_outer_run() -> None:
    """Leave in the environment what the developer has set, and nothing of an outer run."""
    for name in os.environ.pop(_OURS, "").split():
        os.environ.pop(name, None)


def become(version: str, *command: str) -> NoReturn:
    """Replace this process by a command, on a version of CKAN."""
    with lock("runs"):
        _remove_ended()
        variables = _make(f"run_{version.replace('.', '_')}_{os.getpid()}", version)
    path = f"{folder_of(version) / 'bin'}:{os.environ['PATH']}"
    os.environ.update({**variables, _OURS: " ".join(variables), "PATH": path})
    # tests start CKAN a hundred times
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        os.execvp(command[0], command)
    except FileNotFoundError as error:
        raise DevError(f"no such command: {command[0]}") from error


def _make(run: str, version: str) -> dict[str, str]:
    """Return the environment variables of a run."""
    storage = RUNS / run / "storage"
    shutil.rmtree(storage.parent, ignore_errors=True)
    storage.mkdir(parents=True)
    ours = {} if os.environ.get("CKAN_STORAGE_PATH") else {"CKAN_STORAGE_PATH": str(storage)}
    for server in SERVERS:
        if server.is_ours:
            ours[server.variable] = server.create(run, version, ours)
    if not POSTGRES.is_ours:
        try:
            migrate("the database of CKAN_SQLALCHEMY_URL", version, ours)
        except DevError as error:
            raise DevError(f"{error}; the database may be of another CKAN version") from error
    return ours


def _remove_ended() -> None:
    for folder in RUNS.glob("run_*"):
        if not Path("/proc", folder.name.rpartition("_")[2]).exists():
            # PostgreSQL may be vacuuming the database: then a later run removes it
            with suppress(DevError):
                for server in SERVERS:
                    if server.pid:
                        server.remove(folder.name)
                shutil.rmtree(folder)
