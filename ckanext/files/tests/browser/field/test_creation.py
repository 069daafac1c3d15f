"""People pause, resume and end an upload while the server creates it.

The page learns the address of the upload from the answer: without it, what is ended stays at the
server until it expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person, with_javascript
from ckanext.files.tests.support.browser_uploads import attached, slow_creation
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.waiting import wait_for

pytestmark = with_javascript


def created(ann: Person) -> int:
    """Return how many uploads of a person the server has, with the ones that are files by now."""
    user = ann.call("user_show", id=ann.name)["id"]
    return look("SELECT count(*) FROM files_upload WHERE user_id = :user", user=user)


def offsets(ann: Person) -> list[int]:
    """Return how many bytes each unfinished upload of a person has."""
    uploads: Any = ann.call("files_upload_list")
    return [each["offset"] for each in uploads]


def test_pause(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """It takes effect at once; the upload that was created then goes on."""
    dataset, field = open_form(), Field(browser, "report")
    with slow_creation(field, make("report.pdf")):
        field.press("pause")
        field.wait_for_state("Paused at")
    assert offsets(ann) == [0]
    assert "Paused at" in field.find(".files-state").text
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
        assert "Paused at" in field.find(".files-state").text
        assert offsets(ann) == [0]
        field.press("resume")
    field.wait_for("report.pdf")
    assert created(ann) == 1


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


def cancel(field: Field, make: Any) -> None:
    field.press("cancel")


def cancel_when_paused(field: Field, make: Any) -> None:
    field.press("pause")
    field.press("cancel")


def choose_another(field: Field, make: Any) -> None:
    field.choose(make("other.pdf"))


def save_without(field: Field, make: Any) -> None:
    stay = "document.addEventListener('submit', event => event.preventDefault())"
    field.browser.driver.execute_script(stay)
    field.browser.find(".form-actions .btn-primary").click()
    field.press("without")


def remove_the_field(field: Field, make: Any) -> None:
    field.browser.driver.execute_script("arguments[0].remove()", field.browser.find(field.block))


@pytest.mark.parametrize(
    ("end", "others"),
    [
        (cancel, 0),
        (cancel_when_paused, 0),
        (choose_another, 1),
        (save_without, 0),
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


def test_cancel_an_empty_file(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """The request that creates its upload is the only one."""
    open_form()
    field = Field(browser, "annexes")
    with slow_creation(field, make("empty.pdf", b"")):
        field.press("cancel")
    wait_for(lambda: created(ann) == 0)
    assert field.chosen == []
    browser.inspect(field.block)
