"""The pages of jobs in a real Chromium, with a real worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from selenium.webdriver.common.keys import Keys

from ckanext.files.background import chain, schema
from ckanext.files.tests.support import city_tasks, jobs, sample
from ckanext.files.tests.support import worker_tasks as tasks
from ckanext.files.tests.support.browser import (
    Browser,
    Person,
    new_person,
    unused,
    with_javascript,
)
from ckanext.files.tests.support.effects import change, engine, look
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.probe_plugin import ProbePlugin
from ckanext.files.tests.support.server import CkanServer, CkanServers
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.usefixtures("effects", "worker")

loaded = load_plugins("files", "files_background", "files_test_probe")

HOSTILE = "<img src=x onerror=document.title='hacked'> \u202e\U0001f4a5 \"'" + "W" * 200

LAST = f"SELECT status FROM {jobs.S}.procrastinate_jobs ORDER BY id DESC LIMIT 1"
"""The state of the job that was asked for last."""

REQUESTS = (
    "return performance.getEntriesByType('resource')"
    ".filter(entry => entry.name.includes('/rows')).length"
)
"""How often a page has asked for its rows again."""

POLL_OFTEN = """
    const wait = setTimeout
    window.setTimeout = (call, time, ...more) => wait(call, time / 4, ...more)
"""
"""Have the page that is open poll four times as often."""

SET_VISIBILITY = """
    window.looks = 0
    Object.defineProperty(document, 'visibilityState', {
        get: () => { window.looks += 1; return arguments[0] }, configurable: true})
"""
"""Let a page be hidden or visible, and count how often it looks whether it is."""

ADD_WITNESS = """
    window.looks = 0
    const witness = document.createElement('div')
    witness.setAttribute('hx-get', '/')
    witness.setAttribute('hx-trigger', 'every 2s [window.looks++ < 0]')
    document.body.append(witness)
    htmx.process(witness)
"""
"""Add a part to a page that is to ask as often as the rows do, and only counts."""


@pytest.fixture(scope="module")
def app(loaded: Any) -> Any:
    schema.ensure(engine())
    change(f"DELETE FROM {jobs.S}.procrastinate_jobs")
    app = loaded()
    app.flask_app.config["WTF_CSRF_ENABLED"] = True
    return app


def ask(_: Any, dataset: dict[str, Any]) -> None:
    """A dataset asks for a job of the kind that its notes name."""
    named = dataset.get("notes") or ""
    if named == "progress":
        city_tasks.check.delay(dataset["title"])
    elif named == "fail":
        city_tasks.load.delay(dataset["title"])


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers, app: Any) -> CkanServer:
    """Serves an extension that asks for a job when a dataset is changed."""

    def prepare() -> None:
        ProbePlugin.hooks.update(after_dataset_update=ask)
        app.flask_app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600  # see lasting_assets.py

    return lasting_servers.fork(app, prepare)


@pytest.fixture(scope="module")
def worker(ini: Path, tmp_path_factory: pytest.TempPathFactory, app: Any) -> Iterator[Workers]:
    workers = Workers(tmp_path_factory.mktemp("workers"), ini, app)
    workers.start("-c", "4")
    yield workers
    workers.stop()
    change(f"DELETE FROM {jobs.S}.procrastinate_jobs")


@pytest.fixture
def scripts(request: pytest.FixtureRequest) -> bool:
    """Whether the browser runs JavaScript."""
    return request.node.callspec.params["browser"] == "javascript"


@pytest.fixture
def ann(site: CkanServer) -> Person:
    return new_person(site)


@pytest.fixture
def admin(site: CkanServer) -> Person:
    return new_person(site, "Ben Lee", sysadmin=True)


@pytest.fixture
def save(browser: Browser, ann: Person) -> Callable[..., str]:
    """Save a dataset in CKAN's form; return its title."""

    def save(kind: str) -> str:
        title, name = unused("River levels", " "), unused("river-levels")
        ann.call("package_create", name=name, title=title)
        browser.log_in(ann.name)
        browser.go(f"/dataset/edit/{name}")
        browser.fill("#field-notes", kind)
        browser.submit("[name=save]")
        return title

    return save


def wait_for_progress(text: str) -> None:
    """Wait until the tables have a progress: a page without scripts does not ask again."""
    wait_for(
        lambda: look(f"SELECT EXISTS (SELECT FROM {jobs.S}.files_job WHERE text = :t)", t=text)
    )


def test_notice(browser: Browser, scripts: bool, save: Any) -> None:
    """Of the job that a change has asked for, with its progress, until it is dismissed."""
    title = save("progress")
    if scripts:
        browser.driver.execute_script(POLL_OFTEN)
    for percent in (25, 50, 75):
        text = city_tasks.checked(title, percent)
        wait_for_progress(text)
        if not scripts:
            browser.driver.refresh()
        browser.wait_for_text(".files-job-notice", text)
        bar = browser.find(".files-job-notice [role=progressbar]")
        assert bar.get_attribute("aria-valuenow") == str(percent)
        assert "runs in the background" in browser.find(".files-job-notice").text
        if percent == 50 and scripts:
            browser.inspect(".files-job-notices", "job-notice")
        jobs.let_go(f"{title}-{percent}")
    if not scripts:
        wait_for(lambda: look(LAST) == "succeeded")
        browser.driver.refresh()
    browser.wait_for_text(".files-job-notice", "is done")
    assert not browser.find_all(".files-job-notice[hx-get]")
    browser.find(".files-job-notice form button").send_keys(Keys.ENTER)
    browser.wait(lambda _: not browser.find_all(".files-job-notice"))
    browser.wait_for_text("h1", title)


def test_a_job_that_failed(browser: Browser, scripts: bool, save: Any, admin: Person) -> None:
    """From the notice to its page, and again."""
    title = save("fail")
    if scripts:
        browser.wait_for_text(".files-job-notice", "has failed")
    browser.find(".files-job-notice a").click()
    address = browser.driver.current_url
    wait_for(lambda: look(LAST) == "failed")
    browser.driver.refresh()
    browser.wait_for_text(".files-job pre", f"{title}: row 12 has no number")
    assert "ValueError" not in browser.find(".files-job").text
    assert "Traceback" not in browser.find(".files-job").text
    browser.log_in(admin.name)
    browser.driver.get(address)
    if scripts:
        browser.inspect(".files-job", "job-failed")
    browser.find(".files-job summary").send_keys(Keys.ENTER)
    browser.wait_for_text(".files-job details pre", "Traceback (most recent call last)")
    browser.inspect(".files-job")
    browser.find(".files-job form button").send_keys(Keys.ENTER)
    browser.wait_for_text(".flash-messages", "will run again")
    assert browser.driver.current_url == address


def give(person: Person, job: int) -> None:
    """Let it be a job for which a person has asked."""
    user = model.User.get(person.name)
    assert user
    change(
        f"INSERT INTO {jobs.S}.files_job (job_id, user_id) VALUES (:id, :user)"
        " ON CONFLICT (job_id) DO UPDATE SET user_id = excluded.user_id",
        id=job,
        user=user.id,
    )


def ask_all(person: Person, queue: str) -> dict[str, int]:
    """Ask for jobs on behalf of a person; return their ids."""
    queues = {"holds": "default", "waits": queue, "other": queue}
    found = {}
    for label, used in queues.items():
        task = city_tasks.draw if label == "holds" else city_tasks.publish
        found[label] = jobs.defer(task.configure(queue=used), f"{queue}-{label}").id
    for id_ in found.values():
        give(person, id_)
    return found


def row(job: int) -> str:
    return f"#files-job-{job}"


def test_overview(browser: Browser, scripts: bool, ann: Person, admin: Person) -> None:
    """A sysadmin pauses a queue, finds jobs, ends them and has them run again."""
    queue = unused("maps")
    browser.log_in(admin.name)
    jobs.wait_for_job(jobs.defer(city_tasks.publish.configure(queue=queue), f"{queue}-first"))
    browser.go("/ckan-admin/")
    browser.find(".page-header a[href$='/ckan-admin/jobs']").click()
    browser.find(f"[aria-label='Pause queue {queue}']").send_keys(Keys.ENTER)
    browser.wait_for_text(".flash-messages", f"Queue {queue} is paused")
    found = ask_all(ann, queue)
    jobs.wait_for_effect(f"{queue}-holds-begun")
    browser.go("/ckan-admin/jobs")
    workers = browser.find("[aria-labelledby=files-jobs-workers]").text
    assert f"Job {found['holds']}" in workers
    if scripts:
        browser.inspect(".files-jobs", "jobs-overview")
    browser.select("#files-jobs-queue").select_by_visible_text(queue)
    browser.submit(".files-jobs-filters button")
    assert "3 jobs found" in browser.find(".files-jobs").text
    assert "Waits: its queue is paused" in browser.find(row(found["waits"])).text
    assert "Anna Berg" in browser.find(row(found["waits"])).text

    browser.find(f"#files-job-{found['waits']}-cancel").send_keys(Keys.ENTER)
    browser.wait_for_text(".flash-messages", f"Job {found['waits']} is being cancelled")
    assert f"queue={queue}" in browser.driver.current_url
    assert "cancelled" in browser.find(row(found["waits"])).text
    browser.find(".files-jobs details summary").send_keys(Keys.ENTER)
    browser.submit(".files-jobs details [value=cancel]")
    assert browser.find(".files-jobs-change h1").text == "Cancel 1 job?"
    browser.inspect(".files-jobs-change")
    browser.submit(".files-jobs-change [value=cancel]")
    browser.wait_for_text(".flash-messages", "1 job is being cancelled")
    browser.find(".files-jobs details summary").click()
    browser.submit(".files-jobs details [value=retry]")
    assert browser.find(".files-jobs-change h1").text == "Retry 2 jobs?"
    browser.submit(".files-jobs-change [value=retry]")
    browser.wait_for_text(".flash-messages", "2 jobs will run again")

    browser.find(f"[aria-label='Resume queue {queue}']").click()
    browser.wait_for_text(".flash-messages", f"Queue {queue} is resumed")
    if not scripts:
        wait_for(lambda: jobs.effects_of(f"{queue}-other"))
        browser.find(".files-jobs a[href='']").click()
    browser.wait_for_text(row(found["other"]), "succeeded")
    jobs.let_go(f"{queue}-holds")


def test_interrupt_a_step(browser: Browser, scripts: bool, ann: Person) -> None:
    name = unused("endless")
    job = jobs.begun(tasks.endless, name, "Python")
    give(ann, job.id)
    browser.log_in(ann.name)
    browser.go(f"/job/{job.id}")
    browser.find(f"#files-job-{job.id}-now").send_keys(Keys.ENTER)
    browser.wait_for_text(".flash-messages", f"Job {job.id} is being cancelled")
    jobs.wait_for_job(job, status="aborted")
    if not scripts:
        browser.driver.refresh()
    browser.wait_for_text("#files-job-state .badge", "aborted")
    browser.wait_for_text("#files-job-state", "The job was cancelled while the step ran")


def open_own_jobs(browser: Browser, ann: Person) -> tuple[str, dict[str, int]]:
    """Open a person's jobs while one of them runs; return their name, and their ids."""
    name = unused("maps")
    found = ask_all(ann, name)
    jobs.wait_for_effect(f"{name}-holds-begun")
    browser.log_in(ann.name)
    browser.go("/dashboard/jobs")
    browser.driver.execute_script(POLL_OFTEN)
    return name, found


def test_hostile_errors_are_text(browser: Browser, ann: Person) -> None:
    job = jobs.defer(sample.fail_after, HOSTILE)
    give(ann, job.id)
    jobs.wait_for_job(job, status="failed")
    browser.log_in(ann.name)
    browser.go("/dashboard/jobs")
    assert HOSTILE in browser.find(row(job.id)).text
    browser.inspect(".files-jobs")
    browser.find(f"{row(job.id)} a").click()
    assert browser.texts(".files-job pre")[0] == f"{HOSTILE} is wrong"
    assert browser.driver.title != "hacked"
    browser.inspect(".files-job")


@with_javascript
def test_a_chain(browser: Browser, ann: Person) -> None:
    """Its page follows from one part to the next."""
    name = unused("maps")
    job = jobs.defer(chain, [city_tasks.draw(name), city_tasks.publish(f"{name}-drawn")])
    give(ann, job.id)
    jobs.wait_for_effect(f"{name}-begun")
    browser.log_in(ann.name)
    browser.go(f"/job/{job.id}")
    assert "draw → publish" in browser.find(".files-job").text
    browser.wait_for_text("#files-job-state", "Part 1 of 2: draw")
    assert browser.texts("#files-job-state ol.files-job-parts .badge") == ["running"]
    browser.inspect(".files-job")
    jobs.let_go(name)
    browser.wait_for_text("#files-job-state .badge", "succeeded")
    assert browser.texts("#files-job-state ol.files-job-parts .badge") == ["succeeded"] * 2


@with_javascript
def test_live_rows(browser: Browser, ann: Person) -> None:
    """One request for all rows, as long as one of them may change and the page is visible."""
    name, found = open_own_jobs(browser, ann)
    browser.wait_for_text(row(found["waits"]), "succeeded")
    browser.inspect(".files-jobs", "jobs-own")

    def requests() -> int:
        return browser.driver.execute_script(REQUESTS)

    button = f"files-job-{found['holds']}-cancel"
    browser.driver.execute_script(f"document.getElementById('{button}').focus()")
    before = requests()
    browser.wait(lambda _: requests() >= before + 2)
    # a reader with a keyboard stays where they are
    assert browser.driver.execute_script("return document.activeElement.id") == button
    browser.driver.execute_script(SET_VISIBILITY, "hidden")
    # the answer to a request that has begun before may come late, and tell that the job has ended
    browser.wait(lambda _: not browser.find_all("#files-jobs-rows.htmx-request"))
    jobs.let_go(f"{name}-holds")
    jobs.wait_for_effect(f"{name}-holds-ended")
    browser.wait(lambda driver: driver.execute_script("return looks") >= 1)
    before = requests()
    browser.wait(lambda driver: driver.execute_script("return looks") >= 3)
    assert requests() == before
    assert "running" in browser.find(row(found["holds"])).text
    browser.driver.execute_script(SET_VISIBILITY, "visible")
    browser.wait_for_text(row(found["holds"]), "succeeded")
    assert not browser.find_all("#files-jobs-rows[hx-get]")


@with_javascript
def test_a_page_left_open(browser: Browser, ann: Person) -> None:
    """After its visitor has logged out elsewhere it stays as it is, and asks no more."""
    name, found = open_own_jobs(browser, ann)
    browser.log_out()
    browser.wait(lambda driver: driver.execute_script(REQUESTS) >= 1)
    jobs.let_go(f"{name}-holds")
    # the rows would have asked again before another part of the page has done so twice
    browser.driver.execute_script(ADD_WITNESS)
    browser.wait(lambda driver: driver.execute_script("return looks") >= 2)
    assert browser.driver.execute_script(REQUESTS) == 1
    assert "running" in browser.find(row(found["holds"])).text
    browser.driver.refresh()
    assert browser.find("#field-password")
