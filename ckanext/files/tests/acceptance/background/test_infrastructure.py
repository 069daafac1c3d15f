"""Solr is away while a worker works."""

from __future__ import annotations

from typing import Any

import pytest
from ckan import model
from ckan.tests import factories

from ckanext.files.tests.support import sample
from ckanext.files.tests.support.jobs import effects_of, state, wait_for_job
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.solr import solr_through_proxy, title_in_solr
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.usefixtures("effects")

loaded = load_plugins("files", "files_background")


def test_jobs_wait_until_solr_is_back(workers: Workers, unique: Any) -> None:
    """All of them run then; meanwhile the worker runs what needs no Solr."""
    name, datasets = unique("job"), [factories.Dataset()["id"] for _ in range(3)]
    with solr_through_proxy() as solr:
        worker = workers.start("-c", "2", "-q", "indexing")
        task = sample.write_and_patch.configure(queue="indexing")
        jobs = [task.delay(f"{name}-{n}", dataset, "after") for n, dataset in enumerate(datasets)]
        solr.refuse = True
        model.Session.commit()
        for job in jobs:
            wait_for(lambda job=job: (state(job, "f.outages") or 0) >= 2)
            assert state(job) in ("todo", "doing")
            assert "Solr cannot be reached, pause" in state(job, "f.error")
        other = sample.write.configure(queue="indexing").delay(f"{name}-other")
        model.Session.commit()
        wait_for_job(other)
        assert effects_of(name) == [f"{name}-other"]
        solr.refuse = False
        for job in jobs:
            wait_for_job(job)
            assert state(job, "f.retries") == 0
        assert worker.stop() == 0
    assert len(effects_of(name)) == 4
    assert {title_in_solr(dataset) for dataset in datasets} == {"after"}
