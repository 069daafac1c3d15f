"""The attachment field and the page of the own files in a browser without JavaScript."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import requests

from ckanext.files.tests.support.attachment_form import (
    SMALL,
    Field,
    OwnUploads,
    exists,
    new_dataset,
    owner_type,
    table,
)
from ckanext.files.tests.support.browser import Browser, Person, without_javascript

pytestmark = without_javascript

UPLOAD_AND_SAVE = "button[formenctype]"


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


def test_many_uploads(browser: Browser, ann: Person, tmp_path: Path) -> None:
    """One message about all of them, which the browser keeps."""
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    files = [table(tmp_path, f"{'levels-' * 12}{uuid.uuid4()}.csv") for _ in range(60)]
    uploads.choose(*files)
    browser.submit(".files-upload button")
    assert browser.texts(".files-count") == ["60 files"]
    assert browser.texts(".flash-messages .alert") == ["60 files were uploaded"]


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


def test_repeating_subfields(browser: Browser, ann: Person, edit: Any, tmp_path: Path) -> None:
    dataset = new_dataset(ann, citations=[{"paper": ann.upload("first.csv")}, {"paper": ""}])
    edit(dataset, wait=False)
    second = Field(browser, "citations-1-paper")
    second.choose(table(tmp_path, "second.csv"))
    browser.submit(f"{second.part} {UPLOAD_AND_SAVE}")
    citations = ann.call("package_show", id=dataset)["citations"]
    names = [ann.call("file_show", id=each["paper"])["name"] for each in citations]
    assert names == ["first.csv", "second.csv"]


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
