"""Fixtures of the tests that move jobs between Redis and rows."""

from __future__ import annotations

from typing import Any

import pytest
import rq
from ckan.lib import jobs
from ckan.lib.redis import connect_to_redis

from ckanext.files.ckan_jobs.queue import Queue


@pytest.fixture(autouse=True)
def redis() -> Any:
    """Redis, without jobs; it belongs to this run of the tests."""
    redis = connect_to_redis()
    for pattern in ("rq:*", "ckanext-files:*"):
        for key in redis.scan_iter(pattern):
            redis.delete(key)
    return redis


@pytest.fixture
def old(redis: Any, name: str) -> Any:
    """A queue of RQ."""
    return rq.Queue(jobs.add_queue_name_prefix(name), connection=redis)


@pytest.fixture
def new(name: str) -> Any:
    """The same queue, of rows."""
    queue = jobs.get_queue(name)
    assert isinstance(queue, Queue)
    return queue
