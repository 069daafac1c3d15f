"""People pause, resume and end an upload while the server creates it.

The page learns the address of the upload from the answer: without it, what is ended stays at the
server until it expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person, of_the_scripts
from ckanext.files.tests.support.browser_uploads import SLOW, attached, network, slow_creation
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.waiting import wait_for

pytestmark = of_the_scripts


REMEMBER_ENDS = """
    window.statuses = []
    const send = XMLHttpRequest.prototype.send
    XMLHttpRequest.prototype.send = function (body) {
        this.addEventListener('loadend', () => statuses.push(this.status))
        send.call(this, body)
    }
"""
"""The statuses of the requests that have ended; 0 without an answer."""


def created(ann: Person) -> int:
    """Return how many uploads of a person the server has, with the ones that are files by now."""
    user = ann.call("user_show", id=ann.name)["id"]
    return look("SELECT count(*) FROM files_upload WHERE user_id = :user", user=user)


def offsets(ann: Person) -> list[int]:
    """Return how many bytes each unfinished upload of a person has."""
    uploads: Any = ann.call("files_upload_list")
    return [each["offset"] for each in uploads]


def wait_paused(field: Field, ann: Person) -> None:
    """The page gets the answer, and sends no bytes."""
    statuses = "return performance.getEntriesByType('resource').map(each => each.responseStatus)"
    field.browser.wait(lambda driver: 201 in driver.execute_script(statuses))
    time.sleep(0.5)
    assert offsets(ann) == [0]
    assert "Paused at" in field.find(".files-state").text


def test_pause(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """It takes effect at once; the upload that was created then goes on."""
    dataset, field = open_form(), Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        field.press("pause")
        field.wait_for_state("Paused at")
    wait_paused(field, ann)
    field.press("resume")
    field.wait_for("report.pdf")
    assert created(ann) == 1
    browser.submit()
    assert attached(ann, dataset) == ["report.pdf"]


@pytest.mark.parametrize("last", ["pause", "resume"])
def test_pause_and_resume_quickly(
    browser: Browser, ann: Person, open_form: Any, make: Any, last: str
) -> None:
    open_form()
    field = Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        for part in ("pause", "resume", "pause", "resume"):
            field.press(part)
        field.wait_for_state("Starting")
        if last == "pause":
            field.press("pause")
    if last == "pause":
        wait_paused(field, ann)
        field.press("resume")
    field.wait_for("report.pdf")
    assert created(ann) == 1


def test_resume_behind_others(browser: Browser, open_form: Any, make: Any) -> None:
    """What has taken the place of the paused one is sent first."""
    open_form()
    field, names = Field(browser, "annexes"), [f"levels-{year}.csv" for year in range(2023, 2026)]
    with network(browser, SLOW):
        with slow_creation(field, make("levels-2022.csv")):
            field.press("pause")
            field.choose(*[make(name, name.encode() * 33_000) for name in names])
            field.press("resume")
            field.wait_for_state("Starting")
        field.wait_for_state("Waiting for other uploads.")


@pytest.mark.usefixtures("fast_time")
def test_no_answer(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """The request is sent once more, also after a pause."""
    open_form()
    field = Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        for part in ("pause", "resume"):
            field.press(part)
        field.wait_for_state("The connection is lost.")
    field.wait_for("report.pdf")
    assert created(ann) == 2  # the page has given up the first request, and sent one more


@pytest.mark.usefixtures("fast_time")
@pytest.mark.parametrize("end", ["pause", "cancel"])
def test_no_answer_after_a_pause_or_the_end(
    browser: Browser, open_form: Any, make: Any, end: str
) -> None:
    """After half a minute the browser has the connection for others."""
    open_form()
    field = Field(browser, "report")
    browser.driver.execute_script(REMEMBER_ENDS)
    with slow_creation(field, make("report.pdf")):
        field.press(end)
        browser.wait(lambda driver: driver.execute_script("return statuses") == [0])
    if end == "pause":
        field.press("resume")
        field.wait_for("report.pdf")


def cancel(field: Field, make: Any) -> None:
    field.press("cancel")


def cancel_when_paused(field: Field, make: Any) -> None:
    field.press("pause")
    field.press("cancel")


def choose_another(field: Field, make: Any) -> None:
    field.choose(make("other.pdf"))


def remove_the_field(field: Field, make: Any) -> None:
    field.browser.driver.execute_script("arguments[0].remove()", field.browser.find(field.block))


@pytest.mark.parametrize(
    ("end", "others"),
    [
        (cancel, 0),
        (cancel_when_paused, 0),
        (choose_another, 1),
        (remove_the_field, 0),
    ],
)
def test_end(
    browser: Browser,
    ann: Person,
    open_form: Any,
    make: Any,
    end: Callable[[Field, Any], None],
    others: int,
) -> None:
    """The server discards it."""
    open_form()
    field = Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        end(field, make)
    if others:
        field.wait_for("other.pdf")
    wait_for(lambda: created(ann) == others)
    assert offsets(ann) == []
    browser.inspect(Field(browser, "annexes").block)


def wait_until_saved(browser: Browser, dataset: str) -> None:
    """Wait for the page of the dataset, without a look at a page that ends."""
    page = f"/files-attachment/{dataset}"
    browser.wait(lambda driver: driver.current_url.endswith(page))


def test_save_without(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """The form is saved once, and after the answer: its page cannot discard the upload later."""
    dataset, field = open_form(), Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        save = browser.find(".form-actions .btn-primary")
        save.click()
        field.press("without")
        save.click()
        assert field.find_all("[type=file]")
    wait_until_saved(browser, dataset)
    wait_for(lambda: created(ann) == 0)


def test_save_without_an_answer(browser: Browser, open_form: Any, make: Any) -> None:
    """The form waits for two seconds."""
    dataset, field = open_form(), Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        browser.find(".form-actions .btn-primary").click()
        field.press("without")
        wait_until_saved(browser, dataset)


def test_cancel_an_empty_file(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """The request that creates its upload is the only one."""
    open_form()
    field = Field(browser, "annexes")
    with slow_creation(field, make("empty.pdf", b"")):
        field.press("cancel")
    wait_for(lambda: created(ann) == 0)
    assert field.chosen == []
    browser.inspect(field.block)
