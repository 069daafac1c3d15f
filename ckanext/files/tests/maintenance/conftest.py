"""Fixtures of the tests of maintenance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ckan.tests.helpers import _get_test_app

from ckanext.files.tests.support import maintained_site as site


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugins, with the storages ``here`` and ``there``."""
    with site.loaded_with(tmp_path_factory.mktemp("maintenance")):
        yield


@pytest.fixture(scope="module")
def app(loaded: None) -> Any:
    """The application that the fixture ``tasks`` uses, once a module: each takes a second."""
    return _get_test_app()


@pytest.fixture(autouse=True)
def no_files(loaded: None) -> Iterator[None]:
    """No files of these storages before and after a test."""
    site.forget_files()
    yield
    site.forget_files()
