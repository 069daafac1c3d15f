"""A portal with the storages ``plain`` and ``shop``. CKAN 2.12 needs no backport."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ckan import model

from ckanext.files import capabilities
from ckanext.files.backport.storage import storages
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.plain_storage import folder

collect_ignore_glob = ["test_*.py"] if capabilities.CORE_FILES else []


@pytest.fixture(scope="package")
def public_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.fixture(scope="package", autouse=True)
def loaded(public_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``plain`` keeps each file under its name; ``shop`` is public."""
    path = tmp_path_factory.mktemp("plain")
    options = {
        **storage_options("plain", type="ckan:fs", path=path, initialize=True),
        **storage_options("shop", type="ckan:fs", path=public_folder, public=True),
    }
    with plugins_loaded("files", "files_test_probe", **options):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def empty_storage() -> Iterator[None]:
    """Begin with no files in ``plain``, and leave none: other modules use that name, too."""
    _clear()
    yield
    model.Session.rollback()
    _clear()


def _clear() -> None:
    change("DELETE FROM files_file WHERE storage = 'plain'")
    shutil.rmtree(folder())
    folder().mkdir()
