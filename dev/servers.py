"""Servers for this checkout, and what each run of a command has in them: Redis and Solr.

They listen on ports of their own of the loopback address, and run until they are stopped: Debian's
``start-stop-daemon`` knows their processes by notes of their ids. A server that an environment
variable names is used as it is: neither installed, started nor stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from .environments import LOGS, NOTES, RUNS, STATE, folder_of, lock, run_logged, say
from .process import HOST, free_port

_SECONDS = 120
_SOLR_FILES = Path(__file__).resolve().parent / "solr"


class Server:
    """A daemon, and what each run has in it."""

    name: str
    variable: str
    packages: tuple[str, ...]
    ready: str
    """What it logs when it is ready."""

    stop_signal = "TERM"
    account: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.folder = STATE / self.name
        self._pid, self._port = NOTES / f"{self.name}.pid", NOTES / f"{self.name}.port"

    @property
    def is_ours(self) -> bool:
        return not os.environ.get(self.variable)

    @property
    def port(self) -> str:
        return self._port.read_text().strip()

    @property
    def running(self) -> bool:
        return self._pid.exists() and self._daemon("--status") == 0

    def start(self) -> None:
        """Start it, if it does not run, and return when it is ready."""
        with lock(self.name):
            if self.running:
                return
            self.prepare()
            say(f"starting {self.name}")
            self._port.write_text(str(free_port()))
            log = LOGS / f"{self.name}.log"
            with log.open("wb") as output:
                streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
                options = {"cwd": self.folder, "start_new_session": True, **self.account}
                process = subprocess.Popen(self.command(), **streams, **options)
            self._pid.write_text(str(process.pid))
            end = time.monotonic() + _SECONDS
            while self.ready not in log.read_text():
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"error: {self.name} did not start, see {log}")
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it, if it runs."""
        with lock(self.name):
            if self.running:
                say(f"stopping {self.name}")
                if self._daemon("--stop", "--retry", f"{self.stop_signal}/{_SECONDS}"):
                    sys.exit(f"error: {self.name} does not stop")

    def _daemon(self, *options: Any) -> int:
        program = shutil.which(self.command()[0])
        # the path of a user has no /sbin
        command = ["/sbin/start-stop-daemon", "--quiet", "--pidfile", self._pid, "--exec", program]
        return subprocess.call([*command, *options])

    def prepare(self) -> None:
        """Make what it needs."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[Any]:
        raise NotImplementedError

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        """Make what a run has; return its address."""
        raise NotImplementedError

    def remove(self, run: str) -> None:
        """Remove what a run had."""


class Redis(Server):
    """It keeps nothing on disk. A run has a database that no other run has at that time."""

    name, variable, packages = "redis", "CKAN_REDIS_URL", ("redis-server",)
    ready = "eady to accept connections"  # some releases begin with it, in others it follows "now"

    def command(self) -> list[Any]:
        options = ["--save", "", "--appendonly", "no", "--databases", "1000"]
        return ["redis-server", "--bind", HOST, "--port", self.port, *options]

    def create(self, run: str, version: str, variables: Mapping[str, str]) -> str:
        taken = {int(note.read_text()) for note in RUNS.glob("*/redis")}
        number = str(max(set(range(1, 1000)) - taken))
        (RUNS / run / "redis").write_text(number)
        flush = ["redis-cli", "-p", self.port, "-n", number, "FLUSHDB"]
        subprocess.run(flush, check=True, capture_output=True)
        return f"redis://{HOST}:{self.port}/{number}"


class Solr(Server):
    """Debian has no package of it, Maven has."""

    name, variable, packages = "solr", "CKAN_SOLR_URL", ("default-jdk-headless", "maven")
    ready = "\nready\n"

    def __init__(self) -> None:
        super().__init__()
        self.folder, self._lib = STATE / "solr/home", STATE / "solr/lib"

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "solr.xml").write_text("<solr/>")
        pom, copy = _SOLR_FILES / "pom.xml", self._lib / "pom.xml"
        if not copy.exists() or copy.read_text() != pom.read_text():
            shutil.rmtree(self._lib, ignore_errors=True)
            maven = ["mvn", "-B", "-f", pom, "dependency:copy-dependencies"]
            run_logged("downloading Solr", [*maven, f"-DoutputDirectory={self._lib}"], "maven")
            shutil.copy(pom, copy)

    def command(self) -> list[Any]:
        # Jetty's test mode is what makes the runner listen on 127.0.0.1 instead of everywhere
        java = ["java", "-Xms128m", "-Xmx512m", "-Djetty.testMode=true", f"-Dsolr.log.dir={LOGS}"]
        # in so short a life it would spend more on compiling its code well than it gains
        java += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return [*java, "-cp", f"{self._lib}/*", _SOLR_FILES / "Solr.java", self.folder, self.port]

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
        return f"http://{HOST}:{self.port}/solr/{run}"

    def remove(self, run: str) -> None:
        if (self.folder / run).exists():
            self._administer(action="UNLOAD", core=run, deleteInstanceDir="true")

    def _administer(self, **arguments: str) -> None:
        address = f"http://{HOST}:{self.port}/solr/admin/cores?{urlencode(arguments)}"
        build_opener(ProxyHandler({})).open(address, timeout=60).close()
