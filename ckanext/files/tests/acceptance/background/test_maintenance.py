"""A storage is moved by real workers that are killed, while its files are read."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ckan import model
from ckan.common import config

from ckanext.files.maintenance.tasks import move_storage, verify_upload
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.jobs import S, state, wait_for_job
from ckanext.files.tests.support.server import write_ini
from ckanext.files.tests.support.users import new_user
from ckanext.files.tests.support.waiting import wait_for
from ckanext.files.tests.support.workers import Worker, command

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with site.loaded_with(tmp_path_factory.mktemp("maintenance")):
        yield


@pytest.fixture(autouse=True)
def no_files(loaded: None) -> Iterator[None]:
    site.forget_files()
    yield
    site.forget_files()


@pytest.fixture
def worker(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Worker]:
    ini = tmp_path / "worker.ini"
    base = Path(str(pytestconfig.getoption("--ckan-ini"))).resolve()
    ours = {name: config[name] for name in config if name.startswith(f"{site.OPTION}.")}
    texts = {name: value for name, value in ours.items() if isinstance(value, str)}
    transformers = {
        f"{site.OPTION}.{name}.location_transformers": "uuid4" for name in ("here", "there")
    }
    write_ini(ini, base, {**texts, **transformers, "ckan.plugins": "files files_background"})
    worker = Worker(tmp_path / "worker.log", command(ini, "-c", "2"))
    worker.start()
    yield worker
    worker.clear_away()


def test_move(worker: Worker, full_size: bool, record_property: Any) -> None:
    kills = 20 if full_size else 3
    user = new_user(sysadmin=True)
    contents = {site.upload(user, c): c for c in (random.randbytes(200_000) for _ in range(30))}
    job = move_storage.delay("here", "there", dry_run=False, keep_seconds=2, batch=1)
    model.Session.commit()
    for _ in range(kills):
        step = _step(job.id)
        wait_for(lambda step=step: _step(job.id) > step or state(job) == "succeeded")
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


def _step(job_id: int) -> int:
    return look(f"SELECT coalesce(max(step), 0) FROM {S}.files_job WHERE job_id = :id", id=job_id)


def test_progress_of_a_large_file(worker: Worker) -> None:
    """Others see it while the file is read."""
    id_, size = site.upload(name="large.bin"), 2**30
    with site.path_of(id_).open("wb") as file:
        file.truncate(size)  # a hole, which takes no space
    site.change(id_, size=size, hash="0" * 32)
    job = verify_upload.delay(id_)
    model.Session.commit()
    seen: set[float] = set()
    wait_for(lambda: seen.add(state(job, "percent") or 0.0) or state(job) not in ("todo", "doing"))
    assert state(job) == "failed"
    assert "large.bin is damaged: its md5 is" in state(job, "error")
    assert seen - {0.0, 100.0}
