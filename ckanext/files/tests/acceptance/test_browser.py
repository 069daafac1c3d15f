"""People attach files with a real Chromium, driven by Selenium, and others download them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ckan.tests import factories
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import Select, WebDriverWait

from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.waiting import wait_for

PASSWORD = "correct horse battery"

OPTIONS = {
    # CKAN 2.11 can index repeating subfields with the last one only
    "ckan.plugins": "files scheming_datasets scheming_organizations scheming_nerf_index",
    "scheming.presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
    "scheming.dataset_schemas": "ckanext.files.tests:schemas/preset_dataset.yaml",
    "scheming.organization_schemas": "ckanext.files.tests:schemas/preset_organization.yaml",
}

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
    # otherwise Bootstrap scrolls smoothly, and a click goes where the button has been
    " --force-prefers-reduced-motion --window-size=1200,1400"
)

with_javascript = pytest.mark.parametrize("browser", ["javascript"], indirect=True)
without_javascript = pytest.mark.parametrize("browser", ["plain"], indirect=True)


class Browser:
    """A browser with a site."""

    def __init__(self, driver: webdriver.Chrome, site: str, downloads: Path) -> None:
        self.driver = driver
        self._site = site
        self._downloads = downloads

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

    def ticks(self) -> list[tuple[str, bool]]:
        """Return the choices of ``attachments``, and whether each is chosen."""
        return [
            (label.text.split(" ")[0], self.find(f"#{label.get_attribute('for')}").is_selected())
            for label in self.find_all("#field-attachments label")
        ]

    def submit(self) -> None:
        """Press the main button of the page's form, and wait for the next page."""
        button = self.find(".form-actions .btn-primary")
        button.click()
        self.wait(staleness_of(button))
        self.wait(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def wait(self, condition: Callable[[webdriver.Chrome], object]) -> None:
        """Wait until something is so on the page, in terms of Selenium."""
        WebDriverWait(self.driver, 60).until(condition)

    def download(self, link: WebElement) -> Path:
        """Click on a link that leads to a file, and return what has been saved."""
        link.click()
        # others than .name and name.crdownload, which are not complete
        return wait_for(lambda: next(self._downloads.glob("[!.]*[!d]"), None))


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.start(OPTIONS)


@pytest.fixture(scope="module", params=["javascript", "plain"])
def browser(
    request: pytest.FixtureRequest, site: CkanServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on PATH")
    folder = tmp_path_factory.mktemp("browser")
    downloads = folder / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    javascript = "profile.managed_default_content_settings.javascript"
    preferences = {
        "download.default_directory": str(downloads),
        javascript: 1 if request.param == "javascript" else 2,
    }
    options.add_experimental_option("prefs", preferences)
    chrome = webdriver.Chrome(options, Service(driver))
    try:
        yield Browser(chrome, site.url, downloads)
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

    def new_dataset(self, **fields: Any) -> str:
        name = f"d-{uuid.uuid4()}"
        self.call("package_create", type="files-preset", title="Levels", name=name, **fields)
        return name


@pytest.fixture
def ann(site: CkanServer) -> Person:
    name = f"p-{uuid.uuid4()}"
    user = factories.UserWithToken(name=name, email=f"{name}@example.com", password=PASSWORD)
    return Person(site, name, user["token"])


ben = ann


def test_attach_one(browser: Browser, ann: Person, ben: Person) -> None:
    content = b"\x00nothing that CKAN would show in the browser\xff"
    ann.upload("other.csv")
    ann.upload("levels.xlsx", content)
    dataset = ann.new_dataset()

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    choices = browser.select("#field-attachment")
    names = [option.text.split(" ")[0] for option in choices.options]
    assert names == ["No", "levels.xlsx", "other.csv"]
    choices.select_by_index(1)
    browser.submit()
    assert browser.texts(".dataset-details .files-attachment") == ["levels.xlsx"]

    browser.log_in(ben.name)
    browser.go(f"/files-preset/{dataset}")
    link = browser.find(".dataset-details .files-attachment")
    assert "XLSX, 45 bytes" in browser.find(".dataset-details:has(.files-attachment)").text
    saved = browser.download(link)
    assert (saved.name, saved.read_bytes()) == ("levels.xlsx", content)


def test_attach_several_and_take_one_away(browser: Browser, ann: Person) -> None:
    files = {name: ann.upload(name) for name in ("c.csv", "b.csv", "a.csv")}
    dataset = ann.new_dataset(attachments=[files["b.csv"]])

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    assert browser.ticks() == [("b.csv", True), ("a.csv", False), ("c.csv", False)]
    for box in browser.find_all("#field-attachments [type=checkbox]")[1:]:
        box.click()
    browser.submit()
    assert browser.texts(".files-attachments a") == ["b.csv", "a.csv", "c.csv"]

    browser.go(f"/files-preset/edit/{dataset}")
    browser.find(f"#field-attachments [value='{files['a.csv']}']").click()
    browser.submit()
    assert browser.texts(".files-attachments a") == ["b.csv", "c.csv"]

    # it still belongs to the dataset, and can be attached again
    browser.go(f"/files-preset/edit/{dataset}")
    assert browser.ticks() == [("b.csv", True), ("c.csv", True), ("a.csv", False)]
    for box in browser.find_all("#field-attachments [type=checkbox]")[:2]:
        box.click()
    browser.submit()
    assert not browser.find_all(".files-attachment")
    assert ann.call("package_show", id=dataset)["attachments"] == []


def test_error_at_the_field(browser: Browser, ann: Person) -> None:
    """What was chosen is kept when the form comes back."""
    names = ("attached.csv", "wanted.csv", "first.csv", "second.csv")
    attached, wanted, first, second = map(ann.upload, names)
    dataset = ann.new_dataset(attachment=attached)

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    browser.select("#field-attachment").select_by_value(wanted)
    for file in (first, second):
        browser.find(f"#field-attachments [value='{file}']").click()
    ann.new_dataset(attachment=wanted)
    browser.submit()

    (message,) = browser.texts(".error-block")
    assert "belongs to something else" in message
    assert browser.find("#field-attachment-error").text == message
    choices = browser.select("#field-attachment")
    assert choices.first_selected_option.get_attribute("value") == wanted
    ticked = [box.get_attribute("value") for box in browser.find_all("#field-attachments :checked")]
    assert ticked == [second, first]
    choices.select_by_value(attached)
    browser.submit()
    assert browser.texts(".files-attachment") == ["attached.csv", "second.csv", "first.csv"]


@with_javascript
def test_resource(browser: Browser, ann: Person, ben: Person) -> None:
    dataset, codebook = ann.new_dataset(), ann.upload("codebook.pdf")

    browser.log_in(ann.name)
    browser.go(f"/files-preset/{dataset}/resource/new")
    browser.fill("#field-name", "Levels")
    browser.submit()
    assert browser.texts("#field-codebook-error") == ["Missing value"]
    browser.select("#field-codebook").select_by_value(codebook)
    browser.submit()

    (resource,) = ann.call("package_show", id=dataset)["resources"]
    browser.log_in(ben.name)
    browser.go(f"/files-preset/{dataset}/resource/{resource['id']}")
    assert browser.texts(".files-attachment") == ["codebook.pdf"]


@with_javascript
def test_repeating_subfields(browser: Browser, ann: Person) -> None:
    papers = {name: ann.upload(name) for name in ("first.pdf", "second.pdf")}
    dataset = ann.new_dataset(citations=[{"paper": papers["first.pdf"]}])

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    # CKAN's scripts start some time after the page is there
    browser.wait(lambda _: not browser.find_all("[name=repeating-template]"))
    browser.find("[name=repeating-add]").click()
    browser.wait(lambda _: browser.find("#field-citations-1-paper").is_displayed())
    browser.select("#field-citations-1-paper").select_by_value(papers["second.pdf"])
    browser.submit()
    assert browser.texts(".files-attachment") == ["first.pdf", "second.pdf"]


@without_javascript
def test_organization(browser: Browser, ann: Person) -> None:
    logo, statutes = ann.upload("logo.png"), ann.upload("statutes.pdf")
    organization = f"o-{uuid.uuid4()}"

    browser.log_in(ann.name)
    browser.go("/files-preset-organization/new")
    browser.fill("#field-name", organization)
    browser.select("#field-logo").select_by_value(logo)
    browser.submit()
    assert browser.texts("#field-statutes-error") == ["Missing value"]
    assert browser.select("#field-logo").first_selected_option.get_attribute("value") == logo
    browser.find(f"#field-statutes [value='{statutes}']").click()
    browser.submit()

    shown = ann.call("organization_show", id=organization)
    assert (shown["logo"], shown["statutes"]) == (logo, [statutes])
