"""A form that is sent before its uploads are complete saves itself, and only while it says so."""

from __future__ import annotations

from typing import Any

import pytest

from ckanext.files.tests.support.attachment_form import SMALL, Field
from ckanext.files.tests.support.browser import Browser, with_javascript
from ckanext.files.tests.support.browser_uploads import LARGE, SLOW, slow_upload

pytestmark = with_javascript

COUNT = """
    window.saves = 0
    document.addEventListener('submit', event => {
        event.preventDefault()
        window.saves += 1
    })
"""
"""Counts how often the form is sent, and keeps its page."""


@pytest.fixture
def form(browser: Browser, open_form: Any) -> Browser:
    open_form()
    browser.driver.execute_script(COUNT)
    return browser


def save_when_finished(field: Field) -> None:
    field.browser.find(".form-actions .btn-primary").click()
    field.press("finish")
    assert "The form is saved as soon as" in notice(field)


def notice(field: Field) -> str:
    return field.find(".files-notice").text


def saves(form: Browser) -> Any:
    return form.driver.execute_script("return window.saves")


def test_one_of_two_uploads_is_cancelled(form: Browser, make: Any) -> None:
    """The form waits for the other one."""
    field = Field(form, "annexes")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        field.choose(make("survey-2026.pdf", LARGE))
        save_when_finished(field)
        field.press("cancel", 1)
        assert "The form is saved as soon as" in notice(field)
    field.wait_for("budget-2026.pdf")
    form.wait(lambda _: saves(form) == 1)
    assert notice(field) == ""


def test_the_last_upload_is_cancelled(form: Browser, make: Any) -> None:
    field = Field(form, "annexes")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        save_when_finished(field)
        field.press("cancel")
        assert notice(field) == ""
    field.choose(make("survey-2026.pdf"))
    field.wait_for("survey-2026.pdf")
    assert saves(form) == 0


def test_another_file_is_chosen(form: Browser, make: Any) -> None:
    field = Field(form, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        save_when_finished(field)
        field.choose(make("survey-2026.pdf"))
        assert notice(field) == ""
    field.wait_for("survey-2026.pdf")
    assert saves(form) == 0


def test_another_file_is_refused(form: Browser, make: Any) -> None:
    """The reason stays when the upload is finished."""
    field = Field(form, "small")
    with slow_upload(field, make("groundwater-2026.csv", b"a,b\n" * 200_000), SLOW // 4):
        save_when_finished(field)
        field.choose(make("large.csv", b"a" * (SMALL + 1)))
    field.wait_for("groundwater-2026.csv")
    assert notice(field) == "large.csv is too large. A file may have up to 1 MiB."
    assert saves(form) == 0


def test_a_paused_upload_goes_on(form: Browser, make: Any) -> None:
    """A screen reader is told."""
    field = Field(form, "report")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        field.press("pause")
        assert "Paused at" in field.status
        save_when_finished(field)
        assert field.status == "budget-2026.pdf is being uploaded."
    form.wait(lambda _: saves(form) == 1)


def test_two_fields_ask(form: Browser, make: Any) -> None:
    """An upload is cancelled when the form is really saved without it."""
    report, annexes = Field(form, "report"), Field(form, "annexes")
    with slow_upload(report, make("budget-2026.pdf", LARGE)):
        annexes.choose(make("survey-2026.pdf", LARGE))
        for last, count in (("stay", 0), ("without", 1)):
            form.find(".form-actions .btn-primary").click()
            first, second = (report, annexes) if notice(report) else (annexes, report)
            assert notice(second) == ""
            first.press("without")
            form.wait(lambda _, field=second: notice(field))
            assert [len(each.find_all(".files-uploads > li")) for each in (first, second)] == [1, 1]
            second.press(last)
            form.wait(lambda _, count=count: saves(form) == count)
        assert form.find_all(".files-uploads > li") == []


def test_the_user_goes_on_editing(form: Browser, make: Any) -> None:
    field = Field(form, "annexes")
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        save_when_finished(field)
        buttons = field.find("div:has(> .files-finish)")
        assert buttons.value_of_css_property("row-gap") == "4px"
        field.press("stay")
        assert notice(field) == ""
        assert form.driver.switch_to.active_element == field.find("[type=file]")
    field.wait_for("budget-2026.pdf")
    assert saves(form) == 0
