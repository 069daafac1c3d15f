"""People upload files in the attachment field, with a real Chromium, and others download them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of

from ckanext.files.tests.support import attachment_form
from ckanext.files.tests.support.attachment_form import (
    SMALL,
    Field,
    OwnUploads,
    new_dataset,
    start_portal,
)
from ckanext.files.tests.support.browser import Browser, Person, new_person, with_javascript
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.waiting import wait_for

pytestmark = with_javascript

PDF = b"%PDF-1.4\n" + b"\0" * 1000
LARGE = b"%PDF-1.4\n" + b"\0" * 3_000_000
FAST, SLOW = -1, 400_000
"""Bytes in a second."""


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return start_portal(lasting_servers)


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


@pytest.fixture
def open_form(browser: Browser, ann: Person) -> Callable[..., str]:
    """Open the form of a new dataset, as Ann; return its name."""

    def open_new(**fields: Any) -> str:
        name = new_dataset(ann, **fields)
        attachment_form.open_form(browser, ann, name)
        return name

    return open_new


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, content: bytes = PDF) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make


@contextmanager
def network(browser: Browser, speed: int = FAST, *, offline: bool = False) -> Iterator[None]:
    """Change the network of the browser for a while."""
    conditions = {"latency": 0, "offline": offline, "upload_throughput": speed}
    browser.driver.set_network_conditions(**conditions, download_throughput=FAST)
    try:
        yield
    finally:
        browser.driver.delete_network_conditions()


@contextmanager
def refused_upload(field: Field, path: Path) -> Iterator[None]:
    """Upload a file when the session has ended; at the end of the block, try again within it."""
    browser = field.browser
    session = browser.driver.get_cookie("ckan")
    browser.log_out()
    field.choose(path)
    browser.wait(lambda _: field.find(".files-retry").is_displayed())
    assert field.find(".files-state").text == "You are not logged in. Log in, and try again."
    browser.driver.get_log("browser")  # of course the browser reports it
    yield
    browser.driver.add_cookie(session)
    field.press("retry")


def attached(ann: Person, dataset: str, field: str = "report") -> list[str]:
    """Return the names of the files that a field of a dataset names."""
    value = ann.call("package_show", id=dataset)[field]
    ids = value if isinstance(value, list) else [value]
    return [ann.call("file_show", id=id_)["name"] for id_ in ids if id_]


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


def test_pause_and_resume(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        browser.inspect(field.block, picture="field-uploading")
        field.press("pause")
        field.wait_for_state("Paused at")
        bar = field.find("[role=progressbar]")
        percent = int(bar.get_attribute("aria-valuenow") or 0)
        assert 0 < percent < 100
        assert bar.get_attribute("aria-label") == "Upload of budget-2026.pdf"
        assert browser.driver.switch_to.active_element == field.find(".files-resume")
        browser.inspect(field.block)
    field.press("resume")
    field.wait_for("budget-2026.pdf")
    assert field.status == "budget-2026.pdf is chosen."
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_lost_connection(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        # what the browser has begun to send it goes on sending
        field.press("pause")
        with network(browser, offline=True):
            field.press("resume")
            field.wait_for_state("The connection is lost.")
            assert "The connection is lost." in field.status
            browser.driver.get_log("browser")  # of course the browser reports it
            browser.inspect(field.block, picture="field-lost")
    field.wait_for("budget-2026.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_the_server_is_killed(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    dataset, field = open_form(), Field(browser, "report")
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        site.kill()
        field.wait_for_state("The connection is lost.")
    site.start()
    field.wait_for("budget-2026.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_the_server_does_not_answer(
    browser: Browser, ann: Person, site: CkanServer, open_form: Any, make: Any
) -> None:
    """A connection that no byte passes any more is given up, and another one tried."""
    dataset, field = open_form(), Field(browser, "report")
    site.signal(signal.SIGSTOP)
    try:
        field.choose(make("report.pdf"))
        field.wait_for_state("Starting")
        # half a minute later
        later = "const now = performance.now(); performance.now = () => now + 60000"
        browser.driver.execute_script(later)
        field.wait_for_state("The connection is lost.")
    finally:
        site.signal(signal.SIGCONT)
    field.wait_for("report.pdf")
    browser.submit()
    assert attached(ann, dataset) == ["report.pdf"]


def test_reload_and_resume(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    dataset, field, other = open_form(), Field(browser, "report"), Field(browser, "annexes")
    large = make("budget-2026.pdf", LARGE)

    def uploads() -> Any:
        return ann.call("files_upload_list")

    with network(browser, SLOW):
        field.choose(large)
        field.wait_for_state("per second")
        browser.go(f"/files-attachment/edit/{dataset}")
        wait_for(lambda: uploads()[0]["offset"])
        browser.driver.refresh()
        field.wait_until_ready()
        browser.driver.get_log("browser")
    assert "have arrived. Choose the same file again to go on." in field.find(".files-uploads").text
    assert not other.find_all(".files-unfinished-upload")
    browser.inspect(field.block, picture="field-unfinished")
    assert 0 < uploads()[0]["offset"] < len(LARGE)

    field.press("go-on")
    picker = field.find(".files-picker")
    picker.send_keys(str(make("other.pdf", LARGE)))
    assert field.find(".files-notice").text == (
        "other.pdf is another file. To go on, choose budget-2026.pdf again."
    )
    picker.send_keys(str(large))
    field.wait_for("budget-2026.pdf")
    assert not uploads()
    browser.submit()
    assert attached(ann, dataset) == ["budget-2026.pdf"]


def test_discard_an_unfinished_upload(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    dataset, field = open_form(), Field(browser, "annexes")
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        browser.go(f"/files-attachment/edit/{dataset}")
        field.wait_until_ready()
    field.press("discard")
    browser.wait(lambda _: not field.find_all(".files-unfinished-upload"))
    assert ann.call("files_upload_list") == []


def test_cancel(browser: Browser, ann: Person, open_form: Any, make: Any) -> None:
    open_form()
    field = Field(browser, "report")
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        field.press("cancel")
    assert field.find(".files-uploads").text == ""
    assert field.status == "The upload of budget-2026.pdf is cancelled."
    assert browser.driver.switch_to.active_element == field.find("[type=file]")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    assert field.values == [""]


def test_retry_after_an_error(browser: Browser, open_form: Any, make: Any) -> None:
    """The server refuses a visitor whose session has ended."""
    open_form()
    field = Field(browser, "report")
    with refused_upload(field, make("budget-2026.pdf")):
        browser.inspect(field.block, picture="field-failed")
    field.wait_for("budget-2026.pdf")


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
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
        browser.find(".form-actions .btn-primary").click()
        browser.wait_for_text(f"{field.part} .files-notice", "budget-2026.pdf is not finished.")
        browser.inspect(field.block, picture="field-unsaved")
        save = browser.find(".form-actions .btn-primary")
        field.press("finish")
        waiting = "The form is saved as soon as the uploads are complete."
        browser.wait_for_text(f"{field.part} .files-notice", waiting)
    browser.wait(staleness_of(save))
    assert attached(ann, dataset) == ["budget-2026.pdf"]

    browser.go(f"/files-attachment/edit/{dataset}")
    field.wait_until_ready()
    with network(browser, SLOW):
        field.choose(make("larger.pdf", LARGE + b"more"))
        field.wait_for_state("per second")
        browser.find(".form-actions .btn-primary").click()
        save = browser.find(".form-actions .btn-primary")
        field.press("without")
        browser.wait(staleness_of(save))
    assert attached(ann, dataset) == ["budget-2026.pdf"]


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


def test_own_files(browser: Browser, ann: Person, make: Any) -> None:
    """The page of the own files: what is uploaded appears in the list, without a reload."""
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.go("/dashboard/files")
    uploads.wait_until_ready()
    browser.driver.get_log("browser")
    assert not uploads.find("[type=submit]").is_displayed()
    assert [each for each in browser.texts(".files-limits") if each] == []
    browser.select("#files-storage").select_by_value("small")
    (limits,) = [each for each in browser.texts(".files-limits") if each]
    assert limits.startswith("small A file may have up to 1 MiB.")
    assert "CSV, TXT" in limits
    uploads.choose(make("large.csv", b"a" * (SMALL + 1)))
    too_large = "large.csv is too large. A file may have up to 1 MiB."
    assert uploads.find(".files-notice").text == too_large
    browser.inspect(".files-own")
    uploads.choose(make("levels-2026.csv", b"a,b\n"))
    uploads.wait_for("levels-2026.csv")
    assert uploads.find(".files-notice").text == ""

    browser.select("#files-storage").select_by_value("default")
    with network(browser, SLOW):
        uploads.choose(make("budget-2026.pdf"), make("survey-2026.pdf", LARGE))
        browser.wait(lambda _: "budget-2026.pdf" in uploads.listed)
        uploads.wait_for_state("per second")
        browser.inspect(".files-own", picture="own-uploads")
        uploads.press("pause")
        uploads.wait_for_state("Paused at")
    uploads.press("resume")
    uploads.wait_for("survey-2026.pdf", "budget-2026.pdf", "levels-2026.csv")
    done = ["levels-2026.csv", "budget-2026.pdf", "survey-2026.pdf"]
    assert browser.texts(".files-uploaded") == [f"{name} is uploaded." for name in done]
    assert uploads.status == "survey-2026.pdf is uploaded."
    found: Any = ann.call("files_search")
    assert {each["name"]: each["storage"] for each in found["results"]} == {
        "levels-2026.csv": "small",
        "budget-2026.pdf": "default",
        "survey-2026.pdf": "default",
    }
    browser.submit(".files-uploaded a")
    assert browser.find("h1").text == "levels-2026.csv"


LOAD_AFTER_ALL = """
    const done = arguments[arguments.length - 1]
    const script = document.createElement('script')
    script.src = document.querySelector('script[src*="_attachment"]').src
    script.onload = () => {
        ckan.module.initializeElement(document.querySelector('[data-module=files-own-uploads]'))
        done()
    }
    document.body.append(script)
"""
"""Loads the scripts of the page, which the test has blocked before."""


def test_a_file_that_is_chosen_before_the_scripts_are_there(
    browser: Browser, ann: Person, make: Any
) -> None:
    uploads = OwnUploads(browser)
    browser.log_in(ann.name)
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*_attachment*"]})
    browser.go("/dashboard/files")
    browser.driver.get_log("browser")
    uploads.choose(make("early.csv", b"a,b\n"))
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    browser.driver.execute_async_script(LOAD_AFTER_ALL)
    uploads.wait_for("early.csv")


def test_own_files_reload_cancel_and_retry(
    browser: Browser, ann: Person, open_form: Any, make: Any
) -> None:
    """An upload that was begun in a form is there as well: its file belongs to its user."""
    uploads, large = OwnUploads(browser), make("survey-2026.pdf", LARGE)
    open_form()
    with network(browser, SLOW):
        Field(browser, "report").choose(large)
        Field(browser, "report").wait_for_state("per second")
        browser.go("/dashboard/files")
        uploads.wait_until_ready()
        browser.driver.get_log("browser")
    browser.inspect(".files-own")
    uploads.press("go-on")
    uploads.find(".files-picker").send_keys(str(large))
    uploads.wait_for("survey-2026.pdf")
    assert ann.call("files_upload_list") == []

    with network(browser, SLOW):
        uploads.choose(make("cancelled.pdf", LARGE + b"more"))
        uploads.wait_for_state("per second")
        uploads.press("cancel")
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    with refused_upload(uploads, make("budget-2026.pdf")):
        pass
    uploads.wait_for("budget-2026.pdf", "survey-2026.pdf")


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
    assert len(browser.texts(".files-attachments a")) == len(HOSTILE)


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
    with network(browser, SLOW):
        field.choose(make("budget-2026.pdf", LARGE))
        field.wait_for_state("per second")
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
    with network(browser, SLOW):
        removed.choose(make("third.pdf", LARGE))
        removed.wait_for_state("per second")
        assert len(ann.call("files_upload_list")) == 1
        browser.find_all("[name=repeating-remove]")[-1].click()
        browser.wait(lambda _: not removed.find_all("input"))
    browser.wait(lambda _: ann.call("files_upload_list") == [])
    assert ann.call("files_search", q="third")["count"] == 0
    browser.submit()
    citations = ann.call("package_show", id=dataset)["citations"]
    names = [ann.call("file_show", id=each["paper"])["name"] for each in citations]
    assert names == ["first.csv", "second.pdf"]
