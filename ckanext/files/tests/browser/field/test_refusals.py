"""What is refused, before a byte is sent or later, is said in words at the field."""

from __future__ import annotations

from typing import Any

from ckanext.files.tests.support.attachment_form import SMALL, Field, new_dataset
from ckanext.files.tests.support.browser import Browser, Person, with_javascript

pytestmark = with_javascript


def test_refused_before_a_byte(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """Too large, or of a wrong type: the field says so, and no request is sent."""
    open_form()
    field = Field(browser, "small")
    assert "A file may have up to 1 MiB." in field.find(".files-drop").text
    assert "CSV, TXT" in field.find(".files-drop").text
    field.choose(make("levels-2026.csv", b"a" * (SMALL + 1)))
    too_large = "levels-2026.csv is too large. A file may have up to 1 MiB."
    assert field.find(".files-notice").text == too_large
    browser.inspect(field.block, picture="field-refused")
    field.choose(make("picture.png", b"\x89PNG"))
    assert field.find(".files-notice").text.startswith("picture.png has a type that is not acc")
    script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    requests = browser.driver.execute_script(script)
    assert len(requests) > 3
    assert not [address for address in requests if "/file/upload" in address]
    field.choose(make("right.csv", b"a,b\n"))
    field.wait_for("right.csv")
    assert field.find(".files-notice").text == ""


def test_refused_by_the_server(browser: Browser, open_form: Any, make: Any) -> None:
    """The name promises a table, and the content is none."""
    open_form()
    field = Field(browser, "small")
    field.choose(make("false.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 100))
    browser.wait(lambda _: field.find_all(".files-state.text-danger"))
    assert "The file is of the type" in field.find(".files-state").text


def test_error_at_the_field(browser: Browser, ann: Person, edit: Any) -> None:
    """In words, with the file's name; what was chosen is kept."""
    file, field = ann.upload("wanted.csv"), Field(browser, "report")
    dataset = new_dataset(ann)
    edit(dataset)
    field.find("summary").click()
    browser.wait(lambda _: field.find_all(".files-choose"))
    field.press("choose")
    new_dataset(ann, report=file)
    browser.submit()
    (message,) = browser.texts("#field-report-error")
    assert message == "File wanted.csv is pinned to its owner"
    assert message in browser.find(".error-explanation").text
    assert file not in browser.find(".error-explanation").text
    assert field.chosen == ["wanted.csv"]
    browser.inspect(field.part)  # the colours of CKAN's own error have too little contrast
