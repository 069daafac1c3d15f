"""The commands, as in a shell, in the process of the tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from inspect import signature
from typing import Any

import click
from ckan import model
from ckan.tests.helpers import _get_test_app
from click.testing import CliRunner

from ckanext.files import cli
from ckanext.files.background_plugin import cli as background_cli
from ckanext.files.ckan_jobs_plugin import cli as jobs_cli


def run(*arguments: str) -> tuple[int, str]:
    """Run ``ckan files ...``; return the exit code and what was printed."""
    [files] = cli.get_commands()
    return _invoke(files, arguments)


def run_background(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Run ``ckan files background ...``; return the exit code and what was printed."""
    [files] = background_cli.get_commands()
    ckan = click.Context(click.Group("ckan"))
    if "worker" in arguments:
        ckan.meta["flask_app"] = _get_test_app().flask_app
    return _invoke(files, ["background", *arguments], input=typed, parent=ckan)


def run_jobs(*arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Run ``ckan files jobs ...``; return the exit code and what was printed."""
    [files] = jobs_cli.get_commands()
    return _invoke(files, ["jobs", *arguments], input=typed)


def output(*arguments: str, typed: str | None = None) -> str:
    """Run ``ckan files background ...``, which must succeed; return what was printed."""
    code, text = run_background(*arguments, typed=typed)
    assert code == 0, text
    return text


def document(*arguments: str) -> tuple[int, Any]:
    """Run ``ckan files ... --json``; return the exit code and the document on stdout."""
    [files] = background_cli.get_commands()
    model.Session.remove()
    # click 8.2 and later always keep stdout and stderr apart
    apart: Any = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
    result = CliRunner(**apart).invoke(files, [*arguments, "--json"])
    model.Session.remove()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def _invoke(group: click.Command, arguments: Sequence[str], **options: Any) -> tuple[int, str]:
    model.Session.remove()
    result = CliRunner().invoke(group, arguments, **options)
    model.Session.remove()
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
