"""Jobs report rows without bytes, and files that differ from their checksums; they change none."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories

from ckanext.files.background import JobAborted, schema
from ckanext.files.background.context import JobContext, running
from ckanext.files.background.testing import TasksManager
from ckanext.files.maintenance import batches
from ckanext.files.maintenance.tasks import report_missing, verify_checksums, verify_upload
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support import maintained_site as site
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.users import new_user

OURS = ["here", "there"]


def test_missing(
    tasks: TasksManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is not missing if its row names another place by now."""
    gone, moved, lost, strange, there, unknown = ids = site.uploads(6)
    for file in (gone, moved, lost):
        site.path_of(file).unlink()
    site.change(strange, location="../../x")
    site.change(unknown, storage="nowhere")

    def change_first(exists: Any, data: Any) -> Any:
        portal.delete_file(gone)
        site.change(moved, location="elsewhere")
        return exists(data)

    site.intercept(monkeypatch, "here", "exists", change_first)
    with caplog.at_level(logging.INFO, batches.__name__):
        job = report_missing.delay([*OURS, "nowhere"], batch=2)
        tasks.run_pending_jobs()
    said = "2 missing, 3 with their bytes, 1 cannot be asked for"
    assert site.outcome(job.id)[:2] == ("succeeded", said)
    assert site.steps_of(job.id) == 4
    assert f"missing: {lost} in here" in caplog.text
    assert f"missing: {strange} in here" in caplog.text
    assert there not in caplog.text
    assert all(map(site.row, ids[1:]))


def test_checksums(tasks: TasksManager, caplog: pytest.LogCaptureFixture) -> None:
    kinds = ("sound", "other", "longer", "lost", "none", "parts", "odd")
    ids = dict(zip(kinds, site.uploads(7), strict=True))
    site.path_of(ids["other"]).write_bytes(b"hellO")
    site.path_of(ids["longer"]).write_bytes(b"hello!")
    site.path_of(ids["lost"]).unlink()
    site.change(ids["none"], hash="")
    site.change(ids["parts"], hash="d41d8cd98f00b204e9800998ecf8427e-2")
    site.change(ids["odd"], algorithm="crc64")
    before = {name: site.row(id_) for name, id_ in ids.items()}
    with caplog.at_level(logging.INFO, batches.__name__):
        said = site.run(tasks, verify_checksums, OURS)
    assert said == "1 verified, 3 without a checksum, 2 damaged, 1 missing"
    assert f"damaged: {ids['other']} in here: its md5 is" in caplog.text
    assert f"damaged: {ids['longer']} in here: it has 6 bytes, not 5" in caplog.text
    assert f"missing: {ids['lost']} in here" in caplog.text
    assert ids["sound"] not in caplog.text
    assert {name: site.row(id_) for name, id_ in ids.items()} == before


def test_algorithm_of_the_row(tasks: TasksManager) -> None:
    sound, damaged = site.uploads(2, b"sound")
    site.path_of(damaged).write_bytes(b"wrong")
    for algorithm in ("sha256", "SHA1", "blake2b", "sha3_256"):
        digest = hashlib.new(algorithm.lower(), b"sound").hexdigest()
        for id_ in (sound, damaged):
            site.change(id_, algorithm=algorithm, hash=digest.upper())
        assert site.run(tasks, verify_checksums, OURS) == "1 verified, 1 damaged"


def test_a_step_reads_so_much(tasks: TasksManager) -> None:
    """A file that is larger has a step to itself."""
    user = new_user(sysadmin=True)
    for size in (10, 10, 10, 100):
        site.upload(user, b"x" * size)
    job = verify_checksums.delay(OURS, step_bytes=20)
    tasks.run_pending_jobs()
    assert site.outcome(job.id)[1] == "4 verified"
    assert 3 <= site.steps_of(job.id) <= 5
    percent = f"SELECT percent FROM {schema.SCHEMA}.files_job WHERE job_id = :id"
    assert look(percent, id=job.id) == 100


def test_goes_on_after_the_last_finished_step(tasks: TasksManager) -> None:
    ids = site.uploads(4)
    first = verify_checksums(OURS, batch=2).run_once()
    for id_ in ids[:2]:
        site.path_of(id_).unlink()
    while not isinstance(result := first.run_once(), str):
        first = result
    assert result == "4 verified"


def test_deleted_while_it_is_read(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = site.upload()

    def delete_first(stream: Any, data: Any) -> Any:
        site.path_of(id_).unlink()
        site.change(id_, storage="nowhere")
        return stream(data)

    site.intercept(monkeypatch, "here", "stream", delete_first)
    assert site.run(tasks, verify_checksums, OURS) == "1 moved or deleted meanwhile"


def _broken(*_: Any) -> Iterator[bytes]:
    """Fail in the middle, as the stream of a cloud may."""
    yield from (b"he", b"")
    raise RuntimeError("connection reset")


def test_storage_that_gives_chunks(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    site.upload()
    monkeypatch.setattr(get_storage("here"), "stream", lambda *_: iter([b"he", b"", b"llo"]))
    assert site.run(tasks, verify_checksums, OURS) == "1 verified"
    monkeypatch.setattr(get_storage("here"), "stream", _broken)
    assert site.run(tasks, verify_checksums, OURS) == "1 unreadable"


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """If many files in a row cannot be read, the step is tried again."""
    site.uploads(12)
    with monkeypatch.context() as patch:
        patch.setattr(get_storage("here"), "stream", _broken)
        job = verify_checksums.delay(OURS)
        tasks.run_pending_jobs()
        status, _, error = site.outcome(job.id)
        assert status == "todo"
        assert "connection reset" in error
    site.run_put_off_jobs(tasks)
    assert site.outcome(job.id)[:2] == ("succeeded", "12 verified")


def test_within_a_large_file() -> None:
    """The job shows how much it has read, and can be aborted."""
    id_ = site.upload(content=b"x" * 1_000_000, name="large.bin")
    seen: list[tuple[float | None, str | None]] = []
    call = verify_upload(id_)

    def look() -> bool:
        seen.append((context.percent, context.text))
        return False

    context = JobContext(1, call, aborting=look)
    with running(context):
        assert call.run_once() == "verified"
    model.Session.rollback()
    percents = [percent for percent, _ in seen if percent is not None]
    assert percents == sorted(percents)
    assert len(set(percents)) == 4
    assert seen[0] == (26.2144, "large.bin: 262144 of 1000000 bytes")
    assert seen[-1][1] == f"large.bin: md5 is {site.row(id_)['hash']}, as it was stored"
    with running(JobContext(1, call, aborting=lambda: True)), pytest.raises(JobAborted):
        call.run_once()
    model.Session.rollback()


def _verify_for(tasks: TasksManager, user: str | None, file_id: str) -> tuple[str, str, str]:
    """Verify a file by a job of a user, or of a script."""
    job = verify_upload.delay(file_id)
    if user:
        person: Any = model.User.get(user)
        query = f"INSERT INTO {schema.SCHEMA}.files_job (job_id, user_id) VALUES (:job, :user)"
        model.Session.execute(sa.text(query), {"job": job.id, "user": person.id})
    tasks.run_pending_jobs()
    return site.outcome(job.id)


def test_upload_that_the_user_may_see(tasks: TasksManager) -> None:
    """Scripts may see all files. The error is the same as for a file that does not exist."""
    user, other = new_user(), new_user()
    own, of_dataset = site.upload(user, name="Größe b.txt"), site.upload()
    site.attach(of_dataset, "package", factories.Dataset()["id"])
    sound = f"Größe b.txt: md5 is {hashlib.md5(b'hello').hexdigest()}, as it was stored"
    for asking in (user, None):
        assert _verify_for(tasks, asking, own)[:2] == ("succeeded", sound)
    assert _verify_for(tasks, other, of_dataset)[0] == "succeeded"
    errors = [_verify_for(tasks, other, each)[2].replace(each, "") for each in (own, "other")]
    assert errors[0] == errors[1]
    assert "does not exist, or you may not see it" in errors[0]


def test_upload_that_is_damaged_or_unreadable(
    tasks: TasksManager, caplog: pytest.LogCaptureFixture
) -> None:
    user = new_user()
    id_ = site.upload(user, name="b.txt")
    path = site.path_of(id_)
    path.write_bytes(b"hellO")
    status, _, error = _verify_for(tasks, None, id_)
    assert status == "failed"
    assert "The file b.txt is damaged: its md5 is" in error
    path.unlink()
    path.mkdir()
    try:
        status, _, error = _verify_for(tasks, user, id_)
    finally:
        path.rmdir()
    assert status == "failed"
    assert error.endswith("The file b.txt is unreadable"), "only the log has the path"
    assert str(path) in caplog.text
