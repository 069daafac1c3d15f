"""A portal that moves: each version has its own programs, all have one database and its files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.server import CkanServer

REFUSED = "refused"
VISITOR = "visitor"

# of a portal, whatever it runs on
_OPTIONS = {"ckan.plugins": "files", "ckan.site_id": "move"}


class Portal:
    """A CKAN with its extension and its configuration, in a virtual environment.

    :param environment: variables that name its servers and its programs.
    :param options: of its own, in the configuration file.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        base_ini = folder / "base.ini"
        base_ini.write_text(_without_files((ROOT / "test.ini").read_text()))
        # of each version its own
        options = {**_OPTIONS, "ckan.webassets.path": str(folder / "webassets"), **options}
        self._server = CkanServer(folder, base_ini, options, environment)
        self.ini = self._server.ini

    def popen(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in its environment."""
        return subprocess.Popen(
            command,
            env=self._server.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ckan(self, *arguments: str, status: int = 0) -> str:
        """Run a command of CKAN, which must end with that status; return what it prints."""
        return self.run("ckan", "-c", str(self.ini), *arguments, status=status)

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command in its environment; return what it prints."""
        process = self.popen(*command)
        output, errors = process.communicate(timeout=600)
        assert process.returncode == status, f"{command}:\n{output}\n{errors}"
        return output

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Answer requests at the address that is given."""
        self._server.start()
        try:
            yield self._server.url
        finally:
            self._server.stop()


def download_all(
    address: str, tokens: Mapping[str, str], ids: list[str]
) -> dict[tuple[str, str], str]:
    """Download each file as each user and as a visitor; return the hashes of what they get."""
    people = {**tokens, VISITOR: ""}
    # CKAN cannot make the assets of its pages for two requests at once
    for person in people:
        _get(f"{address}/none", people[person])
    wanted = [(person, file_id) for person in people for file_id in ids]

    def download(one: tuple[str, str]) -> str:
        person, file_id = one
        response = _get(f"{address}/{file_id}", people[person])
        assert response.status_code in (200, 302, 401, 403, 404), (one, response.status_code)
        if response.status_code != 200:
            return REFUSED
        return hashlib.sha256(response.content).hexdigest()

    with ThreadPoolExecutor(6) as threads:
        return dict(zip(wanted, threads.map(download, wanted), strict=True))


def _get(url: str, token: str) -> requests.Response:
    headers = {"Authorization": token} if token else {}
    return requests.get(url, headers=headers, timeout=60, allow_redirects=False)


@contextmanager
def environment_of(version: str) -> Iterator[dict[str, str]]:
    """Give the variables for a version of CKAN with this extension."""
    # the Solr core is there for as long as that run
    show = "import json, os; print(json.dumps(dict(os.environ)), flush=True); input()"
    run = [sys.executable, "-m", "dev", "run", version, "python", "-c", show]
    pipe = subprocess.PIPE
    with subprocess.Popen(run, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        variables = json.loads(process.stdout.readline())
        yield {n: value for n, value in variables.items() if n.startswith("CKAN_") or n == "PATH"}
        process.communicate("\n")


def environment_of_old_portal(like: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for CKAN 2.11 with ckanext-files 1.3.4."""
    make = [sys.executable, "-m", "dev", "venv", "legacy"]
    subprocess.run(make, cwd=ROOT, check=True)
    programs = ROOT / ".dev/venv-legacy/bin"
    return {**like, "PATH": f"{programs}:{like['PATH']}", "PYTHONPATH": ""}


def _without_files(ini: str) -> str:
    return "\n".join(line for line in ini.splitlines() if not line.startswith("ckan.files."))
