"""An upload goes on after a pause, a lost connection, a kill and a reload, or is ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person, of_the_scripts
from ckanext.files.tests.support.browser_uploads import (
    LARGE,
    SLOW,
    attached,
    logged_out,
    network,
    refuse_upload,
    refused_upload,
    slow_reading,
    slow_upload,
)
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.waiting import wait_for

pytestmark = of_the_scripts


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


def test_pause_before_the_first_byte(browser: Browser, open_form: Any, make: Any) -> None:
    """While the browser still reads the file."""
    open_form()
    field = Field(browser, "report")
    with slow_reading(browser):
        field.choose(make("report.pdf"))
        field.wait_for_state("Starting")
        field.press("pause")
        field.wait_for_state("Paused at")
    field.press("resume")
    field.wait_for("report.pdf")


def test_a_file_that_is_read_slowly_holds_up_no_other(
    browser: Browser, open_form: Any, make: Any
) -> None:
    open_form()
    field = Field(browser, "annexes")
    with slow_reading(browser, "second.pdf"):
        field.choose(make("first.pdf"), make("second.pdf", LARGE))
        field.wait_for("first.pdf")
    field.wait_for("first.pdf", "second.pdf")


REMEMBER_STATES = """
    window.states = new Set()
    new MutationObserver(() => {
        for (const state of document.querySelectorAll('.files-state')) states.add(state.textContent)
    }).observe(document.body, {subtree: true, childList: true, characterData: true})
"""


REMEMBER_TIMES = """
    window.times = {}
    new MutationObserver(() => {
        const text = document.querySelector('.files-state')?.textContent || ''
        for (const word of [' of ', ' left']) {
            if (text.includes(word) && !text.includes('Waiting')) times[word] ||= performance.now()
        }
    }).observe(document.body, {subtree: true, childList: true, characterData: true})
"""
"""When a text about an upload has had a word first, in milliseconds."""


def test_the_time_left_is_measured_first(browser: Browser, open_form: Any, make: Any) -> None:
    """For two seconds."""
    open_form()
    field = Field(browser, "report")
    browser.driver.execute_script(REMEMBER_TIMES)
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        assert "left" in field.find(".files-state").text
        field.press("cancel")
    times = browser.driver.execute_script("return times")
    assert times[" left"] - times[" of "] > 1900


@pytest.mark.usefixtures("fast_time")
def test_an_upload_that_waits_for_its_turn(browser: Browser, open_form: Any, make: Any) -> None:
    """However long that takes, its connection is not called lost."""
    open_form()
    field, names = Field(browser, "annexes"), [f"levels-{year}.csv" for year in range(2023, 2027)]
    browser.driver.execute_script(REMEMBER_STATES)
    with network(browser, SLOW):
        # three at a time take about four seconds
        field.choose(*[make(name, name.encode() * 33_000) for name in names])
        field.wait_for_state("Waiting for other uploads.")
        browser.inspect(field.block)
        field.wait_for(*names)
    states = browser.driver.execute_script("return [...states]")
    assert len(states) > 10
    assert not [state for state in states if "lost" in state]


def test_the_server_stores_the_file(
    browser: Browser, site: CkanServer, open_form: Any, make: Any
) -> None:
    """All bytes are sent, and the answer takes its time."""
    open_form()
    field = Field(browser, "report")
    with slow_upload(field, make("report.pdf", LARGE[:500_000]), SLOW // 4):
        site.signal(signal.SIGSTOP)
    try:
        field.wait_for_state("are sent. The file is being stored.")
    finally:
        site.signal(signal.SIGCONT)
    field.wait_for("report.pdf")


def test_an_answer_without_the_file(browser: Browser, open_form: Any, make: Any) -> None:
    """A proxy has dropped the header."""
    open_form()
    field = Field(browser, "report")
    script = """
        const get = XMLHttpRequest.prototype.getResponseHeader
        XMLHttpRequest.prototype.getResponseHeader = function (name) {
            return name === 'File-Id' ? null : get.call(this, name)
        }
    """
    browser.driver.execute_script(script)
    field.choose(make("report.pdf"))
    field.wait_for_state("The upload has failed.")
    assert not field.find(".files-uploads .files-login").is_displayed()
    browser.inspect(field.block)


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


@pytest.mark.usefixtures("fast_time")
def test_the_server_does_not_answer(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    """A connection that no byte passes any more is given up, and another one tried."""
    dataset, field = open_form(), Field(browser, "report")
    site.signal(signal.SIGSTOP)
    try:
        field.choose(make("report.pdf"))
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


def test_cancel_while_the_connection_is_lost(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    """The server learns of it later, and other uploads find a place."""
    open_form()
    field = Field(browser, "annexes")
    files = [make(f"levels-{year}.csv", LARGE) for year in range(2023, 2026)]
    with slow_upload(field, files[0]):
        field.choose(*files[1:])
        browser.wait(lambda _: len(ann.call("files_upload_list")) == 3)
        site.kill()
        lost = f"{field.part} .files-uploads li"
        browser.wait(
            lambda _: sum("connection is lost" in text for text in browser.texts(lost)) == 3
        )
        for _ in files:
            field.press("cancel")
    site.start()
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    field.choose(make("report.pdf"))
    field.wait_for("report.pdf")


def test_a_file_is_chosen_again(
    browser: Browser, ann: Person, open_form: Any, make: Any, tmp_path: Path
) -> None:
    """It is tried again if it has failed; one that only looks the same is another file."""
    open_form()
    field, file = Field(browser, "annexes"), make("budget-2026.pdf", LARGE)
    other = tmp_path / "other/budget-2026.pdf"
    other.parent.mkdir()
    other.write_bytes(LARGE[:-1] + b"1")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    with logged_out(browser):
        refuse_upload(field, file)
    with network(browser, SLOW):
        field.choose(file)
        field.wait_for_state("per second")
        field.choose(file)
        browser.wait(lambda _: field.status == "budget-2026.pdf is being uploaded already.")
        assert len(field.find_all(".files-state")) == 1
        field.choose(other)
    field.wait_for("budget-2026.pdf", "budget-2026.pdf")
    assert len(set(field.values[1:])) == 2
    assert ann.call("files_upload_list") == []


def test_retry_after_an_error(browser: Browser, open_form: Any, make: Any) -> None:
    """The server refuses a visitor whose session has ended."""
    open_form()
    field = Field(browser, "report")
    with refused_upload(field, make("budget-2026.pdf")):
        browser.inspect(field.block, picture="field-failed")
    field.wait_for("budget-2026.pdf")


def test_a_login_in_another_tab(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """The page has the token of the session that has ended: the upload and the form get the new."""
    dataset, field = open_form(), Field(browser, "report")
    login = f"{field.part} .files-uploads .files-login"
    browser.log_out()
    # a translation may differ from the server's
    browser.driver.execute_script("new ckanFiles.Words().words.notLoggedIn = 'Log in.'")
    refuse_upload(field, make("budget-2026.pdf"))
    assert browser.texts(login) == ["Log in in a new tab"]
    browser.find(login).click()
    browser.wait(lambda driver: len(driver.window_handles) == 2)
    form, new = browser.driver.window_handles
    browser.driver.switch_to.window(new)
    browser.wait(lambda driver: driver.current_url.endswith("/user/login"))
    browser.driver.close()
    browser.driver.switch_to.window(form)
    browser.log_in(ann.name)
    field.press("retry")
    field.wait_for("budget-2026.pdf")
    browser.driver.get_log("browser")  # of course the browser reports the answer 400
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]
