"""The commands, as in a shell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from ckan import model
from click.testing import CliRunner

from ckanext.files.cli import get_commands


def run(*arguments: str) -> tuple[int, str]:
    """Run ``ckan files ...`` in this process; return the exit code and what was printed."""
    [files] = get_commands()
    return invoke(files, arguments)


def invoke(group: click.Command, arguments: Sequence[str], **options: Any) -> tuple[int, str]:
    """Run a command in this process; return the exit code and what was printed."""
    model.Session.remove()
    result = CliRunner().invoke(group, arguments, **options)
    model.Session.remove()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
