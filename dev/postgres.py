"""PostgreSQL, with a database for each run: a copy of one in which all migrations have run."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .environments import NOTES, RELEASES, ROOT, folder_of, run_logged
from .process import HOST
from .servers import Server

OWNER, READER = "ckan_default", "datastore_reader"
"""The roles: of CKAN, and of what reads the datastore."""

UNFINISHED = "unfinished"
"""The name of a database that is to be copied while it is made."""

_PASSWORDS = {OWNER: NOTES / "postgres.password", READER: NOTES / "postgres.reader"}


class Postgres(Server):
    """With ``fsync`` on, as on a portal: benchmarks measure what it costs.

    It refuses to run as root, and its own user may not read root's folders: so it is in /var/tmp.
    """

    name, variable, packages = "postgres", "CKAN_SQLALCHEMY_URL", ("postgresql",)
    ready = "database system is ready"
    stop_signal = "INT"  # TERM waits for the clients

    def __init__(self) -> None:
        super().__init__()
        if os.geteuid() == 0:
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self._note = NOTES / "postgres.folder"
        if self._note.exists():
            self.folder = Path(self._note.read_text())

    def start(self) -> None:
        if self.running and not _PASSWORDS[READER].exists():
            self.stop()  # it was made before there was this role
        super().start()

    def prepare(self) -> None:
        if not self._note.exists():
            self.folder = Path(tempfile.mkdtemp(prefix="ckanext-files-", dir="/var/tmp"))
            if self.account:
                shutil.chown(self.folder, "postgres", "postgres")
            as_postgres: Any = {"cwd": self.folder, **self.account}
            options = ["--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "data"]
            run_logged("making databases", [_program("initdb"), *options], "initdb", **as_postgres)
            self._make_role(OWNER, "CREATEDB")
            self._note.write_text(str(self.folder))
        if not _PASSWORDS[READER].exists():
            # a member of it may end its sessions
            self._make_role(READER, f"ROLE {OWNER}")

    def _make_role(self, name: str, options: str) -> None:
        """Make a role that may log in. The server must not run."""
        password = secrets.token_hex(16)
        role = f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}"
        single: Any = [_program("postgres"), "--single", "-D", "data", "postgres"]
        as_postgres: Any = {"cwd": self.folder, **self.account}
        subprocess.run(single, input=role.encode(), check=True, capture_output=True, **as_postgres)
        _PASSWORDS[name].touch(0o600)
        _PASSWORDS[name].write_text(password)

    def command(self) -> list[Any]:
        settings = [f"listen_addresses={HOST}", "unix_socket_directories=", "max_connections=300"]
        options = [part for setting in settings for part in ("-c", setting)]
        return [_program("postgres"), "-D", "data", "-p", self.port, *options]

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        """Copy a database in which all migrations have run; make that first if it is missing."""

        def make(url: str) -> None:
            migrate("a database", version, {**variables, self.variable: url})

        return self.copy(f"template_{_digest(version)}", make, run)

    def copy(self, template: str, make: Callable[[str], None], name: str) -> str:
        """Copy a database, and return the address of the copy.

        :param make: fills the template, whose address it gets, if there is none yet.
        """
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{template}'"):
            make(self._copy("template1", UNFINISHED))
            self.execute(f"ALTER DATABASE {UNFINISHED} RENAME TO {template}")
        return self._copy(template, name)

    def _copy(self, template: str, name: str) -> str:
        self.remove(name)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(OWNER, name)

    def address(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{_PASSWORDS[role].read_text()}@{HOST}:{self.port}/{database}"

    def remove(self, run: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {run} WITH (FORCE)")

    def execute(self, statements: str) -> str:
        """Run SQL, which may have commands of psql; return what it answers."""
        where = ["-h", HOST, "-p", self.port, "-U", OWNER, "-d", "postgres"]
        command = [_program("psql"), *where, "-XqAtv", "ON_ERROR_STOP=1"]
        quiet = {"PGOPTIONS": "--client-min-messages=warning"}
        environment = {**os.environ, **quiet, "PGPASSWORD": _PASSWORDS[OWNER].read_text()}
        return subprocess.check_output(
            command, input=statements, env=environment, text=True
        ).strip()


def _program(name: str) -> Path:
    """Return a program of the newest PostgreSQL that is installed."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return max(folders, key=lambda folder: float(folder.parent.name)) / name


def migrate(database: str, version: str, variables: Mapping[str, str]) -> None:
    """Run all migrations of CKAN and of the extension in the database of the variables."""
    command = [folder_of(version) / "bin/ckan", "-c", "test.ini", "db", "upgrade"]
    what = f"running the migrations of CKAN {version} in {database}"
    run_logged(what, command, f"migrations-{version}", cwd=ROOT, env={**os.environ, **variables})


def migrate_given(version: str, variables: Mapping[str, str]) -> None:
    """Run them in the given database, unless it is as they have left it the last time."""
    note = NOTES / "given-database"
    show = [folder_of(version) / "bin/python", "-c", _SHOW_VERSIONS]
    done = subprocess.run(show, capture_output=True, text=True, check=False).stdout
    if not note.exists() or note.read_text() != f"{_digest(version)} {done}":
        migrate("the given database (which may be of another version)", version, variables)
        done = subprocess.check_output(show, text=True)
        note.write_text(f"{_digest(version)} {done}")


_SHOW_VERSIONS = """
import os, sqlalchemy
connection = sqlalchemy.create_engine(os.environ["CKAN_SQLALCHEMY_URL"]).connect()
for table in ("alembic_version", "ckanext_files_alembic_version"):
    print(*connection.execute(sqlalchemy.text(f"SELECT version_num FROM {table}")))
"""


def _digest(version: str) -> str:
    """Return a digest of all migrations, and of the search, whose indexes one of them makes."""
    digest = hashlib.sha256(RELEASES[version].encode())
    for folder in ("migration/files/versions", "search"):
        for file in sorted(ROOT.glob(f"ckanext/files/{folder}/*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
