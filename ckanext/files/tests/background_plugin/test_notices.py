"""The notice on the page after a change: the jobs for which the change has asked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ckan import model

from ckanext.files.background import Job
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.background_plugin import set_task_location
from ckanext.files.tests.background_plugin.conftest import Cast
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change
from ckanext.files.tests.support.jobs import defer
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import call

loaded = load_plugins("files", "files_background", "files_test_probe")

SCRIPT, IMAGE = "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def save(browser: Any, cast: Cast, hooks: Any, unique: Any) -> Any:
    """Save a dataset in the form, in which code asks for jobs; return its page."""

    def save(*calls: Any) -> str:
        name = unique("dataset")
        call("package_create", cast.owner.name, name=name)
        hooks["before:package_update"] = lambda *_: [each() for each in calls]
        sent = browser.post(f"/dataset/edit/{name}", data={"name": name, "save": ""})
        hooks.clear()
        assert sent.status_code == 302, sent.text
        assert sent.headers["Location"].endswith(f"/dataset/{name}")
        return f"/dataset/{name}"

    return save


NOTICE = re.compile(r'id="files-job-notice-(\d+)"')


def notices(browser: Any, path: str) -> list[int]:
    response = browser.get(path)
    model.Session.remove()
    assert response.status_code == 200
    return [int(found) for found in NOTICE.findall(response.text)]


def test_notice(browser: Any, save: Any, cast: Cast, tasks: TasksManager) -> None:
    """On the page of what was saved, for the user who did so, until the job has ended."""
    jobs: list[Job] = []
    page = save(lambda: jobs.append(sample.tell.delay("x", 50, SCRIPT)))
    [job] = jobs
    assert notices(browser, "/dataset/") == []
    assert notices(browser, page) == [job.id]
    assert notices(browser, "/about") == []
    assert not NOTICE.search(cast.app.get(page, headers=cast.sysadmin.headers).body)
    other = save()
    assert notices(browser, other) == []
    assert notices(browser, page) == [job.id]
    fragment = browser.get(f"/job/notice/{job.id}?next={page}").text
    assert "hx-get" in fragment
    assert "The work after your change runs in the background" in fragment

    tasks.run_pending_jobs()
    fragment = browser.get(f"/job/notice/{job.id}?next={page}").text
    assert "hx-get" not in fragment
    assert "is done" in fragment
    assert "&lt;script&gt;" in fragment
    assert "alert(1)</script>" not in fragment
    assert notices(browser, page) == [job.id]
    assert notices(browser, page) == []  # it was shown that it has ended


def test_notice_of_a_failure_and_of_several_jobs(browser: Any, save: Any, tasks: Any) -> None:
    page = save(*[lambda: sample.fail_after.delay(IMAGE)] * 7)
    shown = notices(browser, page)
    assert len(shown) == 5
    tasks.run_pending_jobs()
    body = browser.get(page).text
    assert body.count("has failed") == 5
    assert "ValueError" not in body
    assert "<img src=x" not in body


def test_notice_of_an_error_without_words(
    browser: Any, save: Any, tasks: Any, make_task: Any
) -> None:
    """A visitor gets a sentence, and no name of a class."""

    @make_task
    def give_up() -> None:
        raise NotImplementedError

    page = save(give_up.delay)
    tasks.run_pending_jobs()
    body = browser.get(page).text
    assert "The task has failed without giving a reason" in body
    assert "NotImplementedError" not in body


@pytest.mark.parametrize("kind", ["resource", "organization"])
def test_pages_of_other_things(
    kind: str, browser: Any, cast: Cast, hooks: Any, unique: Any, tasks: TasksManager
) -> None:
    name = unique("thing")
    if kind == "organization":
        call("organization_create", cast.owner.name, name=name)
        page, form = f"/organization/{name}", f"/organization/edit/{name}"
    else:
        made = call("package_create", cast.owner.name, name=name, resources=[{"url": "http://a"}])
        page = f"/dataset/{name}/resource/{made['resources'][0]['id']}"
        form = f"{page}/edit"
    hooks[f"before:{kind}_update"] = lambda *_: sample.noop.delay()
    sent = browser.post(form, data={"name": name, "save": "", "url": "http://b"})
    hooks.clear()
    assert sent.headers["Location"].endswith(page)
    assert len(notices(browser, page)) == 1
    tasks.run_pending_jobs()
    assert "is done" in browser.get(page).text


def test_dismiss(browser: Any, save: Any) -> None:
    page = save(sample.noop.delay, sample.noop.delay)
    first, second = notices(browser, page)
    answer = browser.post(f"/job/dismiss/{first}", data={"next": page})
    assert answer.headers["Location"].endswith(page)
    assert notices(browser, page) == [second]
    assert browser.get(f"/job/notice/{first}").status_code == 404
    assert browser.get(f"/job/notice/{second}").status_code == 200


def test_no_notice(browser: Any, save: Any, cast: Cast) -> None:
    """Without a job, of a job that a user may not see, and when the tables are missing."""
    assert notices(browser, save()) == []
    theirs = defer(sample.noop)
    assert notices(browser, save(lambda: set_task_location(theirs))) == []
    page = save(sample.noop.delay)
    change(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away")
    try:
        assert notices(browser, page) == []
    finally:
        change(f"ALTER SCHEMA files_test_away RENAME TO {SCHEMA}")
