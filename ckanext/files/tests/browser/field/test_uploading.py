"""People upload files in the attachment field, save the form, and others download them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckanext.files.tests.support.attachment_form import Field, new_dataset, table
from ckanext.files.tests.support.browser import Browser, Person, new_person, with_javascript
from ckanext.files.tests.support.browser_uploads import LARGE, attached, slow_upload
from ckanext.files.tests.support.server import CkanServer

pytestmark = with_javascript


def test_the_publishers_pdf_in_three_steps(
    browser: Browser, ann: Person, site: CkanServer, make: Any
) -> None:
    dataset, pdf, steps = new_dataset(ann), make("budget-2026.pdf", LARGE), []
    browser.log_in(ann.name)
    field = Field(browser, "report")

    def step(act: Callable[..., Any], *arguments: Any) -> None:
        steps.append(act(*arguments))

    step(browser.go, f"/files-attachment/edit/{dataset}")
    field.wait_until_ready()
    browser.inspect(field.block, picture="field-empty")
    step(field.choose, pdf)
    field.wait_for("budget-2026.pdf")
    browser.inspect(field.block, picture="field-chosen")
    step(browser.submit)
    assert len(steps) == 3

    assert browser.texts(".dataset-details .files-attachment") == ["budget-2026.pdf"]
    browser.log_in(new_person(site, "Ben Lee").name)
    browser.go(f"/files-attachment/{dataset}")
    saved = browser.download(browser.find(".dataset-details .files-attachment"))
    assert saved.read_bytes() == LARGE


def test_two_fields_and_an_error_of_another_one(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    """What is uploaded stays, in its order, when the form comes back with an error."""
    dataset = open_form()
    report, annexes = Field(browser, "report"), Field(browser, "annexes")
    report.choose(make("report.pdf"))
    annexes.choose(make("a.pdf", LARGE), make("b.pdf"))
    report.wait_for("report.pdf")
    browser.wait(lambda _: len(annexes.chosen) == 2)
    order = ["a.pdf", "b.pdf"]
    assert annexes.chosen == order, "files are in the order in which they were chosen"
    browser.fill("#field-pages", "many")
    browser.submit()
    assert browser.texts(".error-explanation")
    report.wait_until_ready()
    assert (report.chosen, annexes.chosen) == (["report.pdf"], order)
    browser.inspect(report.block)
    browser.fill("#field-pages", "2")
    browser.submit()
    assert attached(ann, dataset) == ["report.pdf"]
    assert attached(ann, dataset, "annexes") == order


def test_saving_before_the_upload_is_finished(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with browser.next_page(), slow_upload(field, make("budget-2026.pdf", LARGE)):
        browser.find(".form-actions .btn-primary").click()
        browser.wait_for_text(f"{field.part} .files-notice", "budget-2026.pdf is not finished.")
        browser.inspect(field.block, picture="field-unsaved")
        field.press("finish")
        waiting = "The form is saved as soon as the uploads are complete."
        browser.wait_for_text(f"{field.part} .files-notice", waiting)
    assert attached(ann, dataset) == ["budget-2026.pdf"]

    browser.go(f"/files-attachment/edit/{dataset}")
    field.wait_until_ready()
    with slow_upload(field, make("larger.pdf", LARGE + b"more")), browser.next_page():
        browser.find(".form-actions .btn-primary").click()
        field.press("without")
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_resource(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset = open_form()
    browser.go(f"/files-attachment/{dataset}/resource/new")
    field = Field(browser, "codebook")
    field.wait_until_ready()
    browser.fill("#field-name", "Levels")
    browser.submit()
    assert browser.texts("#field-codebook-error") == ["Missing value"]
    field.wait_until_ready()
    field.choose(make("codebook.pdf"))
    field.wait_for("codebook.pdf")
    browser.submit()
    (resource,) = ann.call("package_show", id=dataset)["resources"]
    assert ann.call("file_show", id=resource["codebook"])["owner_type"] == "resource"


def test_repeating_subfields(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    """Also a field that CKAN's page gets later; one that is removed ends its upload."""
    dataset = open_form(citations=[{"paper": ann.upload("first.csv")}])
    browser.wait(lambda _: not browser.find_all("[name=repeating-template]"))
    # the page has the words once, and goes on without the field that has them
    assert len(browser.find_all("[data-words]")) == 1
    browser.driver.execute_script("document.querySelector('[data-words]').dataset.words = '{}'")
    browser.find("[name=repeating-add]").click()
    field = Field(browser, "citations-1-paper")
    field.wait_until_ready()
    browser.wait(lambda _: field.find("[type=file]").is_displayed())
    field.choose(make("second.pdf"))
    field.wait_for("second.pdf")
    browser.find("[name=repeating-add]").click()
    removed = Field(browser, "citations-2-paper")
    removed.wait_until_ready()
    browser.wait(lambda _: removed.find("[type=file]").is_displayed())
    with slow_upload(removed, make("third.pdf", LARGE)):
        assert len(ann.call("files_upload_list")) == 1
        browser.find_all("[name=repeating-remove]")[-1].click()
        browser.wait(lambda _: not removed.find_all("input"))
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    assert ann.call("files_search", q="third")["count"] == 0
    browser.submit()
    citations = ann.call("package_show", id=dataset)["citations"]
    names = [ann.call("file_show", id=each["paper"])["name"] for each in citations]
    assert names == ["first.csv", "second.pdf"]


def test_user(browser: Browser, ann: Person, tmp_path: Path) -> None:
    """A portal without ckanext-scheming uses the macro."""
    browser.log_in(ann.name)
    browser.go(f"/user/edit/{ann.name}")
    field = Field(browser, "avatar")
    field.wait_until_ready()
    field.choose(table(tmp_path, "me.csv"))
    field.wait_for("me.csv")
    (file,) = field.values
    browser.submit(".form-actions [name=save]")
    found = ann.call("file_show", id=file)
    assert (found["owner_type"], found["pinned"]) == ("user", True)
