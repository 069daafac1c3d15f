"""CKAN's datastore in tests."""

from __future__ import annotations

import os

import pytest

from dev.datastore import READ, WRITE

_MISSING = [name for name in (WRITE, READ) if not os.environ.get(name)]

needs_datastore = pytest.mark.skipif(
    bool(_MISSING),
    reason=f"{' and '.join(_MISSING)} must name a database of CKAN's datastore, with the "
    "permissions that ckan datastore set-permissions prints",
)
"""Skips tests where the developer gives a database, but none for the datastore."""
