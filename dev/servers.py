"""PostgreSQL, Redis and Solr for this checkout, and what each run of a command has in them.

They listen on ports of their own of the loopback address, and run until they are stopped. A server
that an environment variable names is used as it is: neither installed, started nor stopped.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from .console import LOGS, NOTES, ROOT, RUNS, STATE, DevError, lock, run_logged, say
from .environments import RELEASES, folder_of, migrate

_HOST = "127.0.0.1"
_SECONDS = 120
_SOLR_FILES = Path(__file__).resolve().parent / "solr"


class Server:
    """A process that is found again by the notes of its id and its port."""

    name: str
    variable: str
    packages: tuple[str, ...]
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = STATE / self.name
        self.log = LOGS / f"{self.name}.log"
        self.account: dict[str, Any] = {}
        self._pid, self._port = NOTES / f"{self.name}.pid", NOTES / f"{self.name}.port"

    @property
    def is_ours(self) -> bool:
        return not os.environ.get(self.variable)

    @property
    def port(self) -> str:
        return self._port.read_text().strip()

    @property
    def pid(self) -> int:
        """Id of the process, or 0. A process that got the id later does not name the port."""
        try:
            pid = self._pid.read_text().split()[0]
            return int(pid) if self.port in Path(f"/proc/{pid}/cmdline").read_text() else 0
        except OSError:
            return 0

    def start(self) -> None:
        """Start it, if it does not run, and return when it answers."""
        with lock(self.name):
            process = None if self.pid else self._launch()
            end = time.monotonic() + _SECONDS
            while not self.answers():
                if (process and process.poll() is not None) or time.monotonic() > end:
                    raise DevError(f"{self.name} did not start, see {self.log}")
                time.sleep(0.1)

    def _launch(self) -> subprocess.Popen[Any]:
        self.prepare()
        say(f"starting {self.name}")
        self._port.write_text(_free_port())
        options: Any = {"cwd": self.folder, "start_new_session": True, **self.account}
        with self.log.open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            process = subprocess.Popen(self.command(), **streams, **options)
        self._pid.write_text(str(process.pid))
        return process

    def stop(self) -> None:
        """Stop it, if it runs."""
        with lock(self.name):
            end = time.monotonic() + _SECONDS
            if pid := self.pid:
                say(f"stopping {self.name}")
                os.kill(pid, self.stop_signal)
            while self.pid:
                if time.monotonic() > end:
                    raise DevError(f"{self.name} (process {pid}) does not stop")
                time.sleep(0.1)

    def prepare(self) -> None:
        """Make what it needs."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[Any]:
        raise NotImplementedError

    def answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex((_HOST, int(self.port))) == 0

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        """Make what a run has; return its address."""
        raise NotImplementedError

    def remove(self, run: str) -> None:
        """Remove what a run had."""


class Postgres(Server):
    """With ``fsync`` on: tests that kill processes must find what a real server keeps.

    It refuses to run as root, and its own user may not read root's folders: so it is in /var/tmp.
    """

    name, variable, packages = "postgres", "CKAN_SQLALCHEMY_URL", ("postgresql",)
    stop_signal = signal.SIGINT  # SIGTERM waits for the clients

    def __init__(self) -> None:
        super().__init__()
        if os.geteuid() == 0:
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self._note, self._password = NOTES / "postgres.folder", NOTES / "postgres.password"
        if self._note.exists():
            self.folder = Path(self._note.read_text())

    def prepare(self) -> None:
        if self._note.exists():
            return
        self.folder = Path(tempfile.mkdtemp(prefix="ckanext-files-", dir="/var/tmp"))
        if self.account:
            shutil.chown(self.folder, "postgres", "postgres")
        as_postgres: Any = {"cwd": self.folder, **self.account}
        options = ["--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "data"]
        run_logged("making databases", [self._program("initdb"), *options], "initdb", **as_postgres)
        self._password.touch(0o600)
        self._password.write_text(secrets.token_hex(16))
        role = f"CREATE ROLE ckan_default LOGIN CREATEDB PASSWORD '{self._password.read_text()}'"
        single = [self._program("postgres"), "--single", "-D", "data", "postgres"]
        subprocess.run(single, input=role.encode(), check=True, capture_output=True, **as_postgres)
        self._note.write_text(str(self.folder))

    def command(self) -> list[Any]:
        settings = [f"listen_addresses={_HOST}", "unix_socket_directories=", "max_connections=300"]
        options = [part for setting in settings for part in ("-c", setting)]
        return [self._program("postgres"), "-D", "data", "-p", self.port, *options]

    def answers(self) -> bool:
        return not subprocess.call([self._program("pg_isready"), "-qh", _HOST, "-p", self.port])

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        return self._create(run, self._template(version, variables))

    def _template(self, version: str, variables: Mapping[str, str]) -> str:
        """Return the name of a database in which all migrations have run; make it if missing."""
        digest = hashlib.sha256(RELEASES[version].encode())
        for file in sorted(ROOT.glob("ckanext/files/migration/files/versions/*.py")):
            digest.update(file.read_bytes())
        name = f"template_{digest.hexdigest()[:12]}"
        if not self._execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            url = self._create("unfinished", "template1")
            migrate("a database", version, {**variables, self.variable: url})
            self._execute(f"ALTER DATABASE unfinished RENAME TO {name}")
        return name

    def _create(self, name: str, template: str) -> str:
        self.remove(name)
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        password = self._password.read_text().strip()
        return f"postgresql://ckan_default:{password}@{_HOST}:{self.port}/{name}"

    def remove(self, run: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {run} WITH (FORCE)")

    def _execute(self, statement: str) -> str:
        where = ["-h", _HOST, "-p", self.port, "-U", "ckan_default", "-d", "postgres"]
        command = [self._program("psql"), *where, "-XqAtc", statement]
        environment = {**os.environ, "PGPASSWORD": self._password.read_text().strip()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DevError(f"PostgreSQL refuses {statement!r}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _program(self, name: str) -> Path:
        """Return a program of the version that made the data, or of the newest one."""
        made_by = self.folder / "data/PG_VERSION"
        version = made_by.read_text().strip() if made_by.exists() else "*"
        found = [path.parent for path in Path("/usr/lib/postgresql").glob(f"{version}/bin/initdb")]
        return max(found, key=lambda folder: float(folder.parent.name)) / name


class Redis(Server):
    """It keeps nothing on disk. A run has a database that no other run has at that time."""

    name, variable, packages = "redis", "CKAN_REDIS_URL", ("redis-server",)

    def command(self) -> list[Any]:
        options = ["--save", "", "--appendonly", "no", "--databases", "1000"]
        return ["redis-server", "--bind", _HOST, "--port", self.port, *options]

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        databases = int(self._ask("CONFIG", "GET", "databases").split()[1])
        taken = {int(note.read_text()) for note in RUNS.glob("*/redis")}
        number = max(set(range(1, databases)) - taken)
        (RUNS / run / "redis").write_text(str(number))
        self._ask("-n", f"{number}", "FLUSHDB")
        return f"redis://{_HOST}:{self.port}/{number}"

    def _ask(self, *command: str) -> str:
        return subprocess.check_output(["redis-cli", "-p", self.port, *command], text=True)


class Solr(Server):
    """Debian has no package of it, Maven has."""

    name, variable, packages = "solr", "CKAN_SOLR_URL", ("default-jdk-headless", "maven")

    def __init__(self) -> None:
        super().__init__()
        self.folder, self._lib = STATE / "solr/home", STATE / "solr/lib"

    def prepare(self) -> None:
        super().prepare()
        shutil.copy(_SOLR_FILES / "solr.xml", self.folder)
        pom, copy = _SOLR_FILES / "pom.xml", self._lib / "pom.xml"
        if not copy.exists() or copy.read_text() != pom.read_text():
            shutil.rmtree(self._lib, ignore_errors=True)
            maven = ["mvn", "-B", "-f", pom, "dependency:copy-dependencies"]
            run_logged("downloading Solr", [*maven, f"-DoutputDirectory={self._lib}"], "maven")
            shutil.copy(pom, copy)

    def command(self) -> list[Any]:
        # Jetty's test mode is what makes the runner listen on 127.0.0.1 instead of everywhere
        java = ["java", "-Xms128m", "-Xmx512m", "-Djetty.testMode=true", f"-Dsolr.log.dir={LOGS}"]
        return [*java, "-cp", f"{self._lib}/*", _SOLR_FILES / "Solr.java", self.folder, self.port]

    def answers(self) -> bool:
        """Return whether all cores are loaded."""
        return "ready" in self.log.read_text().splitlines() and super().answers()

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        self.remove(run)
        [schema] = folder_of(version).glob("lib/*/site-packages/ckan/config/solr/schema.xml")
        conf = self.folder / f"configsets/{version}/conf"
        conf.mkdir(parents=True, exist_ok=True)
        for file in (schema, _SOLR_FILES / "solrconfig.xml"):
            shutil.copy(file, conf)
        for name in ("synonyms", "stopwords", "protwords"):
            (conf / f"{name}.txt").touch()
        self._administer(action="CREATE", name=run, configSet=version)
        return f"http://{_HOST}:{self.port}/solr/{run}"

    def remove(self, run: str) -> None:
        if (self.folder / run).exists():
            self._administer(action="UNLOAD", core=run, deleteInstanceDir="true")

    def _administer(self, **arguments: str) -> None:
        address = f"http://{_HOST}:{self.port}/solr/admin/cores?{urlencode(arguments)}"
        try:
            build_opener(ProxyHandler({})).open(address, timeout=60).close()
        except HTTPError as error:
            raise DevError(f"Solr refuses {arguments}: {error.read().decode()}") from error


def _free_port() -> str:
    """Return a port below the range from which the kernel takes outgoing ones."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as client:
            if client.connect_ex((_HOST, port)):
                return str(port)
