"""Starts of CKAN with options of storages that are wrong, or that look so.

Each test loads the plugin, and leaves none: these are not for a module that has it loaded.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from ckan.exceptions import CkanConfigurationException

from ckanext.files import capabilities
from ckanext.files.store.storages import get_storage, storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options

needs_backport = pytest.mark.skipif(
    capabilities.CORE_FILES, reason="CKAN 2.12 reports it only when the storage is used"
)


def test_unknown_adapter_is_only_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        plugins_loaded("files", **storage_options("odd", type="files:floppy")),
    ):
        assert "odd" not in storages
        assert "default" in storages
    warnings = [record.getMessage() for record in caplog.records]
    assert "Unknown storage adapter 'files:floppy' used by the storage 'odd'." in warnings


def _wrong(option: str, *marks: Any, **options: str) -> Any:
    named = storage_options("wrong", **options)
    name = " ".join([*options.values(), f"without {option}" * (option not in options)])
    return pytest.param(rf"\bwrong\b.*\b{option}\b", named, marks=marks, id=name)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        _wrong("max_size", type="ckan:fs", path="/tmp", max_size="huge"),
        _wrong("path", type="ckan:fs"),
        _wrong("path", type="ckan:fs", path="relative"),
        _wrong("path", type="files:fs", path="/nowhere/at/all"),
        _wrong("type", path="/tmp"),
        _wrong("bucket", type="files:s3"),
        _wrong("config", type="files:s3", bucket="b", config="no json"),
        _wrong("config", type="files:s3", bucket="b", config="[]"),
        _wrong(
            "disabled_capabilities", needs_backport, type="ckan:memory", disabled_capabilities="FLY"
        ),
        _wrong(
            "location_transformers",
            needs_backport,
            type="ckan:memory",
            location_transformers="uuid4 rot13",
        ),
        _wrong("hashing_algorithm", needs_backport, type="ckan:memory", hashing_algorithm="md7"),
        # any visitor could download the files of users
        (r"cascade_access: .*user", {"ckan.files.owner.cascade_access": "user"}),
        (r"cascade_access: .*user", {"ckan.files.owner.cascade_access": "user package"}),
    ],
)
def test_ckan_does_not_start_with(message: str, options: dict[str, str]) -> None:
    with (
        pytest.raises(CkanConfigurationException, match=message),
        plugins_loaded("files", **options),
    ):
        pass


@pytest.mark.skipif(capabilities.CORE_FILES, reason="CKAN 2.12.0 refuses what its text names")
def test_size_may_be_negative_in_the_file() -> None:
    with plugins_loaded("files", **storage_options("free", type="ckan:memory", max_size="-1")):
        assert get_storage("free").settings.max_size == -1
