"""People attach files with a real Chromium, driven by Selenium, and others download them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckanext.files.tests.support.browser import (
    Browser,
    Person,
    new_person,
    with_javascript,
    without_javascript,
)
from ckanext.files.tests.support.server import CkanServer, CkanServers

OPTIONS = {
    # CKAN 2.11 can index repeating subfields with the last one only
    "ckan.plugins": "files scheming_datasets scheming_organizations scheming_nerf_index",
    "scheming.presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
    "scheming.dataset_schemas": "ckanext.files.tests:schemas/preset_dataset.yaml",
    "scheming.organization_schemas": "ckanext.files.tests:schemas/preset_organization.yaml",
}


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.start(OPTIONS)


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


ben = ann


def new_dataset(person: Person, **fields: Any) -> str:
    """Return the name of a dataset that a person has made."""
    name = f"d-{uuid.uuid4()}"
    person.call("package_create", type="files-preset", title="Levels", name=name, **fields)
    return name


def ticks(browser: Browser) -> list[tuple[str, bool]]:
    """Return the choices of ``attachments``, and whether each is chosen."""
    return [
        (label.text.split(" ")[0], browser.find(f"#{label.get_attribute('for')}").is_selected())
        for label in browser.find_all("#field-attachments label")
    ]


def test_attach_one(browser: Browser, ann: Person, ben: Person) -> None:
    content = b"\x00nothing that CKAN would show in the browser\xff"
    ann.upload("other.csv")
    ann.upload("levels.xlsx", content)
    dataset = new_dataset(ann)

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
    dataset = new_dataset(ann, attachments=[files["b.csv"]])

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    assert ticks(browser) == [("b.csv", True), ("a.csv", False), ("c.csv", False)]
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
    assert ticks(browser) == [("b.csv", True), ("c.csv", True), ("a.csv", False)]
    for box in browser.find_all("#field-attachments [type=checkbox]")[:2]:
        box.click()
    browser.submit()
    assert not browser.find_all(".files-attachment")
    assert ann.call("package_show", id=dataset)["attachments"] == []


def test_error_at_the_field(browser: Browser, ann: Person) -> None:
    """What was chosen is kept when the form comes back."""
    names = ("attached.csv", "wanted.csv", "first.csv", "second.csv")
    attached, wanted, first, second = map(ann.upload, names)
    dataset = new_dataset(ann, attachment=attached)

    browser.log_in(ann.name)
    browser.go(f"/files-preset/edit/{dataset}")
    browser.select("#field-attachment").select_by_value(wanted)
    for file in (first, second):
        browser.find(f"#field-attachments [value='{file}']").click()
    new_dataset(ann, attachment=wanted)
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
    dataset, codebook = new_dataset(ann), ann.upload("codebook.pdf")

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
    dataset = new_dataset(ann, citations=[{"paper": papers["first.pdf"]}])

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
