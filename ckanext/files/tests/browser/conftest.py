"""Fixtures of tests in a browser. A test module has a fixture ``site``, of its own scope module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckanext.files.tests.support.browser import Browser, chromium
from ckanext.files.tests.support.server import CkanServer


@pytest.fixture(scope="module", params=["javascript", "plain"])
def browser(
    request: pytest.FixtureRequest, site: CkanServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser, with JavaScript and without; the site of the module is open in it."""
    folder = tmp_path_factory.mktemp("browser")
    records = bool(request.config.getoption("--record-pictures"))
    with_scripts = request.param == "javascript"
    with chromium(site.url, folder, javascript=with_scripts, records=records) as browser:
        yield browser
