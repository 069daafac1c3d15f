"""What RQ has in Redis of this site's jobs, for :mod:`.drain`.

Redis's own commands, and RQ's names of keys, which RQ 1.16 and 2.10 share: RQ's registries
move or fail jobs whenever they are read.

A job that is taken is *held*: in one step its id moves from RQ's lists into a hash of ours. So
RQ's workers do not begin it, and it is still in Redis if the process is killed.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import rq
from ckan.lib import jobs
from ckan.lib.redis import connect_to_redis
from rq import worker_registration
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from .job import Job

_POPPED = ":intermediate"

_KEYS = {
    "started": StartedJobRegistry.key_template,
    "popped": rq.Queue.redis_queue_namespace_prefix + "{0}" + _POPPED,
    "queued": rq.Queue.redis_queue_namespace_prefix + "{0}",
    "scheduled": ScheduledJobRegistry.key_template,
    "deferred": DeferredJobRegistry.key_template,
}
"""Keys by the state of their jobs. RQ pops an id into a list between, until its job has started."""

STATES = tuple(_KEYS)

_LISTS = ("queued", "popped")

_HOLD = """
local command = ARGV[1] == 'list' and {'LREM', KEYS[1], 1, ARGV[2]} or {'ZREM', KEYS[1], ARGV[2]}
if redis.call(unpack(command)) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1
"""

_SCAN = 1000
"""Keys that Redis looks at for each answer."""


@dataclass
class Entry:
    """The id of a job in one of RQ's lists."""

    state: str
    queue: str
    """RQ's name of it."""

    member: str
    """The id; if the job has started, with the id of its execution."""

    rq_id: str
    score: float | None = None
    """The time for which a job is scheduled, in seconds since 1970."""

    depends_on: tuple[str, ...] = ()
    """The jobs for which it waits, as far as they have become rows."""

    after: int = 0
    """The id of a row that is older than the row of this job."""

    @property
    def key(self) -> str:
        return _KEYS[self.state].format(self.queue)


class RedisJobs:
    """The jobs of this site in Redis."""

    def __init__(self) -> None:
        self._redis: Any = connect_to_redis()
        self._prefix = jobs.add_queue_name_prefix("")
        self._held = f"ckanext-files:held:{self._prefix}"
        self._hold = self._redis.register_script(_HOLD)

    def counts(self) -> Counter[str]:
        """Return how many jobs there are in each state; those that are held have theirs, too."""
        found = [*self.held(), *(entry for state in STATES for entry in self.entries(state))]
        return Counter(entry.state for entry in found)

    def count(self) -> int:
        """Return how many jobs there are, of the queues that RQ lists: not all keys are read."""
        head = rq.Queue.redis_queue_namespace_prefix
        keys = [key.decode() for key in self._redis.smembers(rq.Queue.redis_queues_keys)]
        queues = [key.removeprefix(head) for key in keys if key.startswith(head + self._prefix)]
        with self._redis.pipeline(transaction=False) as pipeline:
            for state, queue in itertools.product(STATES, queues):
                count = pipeline.llen if state in _LISTS else pipeline.zcard
                count(_KEYS[state].format(queue))
            pipeline.hlen(self._held)
            return sum(pipeline.execute())

    def entries(self, state: str) -> list[Entry]:
        """Return the ids of the jobs in a state, of one queue after the other, the first first."""
        return [entry for queue in self._queues(state) for entry in self._entries(state, queue)]

    def held(self) -> list[Entry]:
        """Return the jobs that a process has held and not released."""
        return [Entry(**json.loads(text)) for text in self._redis.hvals(self._held)]

    def values(self, rq_id: str) -> dict[str, bytes]:
        """Return RQ's hash of a job; an empty one if it is deleted or its time to live is over."""
        found = self._redis.hgetall(Job.key_for(rq_id))
        return {name.decode(): value for name, value in found.items()}

    def may_run(self, entry: Entry, values: dict[str, bytes]) -> bool:
        """Return whether a worker of RQ has the job that lives, or has died a minute ago."""
        if entry.state == "popped":
            key = worker_registration.WORKERS_BY_QUEUE_KEY % entry.queue
            return any(self._redis.exists(worker) for worker in self._redis.smembers(key))
        name = values.get("worker_name", b"").decode()
        return entry.state == "started" and bool(
            self._redis.exists(rq.Worker.redis_worker_namespace_prefix + name)
        )

    def hold(self, entry: Entry) -> bool:
        """Take a job out of RQ's lists; return False if it is not there any more."""
        kind = "list" if entry.state in _LISTS else "set"
        text = json.dumps(asdict(entry))
        return bool(
            self._hold([entry.key, self._held], [kind, entry.member, entry.rq_id, text]),
        )

    def put_back(self, entry: Entry) -> None:
        """Give RQ a job back that is held."""
        with self._redis.pipeline() as pipeline:
            if entry.state in _LISTS:
                pipeline.lpush(entry.key, entry.member)
            else:
                pipeline.zadd(entry.key, {entry.member: entry.score})
            pipeline.hdel(self._held, entry.rq_id)
            pipeline.execute()

    def release(self, rq_id: str) -> None:
        """Delete a job that is held."""
        job = Job(rq_id)
        with self._redis.pipeline() as pipeline:
            pipeline.delete(job.key, job.dependents_key, job.dependencies_key)
            pipeline.hdel(self._held, rq_id)
            pipeline.execute()

    def forget(self, entry: Entry) -> None:
        """Take an id out of RQ's lists that has no job."""
        if entry.state in _LISTS:
            self._redis.lrem(entry.key, 1, entry.member)
        else:
            self._redis.zrem(entry.key, entry.member)

    def _queues(self, state: str) -> list[str]:
        # RQ's own set lacks the queues in which jobs have only waited for others
        head, tail = _KEYS[state].split("{0}")
        pattern = f"{head}{_escaped(self._prefix)}*{tail}"
        names = {key.decode() for key in self._redis.scan_iter(pattern, _SCAN)}
        if state == "queued":
            names = {name for name in names if _POPPED not in name}
        return sorted(name[len(head) : len(name) - len(tail)] for name in names)

    def _entries(self, state: str, queue: str) -> Iterator[Entry]:
        key = _KEYS[state].format(queue)
        if state in _LISTS:
            found = [(member, None) for member in self._redis.lrange(key, 0, -1)]
        else:
            found = self._redis.zrange(key, 0, -1, withscores=True)
        for member, score in found:
            yield self._entry(state, queue, member.decode(), score)

    def _entry(self, state: str, queue: str, member: str, score: float | None) -> Entry:
        rq_id = member
        # RQ 2 adds the id of the execution
        if state == "started" and not self._redis.exists(Job.key_for(member)):
            rq_id = member.rpartition(":")[0] or member
        return Entry(state, queue, member, rq_id, score)


def _escaped(text: str) -> str:
    """Return a text without a meaning for Redis's patterns."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
