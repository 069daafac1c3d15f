"""CKAN is asked about files no more often than its answers can differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
import pytest
from sqlalchemy import event

from ckanext.files import capabilities
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.hidden_file_plugin import HiddenFilePlugin
from ckanext.files.tests.support.portal import new_dataset, new_user, upload

Visit = Callable[[str | None], None]


FORMS = "files files_test_forms"


class OneHiddenFile(p.SingletonPlugin):
    """Refuses one file of a dataset."""

    if capabilities.IFiles:
        p.implements(capabilities.IFiles, inherit=True)
    hidden = ""

    def files_file_allows(self, context: Any, file: Any, operation: Any) -> bool | None:
        return False if file.id == self.hidden else None


class OnlyAdapters(p.SingletonPlugin):
    """Decides nothing about files."""

    if capabilities.IFiles:
        p.implements(capabilities.IFiles, inherit=True)


def statements_for(files: list[str]) -> int:
    """Count the statements that it takes to show files."""
    statements: list[Any] = []

    def executed(connection: Any, *arguments: Any) -> None:
        statements.append(arguments)

    event.listen(engine(), "before_cursor_execute", executed)
    try:
        assert all(file.url for file in tk.h.files_attached(files))
    finally:
        event.remove(engine(), "before_cursor_execute", executed)
    return len(statements)


@pytest.mark.ckan_config("ckan.plugins", FORMS)
@pytest.mark.with_plugins({"only_adapters": OnlyAdapters})
def test_a_hundred_files_cost_as_much_as_one(with_plugins: None, visit: Visit) -> None:
    user = new_user()
    dataset = new_dataset(user, several=upload(user, 100))
    visit(user)
    files = [file.id for file in tk.h.files_attached(dataset["several"])]
    assert statements_for(files) == statements_for(files[:1])


@pytest.mark.skipif(not capabilities.IFiles, reason="CKAN 2.11 has no interface for it")
@pytest.mark.ckan_config("ckan.plugins", FORMS)
@pytest.mark.with_plugins({"one_hidden_file": OneHiddenFile})
def test_plugin_that_decides_by_file(with_plugins: None, visit: Visit) -> None:
    check_one_is_hidden(OneHiddenFile, visit)


@pytest.mark.ckan_config("ckan.plugins", f"{FORMS} files_test_hidden_file")
def test_auth_function_that_decides_by_file(with_plugins: None, visit: Visit) -> None:
    check_one_is_hidden(HiddenFilePlugin, visit)


def check_one_is_hidden(plugin: Any, visit: Visit) -> None:
    user = new_user()
    files = upload(user, 3)
    new_dataset(user, several=files)
    plugin.hidden = files[1]
    visit(None)
    assert [bool(file.name) for file in tk.h.files_attached(files)] == [True, False, True]
