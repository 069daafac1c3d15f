"""Uploads that a page before has begun, and that go on: in any browser, with the same file only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ckanext.files.tests.support.attachment_form import TYPE, Field, OwnUploads, new_dataset
from ckanext.files.tests.support.attachment_form import open_form as open_form_of
from ckanext.files.tests.support.browser import Browser, Person, chromium, of_the_scripts
from ckanext.files.tests.support.browser_uploads import (
    SLOW,
    attached,
    network,
    slow_reading,
)
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.server import CkanServer
from ckanext.files.tests.support.tus import Tus, metadata

pytestmark = of_the_scripts

LARGE = b"%PDF-1.4\n" + b"\0" * 20_000_000
"""More than the field sends with one request."""

OTHER = LARGE[:5_000_000] + b"1" + LARGE[5_000_001:]
"""As long as the other one, and different in one byte."""


@pytest.fixture(scope="module")
def other_browser(site: CkanServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Knows nothing of what happened in the first one."""
    folder = tmp_path_factory.mktemp("other")
    with chromium(site.url, folder, javascript=True, records=False) as browser:
        yield browser


@pytest.fixture
def begin(browser: Browser, ann: Person) -> Callable[..., None]:
    """Begin uploads in the field ``annexes`` of a form, and leave the page."""

    def begin(dataset: str, *files: Path) -> None:
        open_form_of(browser, ann, dataset)
        field = Field(browser, "annexes")
        with network(browser, SLOW):
            field.choose(*files)
            browser.wait(lambda _: len(unfinished(ann)) == len(files))
            field.wait_for_state("per second")
            browser.go("/about")
        browser.wait(lambda _: all(each["offset"] for each in unfinished(ann)))

    return begin


@pytest.fixture
def open_elsewhere(ann: Person, begin: Any, other_browser: Browser) -> Callable[..., Any]:
    """Begin uploads, and open the same form in another browser."""

    def open_elsewhere(*files: Path) -> tuple[str, Field]:
        dataset = new_dataset(ann)
        begin(dataset, *files)
        open_form_of(other_browser, ann, dataset)
        return dataset, Field(other_browser, "annexes")

    return open_elsewhere


def unfinished(ann: Person) -> Any:
    return ann.call("files_upload_list")


def names(ann: Person) -> list[str]:
    """Return the names of the unfinished uploads, the newest first."""
    return [each["name"] for each in unfinished(ann)]


def content(ann: Person, file: str) -> bytes:
    address, headers = f"{ann.site.url}/file/download/{file}", {"Authorization": ann.token}
    return requests.get(address, headers=headers, timeout=60).content


def listed(field: Field) -> list[str]:
    return field.browser.texts(f"{field.part} .files-unfinished-upload .files-name")


def test_in_another_browser(
    ann: Person, make: Any, open_elsewhere: Any, other_browser: Browser
) -> None:
    """Also by the normal input. All that were begun are listed, and each goes on once."""
    files = [make("budget-2026.pdf", LARGE), make("survey-2026.pdf", LARGE)]
    dataset, field = open_elsewhere(*files)
    assert sorted(listed(field)) == ["budget-2026.pdf", "survey-2026.pdf"]
    other_browser.inspect(field.block)
    field.choose(files[0])
    field.wait_for("budget-2026.pdf")
    assert listed(field) == names(ann) == ["survey-2026.pdf"]
    field.press("go-on")
    field.find(".files-picker").send_keys(str(files[1]))
    field.wait_for("budget-2026.pdf", "survey-2026.pdf")
    assert unfinished(ann) == []
    other_browser.submit()
    assert attached(ann, dataset, "annexes") == ["budget-2026.pdf", "survey-2026.pdf"]
    ids: Any = ann.call("package_show", id=dataset)["annexes"]
    assert [content(ann, id_) for id_ in ids] == [LARGE] * 2


def test_bytes_of_two_files_are_never_mixed(
    ann: Person, make: Any, open_elsewhere: Any, tmp_path: Path, other_browser: Browser
) -> None:
    """A file of the same name, size and time is another one: its upload begins anew."""
    first, second = make("levels-2026.bin", LARGE), tmp_path / "new/levels-2026.bin"
    second.parent.mkdir()
    second.write_bytes(OTHER)
    os.utime(second, ns=(first.stat().st_atime_ns, first.stat().st_mtime_ns))
    _, field = open_elsewhere(first)
    field.press("go-on")
    field.find(".files-picker").send_keys(str(second))
    sentence = "levels-2026.bin is another file. To go on, choose levels-2026.bin again."
    other_browser.wait_for_text(f"{field.part} .files-notice", sentence)
    field.choose(second)
    field.wait_for("levels-2026.bin")
    assert listed(field) == names(ann) == ["levels-2026.bin"]
    assert content(ann, field.values[-1]) == OTHER


def test_a_file_is_read_once(
    ann: Person, make: Any, open_elsewhere: Any, other_browser: Browser
) -> None:
    """A file that the browser cannot read is not called another one."""
    file, gone = make("budget-2026.pdf", LARGE), make("gone-2026.pdf", LARGE)
    _, field = open_elsewhere(file)
    field.press("go-on")
    with slow_reading(other_browser):
        field.find(".files-picker").send_keys(str(gone))
        gone.unlink()
    sentence = "The browser cannot read gone-2026.pdf."
    other_browser.wait_for_text(f"{field.part} .files-notice", sentence)
    count = """
        const fingerprint = ckanFiles.fingerprint
        window.reads = 0
        ckanFiles.fingerprint = file => { window.reads += 1; return fingerprint(file) }
    """
    other_browser.driver.execute_script(count)
    field.find(".files-picker").send_keys(str(file))
    field.wait_for("budget-2026.pdf")
    assert other_browser.driver.execute_script("return window.reads") == 1
    assert unfinished(ann) == []


def test_the_keyboard_keeps_its_place(
    ann: Person, make: Any, open_elsewhere: Any, other_browser: Browser
) -> None:
    """On the button that pauses an upload which goes on, and on the input when it is complete."""
    file = make("budget-2026.pdf", LARGE)
    _, field = open_elsewhere(file)
    field.press("go-on")
    with network(other_browser, SLOW):
        field.find(".files-picker").send_keys(str(file))
        field.wait_for_state("per second")
        assert other_browser.driver.switch_to.active_element == field.find(".files-pause")
    field.wait_for("budget-2026.pdf")
    assert other_browser.driver.switch_to.active_element == field.find("[type=file]")


def test_an_upload_that_waits_for_its_turn_is_cancelled(
    ann: Person, make: Any, open_elsewhere: Any, other_browser: Browser
) -> None:
    """It was begun on an earlier page: the server discards it, too."""
    file = make("budget-2026.pdf", LARGE)
    _, field = open_elsewhere(file)
    with network(other_browser, SLOW):
        field.choose(*[make(f"survey-{year}.pdf", LARGE) for year in range(2023, 2026)])
        field.wait_for_state("per second")
        field.choose(file)
        field.wait_for_state("Waiting for other uploads.")
        field.press("cancel", 3)
        other_browser.wait(lambda _: "budget-2026.pdf" not in names(ann))
        for _ in range(3):
            field.press("cancel")
    other_browser.wait(lambda _: unfinished(ann) == [])


def test_a_discard_that_fails(
    ann: Person, make: Any, open_elsewhere: Any, other_browser: Browser
) -> None:
    _, field = open_elsewhere(make("budget-2026.pdf", LARGE))
    other_browser.log_out()
    field.press("discard")
    sentence = "The upload of budget-2026.pdf could not be discarded. Try again."
    other_browser.wait_for_text(f"{field.part} .files-notice", sentence)
    other_browser.log_in(ann.name)  # the page has the token of the earlier session
    field.press("discard")
    other_browser.wait(lambda _: unfinished(ann) == [])
    assert field.find(".files-notice").text == ""


def test_a_page_that_is_older_than_the_end_of_an_upload(
    ann: Person, make: Any, open_elsewhere: Any, site: CkanServer, other_browser: Browser
) -> None:
    """The file of that upload is attached elsewhere: the same bytes become another file."""
    file = make("rain-2026.pdf", LARGE)
    dataset, field = open_elsewhere(file)
    assert listed(field) == ["rain-2026.pdf"]
    [upload] = unfinished(ann)
    tus, url = Tus(site.url, token=ann.token), f"/file/upload/{upload['id']}"
    ended = tus.patch(url, upload["offset"], LARGE[upload["offset"] :])
    attached_first = ended.headers["File-Id"]
    first = new_dataset(ann, annexes=[attached_first])
    field.choose(file)
    field.wait_for("rain-2026.pdf")
    other_browser.driver.get_log("browser")  # of course the browser reports the answer 410
    other_browser.submit()
    assert ann.call("package_show", id=first)["annexes"] == [attached_first]
    [attached_now] = ann.call("package_show", id=dataset)["annexes"]
    assert attached_now != attached_first
    assert [content(ann, each) for each in (attached_first, attached_now)] == [LARGE] * 2


def test_each_form_lists_what_was_begun_in_it(
    browser: Browser, ann: Person, site: CkanServer, make: Any, begin: Any
) -> None:
    """The page of the own files lists all; what a program has begun goes on only there."""
    dataset, other = new_dataset(ann), new_dataset(ann)
    budget = make("budget-2026.pdf", LARGE)
    begin(dataset, budget)
    of_program = metadata(filename="by-a-program.bin")
    Tus(site.url, token=ann.token).send("POST", Upload_Length=3, Upload_Metadata=of_program)
    found: dict[str, list[str]] = {}
    for page in (dataset, other):
        browser.go(f"/{TYPE}/edit/{page}")
        for name in ("report", "annexes"):
            Field(browser, name).wait_until_ready()
            found[f"{page} {name}"] = listed(Field(browser, name))
    assert [key for key in found if found[key]] == [f"{dataset} annexes"]

    uploads = OwnUploads(browser)
    browser.go("/dashboard/files")
    uploads.wait_until_ready()
    assert listed(uploads) == ["by-a-program.bin", "budget-2026.pdf"]
    assert len(uploads.find_all(".files-go-on")) == 1
    browser.driver.get_log("browser")
    browser.inspect(".files-own")
    uploads.choose(budget)
    uploads.wait_for("budget-2026.pdf")
    assert names(ann) == ["by-a-program.bin"]
    uploads.press("discard")
    browser.wait(lambda _: unfinished(ann) == [])


def test_an_upload_whose_storage_is_gone(browser: Browser, ann: Person, site: CkanServer) -> None:
    """Its user can discard it on the page of the own files."""
    of_program = metadata(filename="lost.bin")
    Tus(site.url, token=ann.token).send("POST", Upload_Length=3, Upload_Metadata=of_program)
    change("UPDATE files_upload SET storage = 'gone' WHERE id = :id", id=unfinished(ann)[0]["id"])
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    OwnUploads(browser).wait_until_ready()
    browser.driver.get_log("browser")
    [text] = browser.texts(".files-unfinished-uploads li")
    assert "The storage gone does not take this file from you any more." in text
    browser.inspect(".files-own")
    browser.submit(".files-unfinished-uploads button")
    browser.wait_for_text(".flash-messages", "The upload of lost.bin is cancelled.")
    assert unfinished(ann) == []
