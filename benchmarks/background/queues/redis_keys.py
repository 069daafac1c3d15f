"""Keys of the Redis database that CKAN uses; all of ours begin with the same."""

from __future__ import annotations

import os
from typing import Any

import redis

URL = os.environ["CKAN_REDIS_URL"]
PREFIX = "ckanext-files-benchmark-"


def connect() -> Any:
    """Return a client; what it returns depends on the version, so it is not typed."""
    return redis.Redis.from_url(URL)


def remove(prefix: str) -> None:
    """Remove all keys that begin so."""
    client = connect()
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)
