"""A real Chromium, driven by Selenium, and the people who use a site with it.

:meth:`Browser.inspect` is what every page and every state of a page goes through: accessibility,
errors of scripts, a narrow screen, and a picture for the documentation.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from ckan.tests import factories
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from selenium_axe_python.axe import Axe

from ckanext.files.tests.support.element import Element
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.waiting import wait_for

PASSWORD = "correct horse battery"
PICTURES = Path(__file__).parents[4] / "docs/pictures"
WIDTHS = (360, 1280)
"""Of a telephone and of a desk, in CSS pixels."""

_MARGIN = 16
"""Around the part of a page that a picture shows, in CSS pixels."""

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
    # otherwise Bootstrap scrolls smoothly, and a click goes where the button has been
    " --force-prefers-reduced-motion --window-size=1280,1400 --hide-scrollbars"
)
_SECONDS = 60

_TEXTS = """
    return [...document.querySelectorAll(arguments[0])].map(
        element => element.checkVisibility() ? element.innerText.trim() : '')
"""

with_javascript = pytest.mark.parametrize("browser", ["javascript"], indirect=True)
without_javascript = pytest.mark.parametrize("browser", ["plain"], indirect=True)
of_the_scripts = [
    with_javascript,
    pytest.mark.once(reason="the scripts are the same, and tests/uploads calls what they call"),
]
"""Marks of a module about what scripts do by themselves, and not about the pages around them."""


class Browser:
    """A browser with a site.

    :param scripts: whether it runs the scripts of pages.
    :param records: whether pictures go into the documentation.
    """

    def __init__(
        self, driver: webdriver.Chrome, site: str, downloads: Path, *, scripts: bool, records: bool
    ) -> None:
        self.driver = driver
        self._site = site
        self._downloads = downloads
        self.scripts = scripts
        self._records = records

    def go(self, path: str) -> None:
        self.driver.get(self._site + path)

    def log_in(self, name: str) -> None:
        """Use CKAN's form, but over HTTP only, which is quicker."""
        with requests.Session() as http:
            page = http.get(f"{self._site}/user/login", timeout=60).text
            token = re.search(r'name="_csrf_token"\s+content="([^"]+)"', page)
            form = {"login": name, "password": PASSWORD, "_csrf_token": token and token[1]}
            answer = http.post(f"{self._site}/user/login", form, timeout=60, allow_redirects=False)
            assert answer.status_code == 302, answer.text
            self.log_out()
            for cookie in http.cookies:
                mine = {"name": cookie.name, "value": cookie.value, "url": self._site}
                self.driver.execute_cdp_cmd("Network.setCookie", mine)

    def log_out(self) -> None:
        self.driver.delete_all_cookies()

    def find(self, selector: str) -> WebElement:
        found = self.driver.find_element(By.CSS_SELECTOR, selector)
        assert isinstance(found, Element)
        found.selector = selector
        return found

    def find_all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return the visible texts of elements, all of one moment."""
        return self.driver.execute_script(_TEXTS, selector)

    def fill(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def select(self, selector: str) -> Select:
        return Select(self.find(selector))

    def submit(self, selector: str = ".form-actions .btn-primary") -> None:
        """Press a button that leads to the next page, and wait for that page."""
        with self.next_page():
            self.find(selector).click()

    @contextmanager
    def next_page(self) -> Iterator[None]:
        """Wait for the page to which the block leads."""
        page = self.wait(lambda _: self._loaded())
        yield
        self.wait(lambda _: self._loaded() not in (None, page))

    def _loaded(self) -> float | None:
        """Return when the page was asked for; None until it is complete."""
        return self.driver.execute_script(
            "return document.readyState == 'complete' ? performance.timeOrigin : null"
        )

    def wait(self, condition: Callable[[webdriver.Chrome], object]) -> object:
        """Wait until something is so on the page, in terms of Selenium; return it."""
        # a script, or the next page, may take an element away while it is looked at
        gone = [StaleElementReferenceException]
        return WebDriverWait(self.driver, _SECONDS, 0.1, gone).until(condition)

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until an element has a text."""
        self.wait(lambda _: any(text in found for found in self.texts(selector)))

    def download(self, link: WebElement) -> Path:
        """Click on a link that leads to a file, and return what has been saved."""
        link.click()
        # others than .name and name.crdownload, which are not complete
        return wait_for(lambda: next(self._downloads.glob("[!.]*[!d]"), None))

    def inspect(self, part: str, picture: str = "") -> None:
        """Check the page as it is now: errors in the console, accessibility, a narrow screen.

        :param part: selector of the part of the page that is ours.
        :param picture: name of the pictures in the documentation.
        """
        self.check_space(part)
        if not self.scripts:
            return  # axe waits for a timer, and the pictures are the same
        for width in WIDTHS:
            with self._wide(width):
                # colours are the same on a narrow screen, and take half of the time
                self._check_accessibility(part, contrast=width == max(WIDTHS))
                if picture and self._records:
                    self._take(PICTURES / f"{picture}-{width}.png", part)

    def check_space(self, part: str) -> None:
        """Check errors in the console, and that the part has the space that it needs."""
        errors = list(filter(self._is_error, self.driver.get_log("browser")))
        assert errors == [], errors
        assert self.find_all(part), f"there is no {part}"
        for width in WIDTHS:
            with self._wide(width):
                self._check_width(part, width)

    def _is_error(self, entry: dict[str, Any]) -> bool:
        # users of CKAN's factories have pictures of another site, which no test can load
        is_foreign = entry["source"] == "network" and not entry["message"].startswith(self._site)
        return entry["level"] == "SEVERE" and not is_foreign

    @contextmanager
    def _wide(self, width: int) -> Iterator[None]:
        metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _check_width(self, part: str, width: int) -> None:
        # in one look: scripts of a page may take a part away
        ends = """
            return [...document.querySelectorAll(arguments[0])].map(
                part => part.getBoundingClientRect().right + window.scrollX)
        """
        for right in self.driver.execute_script(ends, part):
            assert right <= width, f"{part} ends at {right:.0f} of {width} pixels"
        # what is wider than its part hangs out of it, unless that scrolls by itself
        script = """
            return [...document.querySelectorAll(arguments[0])].flatMap(part =>
                [part, ...part.querySelectorAll('*')]).filter(element => {
                    const style = getComputedStyle(element)
                    return element.scrollWidth > element.clientWidth + 1 && element.clientWidth
                        && style.overflowX == 'visible' && style.display != 'inline'
                }).map(element => element.outerHTML.slice(0, 200))
        """
        wide = self.driver.execute_script(script, part)
        assert not wide, f"wider than the space at {width} pixels: {wide}"

    def _check_accessibility(self, part: str, *, contrast: bool) -> None:
        axe = Axe(self.driver)
        if not self.driver.execute_script("return 'axe' in window"):
            axe.inject()
        # without the elements that are right, which take their time
        rules = {"color-contrast": {"enabled": contrast}}
        # axe's package writes a dictionary as Python does
        options: Any = json.dumps({"resultTypes": ["violations"], "rules": rules})
        violations = axe.run({"include": [[part]]}, options)["violations"]
        assert not violations, axe.report(violations)

    def _take(self, path: Path, part: str) -> None:
        path.parent.mkdir(exist_ok=True)
        box = self.find(part).rect
        screen = self.driver.execute_script("return document.documentElement.clientWidth")
        x, y = max(box["x"] - _MARGIN, 0), max(box["y"] - _MARGIN, 0)
        width, height = (box[side] + 2 * _MARGIN for side in ("width", "height"))
        clip = {"x": x, "y": y, "width": min(width, screen - x), "height": height}
        options = {"clip": {**clip, "scale": 1}, "captureBeyondViewport": True}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def chromium(site: str, folder: Path, *, javascript: bool, records: bool) -> Iterator[Browser]:
    """Start a browser; skip the test where the machine has none.

    :param folder: for its profile and what it downloads.
    """
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on PATH")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    preferences = {
        "download.default_directory": str(downloads),
        "profile.managed_default_content_settings.javascript": 1 if javascript else 2,
    }
    options.add_experimental_option("prefs", preferences)
    chrome = webdriver.Chrome(options, Service(driver))
    chrome._web_element_cls = Element
    try:
        yield Browser(chrome, site, downloads, scripts=javascript, records=records)
    finally:
        chrome.quit()


@dataclasses.dataclass(frozen=True)
class Person:
    """A user with an API token."""

    site: CkanServer
    name: str
    token: str

    def upload(self, name: str, content: bytes = b"a,b\n1,2\n") -> str:
        return self.site.upload(self.token, name, content)["id"]

    def call(self, action: str, **data: Any) -> dict[str, Any]:
        answer = self.site.action(action, self.token, **data).json()
        assert answer["success"], answer
        return answer["result"]


def new_person(site: CkanServer, fullname: str = "Anna Berg", **fields: Any) -> Person:
    """Return a new user of a site, who can log in with :data:`PASSWORD`."""
    name = unused(fullname.lower().replace(" ", "-"))
    email = f"{name}@example.com"
    # by default the factory gives a user a picture of another site
    own = {"name": name, "fullname": fullname, "email": email, "password": PASSWORD}
    user = factories.UserWithToken(**{**own, "image_url": "", **fields})
    return Person(site, name, user["token"])


_taken = Counter[str]()


def unused(name: str, gap: str = "-") -> str:
    """Return a name that no call has returned before, and that looks well in pictures."""
    _taken[name] += 1
    return name if _taken[name] == 1 else f"{name}{gap}{_taken[name]}"
