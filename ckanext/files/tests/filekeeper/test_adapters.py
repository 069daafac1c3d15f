"""Which of file-keeper's adapters become storages of CKAN."""

from __future__ import annotations

from ckanext.files.filekeeper.adapters import adapters
from ckanext.files.tests.filekeeper.conftest import BASES


def test_adapters_whose_libraries_are_installed() -> None:
    names = set(adapters(BASES))
    assert {"files:fs", "files:redis", "files:s3", "files:sqlalchemy", "files:zip"} <= names
    assert not names & {"files:memory", "files:null", "files:proxy"}


def test_adapters_are_storages_of_ckan() -> None:
    for name, adapter in adapters(BASES).items():
        assert issubclass(adapter, BASES.Storage), name
        assert issubclass(adapter.SettingsFactory, BASES.Settings), name
        assert adapter.__doc__, name


def test_classes_stay_the_same() -> None:
    """As file-keeper registers adapters at every change of the configuration."""
    assert adapters(BASES) == adapters(BASES)
