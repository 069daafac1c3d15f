"""People look for files, change them and give them away, with a real Chromium and by hand."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from ckanext.files.tests.support.browser import (
    PASSWORD,
    Browser,
    Person,
    new_person,
    unused,
    with_javascript,
    without_javascript,
)
from ckanext.files.tests.support.server import CkanServer, CkanServers

OPTIONS = {
    "ckan.plugins": "files scheming_datasets scheming_nerf_index files_test_lasting_assets",
    "scheming.presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
    "scheming.dataset_schemas": "ckanext.files.tests:schemas/preset_dataset.yaml",
}
PART = ".files-list"
PAGE = ".files-page"
HOSTILE = "📎 Level of <b>\"rivers\"</b> & 'lakes' \u05e2\u05d1\u05e8\u05d9\u05ea " + "long" * 60
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""
LEVELS = b"river;station;level\nRhein;Worms;3,4\nElbe;Pirna;1,2\nMain;Raunheim;2,1\n"
PLACES = iter(("harbour", "bridge"))
"""The word for a search among the files of all tests: one for each browser."""


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.start(OPTIONS)


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


ben = ann


def new_dataset(person: Person, **fields: Any) -> str:
    name = unused("river-levels")
    person.call("package_create", type="files-preset", title="River levels", name=name, **fields)
    return name


def listed(browser: Browser) -> list[str]:
    """Return the names in the first column."""
    return browser.texts(".files-table tbody tr > td:first-child > a")


def test_own_files(browser: Browser, ann: Person) -> None:
    """Search, order, a title, and back to the list as it was."""
    browser.log_in(ann.name)
    browser.go("/dashboard/datasets")
    browser.find("[href='/dashboard/files']").click()
    assert browser.texts(".files-empty") == ["There are no files here yet."]
    browser.inspect(".files-own")
    for name, content in (("budget.pdf", PDF), ("levels.csv", LEVELS)):
        ann.upload(name, content)
    browser.go("/dashboard/files")
    assert browser.texts(".files-count") == ["2 files"]

    browser.find("thead a").click()
    assert listed(browser) == ["budget.pdf", "levels.csv"]
    assert browser.find("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    browser.find("thead a").click()
    assert listed(browser) == ["levels.csv", "budget.pdf"]
    browser.find("#files-q").send_keys("lev", Keys.ENTER)
    browser.wait(lambda _: listed(browser) == ["levels.csv"])

    browser.find(".files-table tbody td a").click()
    browser.fill("#files-title", "Levels of our rivers")
    browser.submit(".files-edit button")
    assert browser.find("h1").text == "Levels of our rivers"
    assert "was changed" in browser.find(".alert-success").text
    browser.inspect(PAGE)
    browser.find(".breadcrumb [href*='q=lev']").click()
    assert listed(browser) == ["Levels of our rivers"]
    assert browser.find("#files-q").get_attribute("value") == "lev"
    browser.go("/dashboard/files")
    browser.inspect(".files-own", "own-files")


def test_hostile_titles_are_text(browser: Browser, ann: Person) -> None:
    file = ann.upload("levels.csv")
    ann.call("files_title_update", id=file, title=HOSTILE)
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    assert listed(browser) == [HOSTILE]
    browser.inspect(".files-own")
    browser.find(".files-table tbody td a").click()
    assert browser.find("h1").text == HOSTILE
    assert browser.find("#files-title").get_attribute("value") == HOSTILE
    browser.inspect(PAGE)
    browser.submit(".files-edit button")
    assert HOSTILE in browser.find(".flash-messages").text
    browser.inspect(".flash-messages")
    browser.inspect(".toolbar")
    browser.find(".files-delete").click()
    browser.submit(".btn-danger")
    assert HOSTILE in browser.find(".flash-messages").text
    browser.inspect(".flash-messages")


@with_javascript
def test_images_that_cannot_be_shown(browser: Browser, ann: Person) -> None:
    whole = b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>"
    shown, broken = (ann.upload("map.svg", each) for each in (whole, whole[:-9]))
    browser.log_in(ann.name)
    browser.go(f"/file/{broken}")
    browser.wait_for_text(".files-not-shown", "The browser cannot show this image.")
    assert not browser.find(".files-preview img").is_displayed()
    browser.inspect(PAGE)
    browser.go(f"/file/{shown}")
    loaded = "return document.querySelector('.files-preview img').decode().then(() => true)"
    assert browser.driver.execute_script(loaded)
    assert browser.find(".files-preview img").is_displayed()
    assert not browser.find(".files-not-shown").is_displayed()


def test_give_and_delete(browser: Browser, ann: Person) -> None:
    """A file goes to a dataset, with its name typed; deleting it shows what breaks."""
    file, dataset = ann.upload("levels.csv", LEVELS), new_dataset(ann)
    # other modules have made many datasets with levels of rivers
    ann.call("package_patch", id=dataset, title="Groundwater levels")
    browser.log_in(ann.name)
    browser.go(f"/file/{file}?next=/dashboard/files")
    browser.find("#files-owner-id").send_keys("no-such-dataset", Keys.ENTER)
    browser.wait_for_text(".files-not-done", "Nothing was changed")
    browser.fill("#files-owner-id", "groundwater")
    browser.find("#files-owner-id").send_keys(Keys.ENTER)
    browser.wait(lambda _: browser.find_all(".files-suggestions"))
    browser.inspect(PAGE, "file-suggestions")
    browser.find(f".files-suggestions [value='{dataset}']").click()
    browser.wait(lambda _: browser.find_all(".alert-success"))
    assert browser.find("dl [href*='/files-preset/']").text == "Groundwater levels"
    ann.call("package_patch", id=dataset, attachment=file)

    browser.go(f"/files-preset/edit/{dataset}")
    browser.find("[href^='/dataset/files/']").click()
    assert listed(browser) == ["levels.csv"]
    assert "Field: Attachment" in browser.find(".files-table").text
    browser.inspect(PART)
    browser.find(".files-table tbody td a").click()
    assert browser.texts(".files-preview :is(th, td)")[:4] == ["river", "station", "level", "Rhein"]
    browser.inspect(PAGE, "file-with-table")
    browser.find(".files-delete").click()
    assert "Groundwater levels" in browser.find(".files-mentions").text
    browser.inspect(PAGE, "file-delete")
    browser.submit(".btn-danger")
    assert browser.driver.current_url.split("?")[0].endswith(f"/dataset/files/{dataset}")
    assert browser.texts(".files-empty") == ["There are no files here yet."]


def test_all_files(browser: Browser, site: CkanServer, ann: Person) -> None:
    root = new_person(site, "Ben Lee", sysadmin=True)
    place = next(PLACES)
    table, report = f"{place}-levels.csv", f"{place}-budget.pdf"
    new_dataset(ann, attachment=ann.upload(table, LEVELS))
    ann.upload(report, PDF)
    browser.log_in(root.name)
    browser.go("/ckan-admin/config")
    browser.find("[href='/ckan-admin/files']").click()
    browser.find("#files-q").send_keys(place, Keys.ENTER)
    browser.wait(lambda _: set(listed(browser)) == {table, report})
    browser.select("#files-type").select_by_value("package")
    browser.submit(".files-search button")
    assert listed(browser) == [table]
    assert browser.texts(".files-table td:last-child bdi") == ["River levels"]
    browser.select("#files-type").select_by_value("")
    browser.select("#files-format").select_by_value("PDF")
    browser.submit(".files-search button")
    assert listed(browser) == [report]
    browser.go(f"/ckan-admin/files?q={place}")
    browser.inspect(PART, "all-files")


@with_javascript
def test_pdf(browser: Browser, ann: Person) -> None:
    """Chromium shows it in the frame, in spite of the policy that comes with it."""
    browser.log_in(ann.name)
    browser.go(f"/file/{ann.upload('report.pdf', PDF)}")
    browser.wait(lambda _: shows_pdf(browser))
    # why the policy has no sandbox
    in_sandbox = (
        "const frame = document.querySelector('iframe'); frame.sandbox = ''; frame.src += '?'"
    )
    browser.driver.execute_script(in_sandbox)
    browser.wait(lambda _: not shows_pdf(browser))


def shows_pdf(browser: Browser) -> bool:
    """Return whether Chromium's viewer, an extension of its own, is in a frame."""
    targets = browser.driver.execute_cdp_cmd("Target.getTargets", {})["targetInfos"]
    return any(target["url"].startswith("chrome-extension://") for target in targets)


def test_refused(browser: Browser, ann: Person, ben: Person) -> None:
    """A visitor logs in and comes back; a user without the right reads why not."""
    file = ann.upload("levels.csv")
    browser.log_out()
    browser.go(f"/file/{file}")
    assert "or you have to log in to see it" in browser.find(".files-refused").text
    refused_log(browser)
    browser.inspect(".files-refused", "file-refused")
    browser.find(".files-refused .btn").click()
    browser.fill("#field-login", ann.name)
    browser.find("#field-password").send_keys(PASSWORD, Keys.ENTER)
    browser.wait(lambda _: browser.find_all(PAGE))
    assert browser.find("h1").text == "levels.csv"

    browser.log_in(ben.name)
    for address in (f"/file/{file}", f"/file/download/{file}", f"/file/{uuid.uuid4()}"):
        browser.go(address)
        assert "or you are not allowed to see it" in browser.find(".files-refused").text
        assert not browser.find_all(".files-refused .btn")
        assert browser.find_all("link[rel=stylesheet][href*=main]")
    refused_log(browser)


def refused_log(browser: Browser) -> None:
    """Forget that Chromium writes each 404 into the console; nothing else may be there."""
    messages = browser.driver.get_log("browser")
    severe = [entry["message"] for entry in messages if entry["level"] == "SEVERE"]
    assert all("404" in message for message in severe), severe


@without_javascript
def test_forms_need_their_token(browser: Browser, site: CkanServer, ann: Person) -> None:
    file = ann.upload("levels.csv")
    with requests.Session() as http:
        page = http.get(f"{site.url}/user/login", timeout=60).text
        http.post(
            f"{site.url}/user/login", {**token(page), "login": ann.name, "password": PASSWORD}
        )
        page = http.get(f"{site.url}/file/{file}", timeout=60).text
        assert "files-edit" in page
        forms: dict[str, dict[str, str]] = {
            f"/file/edit/{file}": {"title": "New", "name": "new.csv"},
            f"/file/transfer/{file}": {"owner_type": "user", "owner_id": ann.name},
            f"/file/delete/{file}": {},
            "/dashboard/files": {},
        }
        for path, form in forms.items():
            answer = http.post(site.url + path, form, timeout=60, allow_redirects=False)
            assert answer.status_code == 400, path
        assert "levels.csv" in http.get(f"{site.url}/file/{file}", timeout=60).text
        for path, form in forms.items():
            data = {**token(page), **form}
            answer = http.post(site.url + path, data, timeout=60, allow_redirects=False)
            assert answer.status_code == 302, path
    assert browser


def token(page: str) -> dict[str, str]:
    found = re.search(r'name="_csrf_token"\s+content="([^"]+)"', page)
    assert found
    return {"_csrf_token": found[1]}
