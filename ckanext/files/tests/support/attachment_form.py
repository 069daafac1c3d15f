"""A portal with attachment fields, and a person who fills them in with a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from selenium.webdriver.remote.webelement import WebElement

from ckanext.files.tests.support.browser import Browser, Person, unused
from ckanext.files.tests.support.server import CkanServer, CkanServers

TYPE = "files-attachment"
SMALL = 1024**2
"""The size of the largest file in the storage of the field ``small``, in bytes."""


def start_portal(servers: CkanServers) -> CkanServer:
    """Start a CKAN whose datasets have the fields of ``schemas/attachment_dataset.yaml``."""
    folder = os.environ["CKAN_STORAGE_PATH"]
    return servers.start(
        {
            # CKAN 2.11 can index repeating subfields with the last one only
            "ckan.plugins": "files_test_user_form files files_test_forms"
            " scheming_datasets scheming_organizations scheming_nerf_index"
            " files_test_lasting_assets",
            "scheming.presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
            "scheming.dataset_schemas": "ckanext.files.tests:schemas/attachment_dataset.yaml",
            "scheming.organization_schemas": "ckanext.files.tests:schemas/preset_organization.yaml",
            "ckan.files.storage.small.type": "ckan:fs",
            "ckan.files.storage.small.path": f"{folder}/small",
            "ckan.files.storage.small.initialize": "true",
            "ckan.files.storage.small.max_size": str(SMALL),
            "ckan.files.storage.small.supported_types": "text/csv text/plain",
            "ckan.files.authenticated_uploads.storages": "default small",
        }
    )


def new_dataset(person: Person, **fields: Any) -> str:
    """Return the name of a dataset that a person has made."""
    name = unused("river-levels")
    person.call("package_create", type=TYPE, title="River levels", name=name, **fields)
    return name


def open_form(browser: Browser, person: Person, dataset: str, *, wait: bool = True) -> None:
    """Open the form of a dataset, as a person.

    :param wait: for the scripts of the field; false where there are none.
    """
    browser.log_in(person.name)
    browser.go(f"/{TYPE}/edit/{dataset}")
    if wait:
        Field(browser, "report").wait_until_ready()
    browser.driver.get_log("browser")  # of earlier pages


def table(folder: Path, name: str = "levels.csv", content: bytes = b"a,b\n1,2\n") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def owner_type(ann: Person, file: str) -> str:
    return ann.call("file_show", id=file)["owner_type"]


def exists(person: Person, file: str) -> bool:
    answer = person.site.action("file_show", person.token, id=file)
    return bool(answer.json()["success"])


class Field:
    """One attachment field of the form that is open in a browser."""

    def __init__(self, browser: Browser, name: str) -> None:
        self.browser = browser
        self.name = name
        self.part = f"#field-{name}-field"
        self.block = f".form-group:has(> .controls > {self.part})"
        """With label, errors and help text."""

    def wait_until_ready(self) -> None:
        """CKAN's scripts start some time after the page is there."""
        self.browser.wait(lambda _: self.find_all(".files-drop-hint:not([hidden])"))

    def find(self, selector: str) -> WebElement:
        return self.browser.find(f"{self.part} {selector}")

    def find_all(self, selector: str) -> list[WebElement]:
        return self.browser.find_all(f"{self.part} {selector}")

    def press(self, part: str, number: int = 0) -> None:
        self.find_all(f".files-{part}")[number].click()

    def choose(self, *files: Path) -> None:
        """Choose files in the file dialog."""
        self.find("[type=file]").send_keys("\n".join(map(str, files)))

    @property
    def chosen(self) -> list[str]:
        """The files in the list, by name."""
        return [row.get_dom_attribute("data-label") for row in self.find_all(".files-chosen li")]

    @property
    def values(self) -> list[str]:
        """What the form sends for the field."""
        inputs = self.find_all(f"[type=hidden][name='{self.name}']:not([disabled])")
        return [each.get_attribute("value") or "" for each in inputs]

    def wait_for(self, *names: str) -> None:
        """Wait until these files are chosen."""
        self.browser.wait(lambda _: self.chosen == list(names))

    def wait_for_state(self, text: str) -> None:
        """Wait until the first upload has a state."""
        self.browser.wait_for_text(f"{self.part} .files-state", text)

    @property
    def status(self) -> str:
        """What a screen reader has read last."""
        return self.find(".files-status").get_attribute("textContent") or ""


class OwnUploads(Field):
    """The form on the page of the own files, which uploads as a field does."""

    def __init__(self, browser: Browser) -> None:
        super().__init__(browser, "upload")
        self.part = self.block = ".files-upload"

    @property
    def listed(self) -> list[str]:
        """The files in the list below, by name."""
        return self.browser.texts(".files-table tbody tr > td:first-child > a")

    def wait_for(self, *names: str) -> None:
        """Wait until these files are in the list."""
        self.browser.wait(lambda _: self.listed == list(names))
