"""Visitors of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

Visit = Callable[[str | None], None]


@pytest.fixture
def visit(test_request_context: Any) -> Iterator[Visit]:
    """Begin a request of a user, or of a visitor who is not logged in."""
    with ExitStack() as requests:

        def visit(name: str | None) -> None:
            requests.enter_context(test_request_context())
            tk.g.user = name or ""
            if name:
                tk.login_user(model.User.get(name))

        yield visit
