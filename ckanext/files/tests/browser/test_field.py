"""People choose among their files in the attachment field, also without JavaScript."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from ckanext.files.tests.support.attachment_form import (
    SMALL,
    Field,
    OwnUploads,
    new_dataset,
    open_form,
    start_portal,
)
from ckanext.files.tests.support.browser import (
    Browser,
    Person,
    new_person,
    with_javascript,
    without_javascript,
)
from ckanext.files.tests.support.server import CkanServer, CkanServers

UPLOAD_AND_SAVE = "button[formenctype]"


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return start_portal(lasting_servers)


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


@pytest.fixture
def edit(browser: Browser, ann: Person) -> Callable[..., None]:
    """Open the form of a dataset, as Ann."""
    return partial(open_form, browser, ann)


def table(folder: Path, name: str = "levels.csv", content: bytes = b"a,b\n1,2\n") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def owner_type(ann: Person, file: str) -> str:
    return ann.call("file_show", id=file)["owner_type"]


def exists(person: Person, file: str) -> bool:
    answer = person.site.action("file_show", person.token, id=file)
    return bool(answer.json()["success"])


@with_javascript
def test_an_untouched_form_is_left_without_a_question(
    browser: Browser, ann: Person, edit: Callable[..., None]
) -> None:
    asks = "return Boolean((jQuery._data(window, 'events') || {}).beforeunload)"
    edit(new_dataset(ann, report=ann.upload("levels.csv")))
    assert not browser.driver.execute_script(asks)
    Field(browser, "report").press("remove")
    assert browser.driver.execute_script(asks)


@with_javascript
def test_replace_and_withdraw(browser: Browser, ann: Person, edit: Any) -> None:
    """What is taken out is kept, given back or deleted, also after an error of another field."""
    names = ("stations.csv", "draft.pdf", "levels-2025.csv", "loose.csv")
    kept, given, deleted, loose = map(ann.upload, names)
    dataset, field = new_dataset(ann, annexes=[kept, given, deleted]), Field(browser, "annexes")

    edit(dataset)
    for _ in range(3):
        field.press("remove")
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
    assert chosen == ["Keep it with the dataset", "Give it back to me", "Delete it"]
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
    assert field.find(".files-taken-out .files-name").text == "old.csv"
    field.press("undo")
    assert field.chosen == ["old.csv"]
    assert field.find_all(".files-taken-out li") == []  # the new one is nothing to withdraw
    field.choose(table(tmp_path, "newer.csv", b"a,c\n"))
    field.wait_for("newer.csv")
    browser.submit()
    assert browser.texts(".dataset-details .files-attachment") == ["newer.csv"]
    assert owner_type(ann, old) == "package"


@with_javascript
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


@with_javascript
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


@with_javascript
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


@with_javascript
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


@with_javascript
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


# without JavaScript


@without_javascript
def test_upload_with_the_form(browser: Browser, ann: Person, edit: Any, tmp_path: Path) -> None:
    """Several files in two fields at once."""
    dataset, report, annexes = new_dataset(ann), *(Field(browser, n) for n in ("report", "annexes"))
    edit(dataset, wait=False)
    report.choose(table(tmp_path, "report.csv"))
    annexes.choose(table(tmp_path, "a.csv", b"a\n"), table(tmp_path, "b.csv", b"b\n"))
    browser.fill("#field-pages", "many")
    browser.submit(f"{report.part} {UPLOAD_AND_SAVE}")
    # what is uploaded survives the error of another field
    assert report.chosen == ["report.csv"]
    assert annexes.chosen == ["a.csv", "b.csv"]
    browser.fill("#field-pages", "2")
    browser.submit()
    assert browser.texts(".dataset-details .files-attachment") == ["report.csv", "a.csv", "b.csv"]


@without_javascript
def test_own_files(browser: Browser, ann: Person, tmp_path: Path) -> None:
    """The page of the own files sends several with its form."""
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    # the limits of all storages
    assert "small A file may have up to 1 MiB." in browser.find("#files-upload-limits").text
    browser.inspect(".files-own")
    uploads.choose(table(tmp_path, "a.csv"), table(tmp_path, "b.csv", b"b\n"))
    browser.submit(".files-upload button")
    assert sorted(uploads.listed) == ["a.csv", "b.csv"]
    browser.select("#files-storage").select_by_value("small")
    uploads.choose(table(tmp_path, "large.csv", b"a" * (SMALL + 1)))
    browser.submit(".files-upload button")
    assert "large.csv was not uploaded:" in browser.find(".alert-danger").text
    assert sorted(uploads.listed) == ["a.csv", "b.csv"]


@without_javascript
def test_upload_that_is_refused(browser: Browser, ann: Person, edit: Any, tmp_path: Path) -> None:
    old = ann.upload("old.csv")
    dataset, report = new_dataset(ann, report=old), Field(browser, "report")
    small = Field(browser, "small")
    edit(dataset, wait=False)
    small.choose(table(tmp_path, "large.csv", b"a" * (SMALL + 1)))
    report.choose(table(tmp_path, "new.csv"))
    browser.submit(f"{small.part} {UPLOAD_AND_SAVE}")
    (message,) = browser.texts("#field-small-error")
    assert message.startswith("large.csv was not uploaded:")
    assert (small.chosen, report.chosen) == ([], ["new.csv"])

    # the button of CKAN's form sends no files
    report.choose(table(tmp_path, "newer.csv"))
    browser.submit()
    (message,) = browser.texts("#field-report-error")
    assert message.startswith("newer.csv was not sent. Choose it again, and press")
    assert report.chosen == ["new.csv"]
    browser.submit()
    assert browser.texts(".dataset-details .files-attachment") == ["new.csv"]


@without_javascript
def test_choose_and_take_out(browser: Browser, ann: Person, edit: Any) -> None:
    files = {name: ann.upload(name) for name in ("a.csv", "b.csv", "c.csv", "d.csv")}
    dataset = new_dataset(ann, annexes=[files["a.csv"], files["b.csv"]], report=files["c.csv"])
    report, annexes = Field(browser, "report"), Field(browser, "annexes")
    edit(dataset, wait=False)
    browser.select(f"{annexes.part} li:nth-child(1) select").select_by_visible_text(
        "Detach: Give it back to me"
    )
    annexes.find(f"[type=checkbox][value='{files['d.csv']}']").click()
    browser.select(f"{report.part} li select").select_by_visible_text("Detach: Delete it")
    browser.submit()
    found = ann.call("package_show", id=dataset)
    assert (found["annexes"], found["report"]) == ([files["b.csv"], files["d.csv"]], "")
    assert owner_type(ann, files["a.csv"]) == "user"
    assert not exists(ann, files["c.csv"])

    edit(dataset, wait=False)
    browser.select(f"{report.part} [name='files-add:report']").select_by_value(files["a.csv"])
    browser.submit()
    assert ann.call("package_show", id=dataset)["report"] == files["a.csv"]


@without_javascript
def test_resource(browser: Browser, ann: Person, edit: Any, tmp_path: Path) -> None:
    """Its form sends files with each button."""
    dataset = new_dataset(ann)
    edit(dataset, wait=False)
    browser.go(f"/files-attachment/{dataset}/resource/new")
    assert not browser.find_all(UPLOAD_AND_SAVE)
    browser.fill("#field-name", "Levels")
    Field(browser, "codebook").choose(table(tmp_path, "codebook.csv"))
    browser.submit()
    (resource,) = ann.call("package_show", id=dataset)["resources"]
    assert owner_type(ann, resource["codebook"]) == "resource"


@without_javascript
def test_organization(browser: Browser, ann: Person, tmp_path: Path) -> None:
    organization, logo = f"o-{uuid.uuid4()}", Field(browser, "logo")
    browser.log_in(ann.name)
    browser.go("/files-preset-organization/new")
    browser.fill("#field-name", organization)
    logo.choose(table(tmp_path, "logo.csv"))
    browser.submit()
    assert browser.texts("#field-statutes-error") == ["Missing value"]
    assert logo.chosen == ["logo.csv"]
    Field(browser, "statutes").choose(table(tmp_path, "statutes.csv"))
    browser.submit()
    shown = ann.call("organization_show", id=organization)
    assert [owner_type(ann, file) for file in (shown["logo"], *shown["statutes"])] == [
        "organization",
        "organization",
    ]
    browser.go(f"/files-preset-organization/about/{organization}")
    assert browser.texts("dd .files-attachment") == ["logo.csv", "statutes.csv"]
    assert organization in browser.texts("dd")


@without_javascript
def test_repeating_subfields(browser: Browser, ann: Person, edit: Any, tmp_path: Path) -> None:
    dataset = new_dataset(ann, citations=[{"paper": ann.upload("first.csv")}, {"paper": ""}])
    edit(dataset, wait=False)
    second = Field(browser, "citations-1-paper")
    second.choose(table(tmp_path, "second.csv"))
    browser.submit(f"{second.part} {UPLOAD_AND_SAVE}")
    citations = ann.call("package_show", id=dataset)["citations"]
    names = [ann.call("file_show", id=each["paper"])["name"] for each in citations]
    assert names == ["first.csv", "second.csv"]


@without_javascript
def test_a_request_of_another_site(browser: Browser, ann: Person, edit: Any) -> None:
    """Without the token of the session no file is made."""
    dataset, field = new_dataset(ann), Field(browser, "report")
    edit(dataset, wait=False)
    cookies = {each["name"]: each["value"] for each in browser.driver.get_cookies()}
    before = len(ann.call("files_search")["results"])
    answer = requests.post(
        browser.driver.current_url,
        files={"files-upload:report": ("forged.csv", b"a,b\n")},
        data={"report": "", "save": ""},
        cookies=cookies,
        timeout=60,
    )
    assert answer.status_code in (400, 403)
    assert len(ann.call("files_search")["results"]) == before
    assert field.chosen == []
