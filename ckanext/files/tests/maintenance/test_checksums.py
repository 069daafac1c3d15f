"""Jobs read files and compare them with their checksums."""

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
from ckanext.files.maintenance.tasks import verify_checksums, verify_upload
from ckanext.files.store.storages import get_storage
from ckanext.files.tests.support.effects import look
from ckanext.files.tests.support.maintained_site import (
    attach,
    change,
    intercept,
    make_all_due,
    outcome,
    path_of,
    row,
    run,
    steps_of,
    upload,
    uploads,
)
from ckanext.files.tests.support.users import new_user

OURS = ["here", "there"]


def test_all_kinds(tasks: TasksManager, caplog: pytest.LogCaptureFixture) -> None:
    ids = {name: upload() for name in ("sound", "other", "longer", "lost", "none", "parts", "odd")}
    path_of(ids["other"]).write_bytes(b"hellO")
    path_of(ids["longer"]).write_bytes(b"hello!")
    path_of(ids["lost"]).unlink()
    change(ids["none"], hash="")
    change(ids["parts"], hash="d41d8cd98f00b204e9800998ecf8427e-2")
    change(ids["odd"], algorithm="crc64")
    before = {name: row(id_) for name, id_ in ids.items()}
    with caplog.at_level(logging.INFO, batches.__name__):
        said = run(tasks, verify_checksums, OURS)
    assert said == "1 verified, 3 without a checksum, 2 damaged, 1 missing"
    assert f"damaged: {ids['other']} in here: its md5 is" in caplog.text
    assert f"damaged: {ids['longer']} in here: it has 6 bytes, not 5" in caplog.text
    assert f"missing: {ids['lost']} in here" in caplog.text
    assert ids["sound"] not in caplog.text
    assert {name: row(id_) for name, id_ in ids.items()} == before


@pytest.mark.parametrize("algorithm", ["sha256", "SHA1", "blake2b", "sha3_256"])
def test_algorithm_of_the_row(tasks: TasksManager, algorithm: str) -> None:
    sound, damaged = upload(content=b"sound"), upload(content=b"x")
    digest = hashlib.new(algorithm.lower(), b"sound").hexdigest()
    for id_ in (sound, damaged):
        change(id_, algorithm=algorithm, hash=digest.upper(), size=5)
    path_of(damaged).write_bytes(b"wrong")
    assert run(tasks, verify_checksums, OURS) == "1 verified, 1 damaged"


def test_a_step_reads_so_much(tasks: TasksManager) -> None:
    """A file that is larger has a step to itself."""
    user = new_user(sysadmin=True)
    for size in (10, 10, 10, 100):
        upload(user, b"x" * size)
    job = verify_checksums.delay(OURS, step_bytes=20)
    tasks.run_pending_jobs()
    assert outcome(job.id)[1] == "4 verified"
    assert 3 <= steps_of(job.id) <= 5
    assert (
        look(f"SELECT percent FROM {schema.SCHEMA}.files_job WHERE job_id = :id", id=job.id) == 100
    )


def test_goes_on_after_the_last_finished_step(tasks: TasksManager) -> None:
    ids = uploads(4)
    first = verify_checksums(OURS, batch=2).run_once()
    for id_ in ids[:2]:
        path_of(id_).unlink()
    while not isinstance(result := first.run_once(), str):
        first = result
    assert result == "4 verified"


def test_deleted_meanwhile(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = upload()

    def delete_first(stream: Any, data: Any) -> Any:
        path_of(id_).unlink()
        change(id_, storage="nowhere")
        return stream(data)

    intercept(monkeypatch, "here", "stream", delete_first)
    assert run(tasks, verify_checksums, OURS) == "1 moved or deleted meanwhile"


def _broken(*_: Any) -> Iterator[bytes]:
    """Fail in the middle, as the stream of a cloud may."""
    yield from (b"he", b"")
    raise RuntimeError("connection reset")


def test_unreadable(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    upload()
    monkeypatch.setattr(get_storage("here"), "stream", _broken)
    assert run(tasks, verify_checksums, OURS) == "1 unreadable"


def test_storage_is_away(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """If many files in a row cannot be read, the step is tried again."""
    uploads(12)
    with monkeypatch.context() as patch:
        patch.setattr(get_storage("here"), "stream", _broken)
        job = verify_checksums.delay(OURS)
        tasks.run_pending_jobs()
        status, _, error = outcome(job.id)
        assert status == "todo"
        assert "connection reset" in error
    make_all_due(tasks)
    assert outcome(job.id)[:2] == ("succeeded", "12 verified")


def test_storage_that_gives_chunks(tasks: TasksManager, monkeypatch: pytest.MonkeyPatch) -> None:
    upload()
    chunks = [b"he", b"", b"llo"]
    monkeypatch.setattr(get_storage("here"), "stream", lambda *_, **__: iter(chunks))
    assert run(tasks, verify_checksums, OURS) == "1 verified"


def test_progress_within_a_large_file() -> None:
    id_ = upload(content=b"x" * 1_000_000, name="large.bin")
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
    assert seen[-1][1] == f"large.bin: md5 is {row(id_)['hash']}, as it was stored"  # pyright: ignore[reportOptionalSubscript]


def test_aborted_within_a_large_file() -> None:
    call = verify_upload(upload(content=b"x" * 1_000_000))
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
    return outcome(job.id)


def test_upload_of_an_ordinary_user(tasks: TasksManager) -> None:
    user = new_user()
    id_ = upload(user, name="b.txt")
    status, text, _ = _verify_for(tasks, user, id_)
    assert status == "succeeded"
    assert text == f"b.txt: md5 is {hashlib.md5(b'hello').hexdigest()}, as it was stored"


def test_upload_that_is_damaged(tasks: TasksManager) -> None:
    id_ = upload(name="b.txt")
    path_of(id_).write_bytes(b"hellO")
    status, _, error = _verify_for(tasks, None, id_)
    assert status == "failed"
    assert "The file b.txt is damaged: its md5 is" in error


def test_upload_that_cannot_be_read(tasks: TasksManager, caplog: pytest.LogCaptureFixture) -> None:
    """Only the log has the path."""
    user = new_user()
    id_ = upload(user, name="b.txt")
    path = path_of(id_)
    path.unlink()
    path.mkdir()
    try:
        status, _, error = _verify_for(tasks, user, id_)
    finally:
        path.rmdir()
    assert status == "failed"
    assert error.endswith("The file b.txt is unreadable")
    assert str(path) in caplog.text


def test_upload_of_another_user(tasks: TasksManager) -> None:
    """The error is the same as for a file that does not exist."""
    id_ = upload(new_user())
    errors = [_verify_for(tasks, new_user(), each)[2].replace(each, "") for each in (id_, "other")]
    assert errors[0] == errors[1]
    assert "does not exist, or you may not see it" in errors[0]


def test_upload_in_a_dataset_that_the_user_may_see(tasks: TasksManager) -> None:
    id_ = upload()
    attach(id_, "package", factories.Dataset()["id"])
    assert _verify_for(tasks, new_user(), id_)[0] == "succeeded"


def test_upload_of_a_script(tasks: TasksManager) -> None:
    assert _verify_for(tasks, None, upload())[0] == "succeeded"
