"""From ckanext-files 1.3.4 on CKAN 2.11 to CKAN 2.12's own files: nothing is lost on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ckanext.files.tests.support import old_portal
from ckanext.files.tests.support.database import Database
from ckanext.files.tests.support.moving_portal import (
    REFUSED,
    VISITOR,
    Portal,
    download_all,
    environment_of,
    environment_of_old_portal,
)
from ckanext.files.tests.support.waiting import wait_for

pytestmark = pytest.mark.crash

OLD_TABLES = ("files_file", "files_owner", "files_transfer_history")
NEW_TABLES = ("file", "file_owner", "file_owner_transfer_history")

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


class Move(NamedTuple):
    """What all steps share."""

    folder: Path
    database: Database
    environments: dict[str, dict[str, str]]

    def portal(self, name: str, options: str) -> Portal:
        lines = [line.split("=", 1) for line in options.splitlines() if "=" in line]
        settings = {key.strip(): value.strip().replace("%%", "%") for key, value in lines}
        return Portal(self.folder / name, self.environments[name], settings)

    def rows(self, tables: tuple[str, ...]) -> list[list[Any]]:
        """Return all that is known of files, in the same form for both sets of tables."""
        files, owners, history = tables
        return [
            self.database.rows(f"SELECT {columns} FROM {table} ORDER BY 1")
            for table, columns in (
                (
                    files,
                    "id, name, storage, location, content_type, size, hash, algorithm, created,"
                    " storage_data::text, plugin_data::text",
                ),
                (owners, "file_id, owner_type, owner_id, pinned"),
                (history, "id, file_id, owner_type, owner_id, at, actor, action"),
            )
        ]


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
    with environment_of("2.12") as core:
        environments = {"2.11": ours, "2.12": {**core, **place}}
        environments["old"] = environment_of_old_portal(ours)
        yield Move(tmp_path, database, environments)
    database.drop()


def test_the_whole_move(move: Move, full_size: bool, record_property: Any) -> None:
    count, kills = (1000, 20) if full_size else (40, 0)
    storage = move.folder / "storage"

    old_options = OLD_OPTIONS.format(storage=storage)
    old = move.portal("old", old_options)
    old.ckan("db", "upgrade")
    people = fill(move, old, count)
    seen = look(old, "files", people)
    assert_makes_sense(seen, people)
    known = move.rows(OLD_TABLES)

    # the new extension with the old configuration says what it needs
    unprepared = move.portal("2.11", old_options)
    assert "ckanext-files 1.x has made the tables" in unprepared.ckan("db", "upgrade")
    report = unprepared.ckan("files", "takeover", "--dry-run", status=1)
    assert "in a storage that is not configured" in report
    options = "\n".join(line for line in report.splitlines() if line.startswith("ckan.files."))
    (move.folder / "2.11").rename(move.folder / "unprepared")

    ours = move.portal("2.11", options)
    kill_while_it_waits(ours, "takeover", move, "files_transfer_history")
    check(move, OLD_TABLES, known)
    killed = kill_again_and_again(ours, "takeover", kills, lambda: check(move, OLD_TABLES, known))
    report = ours.ckan("files", "takeover")
    assert report.count("the bytes of 0 are missing") == 2
    assert "They are as they should be" in ours.ckan("files", "takeover")
    check(move, OLD_TABLES, known)
    assert look(ours, "file", people) == seen

    core = move.portal("2.12", options + RESOURCES.format(storage=storage))
    core.ckan("db", "upgrade")
    check(move, OLD_TABLES, known)
    kill_while_it_waits(core, "to-core", move, "file_owner_transfer_history")
    check(move, OLD_TABLES, known)
    assert move.rows(NEW_TABLES) == [[], [], []]
    killed += kill_again_and_again(core, "to-core", kills, lambda: check_both(move, known))
    core.ckan("files", "to-core")
    check(move, NEW_TABLES, known)
    assert look(core, "file", people) == seen

    record_property("files", count)
    record_property("downloads", 3 * len(seen))
    record_property("kills", killed + 2)


def fill(move: Move, portal: Portal, count: int) -> dict[str, Any]:
    """Let the old extension make files; return users with their tokens, and the files."""
    manifest = move.folder / "manifest.json"
    script = Path(old_portal.__file__)
    portal.run("python", str(script), str(portal.ini), str(count), str(manifest))
    return json.loads(manifest.read_text())


def look(portal: Portal, path: str, people: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Download each file as each user and as a visitor."""
    ids = [file["id"] for file in people["files"]]
    with portal.serving() as address:
        return download_all(f"{address}/{path}/download", people["tokens"], ids)


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


def check(move: Move, tables: tuple[str, ...], known: list[list[Any]]) -> None:
    assert move.rows(tables) == known


def check_both(move: Move, known: list[list[Any]]) -> None:
    """What was killed has moved everything or nothing."""
    moved, nothing = move.rows(NEW_TABLES), [[], [], []]
    assert moved in (known, nothing)
    if moved == nothing:
        check(move, OLD_TABLES, known)


def kill_again_and_again(
    portal: Portal, command: str, kills: int, check_now: Callable[[], None]
) -> int:
    """Kill a command at any time of its life; return how often it had not come to its end."""
    if not kills:
        return 0
    killed = 0
    start = time.monotonic()
    portal.ckan("files", command, "--dry-run")
    duration = time.monotonic() - start
    for _ in range(kills):
        process = portal.popen("ckan", "-c", str(portal.ini), "files", command)
        # most of that time is CKAN's start
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=random.uniform(duration / 2, duration))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        check_now()
    return killed


def kill_while_it_waits(portal: Portal, command: str, move: Move, table: str) -> None:
    """Kill a command that has begun, and waits for a table."""
    with move.database.transaction() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        process = portal.popen("ckan", "-c", str(portal.ini), "files", command)
        wait_for_its_lock(move.database, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_its_lock(database: Database, process: subprocess.Popen[str]) -> None:
    query = (
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    wait_for(lambda: database.rows(query) or process.poll() is not None)
    assert process.poll() is None
