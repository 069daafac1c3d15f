"""What tests of uploads in a browser share: files, networks, and sessions that have ended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ckanext.files.tests.support.attachment_form import Field
from ckanext.files.tests.support.browser import Browser, Person
from ckanext.files.tests.support.effects import engine
from ckanext.files.tests.support.waiting import wait_for_a_lock

PDF = b"%PDF-1.4\n" + b"\0" * 1000
LARGE = b"%PDF-1.4\n" + b"\0" * 3_000_000
FAST, SLOW = -1, 400_000
"""Bytes in a second."""


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
def slow_upload(field: Field, path: Path, speed: int = SLOW) -> Iterator[None]:
    """Upload a file slowly; the block begins when its bytes are on their way."""
    with network(field.browser, speed):
        field.choose(path)
        field.wait_for_state("per second")
        yield


@contextmanager
def slow_creation(field: Field, path: Path) -> Iterator[None]:
    """Upload a file; the server has the request that creates the upload, and answers at the end.

    :raises AssertionError: the server has not created it then.
    """

    @contextmanager
    def locked() -> Iterator[set[str]]:
        """Lock the table; return the ids of all uploads."""
        with engine().begin() as connection:
            connection.execute(sa.text("LOCK TABLE files_upload IN SHARE MODE"))
            yield set(connection.execute(sa.text("SELECT id FROM files_upload")).scalars())

    def look_again() -> set[str]:
        with locked() as ids:
            return ids

    with ThreadPoolExecutor() as threads:
        with locked() as before:
            field.choose(path)
            wait_for_a_lock()
            # PostgreSQL gives this lock after the request has ended, and before the next one
            after = threads.submit(look_again)
            yield
        assert after.result() - before


@contextmanager
def slow_reading(browser: Browser, name: str = "") -> Iterator[None]:
    """Let the browser read the content of files, or of the one of a name, after the block only."""
    script = """
        const fingerprint = ckanFiles.fingerprint, name = arguments[0]
        const end = new Promise(resolve => { window.endSlowReading = resolve })
        ckanFiles.fingerprint = async file => {
            if (!name || file.name === name) await end
            return fingerprint(file)
        }
    """
    browser.driver.execute_script(script, name)
    try:
        yield
    finally:
        browser.driver.execute_script("endSlowReading()")


@contextmanager
def logged_out(browser: Browser) -> Iterator[None]:
    """Let the session of the visitor end, without a change of the page, for a while."""
    session = browser.driver.get_cookie("ckan")
    browser.log_out()
    yield
    browser.driver.get_log("browser")  # of course the browser reports what was refused
    browser.driver.add_cookie(session)


@contextmanager
def refused_upload(field: Field, path: Path) -> Iterator[None]:
    """Upload a file when the session has ended; at the end of the block, try again within it."""
    with logged_out(field.browser):
        refuse_upload(field, path)
        yield
    field.press("retry")


def refuse_upload(field: Field, path: Path) -> None:
    """Upload a file while the visitor is logged out."""
    field.choose(path)
    field.browser.wait(lambda _: field.find(".files-retry").is_displayed())
    assert field.find(".files-state").text == "You are not logged in. Log in, and try again."
    field.browser.driver.get_log("browser")


def attached(ann: Person, dataset: str, field: str = "report") -> list[str]:
    """Return the names of the files that a field of a dataset names."""
    value = ann.call("package_show", id=dataset)[field]
    ids = value if isinstance(value, list) else [value]
    return [ann.call("file_show", id=id_)["name"] for id_ in ids if id_]
