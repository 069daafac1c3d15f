"""Fixtures of the tests of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.store.models import file_table
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.file_pages import Pages, Site


@pytest.fixture(scope="module")
def site(loaded: Any) -> Site:
    # a sysadmin finds the files of all users
    with engine().begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {file_table} CASCADE"))
    return Site()


@pytest.fixture(scope="module")
def pages(loaded: Any) -> Pages:
    return Pages(loaded())


@pytest.fixture
def visit(test_request_context: Any) -> Iterator[Callable[[str | None], None]]:
    """Begin a request of a user, or of a visitor who is not logged in; an earlier one ends."""
    with ExitStack() as requests:

        def visit(name: str | None) -> None:
            requests.close()
            requests.enter_context(test_request_context())
            tk.g.user = name or ""
            if name:
                tk.login_user(model.User.get(name))

        yield visit


@pytest.fixture
def theme(loaded: Any, tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Add a template before all others, as a theme does."""
    environment: Any = loaded().flask_app.jinja_env
    extend = environment.extensions["ckan.lib.jinja_extensions.CkanExtend"]

    def add(name: str, text: str) -> None:
        template = tmp_path / name
        template.parent.mkdir(parents=True)
        template.write_text(text)
        environment.cache.clear()

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(tmp_path), *environment.loader.searchpath]
        for part in (environment.loader, extend):
            patch.setattr(part, "searchpath", paths)
        yield add
    environment.cache.clear()
