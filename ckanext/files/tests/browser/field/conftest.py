"""The attachment field in a browser.

One portal and one browser of each kind for all modules of this folder: their start takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.browser.conftest import open_browser
from ckanext.files.tests.support import attachment_form
from ckanext.files.tests.support.attachment_form import new_dataset, start_portal
from ckanext.files.tests.support.browser import Browser, Person, new_person
from ckanext.files.tests.support.browser_uploads import PDF
from ckanext.files.tests.support.server import CkanServer, CkanServers

FAST_TIME = """{
    const start = performance.now(), now = performance.now.bind(performance), every = setInterval
    performance.now = () => start + 10 * (now() - start)
    window.setInterval = (call, time, ...more) => every(call, time / 10, ...more)
    const limit = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, 'timeout').set
    const set = function (time) { limit.call(this, time / 10) }
    Object.defineProperty(XMLHttpRequest.prototype, 'timeout', {set})
}"""
"""Half a minute is gone after three seconds."""


@pytest.fixture(scope="package")
def site(ini: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkanServer]:
    servers = CkanServers(tmp_path_factory.mktemp("servers"), ini)
    try:
        yield start_portal(servers)
    finally:
        servers.stop()


@pytest.fixture(scope="package", params=["javascript", "plain"])
def browser(
    request: pytest.FixtureRequest, site: CkanServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """As in the other folders, for all modules of this one."""
    with open_browser(request, site, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


@pytest.fixture
def edit(browser: Browser, ann: Person) -> Callable[..., None]:
    """Open the form of a dataset, as Ann."""
    return partial(attachment_form.open_form, browser, ann)


@pytest.fixture
def open_form(browser: Browser, ann: Person) -> Callable[..., str]:
    """Open the form of a new dataset, as Ann; return its name."""

    def open_new(**fields: Any) -> str:
        name = new_dataset(ann, **fields)
        attachment_form.open_form(browser, ann, name)
        return name

    return open_new


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, content: bytes = PDF) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def fast_time(browser: Browser) -> Iterator[None]:
    """Time passes quickly on the pages that the test opens."""
    command, source = browser.driver.execute_cdp_cmd, {"source": FAST_TIME}
    script = command("Page.addScriptToEvaluateOnNewDocument", source)
    yield
    command("Page.removeScriptToEvaluateOnNewDocument", script)
