"""Progress on a terminal and elsewhere, and completion in a real shell, of real commands."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.cli import output
from ckanext.files.tests.support import documented, portal
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for

loaded = load_plugins("files")

PAGE = "docs/operating/command-line.rst"


class Terminal:
    """A terminal: what is written to its ``slave`` is read here."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.text = ""

    def read(self) -> str:
        """Return all that was written so far."""
        while True:
            try:
                some = os.read(self._master, 65536)
            except (BlockingIOError, OSError):
                return self.text
            self.text += some.decode()

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        os.close(self._master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def portal_ini(ini: Path, tmp_path: Path) -> Path:
    """The configuration of a portal with both plugins."""
    write_ini(tmp_path / "ckan.ini", ini, {"ckan.plugins": "files files_background"})
    return tmp_path / "ckan.ini"


def work(length: int | None) -> None:
    with output.ProgressBar("Working") as bar:
        bar.begin(length)
        for _ in range(4):
            bar.add(5)


@pytest.mark.parametrize("length", [20, None])
def test_bar_on_a_terminal(
    length: int | None, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.dup(terminal.slave), "w") as stderr:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", stderr)
        work(length)
    said = terminal.read()
    assert "Working" in said
    assert ("100%" if length else "20") in said
    assert "\r" in said


def test_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short command prints none."""
    work(20)
    assert tuple(capsys.readouterr()) == ("", "")
    monkeypatch.setattr(output, "SECONDS_BETWEEN_LINES", 0)
    work(20)
    work(None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-5:-3] == ["Working: 20 of 20", "Working: 5"]


def test_command_on_a_terminal_and_in_a_pipe(portal_ini: Path, terminal: Terminal) -> None:
    """The document on stdout is whole, wherever the bar is."""
    [file] = portal.upload(new_user())
    command = ["ckan", "-c", str(portal_ini), "files", "check", "--json"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal.slave, check=False)
    piped = subprocess.run(command, capture_output=True, text=True, check=False)
    portal.delete_file(file)
    assert (shown.returncode, piped.returncode) == (1, 1)
    document = json.loads(shown.stdout)
    assert document == json.loads(piped.stdout)
    missing = {one["storage"]: one["missing"] for one in document["storages"]}
    assert file in missing["default"]
    assert re.search(r"Looking for files of default.*100%", terminal.read(), re.S)
    assert "100%" not in piped.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_completion_in_bash(portal_ini: Path, tmp_path: Path, terminal: Terminal) -> None:
    """As the documentation switches it on."""
    [setup] = [block for block in documented.blocks(PAGE, "bash") if "_CKAN_COMPLETE" in block]
    file = tmp_path / "bashrc"
    lines = setup.replace("/etc/ckan/default/ckan.ini", str(portal_ini))
    file.write_text(f"PS1='ready> '\n{lines.replace('~/', f'{tmp_path}/')}\n")
    end: Any = {"stdin": terminal.slave, "stdout": terminal.slave, "stderr": terminal.slave}
    environment = {**os.environ, "TERM": "dumb"}
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(file), "-i"],
        start_new_session=True,
        env=environment,
        **end,
    )
    try:
        wait_for(lambda: "ready> " in terminal.read())
        terminal.type("ckan files background sta\t")
        wait_for(lambda: "background status " in terminal.read())
        assert "INFO" not in terminal.text
        terminal.type("\x15ckan files background list --status succ\t")
        wait_for(lambda: "--status succeeded " in terminal.read())
    finally:
        shell.kill()
        shell.wait()
