"""Where CKAN has no files, pages show the ids that datasets hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan.tests import factories

from ckanext.files.pages.page_file import PageFile
from ckanext.files.tests.loaded import load_plugins

loaded = load_plugins(
    "files",
    "scheming_datasets",
    scheming__presets="ckanext.scheming:presets.json ckanext.files:presets.yaml",
    scheming__dataset_schemas="ckanext.files.tests:schemas/plain_dataset.yaml",
)


@pytest.mark.parametrize("value", [None, "", [], 7])
def test_nothing(value: Any, visit: Callable[[str | None], None]) -> None:
    visit(None)
    assert tk.h.files_attached(value) == tk.h.files_offered(value) == tk.h.files_own_files() == []


def test_ids(visit: Callable[[str | None], None]) -> None:
    visit(None)
    assert tk.h.files_attached(["a", "b"]) == [PageFile("a", name="a"), PageFile("b", name="b")]


def test_pages(app: Any) -> None:
    user = factories.UserWithToken(email="plain@example.com")
    dataset = factories.Dataset(user=user, type="files-plain", attachment="some-id")
    headers = {"Authorization": user["token"]}
    assert "some-id" in app.get(f"/files-plain/{dataset['name']}").body
    form = app.get(f"/files-plain/edit/{dataset['name']}", headers=headers).body
    assert '<option value="some-id" selected>some-id</option>' in form
