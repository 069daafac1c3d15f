"""What tests of the transaction begin with."""

from __future__ import annotations

from typing import Any

import pytest
from ckan import model
from ckan.tests import factories


@pytest.fixture
def dataset() -> dict[str, Any]:
    """A dataset with the title ``before``, and a session that has not seen it."""
    made = factories.Dataset(title="before")
    model.Session.remove()
    return made


@pytest.fixture
def called() -> list[Any]:
    """What the callbacks of a test add to."""
    return []
