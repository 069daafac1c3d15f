"""Fixtures of tests in a browser. A test module has a fixture ``site``, of its own scope module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ckanext.files.tests.support.browser import Browser, chromium
from ckanext.files.tests.support.server import CkanServer


@contextmanager
def open_browser(
    request: pytest.FixtureRequest, site: CkanServer, folder: Path
) -> Iterator[Browser]:
    """Open a site in a browser with JavaScript or without, as the parameter of a fixture says."""
    records = bool(request.config.getoption("--record-pictures"))
    with_scripts = request.param == "javascript"
    with chromium(site.url, folder, javascript=with_scripts, records=records) as browser:
        yield browser


@pytest.fixture(scope="module", params=["javascript", "plain"])
def browser(
    request: pytest.FixtureRequest, site: CkanServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser, with JavaScript and without; the site of the module is open in it."""
    with open_browser(request, site, tmp_path_factory.mktemp("browser")) as browser:
        yield browser
