"""Fixtures of the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def database(with_plugins: None, non_clean_db: None, migrate_db_for: Callable[[str], None]) -> None:
    """The tables of CKAN and of ckanext-files."""
    migrate_db_for("files")
