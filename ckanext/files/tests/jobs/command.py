"""The command ``ckan files background``, within the process of the tests."""

from __future__ import annotations

import click
from ckan import model
from ckan.tests.helpers import _get_test_app
from click.testing import CliRunner

from ckanext.files.jobs.cli import get_commands


def run(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Run ``ckan files background ...``; return the exit code and what was printed."""
    model.Session.remove()
    [files] = get_commands()
    ckan = click.Context(click.Group("ckan"))
    if "worker" in arguments:
        ckan.meta["flask_app"] = _get_test_app().flask_app
    result = CliRunner().invoke(files, ["background", *arguments], input=typed, parent=ckan)
    model.Session.remove()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
