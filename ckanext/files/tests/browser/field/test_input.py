"""Files are dropped, keys are enough, and names are text."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.keys import Keys

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person, of_the_scripts
from ckanext.files.tests.support.browser_uploads import LARGE, attached, slow_upload

pytestmark = of_the_scripts


def test_drop(browser: Browser, open_form: Any) -> None:
    open_form()
    annexes, report = Field(browser, "annexes"), Field(browser, "report")
    script = """
        const files = new DataTransfer()
        for (const name of arguments[1]) files.items.add(new File(['a,b'], name))
        for (const type of ['dragover', 'drop'])
            arguments[0].dispatchEvent(new DragEvent(
                type, {dataTransfer: files, bubbles: true, cancelable: true}))
    """
    browser.driver.execute_script(script, annexes.find(".files-drop"), ["a.csv", "b.csv"])
    browser.wait(lambda _: sorted(annexes.chosen) == ["a.csv", "b.csv"])
    browser.driver.execute_script(script, report.find(".files-drop"), ["a.csv", "b.csv"])
    assert report.find(".files-notice").text == "Only one file can be attached here."


def test_with_keys_only(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    first, second = ann.upload("first.csv"), ann.upload("second.csv")
    dataset, field = open_form(annexes=[first, second]), Field(browser, "annexes")

    def press(*keys: str) -> None:
        for key in keys:
            browser.driver.switch_to.active_element.send_keys(key)

    def focused() -> str:
        return browser.driver.switch_to.active_element.accessible_name

    browser.driver.execute_script("arguments[0].focus()", field.find(".files-up"))
    press(Keys.TAB)
    assert focused() == "Move first.csv down"
    press(Keys.ENTER)
    assert field.chosen == ["second.csv", "first.csv"]
    assert (focused(), field.status) == ("Move first.csv down", "first.csv is number 2 now.")
    press(Keys.TAB)
    assert focused() == "Detach first.csv"
    press(Keys.SPACE)
    assert field.chosen == ["second.csv"]
    assert focused() == "Detach second.csv"
    with slow_upload(field, make("budget-2026.pdf", LARGE)):
        press(Keys.TAB, Keys.TAB, Keys.TAB)
        assert focused() == "Pause the upload of budget-2026.pdf"
        press(Keys.ENTER)
        assert focused() == "Resume the upload of budget-2026.pdf"
        press(Keys.TAB)
        assert focused() == "Cancel the upload of budget-2026.pdf"
        press(Keys.SHIFT + Keys.TAB, Keys.SPACE)
    field.wait_for("second.csv", "budget-2026.pdf")
    browser.find(".form-actions .btn-primary").send_keys(Keys.ENTER)
    browser.wait(lambda driver: f"/edit/{dataset}" not in driver.current_url)
    assert attached(ann, dataset, "annexes") == ["second.csv", "budget-2026.pdf"]


HOSTILE = [
    "<img src=x onerror=alert(1)>.csv",
    "\"'><b>&amp;{name}.csv",
    "\u202egnp.txt\u2066.csv",
    "\U0001f4c8 größe 日本.csv",
    "x" * 250 + ".csv",
]


def test_hostile_names_are_text(browser: Browser, open_form: Any) -> None:
    open_form()
    field = Field(browser, "annexes")
    script = """
        const files = new DataTransfer()
        for (const name of arguments[1]) files.items.add(new File(['a,b'], name))
        arguments[0].dispatchEvent(new DragEvent(
            'drop', {dataTransfer: files, bubbles: true, cancelable: true}))
    """
    browser.driver.execute_script(script, field.find(".files-drop"), HOSTILE)
    browser.wait(lambda _: len(field.chosen) == len(HOSTILE))
    assert sorted(field.chosen) == sorted(HOSTILE)
    shown = [each.get_attribute("textContent") or "" for each in field.find_all(".files-chosen a")]
    assert sorted(shown) == sorted(HOSTILE)
    assert not field.find_all("img")
    assert not field.find_all("b")
    browser.inspect(field.block)
    browser.submit()
    assert len(browser.texts(".files-attachments .files-attachment")) == len(HOSTILE)
