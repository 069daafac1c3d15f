"""An upload goes on after a pause, a lost connection, a kill and a reload, or is ended."""

from __future__ import annotations

import signal
from typing import Any

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person, with_javascript
from ckanext.files.tests.support.browser_uploads import (
    LARGE,
    attached,
    network,
    refused_upload,
    slow_upload,
)
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.waiting import wait_for

pytestmark = with_javascript


def test_pause_and_resume(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        browser.inspect(field.block, picture="field-uploading")
        field.press("pause")
        field.wait_for_state("Paused at")
        bar = field.find("[role=progressbar]")
        percent = int(bar.get_attribute("aria-valuenow") or 0)
        assert 0 < percent < 100
        assert bar.get_attribute("aria-label") == "Upload of budget-2026.pdf"
        assert browser.driver.switch_to.active_element == field.find(".files-resume")
        browser.inspect(field.block)
    field.press("resume")
    field.wait_for("budget-2026.pdf")
    assert field.status == "budget-2026.pdf is chosen."
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_lost_connection(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        # what the browser has begun to send it goes on sending
        field.press("pause")
        with network(browser, offline=True):
            field.press("resume")
            field.wait_for_state("The connection is lost.")
            assert " of 2.8 MiB. The connection is lost." in field.status
            # the browser tells Uppy nothing until the network is back
            for part in ("pause", "resume"):
                field.press(part)
            assert "The connection is lost." in field.find(".files-state").text
            browser.driver.get_log("browser")  # of course the browser reports it
            browser.inspect(field.block, picture="field-lost")
    field.wait_for("budget-2026.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_the_server_is_killed(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        site.kill()
        field.wait_for_state("The connection is lost.")
    site.start()
    field.wait_for("budget-2026.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_the_server_does_not_answer(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    """A connection that no byte passes any more is given up, and another one tried."""
    dataset, field = open_form(), Field(browser, "report")
    site.signal(signal.SIGSTOP)
    try:
        field.choose(make("report.pdf"))
        field.wait_for_state("Starting")
        # half a minute later
        later = "const now = performance.now(); performance.now = () => now + 60000"
        browser.driver.execute_script(later)
        field.wait_for_state("The connection is lost.")
    finally:
        site.signal(signal.SIGCONT)
    field.wait_for("report.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["report.pdf"]


def test_reload_and_resume(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field, other = open_form(), Field(browser, "report"), Field(browser, "annexes")
    large = make("budget-2026.pdf", LARGE)

    def uploads() -> Any:
        return ann.call("files_upload_list")

    with slow_upload(field, large):
        browser.go(f"/files-attachment/edit/{dataset}")
        wait_for(lambda: uploads()[0]["offset"])
        browser.driver.refresh()
        field.wait_until_ready()
        browser.driver.get_log("browser")
    assert "have arrived. Choose the same file again to go on." in field.find(".files-uploads").text
    assert not other.find_all(".files-unfinished-upload")
    browser.inspect(field.block, picture="field-unfinished")
    assert 0 < uploads()[0]["offset"] < len(LARGE)

    field.press("go-on")
    picker = field.find(".files-picker")
    picker.send_keys(str(make("other.pdf", LARGE)))
    browser.wait_for_text(
        f"{field.part} .files-notice",
        "other.pdf is another file. To go on, choose budget-2026.pdf again.",
    )
    picker.send_keys(str(large))
    field.wait_for("budget-2026.pdf")
    assert not uploads()
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_discard_an_unfinished_upload(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    dataset, field = open_form(), Field(browser, "annexes")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        browser.go(f"/files-attachment/edit/{dataset}")
        field.wait_until_ready()
    field.press("discard")
    browser.wait(lambda _: not field.find_all(".files-unfinished-upload"))
    assert ann.call("files_upload_list") == []


def test_cancel(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    open_form()
    field = Field(browser, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        field.press("cancel")
    assert field.find(".files-uploads").text == ""
    assert field.status == "The upload of budget-2026.pdf is cancelled."
    assert browser.driver.switch_to.active_element == field.find("[type=file]")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    assert field.values == [""]


def test_retry_after_an_error(browser: Browser, open_form: Any, make: Any) -> None:
    """The server refuses a visitor whose session has ended."""
    open_form()
    field = Field(browser, "report")
    with refused_upload(field, make("budget-2026.pdf")):
        browser.inspect(field.block, picture="field-failed")
    field.wait_for("budget-2026.pdf")
