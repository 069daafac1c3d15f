"""``ckan files to-core`` says what it has done, or what stands in the way."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ckanext.files import capabilities
from ckanext.files.tests.support.both_tables import (
    CORE,
    OLD,
    add_to_core,
    both_tables,
    checksums,
    drop,
    files,
)
from ckanext.files.tests.support.both_tables import run as change
from ckanext.files.tests.support.console import run, start
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.waiting import wait_for, wait_for_the_dead

loaded = load_plugins("files")


@pytest.fixture
def tables() -> Iterator[None]:
    with both_tables(23):
        yield


if capabilities.CORE_FILES:

    def test_moves_and_says_so(tables: None) -> None:
        code, text = run("to-core")
        assert code == 0
        assert text.splitlines() == [
            "default: 16 moved, 0 already there",
            "resources: 7 moved, 0 already there",
            "23 files moved, with 19 owners and 18 lines of history",
            "The old tables are as they were. When you are sure not to go back to CKAN 2.11:",
            "  DROP TABLE files_transfer_history, files_owner, files_file, files_moved_to_core;",
        ]
        assert files(CORE) == files(OLD)
        code, text = run("to-core")
        assert code == 0
        assert text.startswith("default: 0 moved, 16 already there\n")

    def test_old_tables_can_be_dropped_as_it_says(tables: None) -> None:
        _, text = run("to-core")
        change(text.splitlines()[-1])
        assert look("SELECT count(*) FROM file") == 23
        code, text = run("to-core")
        assert (code, text.split(":")[0]) == (0, "There is nothing to move")

    def test_dry_run(tables: None) -> None:
        before = checksums()
        code, text = run("to-core", "--dry-run")
        assert checksums() == before
        assert code == 0
        assert "default: 16 to be moved, 0 already there\n" in text
        assert "DROP" not in text

    @pytest.mark.parametrize("options", [[], ["--dry-run"]])
    def test_what_stands_in_the_way(tables: None, options: list[str]) -> None:
        add_to_core("other", "default", "l1")
        change("UPDATE files_file SET storage = 'elsewhere' WHERE id = 'f2'")
        before = checksums()
        code, text = run("to-core", *options)
        assert checksums() == before
        assert code == 1
        assert "Nothing has been changed" in text
        assert "  - default: l1 has the id f1 here, and other in CKAN\n" in text
        assert "  - elsewhere: 1 files\n" in text
        assert "ckan.files.storage.NAME.type" in text

    def test_nothing_to_move() -> None:
        drop()
        code, text = run("to-core")
        assert (code, text.split(":")[0]) == (0, "There is nothing to move")

    @pytest.mark.crash
    def test_killed_process() -> None:
        with both_tables(30_000):
            before = checksums()
            process = start("to-core")
            wait_for(lambda: runs("INSERT INTO file "))
            process.kill()
            process.communicate()
            wait_for_the_dead()
            assert process.returncode == -9
            assert checksums() == before
            process = start("to-core")
            output, errors = process.communicate()
            assert process.returncode == 0, errors
            assert b"30000 files moved" in output
            assert b"%" not in output + errors, "no bar where nobody watches"
            assert files(CORE) == files(OLD)

    def test_bar_on_a_terminal(tables: None) -> None:
        terminal, other_end = pty.openpty()
        process = start("to-core", stderr=other_end)
        os.close(other_end)
        seen = b""
        with suppress(OSError):  # how Linux says that the other end is closed
            while chunk := os.read(terminal, 1000):
                seen += chunk
        output, _ = process.communicate()
        assert b"23 files moved" in output
        assert b"Moving files" in seen
        assert b"100%" in seen

    def runs(statement: str) -> bool:
        query = (
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE :pattern)"
        )
        return look(query, pattern=f"%{statement}%")

else:

    def test_needs_ckan_2_12() -> None:
        code, text = run("to-core")
        assert code == 1
        assert "Upgrade to CKAN 2.12 first" in text
