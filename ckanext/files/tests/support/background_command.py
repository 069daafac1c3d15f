"""The command ``ckan files background`` in the process of the tests."""

from __future__ import annotations

import click
from ckan.tests.helpers import _get_test_app

from ckanext.files.background_plugin.cli import get_commands
from ckanext.files.tests.support.console import invoke


def run(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Run ``ckan files background ...``; return the exit code and the output."""
    [files] = get_commands()
    ckan = click.Context(click.Group("ckan"))
    if "worker" in arguments:
        ckan.meta["flask_app"] = _get_test_app().flask_app
    return invoke(files, ["background", *arguments], input=typed, parent=ckan)


def output(*arguments: str, typed: str | None = None) -> str:
    """Run a command that succeeds; return its output."""
    code, text = run(*arguments, typed=typed)
    assert code == 0, text
    return text
