"""From ckanext-files 1.3.4 on CKAN 2.11 to CKAN 2.12's own files: nothing is lost on the way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from ckanext.files.tests.support import old_portal
from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.documented import ROOT
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.waiting import wait_for

pytestmark = pytest.mark.crash

OLD_TABLES = ("files_file", "files_owner", "files_transfer_history")
NEW_TABLES = ("file", "file_owner", "file_owner_transfer_history")
COLUMNS = (
    "id, name, storage, location, content_type, size, hash, algorithm, created,"
    " storage_data::text, plugin_data::text",
    "file_id, owner_type, owner_id, pinned",
    "id, file_id, owner_type, owner_id, at, actor, action",
)

OLD_OPTIONS = """
    ckanext.files.authenticated_uploads.allow = true
    ckanext.files.authenticated_uploads.storages = default archive
    ckanext.files.storage.default.type = files:fs
    ckanext.files.storage.default.path = {storage}/files
    ckanext.files.storage.default.initialize = true
    ckanext.files.storage.default.location_transformers = uuid4
    ckanext.files.storage.archive.type = files:fs
    ckanext.files.storage.archive.path = {storage}/archive
    ckanext.files.storage.archive.initialize = true
    ckanext.files.storage.archive.location_transformers = uuid4_with_extension
"""

# CKAN 2.12 derives this one from the default storage, but needs its locations unchanged
RESOURCES = """
    ckan.files.storage.resources.type = ckan:fs
    ckan.files.storage.resources.path = {storage}/resources
    ckan.files.storage.resources.initialize = true
"""

VISITOR = "visitor"
REFUSED = "refused"


class Portal(CkanServer):
    """A CKAN with its extension and its configuration, in a virtual environment.

    Each version has its own programs, all have one database and its files.
    """

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command, which must end with that status; return what it prints."""
        process = self.popen(*command)
        output, errors = process.communicate(timeout=600)
        assert process.returncode == status, f"{command}:\n{output}\n{errors}"
        return output

    def popen(self, *command: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        streams: Any = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe}
        return subprocess.Popen(command, env=self.environment, text=True, **streams)

    def ckan(self, *arguments: str, status: int = 0) -> str:
        return self.run("ckan", "-c", str(self.ini), *arguments, status=status)

    def files(self, command: str) -> subprocess.Popen[str]:
        """Start a command of ``ckan files``."""
        return self.popen("ckan", "-c", str(self.ini), "files", command)

    def download_all(self, path: str, people: dict[str, Any]) -> dict[tuple[str, str], str]:
        """Download each file as each user and as a visitor; return the hashes of what they get."""
        tokens = {**people["tokens"], VISITOR: ""}
        wanted = [(person, file["id"]) for person in tokens for file in people["files"]]

        def get(person: str, file_id: str) -> requests.Response:
            headers = {"Authorization": tokens[person]} if tokens[person] else {}
            url = f"{self.url}/{path}/download/{file_id}"
            return requests.get(url, headers=headers, timeout=60, allow_redirects=False)

        def download(one: tuple[str, str]) -> str:
            response = get(*one)
            assert response.status_code in (200, 302, 401, 403, 404), (one, response.status_code)
            if response.status_code != 200:
                return REFUSED
            return hashlib.sha256(response.content).hexdigest()

        self.start()
        # CKAN cannot make the assets of its pages for two requests at once
        for person in tokens:
            get(person, "none")
        with ThreadPoolExecutor(6) as threads:
            found = dict(zip(wanted, threads.map(download, wanted), strict=True))
        self.stop()
        return found


class Move(NamedTuple):
    """What all steps share."""

    folder: Path
    database: Database
    environments: dict[str, dict[str, str]]

    def portal(self, name: str, options: str) -> Portal:
        folder = self.folder / name
        folder.mkdir()
        ini = (ROOT / "test.ini").read_text().splitlines()
        base = folder / "base.ini"
        base.write_text("\n".join(line for line in ini if not line.startswith("ckan.files.")))
        settings = {"ckan.plugins": "files", "ckan.site_id": "move"}
        settings["ckan.webassets.path"] = str(folder / "webassets")
        lines = [line.split("=", 1) for line in options.splitlines() if "=" in line]
        settings |= {key.strip(): value.strip().replace("%%", "%") for key, value in lines}
        return Portal(folder, base, settings, self.environments[name])

    def rows(self, tables: tuple[str, ...]) -> list[list[Any]]:
        """Return all that is known of files, in the same form for both sets of tables."""
        queries = zip(COLUMNS, tables, strict=True)
        return [self.database.rows(f"SELECT {c} FROM {table} ORDER BY 1") for c, table in queries]


@pytest.fixture
def move(tmp_path: Path) -> Iterator[Move]:
    if "CKAN_SOLR_URL" not in os.environ.get("CKANEXT_FILES_OWN", ""):
        pytest.skip("needs Solr for two versions of CKAN: leave it to `python3 -m dev run`")
    storage = tmp_path / "storage"
    storage.mkdir()
    database = Database(f"ckan_move_{uuid.uuid4().hex[:12]}")
    database.create()
    place = {"CKAN_SQLALCHEMY_URL": database.url, "CKAN_STORAGE_PATH": str(storage)}
    ours = {**os.environ, **place}
    subprocess.run([sys.executable, "-m", "dev", "venv", "legacy"], cwd=ROOT, check=True)
    programs = f"{ROOT / '.dev/venv-legacy/bin'}:{ours['PATH']}"
    with environment_of("2.12") as core:
        environments = {"2.11": ours, "2.12": {**core, **place}}
        environments["old"] = {**ours, "PATH": programs, "PYTHONPATH": ""}
        yield Move(tmp_path, database, environments)
    database.drop()


@contextmanager
def environment_of(version: str) -> Iterator[dict[str, str]]:
    """Give the variables for a version of CKAN with this extension."""
    # the Solr core is there for as long as that run
    show = "import json, os; print(json.dumps(dict(os.environ)), flush=True); input()"
    run = [sys.executable, "-m", "dev", "run", version, "python", "-c", show]
    pipe = subprocess.PIPE
    with subprocess.Popen(run, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        variables: Mapping[str, str] = json.loads(process.stdout.readline())
        yield {n: value for n, value in variables.items() if n.startswith("CKAN_") or n == "PATH"}
        process.communicate("\n")


def test_the_whole_move(move: Move, full_size: bool, record_property: Any) -> None:
    count, kills = (1000, 20) if full_size else (40, 0)
    storage = move.folder / "storage"

    old_options = OLD_OPTIONS.format(storage=storage)
    old = move.portal("old", old_options)
    old.ckan("db", "upgrade")
    # the old extension makes files
    manifest = move.folder / "manifest.json"
    old.run("python", str(old_portal.__file__), str(old.ini), str(count), str(manifest))
    people = json.loads(manifest.read_text())
    seen = old.download_all("files", people)
    assert_makes_sense(seen, people)
    known = move.rows(OLD_TABLES)

    def check() -> None:
        assert move.rows(OLD_TABLES) == known

    def check_both() -> None:
        """What was killed has moved everything or nothing."""
        moved, nothing = move.rows(NEW_TABLES), [[], [], []]
        assert moved in (known, nothing)
        if moved == nothing:
            check()

    # the new extension with the old configuration says what it needs
    unprepared = move.portal("2.11", old_options)
    assert "ckanext-files 1.x has made the tables" in unprepared.ckan("db", "upgrade")
    report = unprepared.ckan("files", "takeover", "--dry-run", status=1)
    assert "in a storage that is not configured" in report
    options = "\n".join(line for line in report.splitlines() if line.startswith("ckan.files."))
    (move.folder / "2.11").rename(move.folder / "unprepared")

    ours = move.portal("2.11", options)
    kill_while_it_waits(ours, "takeover", move.database, "files_transfer_history")
    check()
    killed = kill_again_and_again(ours, "takeover", kills, check)
    report = ours.ckan("files", "takeover")
    assert report.count("the bytes of 0 are missing") == 2
    assert "They are as they should be" in ours.ckan("files", "takeover")
    check()
    assert ours.download_all("file", people) == seen

    core = move.portal("2.12", options + RESOURCES.format(storage=storage))
    core.ckan("db", "upgrade")
    check()
    kill_while_it_waits(core, "to-core", move.database, "file_owner_transfer_history")
    check()
    assert move.rows(NEW_TABLES) == [[], [], []]
    killed += kill_again_and_again(core, "to-core", kills, check_both)
    core.ckan("files", "to-core")
    assert move.rows(NEW_TABLES) == known
    assert core.download_all("file", people) == seen

    record_property("files", count)
    record_property("downloads", 3 * len(seen))
    record_property("kills", killed + 2)


def assert_makes_sense(seen: dict[tuple[str, str], str], people: dict[str, Any]) -> None:
    """Each user gets the bytes of the file or nothing; a sysadmin gets all, others get some."""
    hashes = {file["id"]: file["sha256"] for file in people["files"]}
    for (_, file_id), found in seen.items():
        assert found in (REFUSED, hashes[file_id])
    got = {
        person: sum(found != REFUSED for (name, _), found in seen.items() if name == person)
        for person in (*people["tokens"], VISITOR)
    }
    assert got["admin"] == len(hashes)
    assert len(hashes) > got["editor"] > got["other"] >= got[VISITOR] > 0
    assert got["owner"] > got["other"]


def kill_again_and_again(
    portal: Portal, command: str, kills: int, check: Callable[[], None]
) -> int:
    """Kill a command at any time of its life; return how often it had not come to its end."""
    if not kills:
        return 0
    killed = 0
    start = time.monotonic()
    portal.ckan("files", command, "--dry-run")
    duration = time.monotonic() - start
    for _ in range(kills):
        process = portal.files(command)
        # most of that time is CKAN's start
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=random.uniform(duration / 2, duration))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        check()
    return killed


def kill_while_it_waits(portal: Portal, command: str, database: Database, table: str) -> None:
    """Kill a command that has begun, and waits for a table."""
    waits = (
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with database.transaction() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        process = portal.files(command)
        wait_for(lambda: database.rows(waits) or process.poll() is not None)
        assert process.poll() is None
        process.kill()
        process.communicate()
