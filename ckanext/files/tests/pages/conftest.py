"""What pages can tell depends on whether CKAN has files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model

from ckanext.files import capabilities

_WITH_FILES = ["test_files.py", "test_snippets.py", "test_viewer.py"]
collect_ignore = ["test_plain.py"] if capabilities.CORE_FILES else _WITH_FILES


@pytest.fixture
def visit(test_request_context: Any) -> Iterator[Callable[[str | None], None]]:
    """Begin a request of a user, or of somebody who is not logged in."""
    with ExitStack() as requests:

        def visit(name: str | None) -> None:
            requests.enter_context(test_request_context())
            tk.g.user = name or ""
            if name:
                tk.login_user(model.User.get(name))

        yield visit
