"""The commands, as in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ckan import model
from click.testing import CliRunner

from ckanext.files.cli import get_commands

ROOT = Path(__file__).parents[4]


def run(*arguments: str) -> tuple[int, str]:
    """Run ``ckan files ...`` in this process; return the exit code and what was printed."""
    model.Session.remove()
    [files] = get_commands()
    result = CliRunner().invoke(files, arguments)
    model.Session.remove()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def start(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[Any]:
    """Start it in a process of its own."""
    ckan = Path(sys.executable).with_name("ckan")
    return subprocess.Popen(
        [ckan, "-c", ROOT / "test.ini", "files", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=dict(os.environ),
        cwd=ROOT,
    )
