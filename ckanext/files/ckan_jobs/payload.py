"""What a row keeps of a job: RQ's hash, as bytes with a signature.

The hash is what RQ would write into Redis. It has pickles, and names of functions that RQ
imports, so a program that can write it can run anything. The signature is made with the
site's secret key, and nothing of a hash is read before its signature is verified. The
signature is for one id: a hash runs nothing under another one. A program that can write
rows could still repeat an old one.
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
from typing import Any, NamedTuple

from ckan.common import config

from .errors import ForgedJobError

OLD_KEYS = "ckanext.files.jobs.old_secret_keys"

_OF_JOBS, _OF_RESULTS = b"ckanext-files jobs\0", b"ckanext-files results\0"
"""Keep the keys apart from other keys that are made from the same secret."""

_SIGNATURE_LENGTH = 32


class Payload(NamedTuple):
    """The bytes of a hash, and their signature."""

    hash: bytes
    signature: bytes


def pack(rq_id: str, values: dict[str, Any]) -> Payload:
    """Return the payload of a job.

    :param values: as RQ's ``to_dict`` returns them.
    """
    data = pickle.dumps({name.encode(): _as_redis(value) for name, value in values.items()})
    return Payload(data, _sign(config["SECRET_KEY"], _OF_JOBS, rq_id, data))


def unpack(rq_id: str, payload: Payload) -> dict[bytes, bytes]:
    """Return the values of a job, as RQ would read them from Redis.

    :raises ForgedJobError: this site has not written them for that id.
    """
    _verify(_OF_JOBS, rq_id, payload.hash, payload.signature)
    return pickle.loads(payload.hash)


def sign_result(rq_id: str, data: bytes) -> bytes:
    """Return what a job has returned, after a signature."""
    return _sign(config["SECRET_KEY"], _OF_RESULTS, rq_id, data) + data


def verified_result(rq_id: str, stored: bytes) -> bytes:
    """Return what :func:`sign_result` has signed.

    :raises ForgedJobError: this site has not written it for that id.
    """
    signature, data = stored[:_SIGNATURE_LENGTH], stored[_SIGNATURE_LENGTH:]
    _verify(_OF_RESULTS, rq_id, data, signature)
    return data


def _verify(purpose: bytes, rq_id: str, data: bytes, signature: bytes) -> None:
    keys = (config["SECRET_KEY"], *config.get(OLD_KEYS, ()))
    signatures = [_sign(key, purpose, rq_id, data) for key in keys]
    if not any(hmac.compare_digest(each, signature) for each in signatures):
        raise ForgedJobError(
            f"The signature of job {rq_id} is not by the SECRET_KEY of this site. If the key was "
            f"changed, put the old one into {OLD_KEYS}"
        )


def _sign(secret: str, purpose: bytes, rq_id: str, data: bytes) -> bytes:
    key = hashlib.sha256(purpose + secret.encode()).digest()
    return hmac.digest(key, rq_id.encode() + b"\0" + data, "sha256")


def _as_redis(value: Any) -> bytes:
    """Return a value as the client of Redis sends it."""
    return value if isinstance(value, bytes) else str(getattr(value, "value", value)).encode()
