"""People choose among their files in the attachment field."""

from __future__ import annotations

from typing import Any

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.attachment_form import Field, new_dataset, owner_type
from ckanext.files.tests.support.browser import Browser, Person, with_javascript
from ckanext.files.tests.support.browser_uploads import (
    LARGE,
    attached,
    logged_out,
    network,
    slow_upload,
)
from ckanext.files.tests.support.effects import change

pytestmark = with_javascript

NAME_BY_YEAR = f"""
    UPDATE {portal.FILES} SET name = 'levels-' || year || '.csv', content_type = 'text/csv',
        size = 900 * (year % 9 + 1), created = now() - (2026 - year) * interval '1 minute'
    FROM (SELECT file_id, 1965 + row_number() OVER () AS year FROM {portal.OWNERS}
        WHERE owner_type = 'user' AND owner_id = :user) AS own
    WHERE id = file_id
"""
"""Makes sixty files the tables of the years 1966 to 2025, the latest the newest."""


def test_choose_among_sixty_files(browser: Browser, ann: Person, edit: Any) -> None:
    portal.upload(ann.name, 60)
    change(NAME_BY_YEAR, user=ann.call("user_show", id=ann.name)["id"])
    kept = ann.upload("stations.csv", b"Worms,49.6,8.4\n" * 90)
    dataset, field = new_dataset(ann, annexes=[kept]), Field(browser, "annexes")
    ann.call("package_patch", id=dataset, annexes=[])

    edit(dataset)
    field.find("summary").click()
    choices = f"{field.part} .files-choices .files-choose"
    browser.wait(lambda _: len(browser.find_all(choices)) == 20)
    assert field.status == "20 files"
    # the newest first; the file that the dataset has kept is offered, too
    first = [each.get_attribute("data-label") for each in browser.find_all(choices)]
    assert first[:2] == ["stations.csv", "levels-2025.csv"]
    browser.inspect(field.block, picture="field-chooser")
    for number in (40, 60, 61):
        before = len(browser.find_all(choices))
        field.find(".files-more").click()
        browser.wait(lambda _, number=number: len(browser.find_all(choices)) == number)
        # the button is gone: the keyboard goes on with the first file that is new
        assert browser.driver.switch_to.active_element == browser.find_all(choices)[before]
        assert field.status == ("1 file" if number == 61 else "20 files")
    assert not field.find_all(".files-more")

    field.find("[type=search]").send_keys("levels 1974")
    browser.wait(lambda _: len(browser.find_all(choices)) == 1)
    assert field.status == "1 file"
    field.press("choose")
    assert field.chosen == ["levels-1974.csv"]
    assert field.find(".files-choose").get_attribute("aria-disabled") == "true"
    field.press("choose")
    assert field.chosen == ["levels-1974.csv"]
    assert field.status == "levels-1974.csv is chosen already."
    field.find("[type=search]").clear()
    field.find("[type=search]").send_keys("stations")
    # "stations.csv" is the first of all files, too
    found = f"{field.part} .files-choices li span"
    browser.wait(lambda _: [text[:8] for text in browser.texts(found)] == ["stations"])
    field.press("choose")
    browser.submit()
    shown = browser.texts(".files-attachments .files-attachment")
    assert shown == ["levels-1974.csv", "stations.csv"]
    browser.inspect(".files-attachments")
    browser.find(".files-attachments .files-attachment-page").click()
    assert browser.find("h1").text == "levels-1974.csv"
    assert owner_type(ann, kept) == "package"


def test_a_list_that_cannot_be_loaded(browser: Browser, ann: Person, edit: Any) -> None:
    """The field says why, and asks again when the user wants."""
    portal.upload(ann.name, 21)
    edit(new_dataset(ann))
    field = Field(browser, "annexes")
    choices, error = f"{field.part} .files-choose", f"{field.part} .files-not-loaded"
    with logged_out(browser):
        field.find("summary").click()
        browser.wait_for_text(error, "You are not logged in. Log in, and try again.")
        browser.driver.get_log("browser")
        browser.inspect(field.block)
        assert field.find(".files-chooser .files-login").is_displayed()
    with network(browser, offline=True):
        field.press("load")
        browser.wait_for_text(error, "The list could not be loaded.")
        assert not field.find(".files-chooser .files-login").is_displayed()
    browser.driver.get_log("browser")
    field.press("load")
    browser.wait(lambda _: len(browser.find_all(choices)) == 20)
    assert not browser.find(error).is_displayed()
    assert browser.driver.switch_to.active_element == field.find("[type=search]")

    with network(browser, offline=True):
        field.press("more")
        browser.wait_for_text(error, "The list could not be loaded.")
    field.press("load")
    browser.wait(lambda _: len(browser.find_all(choices)) == 21)
    assert browser.driver.switch_to.active_element == browser.find_all(choices)[20]
    field.find("[type=search]").send_keys("nothing")
    browser.wait(lambda _: field.status == "There are no files to choose from.")


def test_what_is_chosen_last_stays(browser: Browser, ann: Person, edit: Any, make: Any) -> None:
    """In a field of one file an upload ends when an earlier file is chosen, or comes back."""
    old, field = ann.upload("old.csv"), Field(browser, "report")
    ann.upload("earlier.csv")
    dataset = new_dataset(ann, report=old)
    edit(dataset)
    field.find("summary").click()
    browser.wait(lambda _: field.find_all("[data-label='earlier.csv']"))
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        field.find(".files-choose[data-label='earlier.csv']").click()
        assert (field.chosen, field.find(".files-uploads").text) == (["earlier.csv"], "")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    with slow_upload(field, make("survey-2026.pdf", LARGE)):
        field.press("undo")
        assert (field.chosen, field.find(".files-uploads").text) == (["old.csv"], "")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    browser.submit()
    assert attached(ann, dataset) == ["old.csv"]


def test_a_form_names_a_file_once(browser: Browser, ann: Person, edit: Any) -> None:
    """What one field holds, also a new one in a repeating subfield, no other one offers."""
    for name in ("b.csv", "a.csv"):
        ann.upload(name)
    old = ann.upload("old.csv")
    dataset, report, annexes = new_dataset(ann, report=old), *fields(browser, "report", "annexes")
    edit(dataset)

    def open_chooser(field: Field, number: int) -> None:
        # a new subfield comes slowly
        browser.wait(lambda _: field.find("summary").is_displayed())
        field.find("summary").click()
        browser.wait(lambda _: len(field.find_all(".files-choose")) == number)

    def choose(field: Field, name: str) -> None:
        field.find(f".files-choose[data-label='{name}']").click()

    def marked(field: Field) -> list[str]:
        return [
            text for text in browser.texts(f"{field.part} .files-choices li") if "already" in text
        ]

    open_chooser(annexes, 3)
    assert len(marked(annexes)) == 1
    assert "Chosen already: Report" in marked(annexes)[0]
    choose(annexes, "a.csv")
    browser.find("[name=repeating-add]").click()
    paper = Field(browser, "citations-0-paper")
    paper.wait_until_ready()
    open_chooser(paper, 3)
    assert [text[:5] for text in marked(paper)] == ["old.c", "a.csv"]
    choose(paper, "a.csv")
    assert (paper.chosen, paper.status) == ([], "Chosen already: Annexes")
    choose(paper, "b.csv")
    assert "Chosen already: Paper" in marked(annexes)[2]
    browser.inspect(annexes.block)

    # out of one field and into another one, in one save
    report.press("remove")
    assert report.find_all(".files-taken-out li")
    choose(annexes, "old.csv")
    assert report.find_all(".files-taken-out li") == []
    browser.find("[name=repeating-remove]").click()
    browser.wait(lambda _: not paper.find_all("input"))
    assert not [text for text in marked(annexes) if text.startswith("b.csv")]
    browser.submit()
    found = ann.call("package_show", id=dataset)
    assert (found["report"], found["annexes"][1], len(found["annexes"])) == ("", old, 2)
    assert owner_type(ann, old) == "package"


def fields(browser: Browser, *names: str) -> list[Field]:
    return [Field(browser, name) for name in names]


def test_a_field_that_is_removed_leaves_no_listener(
    browser: Browser, ann: Person, edit: Any
) -> None:
    edit(new_dataset(ann))
    before = listeners(browser)
    assert min(before) > 0
    browser.find("[name=repeating-add]").click()
    paper = Field(browser, "citations-0-paper")
    paper.wait_until_ready()
    assert listeners(browser) == [number + 1 for number in before]
    browser.wait(lambda _: paper.find("[type=file]").is_displayed())
    browser.find("[name=repeating-remove]").click()
    browser.wait(lambda _: not paper.find_all("input"))
    assert listeners(browser) == before


def listeners(browser: Browser) -> list[int]:
    """Return how many scripts listen to the forms of the page, and to the network."""
    command = browser.driver.execute_cdp_cmd

    def types(target: str) -> list[tuple[str, bool]]:
        found = command("Runtime.evaluate", {"expression": target})["result"]["objectId"]
        heard = command("DOMDebugger.getEventListeners", {"objectId": found})["listeners"]
        return [(each["type"], each["useCapture"]) for each in heard]

    return [types("document").count(("submit", True)), types("window").count(("online", False))]


def test_an_untouched_form_is_left_without_a_question(
    browser: Browser, ann: Person, edit: Any
) -> None:
    asks = "return Boolean((jQuery._data(window, 'events') || {}).beforeunload)"
    edit(new_dataset(ann, report=ann.upload("levels.csv")))
    assert not browser.driver.execute_script(asks)
    Field(browser, "report").press("remove")
    assert browser.driver.execute_script(asks)
