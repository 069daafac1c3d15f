"""The group ``ckan files`` without the plugin ``files_background``."""

from __future__ import annotations

from click.testing import CliRunner

from ckanext.files.cli import FilesGroup


def test_the_error_names_the_plugin_of_the_commands() -> None:
    result = CliRunner().invoke(FilesGroup("files"), ["background", "status"])
    assert result.exit_code == 2
    assert "ckan.plugins = files files_background" in result.output
    assert "No such command" in CliRunner().invoke(FilesGroup("files"), ["other"]).output
