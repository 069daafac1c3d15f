"""What is asked of auth functions about several files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ckan.plugins as p
import pytest
from ckan import model

from ckanext.files import capabilities
from ckanext.files.store import BEFORE_DOWNLOAD, FileAccess, describe_files
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.hook_plugins import HiddenFilePlugin, RefusedFilePlugin
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import new_user

loaded = load_plugins("files", "files_test_forms")

TRANSFER = ["files_transfer_ownership"]


@pytest.fixture
def plugin() -> Iterator[type[HiddenFilePlugin]]:
    p.load("files_test_hidden_file")
    yield HiddenFilePlugin
    HiddenFilePlugin.hidden = HiddenFilePlugin.not_editable = ""
    p.unload("files_test_hidden_file")


@pytest.mark.parametrize("refusal", ["hidden", "not_editable"])
def test_a_plugin_is_asked_about_each_file(refusal: str, plugin: Any) -> None:
    user = new_user()
    other = {"owner_type": "package", "owner_id": portal.new_dataset(user)["id"], "force": True}
    files = portal.upload(user, 3)
    portal.new_dataset(user, several=files)
    setattr(plugin, refusal, files[1])
    descriptions = describe_files(model.Session(), files)
    for names, refused in ((BEFORE_DOWNLOAD, "hidden"), (TRANSFER, "not_editable")):
        access = FileAccess(names, {"user": user}, other)
        allowed = [access.allows(descriptions[id_]) for id_ in files]
        assert allowed == [True, refusal != refused, True]


@pytest.mark.skipif(not capabilities.IFiles, reason="CKAN 2.11 has no such interface")
def test_a_hook_that_only_an_instance_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RefusedFilePlugin, "files_file_allows")
    p.load("files_test_refused_file")
    try:
        assert not FileAccess(BEFORE_DOWNLOAD).decides_by_file
        plugin: Any = p.get_plugin("files_test_refused_file")
        monkeypatch.setitem(vars(plugin), "files_file_allows", lambda *_: None)
        assert FileAccess(BEFORE_DOWNLOAD).decides_by_file
    finally:
        p.unload("files_test_refused_file")


@pytest.mark.parametrize("name", ["file_delete", "package_show"])
def test_other_auth_functions_are_refused(name: str) -> None:
    """It would ask once where a plugin's ``permission_delete_file`` decides by file."""
    with pytest.raises(KeyError, match=name):
        FileAccess([*BEFORE_DOWNLOAD, name])
