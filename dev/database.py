"""Bring a database to the newest migrations, if it is not there: database.py INI.

Starting CKAN takes seconds, looking into the database does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from alembic.script import ScriptDirectory

ROOT = Path(__file__).resolve().parent.parent


def histories() -> Iterator[tuple[str, Path]]:
    """Yield the version table and the folder of each history of migrations."""
    ckan = find_spec("ckan")
    assert ckan is not None
    assert ckan.submodule_search_locations
    yield "alembic_version", Path(ckan.submodule_search_locations[0], "migration")
    own = ROOT / "ckanext/files/migration/files"
    if own.exists():
        yield "ckanext_files_alembic_version", own


def is_current(connection: psycopg2.extensions.connection) -> bool:
    """Tell whether each history has been applied to its end."""
    with connection, connection.cursor() as cursor:
        for table, folder in histories():
            cursor.execute("SELECT to_regclass(%s)", [f"public.{table}"])
            if cursor.fetchone() == (None,):
                return False
            cursor.execute(f"SELECT version_num FROM {table}")
            applied = {version for (version,) in cursor}
            script = ScriptDirectory(str(folder))
            if applied != set(script.get_heads()):
                refuse_unknown(applied, script)
                return False
    return True


def refuse_unknown(applied: set[str], script: ScriptDirectory) -> None:
    """Stop when something was applied that only another version of CKAN has."""
    if applied - {revision.revision for revision in script.walk_revisions()}:
        sys.exit("error: the database that CKAN_SQLALCHEMY_URL names is of another CKAN version")


def main(ini: str) -> int:
    """Upgrade the database that the environment names, and return the exit code."""
    try:
        connection = psycopg2.connect(os.environ["CKAN_SQLALCHEMY_URL"])
    except psycopg2.OperationalError as error:
        sys.exit(f"error: {error}")
    try:
        if is_current(connection):
            return 0
    finally:
        connection.close()
    return subprocess.call(["ckan", "-c", ini, "db", "upgrade"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
