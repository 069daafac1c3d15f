"""What a row keeps of a job runs only if this site has written it, for that job."""

from __future__ import annotations

import pickle
from typing import Any

import ckan.plugins.toolkit as tk
import pytest
from ckan import model
from ckan.common import config
from ckan.lib import jobs
from rq.exceptions import DeserializationError

from ckanext.files.ckan_jobs.errors import ForgedJobError
from ckanext.files.ckan_jobs.payload import (
    OLD_KEYS,
    Payload,
    pack,
    sign_result,
    unpack,
    verified_result,
)
from ckanext.files.tests.support.effects import change, look
from ckanext.files.tests.support.jobs import S

VALUES = {"data": b"\x80pickle", "status": "queued", "timeout": 180}


went_off: list[str] = []


class Bomb:
    """An object whose pickle calls a function when it is read."""

    def __reduce__(self) -> Any:
        return explode, ()


def explode() -> None:
    went_off.append("bang")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the site's secret key, and the old ones."""

    def set_secrets(key: str, *old: str) -> None:
        monkeypatch.setitem(config, "SECRET_KEY", key)
        monkeypatch.setitem(config, OLD_KEYS, list(old))

    return set_secrets


def test_values_come_back_as_redis_would_give_them() -> None:
    assert unpack("a", pack("a", VALUES)) == {
        b"data": b"\x80pickle",
        b"status": b"queued",
        b"timeout": b"180",
    }


@pytest.mark.parametrize(
    ("rq_id", "spoil"),
    [
        ("b", lambda payload: payload),
        ("a", lambda payload: payload._replace(hash=payload.hash + b".")),
        ("a", lambda payload: payload._replace(signature=payload.signature[:-1] + b"\0")),
        ("a", lambda payload: payload._replace(signature=b"")),
    ],
    ids=["another job's", "another hash", "another signature", "none"],
)
def test_tampered(rq_id: str, spoil: Any) -> None:
    payload = pack("a", VALUES)
    assert unpack("a", payload)
    with pytest.raises(ForgedJobError, match=OLD_KEYS):
        unpack(rq_id, spoil(payload))


def test_nothing_is_read_before_the_signature() -> None:
    bomb = pickle.dumps({b"data": Bomb()})
    with pytest.raises(ForgedJobError):
        unpack("a", Payload(bomb, b"x"))
    assert went_off == []
    pickle.loads(bomb)
    assert went_off == ["bang"]  # the bomb would have worked


def test_rotation(secret: Any) -> None:
    secret("first")
    payload = pack("a", VALUES)
    secret("second")
    with pytest.raises(ForgedJobError):
        unpack("a", payload)
    secret("second", "zeroth", "first")
    assert unpack("a", payload)
    assert pack("a", VALUES).signature != payload.signature  # new ones have the new key


def test_forged_job_is_listed_and_runs_nothing() -> None:
    job = tk.enqueue_job(jobs.test_job, ["a token"], title="honest")
    change(f"UPDATE {S}.files_rq_job SET signature = 'x' WHERE rq_id = :id", id=job.id)
    [found] = jobs.get_queue().jobs
    assert (found.id, found.origin) == (job.id, job.origin)
    assert "SECRET_KEY" in str(found.description)
    for read in (lambda: found.args, lambda: found.func, found.perform):
        with pytest.raises(DeserializationError):
            read()
    [listed] = tk.get_action("job_list")({"ignore_auth": True}, {})
    assert (listed["id"], listed["title"]) == (job.id, None)
    found.meta["title"] = "mine"
    with pytest.raises(ForgedJobError):
        found.save()  # it would be signed
    jobs.job_from_id(job.id).delete()
    model.Session.rollback()
    assert look(f"SELECT count(*) FROM {S}.procrastinate_jobs WHERE status = 'cancelled'") == 1


def test_result_is_no_hash(name: str) -> None:
    """Nor the other way round, whatever a function returns: each kind has a key of its own."""
    data = pickle.dumps({})
    signature = sign_result(name, data).removesuffix(data)
    for forged in (data, b"result\0" + data):
        with pytest.raises(ForgedJobError):
            unpack(name, Payload(forged, signature))
    packed = pack(name, {"data": b""})
    with pytest.raises(ForgedJobError):
        verified_result(name, packed.signature + packed.hash)
