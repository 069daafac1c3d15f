"""A user for the tests of ownership."""

from __future__ import annotations

import pytest

from ckanext.files.tests import portal


@pytest.fixture
def user() -> str:
    """A new user for each test."""
    return portal.new_user()
