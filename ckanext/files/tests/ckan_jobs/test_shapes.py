"""Jobs as extensions ask for them: they are read back exactly, and they run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.lib import jobs
from ckan.tests import factories, helpers

from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.ckan_jobs.test_dependencies import look_after
from ckanext.files.tests.support import shapes
from ckanext.files.tests.support.jobs import effects_of
from ckanext.files.tests.support.shapes import Index, Ingest, Profile, Topic
from ckanext.files.tests.support.users import new_user

pytestmark = pytest.mark.usefixtures("effects")


@pytest.fixture
def run(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Run all jobs that wait, without the sleeps of their functions."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return tasks.run_pending_jobs


def fetched(job: Any) -> Any:
    """Return the job as a worker reads it."""
    model.Session.remove()
    return jobs.job_from_id(job.id)


def test_archiver_and_qa(run: Any, name: str, hooks: dict[str, Any]) -> None:
    """Jobs that are asked for before the commit, and within a job."""
    dataset = factories.Dataset()
    hooks["notify"] = shapes.archive
    helpers.call_action("resource_create", package_id=dataset["id"], name=name, url="http://a")
    queue = jobs.get_queue("priority")
    [job] = queue.jobs
    resource = helpers.call_action("package_show", id=dataset["id"])["resources"][0]
    assert (job.args, job.meta["title"]) == ([resource["id"]], f"archive {resource['id']}")
    run()
    assert effects_of(name) == [f"{name}-archived", f"{name}-qa"]


def test_syndicate(run: Any, name: str) -> None:
    arguments = [name, Topic.UPDATE, Profile("other", "secret")]
    job = fetched(tk.enqueue_job(shapes.syndicate, arguments))
    assert job.args == arguments
    assert job.args[1] is Topic.UPDATE
    assert type(job.args[2]) is Profile
    run()
    assert effects_of(name) == [f"{name}-dataset/update-other"]


def test_versioned_datastore(run: Any, name: str) -> None:
    """Jobs that wait for one another, and are methods of objects."""
    first = Ingest(name, [(1, b"\xff\x00a"), (2, b"bc")]).queue()
    second = Index(name, []).queue(depends_on=first)
    assert first.enqueued_at.isoformat()
    listed = helpers.call_action("job_list", queues=["import"])
    assert [job["id"] for job in listed] == [first.id]
    job = fetched(first)
    assert (type(job.instance), job.instance.records) == (Ingest, [(1, b"\xff\x00a"), (2, b"bc")])
    assert job.timeout == 24 * 3600
    assert fetched(second).get_status() == "deferred"
    run()
    look_after()
    run()
    assert effects_of(name) == [f"{name}-indexed", f"{name}-ingested"]
    assert second.get_status() == "finished"


def test_admin_panel(run: Any) -> None:
    user = model.User.get(new_user())
    assert user
    data = {"job_type": "cron", "data": {"cron_job": user, "actions": [], "kwargs": {}}}
    options = {"timeout": 10, "on_failure": shapes.cron_failed}
    job = fetched(tk.enqueue_job(shapes.run_cron, [data], rq_kwargs=options))
    read = job.args[0]["data"]["cron_job"]
    assert (type(read), read.id, read.email) == (model.User, user.id, user.email)
    assert job.failure_callback is shapes.cron_failed
    run()
    assert effects_of(user.name) == [f"{user.name}-ValueError-cron of {user.name} fails"]


def test_tables_and_s3filestore(run: Any) -> None:
    params = {"filters": [{"field": "a", "value": 1.5}], "sort_by": None}
    options = {"ttl": 600, "failure_ttl": 600}
    asked = tk.enqueue_job(
        shapes.export, kwargs={"table": "t", "params": params}, rq_kwargs=options
    )
    job = fetched(asked)
    assert (job.args, job.kwargs) == ([], {"table": "t", "params": params})
    assert (job.ttl, job.failure_ttl) == (600, 600)
    assert (job.get_status(), job.result) == ("queued", None)
    run()
    assert fetched(asked).get_status() == "finished"
    assert fetched(asked).result == {"file": "/tmp/t", "rows": 1}
