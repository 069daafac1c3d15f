"""One portal for all tests of this folder, with a few storages on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan.tests.helpers import _get_test_app

from ckanext.files.store.storages import storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options
from ckanext.files.tests.support.portal import Api, new_user, upload

KINDS = {"files": "files:fs", "core": "ckan:fs"}


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the folders of the storages."""
    return tmp_path_factory.mktemp("storages")


@pytest.fixture(scope="package", autouse=True)
def loaded(folder: Path) -> Iterator[Any]:
    """Storages keep each file under its name: one for uploads, two of each kind for odd disks."""
    options = {"scheming.dataset_schemas": "ckanext.files.tests:schemas/dataset.yaml"}
    names = {"own": "files:fs"}
    names |= {f"{name}-{kind}": KINDS[kind] for name in ("plain", "tiny") for kind in KINDS}
    for name, type_ in names.items():
        options |= storage_options(name, type=type_, path=folder / name, initialize=True)
    plugins = "files files_test_forms files_test_probe scheming_datasets scheming_nerf_index"
    with plugins_loaded(*plugins.split(), **options):
        yield _get_test_app
    storages.reset()


@pytest.fixture(scope="module")
def api(loaded: Any) -> Api:
    return Api(loaded())


@pytest.fixture(scope="module")
def sysadmin(loaded: Any) -> str:
    return new_user(sysadmin=True)


@pytest.fixture
def file(author: str) -> str:
    """A file that belongs to its author, without bytes."""
    return upload(author)[0]
