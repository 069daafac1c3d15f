"""The page of the own files uploads as the field does."""

from __future__ import annotations

from typing import Any

from ckanext.files.tests.support.attachment_form import SMALL, Field, OwnUploads
from ckanext.files.tests.support.browser import Browser, Person, with_javascript
from ckanext.files.tests.support.browser_uploads import (
    LARGE,
    SLOW,
    network,
    refused_upload,
    slow_upload,
)

pytestmark = with_javascript


def test_own_files(browser: Browser, ann: Person, make: Any) -> None:
    """The page of the own files: what is uploaded appears in the list, without a reload."""
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    uploads.wait_until_ready()
    browser.driver.get_log("browser")
    assert not uploads.find("[type=submit]").is_displayed()
    assert [each for each in browser.texts(".files-limits") if each] == []
    browser.select("#files-storage").select_by_value("small")
    (limits,) = [each for each in browser.texts(".files-limits") if each]
    assert limits.startswith("small A file may have up to 1 MiB.")
    assert "CSV, TXT" in limits
    uploads.choose(make("large.csv", b"a" * (SMALL + 1)))
    too_large = "large.csv is too large. A file may have up to 1 MiB."
    assert uploads.find(".files-notice").text == too_large
    browser.inspect(".files-own")
    uploads.choose(make("levels-2026.csv", b"a,b\n"))
    uploads.wait_for("levels-2026.csv")
    assert uploads.find(".files-notice").text == ""

    browser.select("#files-storage").select_by_value("default")
    with network(browser, SLOW):
        uploads.choose(make("budget-2026.pdf"), make("survey-2026.pdf", LARGE))
        browser.find("#files-q").send_keys("surv")
        browser.wait(lambda _: "budget-2026.pdf" in uploads.listed)
        # the list is a new one; the search goes on
        browser.driver.switch_to.active_element.send_keys("ey")
        assert browser.find("#files-q").get_attribute("value") == "survey"
        uploads.wait_for_state("per second")
        browser.inspect(".files-own", picture="own-uploads")
        uploads.press("pause")
        uploads.wait_for_state("Paused at")
    uploads.press("resume")
    uploads.wait_for("survey-2026.pdf", "budget-2026.pdf", "levels-2026.csv")
    done = ["levels-2026.csv", "budget-2026.pdf", "survey-2026.pdf"]
    assert browser.texts(".files-uploaded") == [f"{name} is uploaded." for name in done]
    assert uploads.status == "survey-2026.pdf is uploaded."
    found: Any = ann.call("files_search")
    assert {each["name"]: each["storage"] for each in found["results"]} == {
        "levels-2026.csv": "small",
        "budget-2026.pdf": "default",
        "survey-2026.pdf": "default",
    }
    browser.submit(".files-uploaded a")
    assert browser.find("h1").text == "levels-2026.csv"


LOAD_AFTER_ALL = """
    const done = arguments[arguments.length - 1]
    const script = document.createElement('script')
    script.src = document.querySelector('script[src*="_attachment"]').src
    script.onload = () => {
        ckan.module.initializeElement(document.querySelector('[data-module=files-own-uploads]'))
        done()
    }
    document.body.append(script)
"""
"""Loads the scripts of the page, which the test has blocked before."""


def test_a_file_that_is_chosen_before_the_scripts_are_there(
    browser: Browser, ann: Person, make: Any
) -> None:
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*_attachment*"]})
    browser.go("/dashboard/files")
    browser.driver.get_log("browser")
    uploads.choose(make("early.csv", b"a,b\n"))
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    browser.driver.execute_async_script(LOAD_AFTER_ALL)
    uploads.wait_for("early.csv")


def test_own_files_reload_cancel_and_retry(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    """An upload that was begun in a form is there as well: its file belongs to its user."""
    uploads, large = OwnUploads(browser), make("survey-2026.pdf", LARGE)
    open_form()
    with slow_upload(Field(browser, "report"), large):
        browser.go("/dashboard/files")
        uploads.wait_until_ready()
        browser.driver.get_log("browser")
    browser.inspect(".files-own")
    uploads.press("go-on")
    uploads.find(".files-picker").send_keys(str(large))
    uploads.wait_for("survey-2026.pdf")
    assert ann.call("files_upload_list") == []

    with slow_upload(uploads, make("cancelled.pdf", LARGE * 4)):
        uploads.press("cancel")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    with refused_upload(uploads, make("budget-2026.pdf")):
        pass
    uploads.wait_for("budget-2026.pdf", "survey-2026.pdf")
