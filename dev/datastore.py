"""The database of CKAN's datastore: one for each run, and a role that may only read it."""

from __future__ import annotations

import os
import subprocess

from .environments import RELEASES, folder_of
from .postgres import OWNER, READER, UNFINISHED, Postgres

WRITE, READ = "CKAN_DATASTORE_WRITE_URL", "CKAN_DATASTORE_READ_URL"


class Datastore:
    """A second database in PostgreSQL for a run that has its first one there."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    @property
    def is_ours(self) -> bool:
        return self._postgres.is_ours and not (os.environ.get(WRITE) or os.environ.get(READ))

    def create(self, run: str, version: str) -> dict[str, str]:
        """Make the database; return the addresses for writing and for reading."""
        template = f"template_datastore_{RELEASES[version].replace('.', '_')}"

        def make(_: str) -> None:
            self._postgres.execute(_permissions(version))

        write = self._postgres.copy(template, make, name := _name_of(run))
        return {WRITE: write, READ: self._postgres.address(READER, name)}

    def remove(self, run: str) -> None:
        """Remove what a run had."""
        self._postgres.remove(_name_of(run))


def _name_of(run: str) -> str:
    return f"{run}_datastore"


def _permissions(version: str) -> str:
    """Return what ``ckan datastore set-permissions`` prints, for a template that is being made."""
    print_sql = f"""
from ckanext.datastore.cli import permissions_sql
print(permissions_sql("{UNFINISHED}", "{UNFINISHED}", "{OWNER}", "{OWNER}", "{READER}"))
"""
    python = folder_of(version) / "bin/python"
    return subprocess.check_output([python, "-c", print_sql], text=True)
