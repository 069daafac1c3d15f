"""Files are taken out of the attachment field, or are gone already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ckanext.files.tests.support.attachment_form import (
    Field,
    exists,
    new_dataset,
    owner_type,
    table,
)
from ckanext.files.tests.support.browser import Browser, Person, with_javascript


@with_javascript
def test_replace_and_withdraw(browser: Browser, ann: Person, edit: Any) -> None:
    """What is taken out is kept, given back or deleted, also after an error of another field."""
    names = ("stations.csv", "draft.pdf", "levels-2025.csv", "loose.csv")
    kept, given, deleted, loose = map(ann.upload, names)
    dataset, field = new_dataset(ann, annexes=[kept, given, deleted]), Field(browser, "annexes")

    edit(dataset)
    ups = [each.value_of_css_property("opacity") for each in field.find_all(".files-up")]
    assert ups == ["0.6", "1", "1"]
    for _ in range(3):
        field.press("remove")
    assert browser.driver.switch_to.active_element == field.find_all(".files-undo")[2]
    assert field.status == "levels-2025.csv is detached."
    assert (field.chosen, field.values) == ([], [""])
    browser.select(f"{field.part} .files-taken-out li:nth-child(2) select").select_by_index(1)
    browser.select(f"{field.part} .files-taken-out li:nth-child(3) select").select_by_index(2)
    details = f"{field.part} .files-taken-out .files-details"
    assert browser.texts(details) == ["(CSV, 8 bytes)", "(PDF, 8 bytes)", "(CSV, 8 bytes)"]
    browser.inspect(field.block, picture="field-taken-out")
    browser.fill("#field-pages", "many")
    browser.submit()
    field.wait_until_ready()
    assert browser.texts(details) == ["(CSV, 8 bytes)", "(PDF, 8 bytes)", "(CSV, 8 bytes)"]
    selects = [browser.select(f"{field.part} li:nth-child({n}) select") for n in (1, 2, 3)]
    chosen = [each.first_selected_option.text for each in selects]
    assert chosen == [
        "Keep it with the dataset (downloadable)",
        "Give it back to me",
        "Delete it",
    ]
    browser.fill("#field-pages", "2")
    browser.submit()

    assert ann.call("package_show", id=dataset)["annexes"] == []
    assert (owner_type(ann, kept), owner_type(ann, given)) == ("package", "user")
    assert not exists(ann, deleted)
    assert owner_type(ann, loose) == "user"


@with_javascript
def test_a_new_file_replaces_the_one_of_a_single_field(
    browser: Browser, ann: Person, edit: Any, tmp_path: Path
) -> None:
    old, field = ann.upload("old.csv"), Field(browser, "report")
    dataset = new_dataset(ann, report=old)
    edit(dataset)
    field.choose(table(tmp_path, "new.csv"))
    field.wait_for("new.csv")
    assert field.status == "new.csv is chosen. old.csv is detached."
    assert field.find(".files-taken-out .files-name").text == "old.csv"
    assert field.find(".files-chosen small").text == "(CSV, 8 bytes)"
    field.press("undo")
    assert field.chosen == ["old.csv"]
    assert field.find(".files-notice").text == "new.csv stays among “My Files”."
    browser.inspect(field.block)
    assert field.find_all(".files-taken-out li") == []  # the new one is nothing to withdraw
    field.choose(table(tmp_path, "newer.csv", b"a,c\n"))
    field.wait_for("newer.csv")
    assert field.find(".files-notice").text == ""
    browser.submit()
    assert browser.texts(".dataset-details .files-attachment") == ["newer.csv"]
    assert owner_type(ann, old) == "package"


@with_javascript
def test_a_file_that_cannot_be_seen_comes_back(browser: Browser, ann: Person, edit: Any) -> None:
    """Without a link; and a button of a theme in its row is none of the field."""
    files, field = [ann.upload("first.csv"), ann.upload("second.csv")], Field(browser, "annexes")
    edit(new_dataset(ann, annexes=files))
    script = """
        const [row] = arguments[0].children
        row.querySelector('.files-name').textContent = row.dataset.label
        row.append(Object.assign(document.createElement('button'), {type: 'button', id: 'theme'}))
    """
    browser.driver.execute_script(script, field.find(".files-chosen"))
    browser.driver.execute_script("document.querySelector('#theme').click()")
    assert field.chosen == ["first.csv", "second.csv"]
    for _ in range(2):
        field.press("remove")
        assert field.find(".files-taken-out li").get_dom_attribute("data-url") is None
        field.press("undo")
        link = field.find(".files-chosen li:last-child a")
        assert (link.text, link.get_dom_attribute("href")) == ("first.csv", None)
        assert "undefined" not in field.find(".files-chosen").text
        field.press("down")
    assert field.chosen == ["first.csv", "second.csv"]


def test_a_file_that_belongs_elsewhere_now(browser: Browser, ann: Person, edit: Any) -> None:
    """The entry says so, and can be taken out; nothing else happens to the file."""
    moved, deleted = ann.upload("levels-2025.csv"), ann.upload("notes-2025.csv")
    dataset, other = new_dataset(ann, annexes=[moved, deleted]), new_dataset(ann)
    ann.call("package_patch", id=other, title="Water quality")
    to_other = {"owner_type": "package", "owner_id": other, "force": True, "pin": True}
    ann.call("files_transfer_ownership", id=moved, **to_other)
    ann.call("file_delete", id=deleted)
    edit(dataset, wait=bool(browser.scripts))
    annexes = Field(browser, "annexes")
    assert browser.texts(f"{annexes.part} .files-lost-hint") == [
        "It belongs to “Water quality” now. Detach it, or choose another file.",
        "It was deleted, or you are not allowed to see it. Detach it, or choose another file.",
    ]
    assert "Unavailable file" in browser.find(annexes.part).text
    browser.inspect(annexes.block, picture="field-elsewhere")
    for number in (1, 2):
        if browser.scripts:
            annexes.press("remove")
        else:
            select = f"{annexes.part} li:nth-child({number}) select"
            browser.select(select).select_by_visible_text("Detach")
    browser.submit()
    assert ann.call("package_show", id=dataset)["annexes"] == []
    assert owner_type(ann, moved) == "package"


def detach_and_delete(field: Field) -> None:
    """Detach the only file of a field, and choose that it is deleted."""
    browser = field.browser
    if browser.scripts:
        field.press("remove")
        select = f"select[name='files-take-out:{field.name}']"
        browser.select(select).select_by_visible_text("Delete it")
    else:
        browser.select(f"{field.part} li select").select_by_visible_text("Detach: Delete it")


def test_two_tabs_that_delete_one_file(browser: Browser, ann: Person, edit: Any) -> None:
    """The second one says at the field what has happened, without an id, and can go on."""
    file, field = ann.upload("levels.csv"), Field(browser, "report")
    dataset = new_dataset(ann, report=file)
    edit(dataset, wait=bool(browser.scripts))
    detach_and_delete(field)
    words = [{"id": file, "then": "delete"}]
    ann.call("package_patch", id=dataset, report="", files_withdrawn=words)
    browser.submit()
    sentence = (
        "A file that you have detached here was deleted meanwhile, or belongs to something else."
        " Save again to go on without it"
    )
    assert browser.texts("#field-report-error") == [sentence]
    assert browser.texts(".error-explanation li") == [f"Report: {sentence}"]
    assert field.find_all(".files-taken-out li") == []
    browser.submit()
    assert not browser.find_all(".error-explanation")
    assert ann.call("package_show", id=dataset)["report"] == ""


def test_a_file_that_moves_while_the_form_is_open(browser: Browser, ann: Person, edit: Any) -> None:
    """It is not deleted from the field that has it now."""
    file, field = ann.upload("levels.csv"), Field(browser, "report")
    dataset = new_dataset(ann, report=file)
    edit(dataset, wait=bool(browser.scripts))
    detach_and_delete(field)
    ann.call("package_patch", id=dataset, report="", annexes=[file])
    for _ in range(2):  # the form that comes back knows it as well
        browser.submit()
        (shown,) = browser.texts("#field-report-error")
        assert shown.startswith("File levels.csv is now in another field.")
        if not browser.scripts:
            detached = f"{field.part} .files-taken-out select"
            browser.select(detached).select_by_visible_text("Delete it")
    assert ann.call("package_show", id=dataset)["annexes"] == [file]
    assert owner_type(ann, file) == "package"


@with_javascript
def test_a_form_knows_what_an_item_had_that_was_removed(
    browser: Browser, ann: Person, edit: Any
) -> None:
    """The inputs that say so stay in the form, also when it comes back."""
    files = [ann.upload("first.csv"), ann.upload("second.csv")]
    edit(new_dataset(ann, citations=[{"paper": file} for file in files]))

    def initial() -> list[Any]:
        inputs = browser.find_all("form [name^='files-initial:']")
        return [each.get_dom_attribute("value") for each in inputs]

    assert initial() == files
    browser.find("[data-group-index='0'] [name=repeating-remove]").click()
    browser.wait(lambda _: not browser.find_all("[data-group-index='0'] .files-field"))
    assert initial() == files
    browser.fill("#field-pages", "many")
    browser.submit()
    Field(browser, "report").wait_until_ready()
    assert browser.find_all(".error-explanation")
    assert initial() == files
    browser.fill("#field-pages", "2")
    browser.submit()
    assert not browser.find_all(".error-explanation")
