"""Fixtures of the tests of maintenance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckanext.files.tests.support import maintained_site as site


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugins, with the storages ``here`` and ``there``."""
    with site.loaded_with(tmp_path_factory.mktemp("maintenance")):
        yield


@pytest.fixture(autouse=True)
def no_files(loaded: None) -> Iterator[None]:
    """No files before and after a test."""
    site.forget_files()
    yield
    site.forget_files()
