"""Real workers move a storage, killed while its files are read, and remove what was busy."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ckan.tests.helpers import _get_test_app

from ckanext.files.filekeeper import removal
from ckanext.files.maintenance.tasks import move_storage
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.jobs import defer, let_time_pass, state, wait_for_job
from ckanext.files.tests.support.races import busy_location
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Workers

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with site.loaded_with(tmp_path_factory.mktemp("maintenance")):
        site.forget_files()
        yield _get_test_app
        site.forget_files()


def test_move(workers: Workers, full_size: bool, record_property: Any) -> None:
    kills, worker = 20 if full_size else 3, workers.start("-c", "2")
    user = new_user(sysadmin=True)
    contents = {site.upload(user, c): c for c in (random.randbytes(200_000) for _ in range(30))}
    job = defer(move_storage, "here", "there", dry_run=False, keep_seconds=2, batch=1)

    def step() -> int:
        return state(job, "coalesce(f.step, 0)")

    for _ in range(kills):
        before = step()
        wait_for(lambda before=before: step() > before or state(job) == "succeeded")
        time.sleep(random.uniform(0, 0.05))
        worker.kill()
        for id_, content in contents.items():
            assert site.path_of(id_).read_bytes() == content
        worker.start()
    wait_for_job(job)
    assert site.outcome(job.id)[1] == "30 moved"
    wait_for(lambda: not list(site.folder_of("here").iterdir()))
    assert {id_: site.path_of(id_).read_bytes() for id_ in contents} == contents
    record_property("copies_left", len(site.stored("there")) - 30)
    assert len(site.stored("there")) - 30 <= kills


def test_removal(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another transaction has the location longer than a deletion and the job's first try wait."""
    for name in ("LOCK_TIMEOUT", "SHORT_LOCK_TIMEOUT"):
        monkeypatch.setattr(removal, name, "100ms")
    worker, file = workers.start(), site.upload()
    path = site.path_of(file)
    with busy_location("here", path.name):
        site.delete(file)
        wait_for(lambda: "lock timeout" in worker.said)
        assert path.exists()
    wait_for(lambda: (let_time_pass(), not path.exists())[1])
