"""A real Chromium, driven by Selenium."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import Select, WebDriverWait

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # otherwise Bootstrap scrolls smoothly, and a click goes where the button has been
    "--force-prefers-reduced-motion",
    "--window-size=1200,1400",
]

_SECONDS_TO_WAIT = 60


class Browser:
    """A browser with a site."""

    def __init__(self, driver: webdriver.Chrome, site: str, downloads: Path) -> None:
        self.driver = driver
        self._site = site
        self._downloads = downloads

    def go(self, path: str) -> None:
        self.driver.get(self._site + path)

    def log_in(self, name: str, password: str) -> None:
        """Use CKAN's form, but over HTTP only, which is quicker."""
        with requests.Session() as http:
            page = http.get(f"{self._site}/user/login", timeout=60).text
            token = re.search(r'name="_csrf_token"\s+content="([^"]+)"', page)
            form = {"login": name, "password": password, "_csrf_token": token and token[1]}
            answer = http.post(f"{self._site}/user/login", form, timeout=60, allow_redirects=False)
            assert answer.status_code == 302, answer.text
            self.driver.delete_all_cookies()
            for cookie in http.cookies:
                mine = {"name": cookie.name, "value": cookie.value, "url": self._site}
                self.driver.execute_cdp_cmd("Network.setCookie", mine)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.find_all(selector)]

    def fill(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def select(self, selector: str) -> Select:
        return Select(self.find(selector))

    def submit(self) -> None:
        """Press the main button of the page's form, and wait for the next page."""
        button = self.find(".form-actions .btn-primary")
        button.click()
        self.wait(staleness_of(button))
        self.wait(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def wait(self, condition: Callable[[webdriver.Chrome], object]) -> None:
        """Wait until something is so on the page, in terms of Selenium."""
        WebDriverWait(self.driver, _SECONDS_TO_WAIT).until(condition)

    def download(self, link: WebElement) -> Path:
        """Click on a link that leads to a file, and return what has been saved."""
        before = set(self._downloads.iterdir())
        link.click()
        end = time.monotonic() + _SECONDS_TO_WAIT
        while time.monotonic() < end:
            for file in set(self._downloads.iterdir()) - before:
                if not file.name.startswith(".") and file.suffix != ".crdownload":
                    return file
            time.sleep(0.05)
        raise AssertionError(f"nothing has been saved in {_SECONDS_TO_WAIT} s")


@contextmanager
def open_browser(site: str, folder: Path, *, javascript: bool = True) -> Iterator[Browser]:
    """Open a browser, or skip the test where there is none.

    :param folder: for its profile and its downloads.
    """
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on PATH")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    preferences = {
        "download.default_directory": str(downloads),
        "profile.managed_default_content_settings.javascript": 1 if javascript else 2,
    }
    options.add_experimental_option("prefs", preferences)
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        yield Browser(chrome, site, downloads)
    finally:
        chrome.quit()
