"""People choose among their files in the attachment field."""

from __future__ import annotations

from typing import Any

from ckanext.files.tests.support.attachment_form import Field, new_dataset, owner_type
from ckanext.files.tests.support.browser import Browser, Person, with_javascript

pytestmark = with_javascript


def test_choose_among_sixty_files(browser: Browser, ann: Person, edit: Any) -> None:
    for year in range(1966, 2026):
        ann.upload(f"levels-{year}.csv", b"1.25,1.5\n" * (year % 9 + 1) * 100)
    kept = ann.upload("stations.csv", b"Worms,49.6,8.4\n" * 90)
    dataset, field = new_dataset(ann, annexes=[kept]), Field(browser, "annexes")
    ann.call("package_patch", id=dataset, annexes=[])

    edit(dataset)
    field.find("summary").click()
    choices = f"{field.part} .files-choices .files-choose"
    browser.wait(lambda _: len(browser.find_all(choices)) == 20)
    # the newest first; the file that the dataset has kept is offered, too
    first = [each.get_attribute("data-label") for each in browser.find_all(choices)]
    assert first[:2] == ["stations.csv", "levels-2025.csv"]
    browser.inspect(field.block, picture="field-chooser")
    for number in (40, 60, 61):
        field.find(".files-more").click()
        browser.wait(lambda _, number=number: len(browser.find_all(choices)) == number)
    assert not field.find_all(".files-more")

    field.find("[type=search]").send_keys("levels 1974")
    browser.wait(lambda _: len(browser.find_all(choices)) == 1)
    field.press("choose")
    assert field.chosen == ["levels-1974.csv"]
    assert field.find(".files-choose").get_attribute("aria-disabled") == "true"
    field.press("choose")
    assert field.chosen == ["levels-1974.csv"]
    assert field.status == "levels-1974.csv is chosen already."
    field.find("[type=search]").clear()
    field.find("[type=search]").send_keys("stations")
    browser.wait(
        lambda _: browser.texts(f"{field.part} .files-choices li span")[0][:8] == "stations"
    )
    field.press("choose")
    browser.submit()
    assert browser.texts(".files-attachments a") == ["levels-1974.csv", "stations.csv"]
    assert owner_type(ann, kept) == "package"


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
    assert before > 0
    browser.find("[name=repeating-add]").click()
    paper = Field(browser, "citations-0-paper")
    paper.wait_until_ready()
    assert listeners(browser) == before + 1
    browser.wait(lambda _: paper.find("[type=file]").is_displayed())
    browser.find("[name=repeating-remove]").click()
    browser.wait(lambda _: not paper.find_all("input"))
    assert listeners(browser) == before


def listeners(browser: Browser) -> int:
    """Return how many scripts listen to the forms of the page."""
    command = browser.driver.execute_cdp_cmd
    document = command("Runtime.evaluate", {"expression": "document"})["result"]
    found = command("DOMDebugger.getEventListeners", {"objectId": document["objectId"]})
    return sum(each["type"] == "submit" and each["useCapture"] for each in found["listeners"])


def test_an_untouched_form_is_left_without_a_question(
    browser: Browser, ann: Person, edit: Any
) -> None:
    asks = "return Boolean((jQuery._data(window, 'events') || {}).beforeunload)"
    edit(new_dataset(ann, report=ann.upload("levels.csv")))
    assert not browser.driver.execute_script(asks)
    Field(browser, "report").press("remove")
    assert browser.driver.execute_script(asks)
